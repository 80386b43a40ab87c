//! How a stream begins: connect, TLS, WebSocket, as far as its transport goes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use callbox_sip::Transport;
use rustls::{ClientConfig, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Pings, Pipe, Wire, websocket};
use crate::tls;

/// What a handshake may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    pub(crate) connect_within: Duration,
    pub(crate) within: Duration,
    pub(crate) head_bytes: usize,
}

/// Theirs.
pub(crate) async fn accept(
    transport: Transport,
    socket: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    ways: Ways,
) -> io::Result<Wire> {
    within(ways.within, async {
        let pipe: Pipe = match (is_secure(transport), tls) {
            (true, Some(tls)) => Box::new(TlsAcceptor::from(tls).accept(socket).await?),
            (true, None) => return Err(io::Error::other("there is no certificate to show")),
            (false, _) => Box::new(socket),
        };
        if is_websocket(transport) {
            websocket::accept(pipe, ways.head_bytes).await
        } else {
            Ok(Wire::bytes(pipe, Pings::Theirs))
        }
    })
    .await
}

/// Ours. `host` is whom the far end must prove to be.
pub(crate) async fn dial(
    transport: Transport,
    remote: SocketAddr,
    host: &str,
    tls: Arc<ClientConfig>,
    ways: Ways,
) -> io::Result<Wire> {
    let socket = within(ways.connect_within, TcpStream::connect(remote)).await?;
    keep(&socket);
    within(ways.within, async {
        let pipe: Pipe = if is_secure(transport) {
            let name = tls::server_name(host)?;
            Box::new(TlsConnector::from(tls).connect(name, socket).await?)
        } else {
            Box::new(socket)
        };
        if is_websocket(transport) {
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            websocket::dial(pipe, &format!("{host}:{}", remote.port()), ways.head_bytes).await
        } else {
            Ok(Wire::bytes(pipe, Pings::Ours))
        }
    })
    .await
}

/// Small messages leave at once; a far end that is gone without a word is found in two minutes.
pub(crate) fn keep(socket: &TcpStream) {
    let _ = socket.set_nodelay(true);
    let probes = socket2::TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
    let _ = socket2::SockRef::from(socket).set_tcp_keepalive(&probes);
}

async fn within<T>(time: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(time, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

pub(crate) const fn is_secure(transport: Transport) -> bool {
    matches!(transport, Transport::Tls | Transport::Wss)
}

const fn is_websocket(transport: Transport) -> bool {
    matches!(transport, Transport::Ws | Transport::Wss)
}

const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;
