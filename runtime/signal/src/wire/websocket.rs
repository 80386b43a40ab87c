//! SIP in WebSocket frames (RFC 7118): one message in each, text or binary.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use bytes::Bytes;
use callbox_sip::{Limits, Message};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::watched::{Watch, Watched};
use super::{Heard, PING, PONG, Pings, Pipe, Reader, Wire, Writer};

type Socket = WebSocketStream<Watched>;
type Frame = tungstenite::Message;

pub(crate) struct FrameReader {
    frames: SplitStream<Socket>,
    watch: Watch,
    /// How much had been read when the last frame was whole.
    seen: u64,
    heard: Option<Heard>,
    limits: Limits,
}

pub(crate) struct FrameWriter(SplitSink<Socket, Frame>);

/// Theirs: the request for our WebSocket.
pub(super) async fn accept(pipe: Pipe, head_bytes: usize) -> io::Result<Wire> {
    let (pipe, watch) = Watched::new(pipe, head_bytes);
    let socket = tokio_tungstenite::accept_hdr_async_with_config(pipe, speak_sip, Some(limits())).await;
    Ok(wire(socket.map_err(as_io)?, watch))
}

/// Ours. `host` is as it stands in a URI.
pub(super) async fn dial(pipe: Pipe, host: &str, head_bytes: usize) -> io::Result<Wire> {
    let (pipe, watch) = Watched::new(pipe, head_bytes);
    let uri = format!("ws://{host}/").parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let request = tungstenite::ClientRequestBuilder::new(uri).with_sub_protocol(SIP);
    let socket = tokio_tungstenite::client_async_with_config(request, pipe, Some(limits())).await;
    let (socket, _) = socket.map_err(as_io)?;
    Ok(wire(socket, watch))
}

fn wire(socket: Socket, watch: Watch) -> Wire {
    watch.lift();
    let (sink, frames) = socket.split();
    let seen = watch.bytes();
    let reader = FrameReader { frames, watch, seen, heard: None, limits: Limits::default() };
    Wire {
        reader: Reader::Frames(Box::new(reader)),
        writer: Writer::Frames(FrameWriter(sink)),
        pings: Pings::OursAndAnswered,
    }
}

/// RFC 7118 4.1: a client that does not offer `sip` is not for us.
#[expect(clippy::result_large_err, reason = "the handshake's own signature")]
fn speak_sip(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offered = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let is_sip = offered
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case(SIP));
    if !is_sip {
        let mut refusal = ErrorResponse::new(Some("Sec-WebSocket-Protocol: sip is spoken here\r\n".to_owned()));
        *refusal.status_mut() = StatusCode::BAD_REQUEST;
        return Err(refusal);
    }
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SIP));
    Ok(response)
}

fn limits() -> WebSocketConfig {
    let most = Limits::default().message_bytes;
    // A frame's buffer grows with what is in it; these are allocated at once.
    WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(MESSAGES_UNSENT * most)
        .max_message_size(Some(most))
        .max_frame_size(Some(most))
}

impl FrameReader {
    pub(super) async fn fill(&mut self) -> io::Result<()> {
        let Self { frames, watch, seen, heard, limits } = self;
        let before = watch.bytes();
        poll_fn(|cx| match frames.poll_next_unpin(cx) {
            Poll::Ready(None) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(as_io(error))),
            Poll::Ready(Some(Ok(frame))) => {
                *seen = watch.bytes();
                *heard = read(frame, limits);
                Poll::Ready(Ok(()))
            }
            // A part of a frame: who waits for the whole looks at the clock.
            Poll::Pending if watch.bytes() != before => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    pub(super) fn take(&mut self) -> Option<Heard> {
        self.heard.take()
    }

    pub(super) fn has_begun(&self) -> bool {
        self.watch.bytes() != self.seen
    }
}

fn read(frame: Frame, limits: &Limits) -> Option<Heard> {
    let bytes: Bytes = match frame {
        Frame::Text(text) => text.into(),
        Frame::Binary(bytes) => bytes,
        Frame::Pong(_) => return Some(Heard::Pong),
        // Answered by the protocol itself.
        Frame::Ping(_) | Frame::Close(_) | Frame::Frame(_) => return None,
    };
    // RFC 7118 6: the keep-alive of other streams may be used here too.
    if bytes == PING {
        return Some(Heard::Ping);
    }
    if bytes == PONG {
        return Some(Heard::Pong);
    }
    Some(Heard::Message(Message::parse_datagram(bytes, limits)))
}

impl FrameWriter {
    /// RFC 7118 5: text where it is UTF-8, which is all that some browsers' phones read.
    pub(super) async fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        let frame = match tungstenite::Utf8Bytes::try_from(bytes.clone()) {
            Ok(text) => Frame::Text(text),
            Err(_) => Frame::Binary(bytes),
        };
        self.0.send(frame).await.map_err(as_io)
    }

    pub(super) async fn ping(&mut self) -> io::Result<()> {
        self.0.send(Frame::Ping(Bytes::new())).await.map_err(as_io)
    }
}

fn as_io(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

const SIP: &str = "sip";
const BUFFER_BYTES: usize = 4 << 10;
/// Of the largest size, in the socket's own buffer; the queue before it has a limit of its own.
const MESSAGES_UNSENT: usize = 2;
