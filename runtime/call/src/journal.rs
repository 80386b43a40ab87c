//! Counts the call's events, so that they have no holes.

use callbox_model::{CallId, Change, Event, Now, Subject, TenantId};

use crate::Output;

#[derive(Debug)]
pub(crate) struct Journal {
    call: CallId,
    tenant: TenantId,
    sequence: u64,
}

impl Journal {
    pub(crate) fn new(call: CallId, tenant: TenantId) -> Self {
        Self { call, tenant, sequence: 0 }
    }

    pub(crate) fn record(&mut self, now: Now, change: Change, out: &mut Vec<Output>) {
        self.sequence += 1;
        out.push(Output::Record(Box::new(Event {
            subject: Subject::Call(self.call),
            sequence: self.sequence,
            tenant: Some(self.tenant),
            at: now.wall,
            change,
        })));
    }
}
