//! Bodies on their way in, and requests on their way to a handler.
//!
//! What changes something is run in a task of its own: it goes on when its client goes away, or
//! waits no longer. Reads are dropped with their client.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LOCATION, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use callbox_model::KeyId;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::Instrument;

use crate::app::App;
use crate::config::Config;
use crate::problem::{Code, Problem, Result};
use crate::replays::{Answer, Claim, Fingerprint, Ticket};

/// What bodies a group of routes takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intake {
    kind: Kind,
    most_bytes: u64,
    read_timeout: Duration,
    answer_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// May be left out where a route needs none.
    Json,
    Wasm,
    Wav,
}

impl Intake {
    pub(crate) fn json(config: &Config) -> Self {
        Self {
            kind: Kind::Json,
            most_bytes: config.json_bytes,
            read_timeout: config.json_timeout,
            answer_timeout: config.answer_timeout,
        }
    }

    pub(crate) fn wasm(config: &Config) -> Self {
        Self {
            kind: Kind::Wasm,
            most_bytes: config.limits.module_bytes,
            read_timeout: config.upload_timeout,
            answer_timeout: config.compile_timeout,
        }
    }

    pub(crate) fn wav(config: &Config) -> Self {
        Self {
            kind: Kind::Wav,
            most_bytes: config.limits.asset_bytes,
            read_timeout: config.upload_timeout,
            answer_timeout: config.compile_timeout,
        }
    }

