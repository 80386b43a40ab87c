//! RFC 4475 through both doors: what is answered, and that nothing of it is kept.

use std::time::Duration;

use bytes::Bytes;

use super::net::{CALLEE, LEG, Net};
use crate::agent::Command;
use crate::torture::messages;
use crate::{Framed, Framer, Limits};

/// The status that a message is answered with, or nothing.
fn answered(net: &mut Net, bytes: &[u8]) -> Option<String> {
    let before = net.sent[CALLEE].len();
    net.deliver(CALLEE, Bytes::copy_from_slice(bytes));
    let lines = net.sent[CALLEE][before..].iter().filter(|line| !line.starts_with("SIP/2.0 1"));
    lines.map(|line| line[8..11].to_owned()).next()
}

fn calm() -> Net {
    let mut net = Net::calm();
    net.is_alone = true;
    net.doors.next = Some(LEG);
    net
}

/// Whoever came in is sent away again.
fn empty(net: &mut Net) {
    let legs: Vec<_> = net.agents[CALLEE].legs.keys().copied().collect();
    for leg in legs {
        net.command_of(CALLEE, leg, Command::Hangup { reason: None });
    }
    net.pass(Duration::from_secs(100));
    assert_eq!(net.agents[CALLEE].counts(), (0, 0, 0));
    assert!(net.is_empty());
}

#[test]
fn all_fifty_are_answered_as_the_rfc_says() {
    let mut wrong = Vec::new();
    for (file, bytes, allowed) in messages() {
        let mut net = calm();
        let status = answered(&mut net, &bytes).unwrap_or_else(|| "DROP".to_owned());
        // Taken: an INVITE became a leg, a REGISTER was judged by the door.
        // 481: it is no part of a call that is here.
        let is_taken = status == "481" || !net.doors.offers.is_empty() || net.doors.registers > 0 || status == "200";
        let is_stray = status == "DROP" && !bytes.starts_with(b"INVITE") && allowed.iter().any(|one| one == "ACCEPT");
        let is_allowed = allowed.contains(&status)
            || (is_taken && allowed.iter().any(|one| one == "PROCESS"))
            || is_stray
            // A registrar's, which the door plays.
            || net.doors.registers > 0 && allowed.iter().any(|one| ["401", "403", "404"].contains(&one.as_str()));
        if !is_allowed {
            wrong.push(format!("{file}: {status}, allowed {allowed:?}"));
        }
        empty(&mut net);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    let limits = Limits::default();
    for (file, bytes, _) in messages() {
        let read = |parts: &[&[u8]]| {
            let mut framer = Framer::default();
            let mut seen = Vec::new();
            for part in parts {
                framer.push(part);
                loop {
                    match framer.next(&limits) {
                        Ok(Some(Framed::Message(message))) => seen.push(Ok(message)),
                        Ok(Some(Framed::Ping)) => {}
                        Ok(None) => break,
                        Err(error) => {
                            seen.push(Err(error));
                            return seen;
                        }
                    }
                }
            }
            seen
        };
        let said = |parts: &[&[u8]]| -> Vec<String> { read(parts).iter().map(|one| format!("{one:?}")).collect() };
        let whole = said(&[&bytes]);
        for cut in 0..=bytes.len() {
            let (one, two) = bytes.split_at(cut);
            assert_eq!(said(&[one, two]), whole, "{file} cut at {cut}");
        }
        // And what comes of it is answered, and forgotten.
        let mut net = calm();
        for message in read(&[&bytes]).into_iter().flatten() {
            let peer = crate::Peer { transport: crate::Transport::Tcp, ..net.peer(CALLEE) };
            let mut out = Vec::new();
            net.agents[CALLEE].receive(net.now, peer, Ok(message), &mut net.doors, &mut out);
        }
        empty(&mut net);
    }
}

/// 100,000 of them where there is time (`PROPTEST_CASES`), 5,000 otherwise.
#[test]
fn changed_anyhow_they_leave_nothing_behind() {
    let wanted = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse::<usize>().ok());
    let cases = wanted.unwrap_or_default().clamp(5_000, 100_000);
    let messages = messages();
    let mut net = calm();
    let mut seed = 0x5eed_u64;
    let mut chance = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for case in 0..cases {
        let (_, bytes, _) = &messages[chance(messages.len())];
        let mut bytes = bytes.clone();
        for _ in 0..=chance(6) {
            let at = chance(bytes.len());
            match chance(4) {
                0 => bytes[at] = chance(256) as u8,
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, chance(256) as u8),
                _ => {
                    let (_, other, _) = &messages[chance(messages.len())];
                    let (from, length) = (chance(other.len()), chance(80));
                    bytes.splice(at..at, other[from..].iter().take(length).copied());
                }
            }
        }
        net.deliver(CALLEE, bytes.into());
        if case % 500 == 499 {
            empty(&mut net);
            net.sent[CALLEE].clear();
            net.wire[CALLEE].clear();
            net.others[CALLEE].clear();
            net.doors.offers.clear();
        }
    }
    empty(&mut net);
}
