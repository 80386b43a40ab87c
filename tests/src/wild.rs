//! Bytes of strangers at a node's datagram door: what is thrown, and how the node is afterwards.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use crate::server::{Server, fixture};

/// A message of RFC 4475, with the answers that its index allows.
pub struct Torture {
    pub file: String,
    pub bytes: Vec<u8>,
    pub allowed: Vec<String>,
}

pub fn torture() -> Result<Vec<Torture>> {
    let index = fs::read_to_string(fixture("rfc4475/index.tsv"))?;
    let read = |row: &str| {
        let cells: Vec<_> = row.split('\t').collect();
        let [file, _, _, _, _, _, _, expected, also, ..] = cells[..] else { bail!("not a row: {row}") };
        let allowed = [expected].into_iter().chain(also.split('|')).filter(|answer| !answer.is_empty());
        let allowed = allowed.map(str::to_owned).collect();
        Ok(Torture { file: file.to_owned(), bytes: fs::read(fixture(&format!("rfc4475/{file}")))?, allowed })
    };
    index.lines().skip(1).map(read).collect()
}

/// A seed, and what follows from it.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }

    /// One of the messages, changed in one to six places.
    pub fn mutant(&mut self, messages: &[Torture]) -> Vec<u8> {
        let mut bytes = messages[self.below(messages.len())].bytes.clone();
        for _ in 0..=self.below(6) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[at] = self.below(256) as u8,
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, self.below(256) as u8),
                _ => {
                    let other = &messages[self.below(messages.len())].bytes;
                    let (from, length) = (self.below(other.len()), self.below(80));
                    bytes.splice(at..at, other[from..].iter().take(length).copied());
                }
            }
        }
        bytes
    }
}

/// Throws datagrams, and hears what is answered to them. The ports are those that RFC 4475 names in
/// its Vias, where answers go (RFC 3261 18.2.2).
pub struct Thrower {
    sockets: Vec<UdpSocket>,
    node: SocketAddr,
    serial: u32,
}

impl Thrower {
    pub async fn new(from: Ipv4Addr, server: &Server) -> Result<Self> {
        let mut sockets = Vec::new();
        for port in [5_060, 5_050, 5_061] {
            sockets.push(UdpSocket::bind((from, port)).await?);
        }
        Ok(Self { sockets, node: (IpAddr::V4(server.address), 5_060).into(), serial: 0 })
    }

    /// The sockets are full of answers that nobody reads: they are emptied as it goes.
    pub async fn throw(&self, bytes: &[u8]) -> Result<()> {
        self.sockets[0].send_to(bytes, self.node).await?;
        while self.heard().is_some() {}
        Ok(())
    }

    /// The first final answer, or none within the time.
    pub async fn answer(&self, bytes: &[u8], within: Duration) -> Result<Option<String>> {
        while self.heard().is_some() {}
        self.sockets[0].send_to(bytes, self.node).await?;
        let until = Instant::now() + within;
        while Instant::now() < until {
            match self.heard() {
                Some(line) if line.starts_with("SIP/2.0 1") => {}
                Some(line) => return Ok(Some(line)),
                None => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
        Ok(None)
    }

    /// The start line of something that came.
    fn heard(&self) -> Option<String> {
        let mut buffer = [0; 65_536];
        let count = self.sockets.iter().find_map(|socket| socket.try_recv(&mut buffer).ok())?;
        let text = String::from_utf8_lossy(&buffer[..count]);
        Some(text.lines().next().unwrap_or_default().to_owned())
    }

    /// OPTIONS, which it must answer within two seconds, with one repetition.
    pub async fn still_answers(&mut self) -> Result<()> {
        self.serial += 1;
        let (serial, node) = (self.serial, self.node);
        let socket = UdpSocket::bind((self.sockets[0].local_addr()?.ip(), 0)).await?;
        let own = socket.local_addr()?;
        let ping = format!(
            "OPTIONS sip:ping@{node} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch=z9hG4bKping{port}x{serial}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:ping@{own}>;tag=p{serial}\r\nTo: <sip:ping@{node}>\r\n\
             Call-ID: ping-{port}-{serial}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            port = own.port(),
        );
        let mut buffer = [0; 4_096];
        for _ in 0..2 {
            socket.send_to(ping.as_bytes(), node).await?;
            if let Ok(heard) = timeout(Duration::from_secs(1), socket.recv_from(&mut buffer)).await {
                let line = String::from_utf8_lossy(&buffer[..heard?.0]).lines().next().unwrap_or_default().to_owned();
                if line.starts_with("SIP/2.0 ") {
                    return Ok(());
                }
            }
        }
        bail!("the node does not answer OPTIONS any more");
    }
}

/// A number of the node's `/metrics`.
pub async fn metric(server: &Server, name: &str) -> Result<f64> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
    let text = client.get(format!("http://{}:9090/metrics", server.address)).send().await?.text().await?;
    let row = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    row.with_context(|| format!("no `{name}` among the metrics:\n{text}"))?.trim().parse().context("no number")
}

/// Until nothing is left of what was thrown: legs, transactions, calls, sound.
pub async fn until_nothing_is_left(server: &Server, within: Duration) -> Result<()> {
    let until = Instant::now() + within;
    loop {
        let mut left = Vec::new();
        for name in ["sip_legs", "sip_transactions", "calls", "media_legs", "sandbox_instances"] {
            let value = metric(server, name).await?;
            if value != 0.0 {
                left.push(format!("{name} {value}"));
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("this is left: {}", left.join(", "));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Memory that the node holds, in KiB.
pub fn resident_kib(server: &Server) -> Result<u64> {
    let pid = server.pid().context("the node is not running")?;
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let row = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    row.trim().trim_end_matches(" kB").parse().context("no number")
}
