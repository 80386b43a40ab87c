//! What the node holds: the thread, and the handle to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use callbox_model::{LegCommand, LegEvent, LegKey, Refused, Registration, UserId};
use tokio::sync::{mpsc, oneshot};

use crate::companions::Companion;
use crate::config::{Config, Transport};
use crate::core::{Parts, Seeds};
use crate::errands::Errands;
use crate::registrations::{Book, Registrations};
use crate::tls::Keys;
use crate::{Admission, Contact, Error, Events, TrunkRegistration, listen, run};

pub struct Service {
    thread: Option<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
}

/// Tells the signalling thread what legs shall do. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<(LegKey, LegCommand)>,
    events: Events,
    listening: Arc<[(Transport, SocketAddr)]>,
    legs: Arc<AtomicUsize>,
    keys: Arc<Keys>,
    book: Arc<Book>,
    errands: Arc<Errands>,
    companions: mpsc::UnboundedSender<Companion>,
}

impl Service {
    /// Opens the sockets and starts the thread. `restored` is what [`Admission::registered`] was
    /// told to keep: it is in [`Handle::contacts`] when this returns, and what of it stands no
    /// longer has been told to be unbound.
    ///
    /// # Errors
    /// An address that cannot be had, a certificate that cannot be read.
    pub fn start(
        config: Config,
        admission: Arc<dyn Admission>,
        events: Events,
        restored: Vec<Registration>,
    ) -> Result<(Self, Handle), Error> {
        let seeds = Seeds { agent: chance()?, nonces: chance()?, dice: chance()? };
        let keys = Arc::new(Keys::load(&config.tls)?);
        let sockets = listen::open_all(&config, &keys)?;
        let listening: Arc<[_]> = sockets
            .iter()
            .filter_map(|(transport, socket)| Some((*transport, socket.local_addr().ok()?.as_socket()?)))
            .collect();
        let (commands, queue) = mpsc::channel(config.commands);
        let (stop, stopped) = oneshot::channel();
        let (companions, welcomed) = mpsc::unbounded_channel();
        let legs = Arc::new(AtomicUsize::new(0));
        let (book, errands) = (Arc::<Book>::default(), Arc::<Errands>::default());
        let handle = Handle {
            commands,
            events: events.clone(),
            listening: listening.clone(),
            legs: legs.clone(),
            keys: keys.clone(),
            book: book.clone(),
            errands: errands.clone(),
            companions,
        };
        // Before anything may come: a call finds the phones that were there.
        let mut registrations = Registrations::new(&config, chance()?, book);
        registrations.restore(Duration::ZERO, restored, &*admission);
        let listening = listening.to_vec();
        let parts = Parts { chance: seeds, admission, events, legs, keys, listening, registrations };
        let thread = std::thread::Builder::new()
            .name("signal".to_owned())
            .spawn(move || run::run(config, parts, sockets, queue, errands, welcomed, stopped))
            .map_err(Error::Thread)?;
        Ok((Self { thread: Some(thread), stop: Some(stop) }, handle))
    }

    /// Closes the sockets. Calls are to be hung up before; those that are left are told of their end.
    pub fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Handle {
    /// Never waits. Answered by [`LegEvent::Reply`], whatever happens.
    pub fn send(&self, leg: LegKey, command: LegCommand) {
        let ask = command.ask();
        let why = match self.commands.try_send((leg, command)) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Closed(_)) => Refused::Gone,
            Err(mpsc::error::TrySendError::Full(_)) => {
                metrics::counter!("sip_dropped_total", "reason" => "commands-full").increment(1);
                Refused::Unavailable("signalling does not keep up".to_owned())
            }
        };
        (self.events)(leg, LegEvent::Reply { ask, result: Err(why) });
    }

    /// Runs something beside signalling, on its thread. It must wait as signalling does: never but by
    /// awaiting. Dropped with the thread.
    pub fn accompany(&self, companion: Companion) {
        // The thread is gone: so is the node.
        let _ = self.companions.send(companion);
    }

    pub fn listening(&self) -> &[(Transport, SocketAddr)] {
        &self.listening
    }

    pub fn open_legs(&self) -> usize {
        self.legs.load(Ordering::Relaxed)
    }

    /// Reads the TLS files again, on this thread: handshakes that begin from now on use what is in
    /// them.
    ///
    /// # Errors
    /// A file that cannot be read, or that does not fit the others. Then all stays as it was.
    pub fn reload_tls(&self) -> Result<(), Error> {
        self.keys.reload()
    }

    /// Where a user is registered now, what they like best first. Does not wait for the thread.
    pub fn contacts(&self, user: UserId) -> Vec<Contact> {
        self.book.of(user)
    }

    /// Takes one contact of a user away, or all of them. Told by [`Admission::registered`] when it
    /// is done.
    pub fn unbind(&self, user: UserId, contact: Option<String>) {
        self.errands.unbind(user, contact);
    }

    /// These trunks register, and no others: those that are new begin, those that are gone are
    /// taken back. Their states are told by [`Admission::trunk_state`].
    pub fn set_trunks(&self, trunks: Vec<TrunkRegistration>) {
        self.errands.set_trunks(trunks);
    }
}

fn chance<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Chance(error.to_string()))?;
    Ok(bytes)
}
