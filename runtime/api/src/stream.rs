//! Server-sent events: everything behind a position, then everything as it happens.
//!
//! A stream holds one page of events and asks for the next when the client has taken it. A client
//! that takes nothing is cut off by its connection's stall timeout, and comes back with
//! `Last-Event-ID`: nothing is lost, and nothing waits for it.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use callbox_model::KeyId;
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::debug;

use crate::app::App;
use crate::backend::{EventFilter, Role, Scope};
use crate::door;
use crate::problem::{Code, Problem, Result};
use crate::views;

/// Where a stream begins.
pub(crate) enum Start {
    After(i64),
    /// With what happens next.
    Now,
}

pub(crate) fn open(
    app: &App,
    key: KeyId,
    headers: HeaderMap,
    scope: Scope,
    filter: EventFilter,
    start: Start,
) -> Result<Response> {
    let slot = app.slots.take(key)?;
    let latest = app.backend.latest_event();
    let newest = *latest.borrow();
    let position = match start {
        // A position that is not reached yet comes from another database.
        Start::After(position) => position.min(newest),
        Start::Now => newest,
    };
    let mut pulse = interval(app.config.keep_alive);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pulse.reset();
    let feed = Feed {
        app: app.clone(),
        headers,
        scope,
        filter,
        position,
        latest,
        stopping: app.stopping.clone(),
        pulse,
        waiting: VecDeque::new(),
        greeted: false,
        _slot: slot,
    };
    let mut response = Sse::new(stream::unfold(feed, Feed::next)).into_response();
    // nginx would keep events back otherwise.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

struct Feed {
    app: App,
    /// Of the request: its key is looked at again with every sign of life.
    headers: HeaderMap,
    scope: Scope,
    filter: EventFilter,
    position: i64,
    latest: watch::Receiver<i64>,
    stopping: watch::Receiver<bool>,
    pulse: Interval,
    waiting: VecDeque<views::Event>,
    greeted: bool,
    _slot: Slot,
}

impl Feed {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if !self.greeted {
            self.greeted = true;
            // The id stands before any event, so that a client that is cut off early comes back
            // to the right place.
            let hello = Event::default().id(self.position.to_string()).retry(RECONNECT).comment("callbox");
            return Some((Ok(hello), self));
        }
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some((Ok(written(&event)), self));
            }
            if *self.stopping.borrow() {
                return None;
            }
            if *self.latest.borrow_and_update() > self.position && !self.read_page().await? {
                continue;
            }
            tokio::select! {
                changed = self.latest.changed() => changed.ok()?,
                _ = self.stopping.changed() => return None,
                _ = self.pulse.tick() => {
                    if !self.is_still_welcome().await {
                        return None;
                    }
                    return Some((Ok(Event::default().comment("")), self));
                }
            }
        }
    }

    /// True when nothing new was there. None ends the stream; the client comes back.
    async fn read_page(&mut self) -> Option<bool> {
        let question = self.app.backend.events_after(self.scope, self.filter.clone(), self.position, PAGE);
        let page = self.app.asked(question).await.inspect_err(|problem| {
            debug!(detail = %problem.detail, "an event stream ends: its events cannot be read");
        });
        let page = page.ok()?;
        let is_new = page.end > self.position;
        self.position = self.position.max(page.end);
        self.waiting = page.events.into_iter().map(Into::into).collect();
        Some(!is_new && self.waiting.is_empty())
    }

    /// Keys are revoked, and tenants may be gone. A backend that is away keeps streams open.
    async fn is_still_welcome(&self) -> bool {
        match door::authenticate(&self.app, &self.headers).await {
            Ok(record) => match (record.role, self.scope) {
                (Role::Operator, _) => true,
                (Role::Tenant(own), scope) => scope == Scope::Tenant(own),
            },
            Err(problem) => problem.status.is_server_error(),
        }
    }
}

fn written(event: &views::Event) -> Event {
    let named = Event::default().id(event.position.to_string()).event(&event.kind);
    named.json_data(event).unwrap_or_else(|error| Event::default().comment(error.to_string()))
}

/// How many streams are open.
pub(crate) struct Slots {
    most: usize,
    most_per_key: usize,
    open: Mutex<BTreeMap<KeyId, usize>>,
}

struct Slot {
    slots: Arc<Slots>,
    key: KeyId,
}

impl Slots {
    pub(crate) fn new(most: usize, most_per_key: usize) -> Self {
        Self { most, most_per_key, open: Mutex::default() }
    }

    fn take(self: &Arc<Self>, key: KeyId) -> Result<Slot> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        let own = open.get(&key).copied().unwrap_or(0);
        let full = |whose: &str, most: usize| {
            Err(Problem::new(Code::TooManyStreams, format!("{whose} has {most} event streams open, the most at once"))
                .retry_after_s(5))
        };
        if own >= self.most_per_key {
            return full("this key", self.most_per_key);
        }
        if all >= self.most {
            return full("the node", self.most);
        }
        open.insert(key, own + 1);
        Ok(Slot { slots: Arc::clone(self), key })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.key) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                open.remove(&self.key);
            }
        }
    }
}

/// Events that one stream holds at most.
const PAGE: u32 = 100;
const RECONNECT: Duration = Duration::from_secs(1);
