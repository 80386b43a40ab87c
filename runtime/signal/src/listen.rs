//! Sockets, opened before the thread starts: whoever cannot have an address is told at once.

use socket2::{Domain, Protocol, Socket, Type};

use crate::Error;
use crate::config::{Config, Listen, Transport};
use crate::tls::Keys;
use crate::wire::is_secure;

pub(crate) fn open_all(config: &Config, keys: &Keys) -> Result<Vec<(Transport, Socket)>, Error> {
    config
        .listen
        .iter()
        .map(|listen| {
            if is_secure(listen.transport) && keys.server().is_none() {
                return Err(Error::NoIdentity { transport: listen.transport.name(), address: listen.address });
            }
            open(*listen, config).map(|socket| (listen.transport, socket))
        })
        .collect()
}

fn open(listen: Listen, config: &Config) -> Result<Socket, Error> {
    let failed = |source| Error::Listen { transport: listen.transport.name(), address: listen.address, source };
    let (kind, protocol) = match listen.transport {
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
        Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(listen.address), kind, Some(protocol)).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    if listen.address.is_ipv6() {
        // IPv4 has sockets of its own: one address has one form.
        socket.set_only_v6(true).map_err(failed)?;
    }
    if kind == Type::DGRAM {
        // The kernel gives less than is asked for without a word; that is no failure.
        let _ = socket.set_recv_buffer_size(config.receive_buffer_bytes);
        socket.bind(&listen.address.into()).map_err(failed)?;
    } else {
        socket.set_reuse_address(true).map_err(failed)?;
        socket.bind(&listen.address.into()).map_err(failed)?;
        socket.listen(WAITING).map_err(failed)?;
    }
    Ok(socket)
}

/// Connections that the kernel holds until they are accepted.
const WAITING: i32 = 1_024;
