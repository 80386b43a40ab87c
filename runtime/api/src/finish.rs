//! The outermost layer: every request gets an id, every refusal a problem body, every answer is
//! counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument, debug, debug_span, error};

use crate::app::App;
use crate::problem::{Code, Problem, ProblemBody};

pub(crate) async fn finish(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = app.request_ids.next();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    request.extensions_mut().insert(id.clone());
    let span = debug_span!("request", "request.id" = %id.0, %method);
    let mut response = next.run(request).instrument(span).await;

    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        response = write_problem(&app, &id, &path, response);
    }
    // Set where a route matched: an unbounded set of paths is no label.
    let route = response.extensions().get::<Route>().map_or("none", |route| route.0.as_str()).to_owned();
    let elapsed = began.elapsed();
    debug!("request.id" = %id.0, %method, %route, status = status.as_u16(), elapsed_us = elapsed.as_micros() as u64, "answered");
    let labels = [("method", method.as_str().to_owned()), ("route", route), ("status", status.as_u16().to_string())];
    metrics::counter!("callbox_api_requests_total", &labels).increment(1);
    metrics::histogram!("callbox_api_request_seconds", &labels[..2]).record(elapsed.as_secs_f64());
    response
}

/// Notes the route of a request that met one.
pub(crate) async fn note_route(path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(path) = path {
        response.extensions_mut().insert(Route(path.as_str().to_owned()));
    }
    response
}

/// The answer to a panic: the library has logged it by now.
pub(crate) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    error!(panic = %text, "a request handler panicked");
    axum::response::IntoResponse::into_response(Problem::new(
        Code::Internal,
        "callbox failed while it worked on this request",
    ))
}

fn write_problem(app: &App, id: &RequestId, path: &str, mut response: Response) -> Response {
    let problem = response.extensions_mut().remove::<Problem>().unwrap_or_else(|| {
        let code = Code::of_status(response.status());
        let detail = match code {
            Code::NoRoute => format!("there is nothing at `{}`", path.chars().take(200).collect::<String>()),
            Code::MethodNotAllowed => "this path does not know the method of the request".to_owned(),
            _ => code.means().to_owned(),
        };
        let mut problem = Problem::new(code, detail);
        problem.status = response.status();
        problem
    });
    if problem.status == StatusCode::INTERNAL_SERVER_ERROR {
        error!("request.id" = %id.0, detail = %problem.detail, "a request failed");
    }
    let body = ProblemBody {
        kind: format!("/v1/errors/{}", problem.code),
        title: app.title(&problem.code),
        status: problem.status.as_u16(),
        detail: &problem.detail,
        instance: &id.0,
        code: &problem.code,
        errors: &problem.errors,
    };
    let bytes = serde_json::to_vec(&body).unwrap_or_default();
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    *response.body_mut() = Body::from(bytes);
    response
}

#[derive(Clone)]
pub(crate) struct RequestId(pub(crate) String);

#[derive(Clone)]
struct Route(String);

/// Ids of requests: a start that differs between processes, and a count.
pub(crate) struct RequestIds {
    start: u32,
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(start: u32) -> Self {
        Self { start, count: AtomicU64::new(1) }
    }

    fn next(&self) -> RequestId {
        RequestId(format!("req_{:08x}{:08x}", self.start, self.count.fetch_add(1, Ordering::Relaxed)))
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
