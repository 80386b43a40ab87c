//! Phones by hand, over UDP, TCP and WebSocket.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

pub(crate) const TO: &str = "<sip:bob@127.0.0.1>";

#[expect(clippy::too_many_arguments, reason = "all that a message is made of")]
pub(crate) fn message(
    kind: &str,
    method: &str,
    me: SocketAddr,
    call: &str,
    branch: &str,
    to: &str,
    cseq: u32,
    body: &str,
) -> String {
    let content_type = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:bob@127.0.0.1 SIP/2.0\r\n\
         Via: SIP/2.0/{kind} {me};branch=z9hG4bK{branch};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@127.0.0.1>;tag=f{call}\r\nTo: {to}\r\nCall-ID: {call}\r\n\
         CSeq: {cseq} {method}\r\nContact: <sip:a@{me}>\r\n{content_type}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The first value of a header.
pub(crate) fn header(text: &str, name: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap_or_default().to_owned()
}

pub(crate) fn headers(text: &str, name: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_prefix(&format!("{name}: "))).map(str::to_owned).collect()
}

pub(crate) fn status(text: &str) -> u16 {
    text.get(8..11).filter(|_| text.starts_with("SIP/2.0 ")).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// An answer to a request that a phone got, with its dialog's headers.
pub(crate) fn answer(request: &str, status: &str, me: &str, kind: &str, body: &str) -> String {
    let mut out = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "From", "Call-ID", "CSeq", "Record-Route"] {
        for value in headers(request, name) {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    let content_type = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let to = header(request, "To");
    let tag = if to.contains(";tag=") { "" } else { ";tag=phone" };
    out.push_str(&format!(
        "To: {to}{tag}\r\nContact: <sip:phone@{me};transport={kind}>\r\n{content_type}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    out
}

/// What a phone speaks through.
pub(crate) trait Line {
    fn kind(&self) -> &'static str;
    /// For Via and Contact.
    fn me(&self) -> String;
    fn say(&mut self, text: &str);
    fn hear(&mut self) -> Option<String>;

    fn until(&mut self, want: impl Fn(&str) -> bool) -> Option<String>
    where
        Self: Sized,
    {
        loop {
            let text = self.hear()?;
            if want(&text) {
                return Some(text);
            }
        }
    }
}

pub(crate) struct Udp {
    pub(crate) socket: UdpSocket,
    pub(crate) me: SocketAddr,
    pub(crate) node: SocketAddr,
}

impl Udp {
    pub(crate) fn new(node: SocketAddr) -> Self {
        let ip: IpAddr = Ipv4Addr::LOCALHOST.into();
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let me = socket.local_addr().unwrap();
        Self { socket, me, node: SocketAddr::new(ip, node.port()) }
    }

    pub(crate) fn call(&mut self, id: &str) -> String {
        self.say(&message("UDP", "INVITE", self.me, id, &format!("i{id}"), TO, 1, "offer"));
        let ok = self.until(|text| status(text) == 200).expect("200");
        let to = header(&ok, "To");
        self.say(&message("UDP", "ACK", self.me, id, &format!("a{id}"), &to, 1, ""));
        to
    }

    pub(crate) fn bye(&mut self, id: &str, to: &str) -> Option<String> {
        self.say(&message("UDP", "BYE", self.me, id, &format!("b{id}"), to, 2, ""));
        self.until(|text| status(text) != 0 && header(text, "CSeq") == "2 BYE")
    }
}

impl Line for Udp {
    fn kind(&self) -> &'static str {
        "UDP"
    }

    fn me(&self) -> String {
        self.me.to_string()
    }

    fn say(&mut self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.node).unwrap();
    }

    fn hear(&mut self) -> Option<String> {
        let mut buffer = [0; 65_536];
        let (count, _) = self.socket.recv_from(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..count]).into_owned())
    }
}

pub(crate) struct Tcp {
    pub(crate) stream: TcpStream,
    kept: String,
}

impl Tcp {
    pub(crate) fn new(node: SocketAddr) -> Self {
        let stream = TcpStream::connect(node).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self { stream, kept: String::new() }
    }

    pub(crate) fn call(&mut self, id: &str) -> String {
        let me = self.stream.local_addr().unwrap();
        self.say(&message("TCP", "INVITE", me, id, &format!("i{id}"), TO, 1, "offer"));
        let ok = self.until(|text| status(text) == 200).expect("200");
        let to = header(&ok, "To");
        self.say(&message("TCP", "ACK", me, id, &format!("a{id}"), &to, 1, ""));
        to
    }
}

