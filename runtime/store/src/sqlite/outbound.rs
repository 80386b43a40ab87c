//! What a tenant has bought of its trunks. Always from the rows: nothing here is kept and counted on.

use callbox_model::{TenantId, Wall};

use super::Sqlite;
use super::row::{Columns, away};
use crate::{Error, OutboundUsage};

pub(super) async fn usage(db: &Sqlite, tenant: TenantId, day: Wall) -> Result<OutboundUsage, Error> {
    let attempted = "add outbound legs up";
    let midnight = day.as_micros().div_euclid(DAY_US) * DAY_US;
    let next = midnight.saturating_add(DAY_US);
    // A transaction, so that no leg is in one of the two alone.
    let mut reading = db.readers.begin().await.map_err(away(attempted))?;
    let summed = sqlx::query(
        "SELECT count(*) AS legs, coalesce(sum(minutes), 0) AS minutes, coalesce(sum(spend_micros), 0) AS spend_micros
         FROM outbound_legs WHERE tenant = ?1 AND began >= ?2 AND began < ?3",
    )
    .bind(tenant.to_string())
    .bind(midnight)
    .bind(next)
    .fetch_one(&mut *reading)
    .await
    .map_err(away(attempted))?;
    let called = sqlx::query("SELECT code, first FROM outbound_codes WHERE tenant = ?1")
        .bind(tenant.to_string())
        .fetch_all(&mut *reading)
        .await
        .map_err(away(attempted))?;
    reading.commit().await.map_err(away(attempted))?;
    let columns = Columns::of(&summed, "outbound legs");
    let mut usage = OutboundUsage {
        day: Wall(midnight),
        legs: columns.count("legs")?,
        minutes: columns.count("minutes")?,
        spend_micros: columns.count("spend_micros")?,
        ..OutboundUsage::default()
    };
    for row in &called {
        let columns = Columns::of(row, "calling code");
        let (code, first): (String, i64) = (columns.get("code")?, columns.get("first")?);
        if (midnight..next).contains(&first) {
            usage.new_codes.insert(code.clone());
        }
        usage.codes.insert(code);
    }
    Ok(usage)
}

const DAY_US: i64 = 86_400_000_000;
