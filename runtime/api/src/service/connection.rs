//! One connection: HTTP/1.1 with bounds on its heads, its silence, and the number of its like.

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tracing::debug;

use super::stall::Stalling;
use crate::config::Config;

#[derive(Clone, Debug)]
pub(super) struct Connections {
    pub(super) most: usize,
    pub(super) shutdown_timeout: Duration,
    head_bytes: usize,
    head_fields: usize,
    head_timeout: Duration,
    stall_timeout: Duration,
}

impl Connections {
    pub(super) fn of_api(config: &Config) -> Self {
        Self {
            most: config.max_connections.max(1),
            shutdown_timeout: config.shutdown_timeout,
            // hyper's own floor.
            head_bytes: config.head_bytes.max(8 << 10),
            head_fields: config.head_fields,
            head_timeout: config.head_timeout,
            stall_timeout: config.stall_timeout,
        }
    }

    /// A few probes and scrapers.
    pub(super) fn of_health(config: &Config) -> Self {
        Self { most: HEALTH_CONNECTIONS, ..Self::of_api(config) }
    }

    pub(super) fn run(
        &self,
        stream: TcpStream,
        router: Router,
        mut stopping: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_buf_size(self.head_bytes)
            .max_headers(self.head_fields);
        let stall_timeout = self.stall_timeout;
        async move {
            if let Err(error) = stream.set_nodelay(true) {
                debug!(%error, "a connection waits for full packets");
            }
            let io = TokioIo::new(Stalling::new(stream, stall_timeout));
            let connection = builder.serve_connection(io, TowerToHyperService::new(router));
            let mut connection = std::pin::pin!(connection);
            let stop = async move {
                // An error is the end of the handle, and a stop as well.
                let _ = stopping.wait_for(|stopping| *stopping).await;
            };
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                debug!(%error, "a connection broke off");
            }
        }
    }
}

const HEALTH_CONNECTIONS: usize = 64;
