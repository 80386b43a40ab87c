//! Starts the threads, and hands each leg to one of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use callbox_model::{LegKey, MediaCommand, MediaEvent, MediaFault};

use crate::files::Files;
use crate::ports::Ports;
use crate::thread::{Bell, Errand, Start, Thread, Told, home};
use crate::writer::Writer;
use crate::{Assets, Config, Error, Events, Voice, priority};

pub struct Service {
    threads: Vec<(Bell, JoinHandle<()>)>,
}

/// Tells media what legs shall hear and say. Cheap to clone, never waits.
#[derive(Clone)]
pub struct Handle {
    bells: Arc<[Bell]>,
    events: Events,
    open: Arc<[Arc<AtomicUsize>]>,
    most: usize,
    priority: &'static str,
}

impl Service {
    pub fn start(
        config: Config,
        assets: Arc<dyn Assets>,
        voice: Arc<dyn Voice>,
        events: Events,
    ) -> Result<(Self, Handle), Error> {
        let files = Files::start(&config, assets, voice)?;
        let writer = Writer::start(config.recordings_dir.clone(), config.recorder_queue)?;
        let ports = Arc::new(Mutex::new(Ports::new(config.ports, config.quarantine)));
        let config = Arc::new(config);
        let zero = Instant::now();
        let mut bells = Vec::new();
        let mut ears = Vec::new();
        for _ in 0..config.threads.max(1) {
            let (told, hears) = channel();
            bells.push(Bell::new(told).map_err(Error::Thread)?);
            ears.push(hears);
        }
        let bells: Arc<[Bell]> = bells.into();
        let mut threads = Vec::new();
        let (got, priorities) = channel();
        let open: Arc<[_]> = bells.iter().map(|_| Arc::new(AtomicUsize::new(0))).collect();
        for (number, told) in ears.into_iter().enumerate() {
            let thread = Thread::new(Start {
                number,
                peers: bells.clone(),
                told,
                events: count(events.clone(), open[number].clone()),
                open: open.clone(),
                zero,
                ports: ports.clone(),
                files: files.clone(),
                writer: writer.clone(),
                config: config.clone(),
            })
            .map_err(Error::Thread)?;
            let got = got.clone();
            let joins = std::thread::Builder::new()
                .name(format!("media-{number}"))
                .spawn(move || {
                    let _ = got.send(priority::raise());
                    thread.run();
                })
                .map_err(Error::Thread)?;
            threads.push((bells[number].clone(), joins));
        }
        let priority = priorities.recv().unwrap_or("normal");
        tracing::info!(threads = threads.len(), priority, "media runs");
        let handle = Handle { bells, events, open, most: config.legs_per_thread, priority };
        Ok((Self { threads }, handle))
    }

    /// Ends the threads. Legs are to be closed before.
    pub fn stop(self) {
        for (bell, _) in &self.threads {
            bell.ring(Told::Stop);
        }
        for (_, thread) in self.threads {
            let _ = thread.join();
        }
    }
}

impl Handle {
    /// What is told to a leg goes to its home, the thread of its hash, which knows where it is.
    pub fn send(&self, leg: LegKey, command: MediaCommand) {
        let at = home(leg, self.bells.len());
        // What may wait is bounded by the legs there are; only new ones are refused. A leg that
        // comes for a bridge is not: it is half of a call that is there already.
        let is_new = matches!(command, MediaCommand::Open(_));
        if is_new && self.open[at].load(Ordering::Relaxed) >= self.most {
            let fault = MediaFault::Node("this node has no room for another leg".to_owned());
            (self.events)(leg, MediaEvent::Failed(fault));
            return;
        }
        self.bells[at].ring(Told::Errand(leg, Errand::Command(command)));
    }

    /// What the kernel lets the threads do before others.
    pub fn priority(&self) -> &'static str {
        self.priority
    }

    pub fn open_legs(&self) -> usize {
        self.open.iter().map(|legs| legs.load(Ordering::Relaxed)).sum()
    }
}

/// Keeps count of open legs on the way.
fn count(events: Events, legs: Arc<AtomicUsize>) -> Events {
    Arc::new(move |leg, event| {
        match &event {
            MediaEvent::Opened { .. } => {
                legs.fetch_add(1, Ordering::Relaxed);
            }
            MediaEvent::Closed { .. } => {
                let _ = legs.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
            }
            _ => {}
        }
        events(leg, event);
    })
}
