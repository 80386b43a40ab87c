//! The two listeners, and the connections that come in on them.

mod connection;
mod stall;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::app::App;
use crate::backend::Backend;
use crate::config::Config;
use crate::health::{self, Metrics};
use crate::routes;

use connection::Connections;

/// The API, while it runs.
pub struct Service;

/// Cheap to clone. The service stops when the last one is dropped.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    local: SocketAddr,
    health: SocketAddr,
    stop: watch::Sender<bool>,
    /// Closed when both listeners and their connections are gone.
    running: watch::Receiver<()>,
}

#[derive(Debug, Error)]
pub enum Error {
    #[error("cannot listen for the API on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot make ids for requests: the system gives no random bytes: {0}")]
    Randomness(getrandom::Error),
}

impl Service {
    /// Listens, and serves on the runtime that this is called on. `metrics` renders Prometheus text.
    pub async fn start(config: Config, backend: Arc<dyn Backend>, metrics: Metrics) -> Result<Handle, Error> {
        let seed = getrandom::u32().map_err(Error::Randomness)?;
        let api = listen(config.listen).await?;
        let health = listen(config.health_listen).await?;
        let (stop, stopping) = watch::channel(false);
        let (alive, running) = watch::channel(());
        let inner = Inner { local: api.1, health: health.1, stop, running };
        info!(api = %api.1, health = %health.1, "the API listens");

        let app = App::new(config, backend, seed, stopping.clone());
        let router = routes::router(&app);
        let health_router = health::router(app.clone(), metrics);
        let alive = Arc::new(alive);
        tokio::spawn(serve(api.0, router, Connections::of_api(&app.config), stopping.clone(), Arc::clone(&alive)));
        tokio::spawn(serve(health.0, health_router, Connections::of_health(&app.config), stopping, alive));
        Ok(Handle(Arc::new(inner)))
    }
}

impl Handle {
    /// Where the API listens; the port that was given out where port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.0.local
    }

    pub fn health_addr(&self) -> SocketAddr {
        self.0.health
    }

    /// Takes no more connections, ends event streams, and gives open requests
    /// [`Config::shutdown_timeout`] to end.
    pub async fn shutdown(&self) {
        self.0.stop.send_replace(true);
        let mut running = self.0.running.clone();
        // Nothing is ever sent: this ends when the sender is gone.
        while running.changed().await.is_ok() {}
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}

async fn serve(
    listener: TcpListener,
    router: Router,
    connections: Connections,
    mut stopping: watch::Receiver<bool>,
    alive: Arc<watch::Sender<()>>,
) {
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => break,
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) if open.len() >= connections.most => refuse(&stream),
            Ok((stream, peer)) => {
                debug!(%peer, "connection");
                open.spawn(connections.run(stream, router.clone(), stopping.clone()));
            }
            Err(error) => {
                // Out of file descriptors, mostly: they come back as connections end.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
    drop(listener);
    let ended = timeout(connections.shutdown_timeout, async { while open.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        warn!(connections = open.len(), "connections are cut off: their requests did not end in time");
        open.shutdown().await;
    }
    drop(alive);
}

/// Said without waiting: a full node has no time for one more slow client.
fn refuse(stream: &TcpStream) {
    const BODY: &str = "{\"type\":\"/v1/errors/busy\",\"title\":\"Busy\",\"status\":503,\
        \"detail\":\"the node has as many connections as it takes\",\"code\":\"busy\"}";
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    if let Err(error) = stream.try_write(answer.as_bytes()) {
        debug!(%error, "a connection was refused without a word");
    }
}

const ACCEPT_REST: Duration = Duration::from_millis(100);
