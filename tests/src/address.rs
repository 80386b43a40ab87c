//! A loopback address for each test, so that tests run side by side with everybody's usual ports.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

/// For phones that do not believe in 127.0.0.0/8: `tests/run` gives this network to the loopback
/// interface. Such a phone has to be let in by the node (`sip.allow`).
pub fn outside() -> Ipv4Addr {
    let [_, _, second, third] = fresh().octets();
    Ipv4Addr::new(10, 99, second, third)
}

/// 127.0.0.0/8 is loopback as a whole. The process id keeps test binaries apart.
pub fn fresh() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    Ipv4Addr::new(127, (1 + process % 250) as u8, (process / 250 % 250) as u8, (2 + serial % 250) as u8)
}
