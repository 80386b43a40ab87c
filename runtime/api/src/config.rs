//! Settings of the API, each with its default and reason.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use callbox_model::Limits;

#[derive(Clone, Debug)]
pub struct Config {
    /// REST. Default 127.0.0.1:8080: keys go over it in the clear.
    pub listen: SocketAddr,
    /// `/livez`, `/readyz`, `/metrics`. Default 127.0.0.1:9090: they ask for no key.
    pub health_listen: SocketAddr,
    /// Connections at once; more are told so and closed. Default 1,024: each takes some 100 KiB at
    /// its worst.
    pub max_connections: usize,
    /// Requests a second of one key, and as many at once after a rest. Default 200.
    pub requests_per_s_per_key: u32,
    /// Head of a request. Default 16 KiB, twice what browsers and proxies send.
    pub head_bytes: usize,
    /// Fields of a head. Default 64.
    pub head_fields: usize,
    /// For a whole head to arrive, a connection's rest between requests included. Default 30 s.
    pub head_timeout: Duration,
    /// JSON body. Default 1 MiB: an application with all its configuration has 100 KiB.
    pub json_bytes: u64,
    /// For a JSON body to arrive. Default 15 s.
    pub json_timeout: Duration,
    /// For a module or an asset to arrive. Default 120 s: the largest at 2 Mbit/s.
    pub upload_timeout: Duration,
    /// Modules and assets on their way in at once; each is held in memory. Default 4.
    pub uploads: usize,
    /// For the backend to answer. Default 20 s.
    pub answer_timeout: Duration,
    /// For the backend to take an upload. Default 240 s: a compilation's wall limit, and a minute.
    pub compile_timeout: Duration,
    /// A client that takes no byte for so long is cut off. Default 20 s.
    pub stall_timeout: Duration,
    /// Things in one piece of a list, when the client does not say. Default 50.
    pub page: u32,
    /// The most that a client may ask for. Default 500.
    pub page_max: u32,
    /// Event streams at once, of all keys. Default 256: below the connections, so that requests
    /// still get through.
    pub streams: usize,
    /// Event streams at once of one key. Default 16.
    pub streams_per_key: usize,
    /// Between two signs of life on an event stream, and two looks whether its key still opens
    /// anything. Default 15 s: proxies give up after 30.
    pub keep_alive: Duration,
    /// How long an Idempotency-Key is remembered. Default 24 h.
    pub idempotency_ttl: Duration,
    /// Idempotency-Keys remembered; the oldest go first. Default 10,000.
    pub idempotency_entries: usize,
    /// Bytes of answers remembered for them. Default 16 MiB.
    pub idempotency_bytes: usize,
    /// For open requests to end when the service stops. Default 10 s.
    pub shutdown_timeout: Duration,
    /// What `/v1/limits` shows, and what uploads are held against.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            listen: SocketAddr::new(loopback, 8_080),
            health_listen: SocketAddr::new(loopback, 9_090),
            max_connections: 1_024,
            requests_per_s_per_key: 200,
            head_bytes: 16 << 10,
            head_fields: 64,
            head_timeout: Duration::from_secs(30),
            json_bytes: 1 << 20,
            json_timeout: Duration::from_secs(15),
            upload_timeout: Duration::from_secs(120),
            uploads: 4,
            answer_timeout: Duration::from_secs(20),
            compile_timeout: Duration::from_secs(240),
            stall_timeout: Duration::from_secs(20),
            page: 50,
            page_max: 500,
            streams: 256,
            streams_per_key: 16,
            keep_alive: Duration::from_secs(15),
            idempotency_ttl: Duration::from_secs(86_400),
            idempotency_entries: 10_000,
            idempotency_bytes: 16 << 20,
            shutdown_timeout: Duration::from_secs(10),
            limits: Limits::default(),
        }
    }
}
