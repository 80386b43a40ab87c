//! A DNS server of a few names.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Clone, Debug)]
pub(crate) enum Record {
    Address(IpAddr),
    Srv { priority: u16, weight: u16, port: u16, target: &'static str },
    Naptr { order: u16, service: &'static str, replacement: &'static str },
}

pub(crate) struct Dns {
    pub(crate) at: SocketAddr,
    names: Arc<Mutex<Names>>,
    pub(crate) asked: Arc<AtomicUsize>,
}

type Names = BTreeMap<String, Vec<Record>>;

impl Dns {
    /// Answers until the test is over.
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (at, names, asked) = (socket.local_addr().unwrap(), Arc::<Mutex<Names>>::default(), Arc::default());
        let dns = Self { at, names: names.clone(), asked: Arc::clone(&asked) };
        std::thread::spawn(move || {
            let mut buffer = [0; 1_500];
            while let Ok((count, from)) = socket.recv_from(&mut buffer) {
                AtomicUsize::fetch_add(&asked, 1, Ordering::Relaxed);
                if let Some(answer) = answer(&buffer[..count], &names.lock().unwrap()) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        dns
    }

    pub(crate) fn set(&self, name: &str, records: Vec<Record>) {
        self.names.lock().unwrap().insert(name.to_owned(), records);
    }

    /// From now on questions go unanswered: a name without records is left out, not denied.
    pub(crate) fn silence(&self) {
        self.names.lock().unwrap().insert(SILENCE.to_owned(), Vec::new());
    }
}

const SILENCE: &str = "!";

fn answer(question: &[u8], names: &Names) -> Option<Vec<u8>> {
    if names.contains_key(SILENCE) {
        return None;
    }
    let (mut at, mut labels) = (12, Vec::new());
    while question[at] != 0 {
        let length = usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..at + 1 + length]).to_ascii_lowercase());
        at += 1 + length;
    }
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let name = labels.join(".");
    let known = names.get(&name);
    let records: Vec<_> = known.into_iter().flatten().filter(|record| record.kind() == kind).collect();
    let denied = u8::from(known.is_none()) * 3;
    let mut out = question[..2].to_vec();
    // An answer, recursion done.
    out.extend([0x81, 0x80 | denied, 0, 1]);
    out.extend((records.len() as u16).to_be_bytes());
    out.extend([0, 0, 0, 0]);
    out.extend(&question[12..at + 5]);
    for record in records {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        // IN, for one second.
        out.extend([0, 1, 0, 0, 0, 1]);
        let data = record.data();
        out.extend((data.len() as u16).to_be_bytes());
        out.extend(data);
    }
    Some(out)
}

impl Record {
    fn kind(&self) -> u16 {
        match self {
            Self::Address(IpAddr::V4(_)) => 1,
            Self::Address(IpAddr::V6(_)) => 28,
            Self::Srv { .. } => 33,
            Self::Naptr { .. } => 35,
        }
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Self::Address(IpAddr::V4(address)) => address.octets().to_vec(),
            Self::Address(IpAddr::V6(address)) => address.octets().to_vec(),
            Self::Srv { priority, weight, port, target } => {
                let mut data = [priority, weight, port].map(|number| number.to_be_bytes()).concat();
                data.extend(labels(target));
                data
            }
            Self::Naptr { order, service, replacement } => {
                let mut data = [*order, 10].map(u16::to_be_bytes).concat();
                for text in ["s", service, ""] {
                    data.push(text.len() as u8);
                    data.extend(text.as_bytes());
                }
                data.extend(labels(replacement));
                data
            }
        }
    }
}

fn labels(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}
