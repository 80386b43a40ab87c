//! What runs beside signalling, on its thread: whoever talks with it all the time is spared the way
//! from thread to thread, which costs more than most of what is said.

use std::pin::Pin;

use tokio::sync::mpsc;

/// Made on the thread, and never leaves it.
pub type Companion = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

pub(crate) type Companions = mpsc::UnboundedReceiver<Companion>;

/// As long as the thread runs.
pub(crate) async fn welcome(mut companions: Companions) {
    while let Some(companion) = companions.recv().await {
        tokio::task::spawn_local(companion());
    }
}