    pub(crate) async fn carry(self, app: &App, key: Option<KeyId>, request: Request, next: Next) -> Response {
        if super::is_safe(request.method()) {
            return match timeout(self.answer_timeout, next.run(request)).await {
                Ok(response) => response,
                Err(_) => self.too_slow().into_response(),
            };
        }
        match self.change(app, key, request, next).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(),
        }
    }

    async fn change(self, app: &App, key: Option<KeyId>, request: Request, next: Next) -> Result<Response> {
        let (parts, body) = request.into_parts();
        let admitted = self.admit(app, &parts.headers);
        let permit = match admitted {
            Ok(permit) => permit,
            Err(problem) => {
                drain(body);
                return Err(problem);
            }
        };
        let bytes = self.read(body).await?;
        let mut ticket = None;
        if let (Some(key), &Method::POST, Some(name)) = (key, &parts.method, parts.headers.get(IDEMPOTENCY_KEY)) {
            let fingerprint = fingerprint(&parts, &bytes);
            match app.replays.claim((key, idempotency_key(name)?), fingerprint, Instant::now()) {
                Claim::First(first) => ticket = Some(first),
                Claim::Again(answer) => return Ok(replayed(answer)),
                Claim::Running => {
                    return Err(Problem::new(
                        Code::IdempotencyRunning,
                        "a request with this Idempotency-Key is still being carried out",
                    )
                    .retry_after_s(1));
                }
                Claim::Other => {
                    return Err(Problem::new(
                        Code::IdempotencyMismatch,
                        "this Idempotency-Key came with another path, query or body before",
                    ));
                }
            }
        }
        let request = Request::from_parts(parts, Body::from(bytes));
        let work = tokio::spawn(run(next, request, ticket, permit).in_current_span());
        match timeout(self.answer_timeout, work).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(failed)) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            Ok(Err(_)) => Err(Problem::new(Code::Unavailable, "the node is stopping")),
            Err(_) => Err(self.too_slow()),
        }
    }

    /// Everything that can be refused before the body is read.
    fn admit(self, app: &App, headers: &HeaderMap) -> Result<Option<OwnedSemaphorePermit>> {
        let length: Option<u64> =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
        if length.is_some_and(|length| length > self.most_bytes) {
            return Err(self.too_large(length));
        }
        let is_empty = length.unwrap_or(0) == 0 && !headers.contains_key(TRANSFER_ENCODING);
        if !is_empty || self.kind != Kind::Json {
            self.check_type(headers.get(CONTENT_TYPE))?;
        }
        if self.kind == Kind::Json {
            return Ok(None);
        }
        let permit = app.uploads.clone().try_acquire_owned().map_err(|_| {
            let most = app.config.uploads;
            Problem::new(Code::Busy, format!("{most} uploads are on their way in, the most at once")).retry_after_s(5)
        })?;
        Ok(Some(permit))
    }

    fn check_type(self, given: Option<&HeaderValue>) -> Result<()> {
        let given = given.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let fits = match self.kind {
            Kind::Json => essence == "application/json" || essence.ends_with("+json"),
            Kind::Wasm => essence == "application/wasm",
            Kind::Wav => matches!(essence.as_str(), "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave"),
        };
        if fits {
            return Ok(());
        }
        let expected = match self.kind {
            Kind::Json => "application/json",
            Kind::Wasm => "application/wasm",
            Kind::Wav => "audio/wav",
        };
        let given: String = given.chars().take(100).collect();
        Err(Problem::new(
            Code::UnsupportedMediaType,
            format!("this route takes `{expected}`; the Content-Type is `{given}`"),
        ))
    }

    async fn read(self, mut body: Body) -> Result<Bytes> {
        match timeout(self.read_timeout, self.collect(&mut body)).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(problem)) => {
                drain(body);
                Err(problem)
            }
            Err(_) => {
                let seconds = self.read_timeout.as_secs_f64();
                Err(Problem::new(Code::BodyTooSlow, format!("the body did not arrive within {seconds} s")))
            }
        }
    }

    async fn collect(self, body: &mut Body) -> Result<Bytes> {
        let most = usize::try_from(self.most_bytes).unwrap_or(usize::MAX);
        let hint = usize::try_from(hyper::body::Body::size_hint(body).lower()).unwrap_or(0);
        let mut bytes = BytesMut::with_capacity(hint.min(most));
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Problem::new(Code::BadRequest, format!("the body broke off: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > most - bytes.len() {
                return Err(self.too_large(None));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    }

    fn too_large(self, length: Option<u64>) -> Problem {
        let given = length.map_or_else(|| "more".to_owned(), |length| format!("{length} bytes"));
        let limit = match self.kind {
            Kind::Json => "a JSON body",
            Kind::Wasm => "a module (`module_bytes`)",
            Kind::Wav => "an asset (`asset_bytes`)",
        };
        Problem::new(Code::TooLarge, format!("{limit} has at most {} bytes; the request has {given}", self.most_bytes))
    }

    fn too_slow(self) -> Problem {
        let seconds = self.answer_timeout.as_secs_f64();
        Problem::new(Code::Timeout, format!("the node did not finish this within {seconds} s"))
    }
}

/// Runs to its end, whatever becomes of the client.
async fn run(next: Next, request: Request, ticket: Option<Ticket>, permit: Option<OwnedSemaphorePermit>) -> Response {
    let response = next.run(request).await;
    drop(permit);
    let Some(ticket) = ticket.filter(|_| response.status().is_success()) else {
        return response;
    };
    let (parts, body) = response.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MOST_ANSWER_BYTES).await else {
        return Problem::new(Code::Internal, "the answer is too large to be kept for its Idempotency-Key")
            .into_response();
    };
    let mut headers = HeaderMap::new();
    for name in [CONTENT_TYPE, LOCATION, ETAG] {
        if let Some(value) = parts.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    ticket.answered(Answer { status: parts.status, headers, body: body.clone() }, Instant::now());
    Response::from_parts(parts, Body::from(body))
}

fn replayed(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    response
}

fn idempotency_key(value: &HeaderValue) -> Result<String> {
    let key = value.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
    key.map(str::to_owned).ok_or_else(|| {
        Problem::field(Code::BadHeader, "Idempotency-Key", "must have 1 to 255 visible ASCII characters")
    })
}

fn fingerprint(parts: &axum::http::request::Parts, body: &Bytes) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in [parts.method.as_str(), parts.uri.path(), parts.uri.query().unwrap_or_default()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(body);
    hash.finalize().into()
}

/// Takes what the client still sends, for a while, so that it gets to read its refusal instead of
/// seeing the connection reset.
pub(super) fn drain(body: Body) {
    if hyper::body::Body::is_end_stream(&body) {
        return;
    }
    let drained = async move {
        let mut stream = body.into_data_stream();
        let mut left = DRAIN_BYTES;
        while let Some(Ok(bytes)) = stream.next().await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                break;
            }
        }
    };
    tokio::spawn(timeout(DRAIN_TIME, drained));
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const MOST_ANSWER_BYTES: usize = 1 << 20;
const DRAIN_BYTES: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);
