//! One Run, from its start to its end.

use std::sync::Arc;
use std::time::Instant;

use callbox_model::{CallInfo, Fault, FaultCode};
use wasmtime::Store;

use crate::classify::{end_of, killed, start_end_of};
use crate::contract::CallHandlerPre;
use crate::guest::Guest;
use crate::metered::{Metered, watch};
use crate::run::{GuestEnd, Run, StartControl, What};
use crate::service::{Inner, Thread};

/// Says how it ended, whatever happens to the task.
struct Farewell {
    inner: Arc<Inner>,
    run: Arc<Run>,
    end: Option<GuestEnd>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.inner.forget(self.run.id);
        let end = self.end.take().unwrap_or_else(|| {
            if std::thread::panicking() {
                GuestEnd::Fault(Fault::new(FaultCode::HostDependency, "a host function fell"))
            } else {
                GuestEnd::Stopped
            }
        });
        let usage = self.run.meter().usage(Instant::now());
        self.run.tell(What::Ended { end, usage });
    }
}

pub(crate) fn control(
    inner: Arc<Inner>,
    thread: Arc<Thread>,
    run: Arc<Run>,
    start: StartControl,
) -> impl Future<Output = ()> + Send + 'static {
    // Made here: a task that is dropped before its first turn has its farewell too.
    let farewell = Farewell { inner: Arc::clone(&inner), run: Arc::clone(&run), end: None };
    async move {
        let mut farewell = farewell;
        let stopped = run.stop.notified();
        // The losing future is dropped here, and with it the store, before the farewell is said.
        let end = tokio::select! {
            biased;
            () = stopped => GuestEnd::Stopped,
            end = live(&inner, &thread, &run, start) => end,
        };
        farewell.end = Some(end);
    }
}

async fn live(inner: &Arc<Inner>, thread: &Arc<Thread>, run: &Arc<Run>, start: StartControl) -> GuestEnd {
    let _seat = match inner.seat(run.tenant, &run.limits) {
        Ok(seat) => seat,
        Err(words) => return GuestEnd::Fault(Fault::new(FaultCode::NoInstanceFree, words)),
    };
    let _load = thread.load();
    let pre = match inner.cache.ready(&inner.host, start.module, &start.digest).await {
        Ok(pre) => pre,
        Err(fault) => return GuestEnd::Fault(fault),
    };
    run.meter().stepped(Instant::now());
    let guest = Guest::new(Arc::clone(run), Arc::clone(&inner.host), start.config, start.secrets);
    let handled = handle(Arc::clone(inner), Arc::clone(thread), guest, pre, Some(start.info));
    metered(inner, run, handled).await
}

/// Instantiates without calling `handle`, as an upload is tried.
pub(crate) async fn trial(
    inner: Arc<Inner>,
    thread: Arc<Thread>,
    run: Arc<Run>,
    pre: CallHandlerPre<Guest>,
) -> GuestEnd {
    let _load = thread.load();
    let guest = Guest::new(Arc::clone(&run), Arc::clone(&inner.host), Arc::default(), Arc::default());
    let tried = handle(Arc::clone(&inner), Arc::clone(&thread), guest, pre, None);
    metered(&inner, &run, tried).await
}

async fn metered(
    inner: &Arc<Inner>,
    run: &Arc<Run>,
    guest: impl Future<Output = GuestEnd> + Send + 'static,
) -> GuestEnd {
    let metered = Metered {
        guest: Box::pin(guest),
        run: Arc::clone(run),
        host: Arc::clone(&inner.host),
        ticker: Arc::clone(&inner.ticker),
        clock_ns: inner.clock_ns,
        rest: None,
        patience: None,
    };
    metered.await.unwrap_or_else(|kill| GuestEnd::Fault(killed(&kill)))
}

async fn handle(
    inner: Arc<Inner>,
    thread: Arc<Thread>,
    guest: Guest,
    pre: CallHandlerPre<Guest>,
    info: Option<CallInfo>,
) -> GuestEnd {
    let run = Arc::clone(&guest.run);
    let refused = |run: &Run| {
        let meter = run.meter();
        (meter.refused_memory, meter.refused_table)
    };
    let mut store = match Store::try_new(&inner.engine, guest) {
        Ok(store) => store,
        Err(error) => {
            return GuestEnd::Fault(Fault::new(FaultCode::HostDependency, format!("no store: {error:#}")));
        }
    };
    let _live = inner.live.count();
    store.limiter(|guest| guest);
    store.set_hostcall_fuel(usize::try_from(run.limits.host_call_bytes).unwrap_or(1 << 20));
    store.set_max_component_handles(run.limits.handles as usize);
    watch(&mut store, &run, &thread);
    let instance = match pre.instantiate_async(&mut store).await {
        Ok(instance) => instance,
        Err(error) => return start_end_of(&error, refused(&run)),
    };
    let Some(info) = info else { return GuestEnd::Ok };
    match instance.call_handle(&mut store, &info.into()).await {
        Ok(Ok(())) => GuestEnd::Ok,
        Ok(Err(error)) => GuestEnd::Err(error.into()),
        Err(error) => end_of(&error, refused(&run)),
    }
}
