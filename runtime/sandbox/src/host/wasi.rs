//! WASI 0.2 as languages' runtimes import it: clocks, random and streams work, what is written to
//! standard output and error becomes log lines, and everything else is empty and refuses.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rand_core::TryRng;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView};

use super::Host;
use crate::guest::Guest;
use crate::log_lines::LogLines;

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (host, log) = (&self.host, &self.log);
        let wasi = self.wasi.get_or_insert_with(|| Box::new(context(host, log)));
        WasiCtxView { ctx: wasi, table: &mut self.resources }
    }
}

fn context(host: &Arc<dyn Host>, log: &Arc<Mutex<LogLines>>) -> WasiCtx {
    WasiCtx::builder()
        .stdin(wasmtime_wasi::p2::pipe::ClosedInputStream)
        .stdout(Lines::new("info", log))
        .stderr(Lines::new("warn", log))
        .wall_clock(Wall(Arc::clone(host)))
        .monotonic_clock(Uptime(Arc::clone(host)))
        .secure_random(Chance(Arc::clone(host)))
        .insecure_random(Chance(Arc::clone(host)))
        .insecure_random_seed((0..4).fold(0, |seed, _| seed << 32 | u128::from(host.random())))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(RANDOM_BYTES)
        .build()
}

struct Wall(Arc<dyn Host>);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::try_from_secs_f64(self.0.now_ms() / 1_000.0).unwrap_or_default()
    }
}

/// A fine clock would show one tenant what another's code does to the machine.
struct Uptime(Arc<dyn Host>);

impl HostMonotonicClock for Uptime {
    fn resolution(&self) -> u64 {
        NS_A_MS
    }

    fn now(&self) -> u64 {
        self.0.uptime_ms().saturating_mul(NS_A_MS)
    }
}

struct Chance(Arc<dyn Host>);

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.random())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from(self.0.random()) << 32 | u64::from(self.0.random()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for piece in bytes.chunks_mut(4) {
            piece.copy_from_slice(&self.0.random().to_ne_bytes()[..piece.len()]);
        }
        Ok(())
    }
}

/// Bytes in, lines out.
#[derive(Clone)]
struct Lines {
    level: &'static str,
    log: Arc<Mutex<LogLines>>,
    begun: Arc<Mutex<Vec<u8>>>,
}

impl Lines {
    fn new(level: &'static str, log: &Arc<Mutex<LogLines>>) -> Self {
        Self { level, log: Arc::clone(log), begun: Arc::default() }
    }

    fn take(&self, bytes: &[u8]) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") || begun.len() >= LINE_BYTES {
                let text = String::from_utf8_lossy(&begun);
                let line = text.trim_end_matches(['\n', '\r']);
                if !line.is_empty() {
                    log.line(self.level, line);
                }
                begun.clear();
            }
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if Arc::strong_count(&self.begun) == 1 && !self.begun.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
        {
            self.take(b"\n");
        }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(LINE_BYTES)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl tokio::io::AsyncWrite for Lines {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.take(bytes);
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

/// A line is cut at its limit by the log; this bounds what is held of one that never ends.
const LINE_BYTES: usize = 64 << 10;
const NS_A_MS: u64 = 1_000_000;
const RANDOM_BYTES: u64 = 64 << 10;