impl Line for Tcp {
    fn kind(&self) -> &'static str {
        "TCP"
    }

    fn me(&self) -> String {
        self.stream.local_addr().unwrap().to_string()
    }

    fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    fn hear(&mut self) -> Option<String> {
        loop {
            if let Some(head) = self.kept.find("\r\n\r\n") {
                let length: usize = header(&self.kept, "Content-Length").parse().unwrap_or(0);
                if self.kept.len() >= head + 4 + length {
                    let rest = self.kept.split_off(head + 4 + length);
                    return Some(std::mem::replace(&mut self.kept, rest));
                }
            }
            let mut buffer = [0; 4_096];
            match self.stream.read(&mut buffer) {
                Ok(count) if count > 0 => self.kept.push_str(&String::from_utf8_lossy(&buffer[..count])),
                _ => return None,
            }
        }
    }
}

/// A browser's phone, its frames made by hand.
pub(crate) struct Ws {
    pub(crate) stream: TcpStream,
}

impl Ws {
    /// The answer to the handshake too.
    pub(crate) fn knock(node: SocketAddr, more: &str) -> (Self, String) {
        let mut stream = TcpStream::connect(node).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let ask = format!(
            "GET / HTTP/1.1\r\nHost: {node}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
        );
        stream.write_all(ask.as_bytes()).unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
            head.push(byte[0]);
        }
        (Self { stream }, String::from_utf8(head).unwrap())
    }

    pub(crate) fn new(node: SocketAddr) -> Self {
        let (phone, head) = Self::knock(node, "Sec-WebSocket-Protocol: sip\r\n");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.to_ascii_lowercase().contains("sec-websocket-protocol: sip\r\n"), "{head}");
        phone
    }

    /// `first` is the frame's first byte: 0x81 is text, 0x82 binary, 0x89 a ping.
    pub(crate) fn frame(&mut self, first: u8, payload: &[u8]) {
        let mut out = vec![first];
        match payload.len() {
            length @ ..=125 => out.push(0x80 | length as u8),
            length => {
                out.push(0x80 | 126);
                out.extend((length as u16).to_be_bytes());
            }
        }
        // A mask of nothing is a mask.
        out.extend([0, 0, 0, 0]);
        out.extend(payload);
        self.stream.write_all(&out).unwrap();
    }

    pub(crate) fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).ok()?;
        let mut length = usize::from(head[1]);
        if length == 126 {
            let mut long = [0; 2];
            self.stream.read_exact(&mut long).ok()?;
            length = usize::from(u16::from_be_bytes(long));
        }
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).ok()?;
        Some((head[0], payload))
    }
}

impl Line for Ws {
    fn kind(&self) -> &'static str {
        "WS"
    }

    fn me(&self) -> String {
        "df7jal23ls0d.invalid".to_owned()
    }

    fn say(&mut self, text: &str) {
        self.frame(0x81, text.as_bytes());
    }

    fn hear(&mut self) -> Option<String> {
        loop {
            let (first, payload) = self.next()?;
            if first & 0x0f <= 2 {
                return Some(String::from_utf8_lossy(&payload).into_owned());
            }
        }
    }
}

/// Registers as `name`, answering the challenge with the first algorithm that starts with
/// `algorithm`. Gives the last answer.
pub(crate) fn register(
    line: &mut impl Line,
    domain: &str,
    name: &str,
    password: &str,
    algorithm: &str,
    expires: u32,
    cseq: u32,
) -> String {
    let ask = |line: &mut dyn FnMut(&str), me: &str, kind: &str, cseq: u32, more: &str| {
        line(&format!(
            "REGISTER sip:{domain} SIP/2.0\r\nVia: SIP/2.0/{kind} {me};branch=z9hG4bKr{name}{cseq}{expires};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{name}@{domain}>;tag=f{name}\r\nTo: <sip:{name}@{domain}>\r\n\
             Call-ID: reg-{name}-{me}\r\nCSeq: {cseq} REGISTER\r\n\
             Contact: <sip:{name}@{me};transport={}>\r\nExpires: {expires}\r\n{more}Content-Length: 0\r\n\r\n",
            kind.to_ascii_lowercase()
        ));
    };
    let (me, kind) = (line.me(), line.kind());
    ask(&mut |text| line.say(text), &me, kind, cseq, "");
    let challenged = line.until(|text| header(text, "CSeq") == format!("{cseq} REGISTER")).expect("an answer");
    if status(&challenged) != 401 {
        return challenged;
    }
    let challenge = headers(&challenged, "WWW-Authenticate")
        .into_iter()
        .find(|challenge| challenge.contains(&format!("algorithm={algorithm}")))
        .unwrap_or_else(|| panic!("no {algorithm} among the challenges: {challenged}"));
    let credentials =
        callbox_sip::Credentials { realm: None, username: name.to_owned(), password: password.to_owned() };
    let uri = format!("sip:{domain}");
    let response = callbox_sip::digest::answer(&[challenge], &credentials, "REGISTER", &uri, b"", "cnonce", 1).unwrap();
    ask(&mut |text| line.say(text), &me, kind, cseq + 1, &format!("Authorization: {response}\r\n"));
    line.until(|text| header(text, "CSeq") == format!("{} REGISTER", cseq + 1)).expect("an answer")
}
