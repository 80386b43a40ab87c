//! A guest's future, read at every crossing: its CPU time is metered, its share is held, and it
//! falls when it is too slow.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::Sleep;
use wasmtime::{Store, UpdateDeadline};

use crate::classify::Kill;
use crate::guest::Guest;
use crate::host::Host;
use crate::meter::thread_cpu_ns;
use crate::run::Run;
use crate::service::Thread;
use crate::ticker::Ticker;

pub(crate) struct Metered<T> {
    pub(crate) guest: Pin<Box<dyn Future<Output = T> + Send>>,
    pub(crate) run: Arc<Run>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) clock_ns: u64,
    /// Until its tenant or module may use CPU again.
    pub(crate) rest: Option<Pin<Box<Sleep>>>,
    /// Armed while the guest owes a step and is not being polled.
    pub(crate) patience: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<T> Future for Metered<T> {
    type Output = Result<T, Kill>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(rest) = &mut this.rest {
            if rest.as_mut().poll(context).is_pending() {
                return this.patience(context);
            }
            this.rest = None;
        }
        let polling = this.ticker.polling();
        this.run.meter().poll_began(thread_cpu_ns(), Instant::now());
        let polled = this.guest.as_mut().poll(context);
        let used = this.run.meter().poll_ended(thread_cpu_ns(), this.clock_ns);
        drop(polling);
        let rest = this.host.spend(this.run.tenant, this.run.module, used);
        if let Poll::Ready(done) = polled {
            return Poll::Ready(Ok(done));
        }
        if let Some(pause) = rest {
            let mut sleep = Box::pin(tokio::time::sleep(pause));
            if sleep.as_mut().poll(context).is_pending() {
                this.rest = Some(sleep);
            } else {
                context.waker().wake_by_ref();
            }
        }
        this.patience(context)
    }
}

impl<T> Metered<T> {
    /// Pending, or the end of one who kept everyone waiting.
    fn patience(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Kill>> {
        let Some(owes_since) = self.run.meter().owes_since() else {
            self.patience = None;
            return Poll::Pending;
        };
        let deadline = owes_since + self.run.limits.step_wall();
        let (_, sleep) = match &mut self.patience {
            Some(armed) if armed.0 == deadline => armed,
            slot => slot.insert((deadline, Box::pin(tokio::time::sleep_until(deadline.into())))),
        };
        ready!(sleep.as_mut().poll(context));
        Poll::Ready(Err(Kill::TooSlow))
    }
}

/// What happens at a tick while the guest computes.
pub(crate) fn watch(store: &mut Store<Guest>, run: &Arc<Run>, thread: &Arc<Thread>) {
    let (run, thread) = (Arc::clone(run), Arc::clone(thread));
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        let now = Instant::now();
        let (slices, late) = {
            let mut meter = run.meter();
            if meter.step_cpu_ns(thread_cpu_ns()) > run.limits.step_cpu().as_nanos() as u64 {
                return Err(Kill::OutOfCpu.into());
            }
            // The deadline passed long ago for one who was parked: its slice has only begun.
            if meter.polled_since().is_some_and(|since| now.saturating_duration_since(since) < HALF_A_SLICE) {
                return Ok(UpdateDeadline::Continue(1));
            }
            meter.slices += 1;
            let late =
                meter.owes_since().is_some_and(|since| now.saturating_duration_since(since) > run.limits.step_wall());
            (meter.slices, late)
        };
        if late {
            return Err(Kill::TooSlow.into());
        }
        let others = thread.hungry();
        if slices <= MODEST_SLICES || others == 0 {
            let thread = Arc::clone(&thread);
            return Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(async move {
                    let _hungry = (slices > MODEST_SLICES).then(|| thread.hunger());
                    tokio::task::yield_now().await;
                }),
            ));
        }
        // Many hungry ones on one thread would delay the others by a slice each.
        let pause = std::time::Duration::from_millis((others as u64 + 1).min(LONGEST_PAUSE_MS));
        let thread = Arc::clone(&thread);
        Ok(UpdateDeadline::YieldCustom(
            1,
            Box::pin(async move {
                let _hungry = thread.hunger();
                tokio::time::sleep(pause).await;
            }),
        ))
    });
}

const HALF_A_SLICE: std::time::Duration = std::time::Duration::from_micros(500);
const MODEST_SLICES: u32 = 5;
/// A hundred such pauses are shorter than the wall time between two steps: a loop is told from a wait.
const LONGEST_PAUSE_MS: u64 = 40;
