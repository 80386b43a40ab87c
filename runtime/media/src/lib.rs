//! The media driver: RTP ports, paced sending, playing, speaking, recording, bridges.
//!
//! Each of its threads owns the sockets of its legs, wakes up for its 20 ms frames and for packets
//! that go over a bridge, and waits for nothing else: files, voices and disks are the business of
//! the files threads, behind bounded queues. It knows legs by their key, and has no idea that calls exist.
//!
//! Entry: [`Service::start`], [`Handle::send`].

#![deny(unsafe_code)]

mod aim;
mod clips;
mod config;
mod files;
mod keypad;
mod leg;
mod legs;
mod player;
mod ports;
mod priority;
mod recorder;
mod service;
mod thread;
mod voice;
mod writer;

pub use config::Config;
pub use service::{Handle, Service};
pub use voice::Engines;

use std::sync::Arc;

use callbox_model::{ApplicationId, LegKey, MediaEvent, MediaFault, Speech};
use thiserror::Error;

/// Where assets are. Called on a files thread; may wait for a disk.
pub trait Assets: Send + Sync + 'static {
    /// The digest of an application's asset, or None when there is no such asset.
    fn find(&self, application: ApplicationId, name: &str) -> Result<Option<String>, String>;
    /// The bytes of a digest that `find` gave.
    fn read(&self, application: ApplicationId, name: &str) -> Result<Vec<u8>, String>;
}

/// Turns text into sound of 8 kHz. Called on a files thread.
pub trait Voice: Send + Sync + 'static {
    fn speak(&self, speech: &Speech) -> Result<Vec<i16>, MediaFault>;
}

/// Told on media's threads; must not wait.
pub type Events = Arc<dyn Fn(LegKey, MediaEvent) + Send + Sync>;

#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot make the folder for recordings: {0}")]
    Folder(std::io::Error),
    #[error("cannot start a media thread: {0}")]
    Thread(std::io::Error),
}
