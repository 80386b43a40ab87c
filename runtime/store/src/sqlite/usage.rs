//! The ledger, added up. Always from its rows: nothing here is kept and counted on.

use callbox_model::UsageRow;

use super::Sqlite;
use super::calls::measured;
use super::row::{Columns, away};
use crate::{Error, UsageFilter};

pub(super) async fn list(db: &Sqlite, filter: UsageFilter) -> Result<Vec<UsageRow>, Error> {
    let attempted = "add usage up";
    let mut reader = db.reader(attempted).await?;
    let query = match filter.scope.tenant() {
        Some(tenant) => sqlx::query(of_a_tenant()).bind(tenant.to_string()),
        None => sqlx::query(of_all()).bind(None::<String>),
    };
    let found = query
        .bind(filter.from.as_micros())
        .bind(filter.to.as_micros())
        .bind(filter.application.map(|id| id.to_string()))
        .bind(filter.module)
        .fetch_all(&mut *reader)
        .await
        .map_err(away(attempted))?;
    found
        .iter()
        .map(|row| {
            let columns = Columns::of(row, "usage");
            Ok(UsageRow {
                application: columns.parse("application")?,
                module_name: columns.get("module_name")?,
                module_version: columns.count("module_version")?,
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
                     SELECT * FROM runs WHERE ",
                $whose,
                " AND began >= ?2 AND began < ?3
                      AND (?4 IS NULL OR application = ?4) AND (?5 IS NULL OR module_name = ?5)
                 ), by_name AS (
                     SELECT application, module_name, module_version, key, sum(value) AS calls
                     FROM asked, json_each(asked.host_calls) GROUP BY 1, 2, 3, 4
                 ), by_module AS (
                     SELECT application, module_name, module_version, json_group_object(key, calls) AS host_calls
                     FROM by_name GROUP BY 1, 2, 3
                 )
                 SELECT application, application AS id, module_name, module_version,
                        count(*) AS runs, count(fault_code) AS faults,
                        sum(holding_us) AS holding_us, sum(parked_us) AS parked_us,
                        sum(connected_us) AS connected_us, sum(cpu_ns) AS cpu_ns,
                        max(peak_memory_bytes) AS peak_memory_bytes,
                        sum(memory_byte_seconds) AS memory_byte_seconds,
                        sum(frames_sent) AS frames_sent, sum(frames_received) AS frames_received,
                        coalesce(by_module.host_calls, '{}') AS host_calls
                 FROM asked LEFT JOIN by_module USING (application, module_name, module_version)
                 GROUP BY 1, 3, 4 ORDER BY 1, 3, 4"
            )
        }
    };
}
// Apart, so that the first walks the index.
sum!(of_a_tenant, "tenant = ?1");
sum!(of_all, "?1 IS NULL");
