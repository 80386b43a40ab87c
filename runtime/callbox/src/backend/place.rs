//! Calls that the API begins.

use std::time::Duration;

use callbox_api::backend::{BackendError, NewCall, OutboundToday, Result, Scope};
use callbox_call::Outgoing;
use callbox_model::{CallId, TenantId, Wall};
use tokio::sync::oneshot;

use super::Backend;
use super::translate::{error, scope as scoped};
use crate::lane::{Message, Placed};
use crate::reach::Unreachable;

impl Backend {
    pub(super) async fn begin_call(&self, scope: Scope, call: NewCall) -> Result<CallId> {
        let application = self.parts.store.application(scoped(scope), call.application).await.map_err(error)?;
        let directory = self.parts.drive.directory.load_full();
        let missing = || BackendError::not_found("application", call.application);
        let route = directory.application(application.id).ok_or_else(missing)?.clone();
        for (place, header) in call.headers.iter().enumerate() {
            if !route.plan.lets_through(&header.name) {
                let why = format!("`{}` is not on the application's list of headers", header.name);
                return Err(BackendError::invalid(format!("headers[{place}].name"), why));
            }
        }
        let ways = self.parts.drive.ways(&route, &call.to, call.from.as_deref()).map_err(|failed| match failed {
            crate::drive::NoWay::Unreachable(why) => refused(&why),
            crate::drive::NoWay::Over(over) => BackendError::Quota { limit: over.limit, detail: over.detail },
        })?;
        let from = ways.first().map(|way| uri_of(&way.caller).to_owned()).unwrap_or_default();
        let admitted = self.parts.admission.room(&route).map_err(|full| match full.status {
            486 => BackendError::Quota { limit: "tenant_calls", detail: full.reason.to_owned() },
            403 => BackendError::conflict("tenant-suspended", full.reason),
            _ => BackendError::unavailable(full.reason),
        })?;
        let outgoing = Outgoing { to: call.to, ways, headers: call.headers, timeout: call.timeout, input: call.input };
        let id = admitted.call;
        let (begun, has_begun) = oneshot::channel();
        let placed = Placed { call: id, route, place: admitted.place, from, outgoing: Box::new(outgoing), begun };
        let lane = self.parts.lanes.lane(admitted.lane).ok_or_else(|| BackendError::unavailable("no lane"))?;
        lane.send(Message::Place(Box::new(placed)));
        // Who asks for it next is to find it. It rings meanwhile, and is not less of a call when the
        // database is slow.
        let written = async {
            let _ = has_begun.await;
            let _ = self.parts.writer.flush(FOUND_WITHIN).await;
        };
        let _ = tokio::time::timeout(FOUND_WITHIN, written).await;
        Ok(id)
    }

    pub(super) async fn bought_today(&self, tenant: TenantId) -> Result<OutboundToday> {
        let (today, legs) = self.parts.drive.outbounds.today(tenant);
        let kept = self.parts.store.outbound_usage(tenant, crate::clock::wall()).await.map_err(error)?;
        Ok(OutboundToday {
            day: Wall(today.day * DAY_US),
            minutes: today.minutes.into(),
            spend_micros: today.spend_micros,
            codes: kept.codes,
            new_codes: today.new_codes,
            legs,
        })
    }
}

fn refused(why: &Unreachable) -> BackendError {
    let words = why.to_string();
    match why {
        Unreachable::Target { .. } => BackendError::invalid("to", words),
        Unreachable::Destination { .. } => BackendError::refused("destination-denied", words),
        Unreachable::CallerId { .. } => BackendError::refused("caller-id-denied", words),
        Unreachable::NoTrunk { .. } => BackendError::refused("no-trunk", words),
        Unreachable::NotRegistered(_) => BackendError::refused("user-not-registered", words),
    }
}

/// The address within the value of a From header.
fn uri_of(from: &str) -> &str {
    from.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(from, |(uri, _)| uri)
}

/// The longest that the answer about a call that begins waits for the database.
const FOUND_WITHIN: Duration = Duration::from_secs(2);
const DAY_US: i64 = 86_400_000_000;

#[cfg(test)]
mod tests {
    use super::uri_of;

    #[test]
    fn a_record_has_the_address_alone() {
        for from in ["<sip:+4930555@carrier.example>", "sip:+4930555@carrier.example"] {
            assert_eq!(uri_of(from), "sip:+4930555@carrier.example");
        }
        assert_eq!(uri_of("\"Anonymous\" <sip:anonymous@anonymous.invalid>"), "sip:anonymous@anonymous.invalid");
    }
}
