//! The ledger, added up. Always from its rows: nothing here is kept and counted on.

use callbox_model::{UsageRow, Wall};

use super::Sqlite;
use super::calls::measured;
use super::row::{Columns, away};
use crate::{Error, UsageBy, UsageFilter};

pub(super) async fn list(db: &Sqlite, filter: UsageFilter) -> Result<Vec<UsageRow>, Error> {
    let attempted = "add usage up";
    let mut reader = db.reader(attempted).await?;
    let query = match filter.scope.tenant() {
        Some(tenant) => sqlx::query(of_a_tenant()).bind(tenant.to_string()),
        None => sqlx::query(of_all()).bind(None::<String>),
    };
    let found = query
        .bind(filter.since.map_or(i64::MIN, Wall::as_micros))
        .bind(filter.until.map_or(i64::MAX, Wall::as_micros))
        .bind(filter.application.map(|id| id.to_string()))
        .bind(filter.module)
        .bind(match filter.by {
            UsageBy::Tenant => 0_i64,
            UsageBy::Application => 1,
            UsageBy::Module => 2,
        })
        .fetch_all(&mut *reader)
        .await
        .map_err(away(attempted))?;
    found
        .iter()
        .map(|row| {
            let columns = Columns::of(row, "usage");
            Ok(UsageRow {
                tenant: columns.parse("tenant")?,
                application: columns.parse_some("by_application")?,
                module: columns.parse_some("by_id")?,
                module_name: columns.get("by_name")?,
                module_version: columns.get("by_version")?,
                calls: columns.count("calls")?,
                runs: columns.count("runs")?,
                faults: columns.count("faults")?,
                usage: measured(&columns)?,
            })
        })
        .collect()
}

macro_rules! sum {
    ($name:ident, $whose:literal) => {
        const fn $name() -> &'static str {
            concat!(
                "WITH asked AS MATERIALIZED (
                     SELECT *, iif(?6 >= 1, application, NULL) AS by_application, iif(?6 >= 2, module, NULL) AS by_id,
                            iif(?6 >= 2, module_name, NULL) AS by_name, iif(?6 >= 2, module_version, NULL) AS by_version
                     FROM runs
                     WHERE ",
                $whose,
                " AND began >= ?2 AND began < ?3
                      AND (?4 IS NULL OR application = ?4) AND (?5 IS NULL OR module_name = ?5)
                 ), named AS (
                     SELECT tenant, by_application, by_id, by_name, by_version, key, sum(value) AS calls
                     FROM asked, json_each(asked.host_calls) GROUP BY 1, 2, 3, 4, 5, 6
                 ), called AS (
                     SELECT tenant, by_application, by_id, by_name, by_version,
                            json_group_object(key, calls) AS host_calls
                     FROM named GROUP BY 1, 2, 3, 4, 5
                 ), summed AS (
                     SELECT tenant, by_application, by_id, by_name, by_version,
                            count(DISTINCT call) AS calls, count(*) AS runs, count(fault_code) AS faults,
                            sum(holding_us) AS holding_us, sum(parked_us) AS parked_us,
                            sum(connected_us) AS connected_us, sum(cpu_ns) AS cpu_ns,
                            max(peak_memory_bytes) AS peak_memory_bytes,
                            sum(memory_byte_seconds) AS memory_byte_seconds,
                            sum(frames_sent) AS frames_sent, sum(frames_received) AS frames_received
                     FROM asked GROUP BY 1, 2, 3, 4, 5
                 )
                 SELECT summed.*, summed.tenant AS id, coalesce(called.host_calls, '{}') AS host_calls
                 FROM summed LEFT JOIN called
                   ON called.tenant = summed.tenant AND called.by_application IS summed.by_application
                  AND called.by_id IS summed.by_id AND called.by_name IS summed.by_name
                  AND called.by_version IS summed.by_version
                 ORDER BY cpu_ns DESC, 1, 2, 4, 5"
            )
        }
    };
}
// Apart, so that the first walks the index.
sum!(of_a_tenant, "tenant = ?1");
sum!(of_all, "?1 IS NULL");
