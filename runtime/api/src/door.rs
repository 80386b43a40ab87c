//! What every request passes before a handler sees it: the key, its rate, its role, the tenant it
//! acts within, and the body's size and type.

mod caller;
mod intake;

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use callbox_model::{TenantId, TenantState};

use crate::app::App;
use crate::backend::{KeyRecord, Role, Scope};
use crate::key::Presented;
use crate::problem::{Code, Problem, Result};

pub(crate) use caller::Caller;
pub(crate) use intake::Intake;

/// Who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Anybody, without a key.
    Open,
    /// Any key.
    Keyed,
    /// Operators.
    Operator,
}

/// The middleware of all routes.
pub(crate) async fn enter(
    State((app, door, intake)): State<(App, Door, Intake)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let passed = match door {
        Door::Open => Ok(None),
        Door::Keyed | Door::Operator => pass(&app, door, &parts).await.map(Some),
    };
    match passed {
        Ok(caller) => {
            let key = caller.as_ref().map(|caller| caller.key);
            if let Some(caller) = caller {
                parts.extensions.insert(caller);
            }
            intake.carry(&app, key, Request::from_parts(parts, body), next).await
        }
        Err(problem) => {
            intake::drain(body);
            problem.into_response()
        }
    }
}

async fn pass(app: &App, door: Door, request: &Parts) -> Result<Caller> {
    let record = authenticate(app, &request.headers).await?;
    app.rates.take(record.id, Instant::now()).map_err(|wait| {
        let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
        let rate = app.config.requests_per_s_per_key;
        Problem::new(Code::RateLimited, format!("this key may make {rate} requests a second")).retry_after_s(seconds)
    })?;
    if door == Door::Operator && record.role != Role::Operator {
        return Err(Problem::new(Code::OperatorOnly, "this key is a tenant's; only an operator may do this"));
    }
    let scope = scope(app, record.role, request.uri.query()).await?;
    if let (Role::Tenant(tenant), false) = (record.role, is_safe(&request.method)) {
        let tenant = app.asked(app.backend.tenant(tenant)).await?;
        if tenant.state == TenantState::Suspended {
            return Err(Problem::new(Code::TenantSuspended, format!("the tenant `{}` is suspended", tenant.id)));
        }
    }
    Ok(Caller { key: record.id, role: record.role, scope })
}

/// Unknown, wrong and malformed keys get the same answer.
pub(crate) async fn authenticate(app: &App, headers: &HeaderMap) -> Result<KeyRecord> {
    let refused = || {
        Problem::new(Code::Unauthorized, "this route needs `Authorization: Bearer` with a valid API key")
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"callbox\""))
    };
    let presented = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    let presented = presented.and_then(Presented::read).ok_or_else(refused)?;
    let record = app.asked(app.backend.key(presented.id)).await?;
    let opens = presented.opens(record.as_ref());
    record.filter(|_| opens).ok_or_else(refused)
}

/// The scheme's name has no case (RFC 9110, section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// A tenant's key acts within its tenant; an operator's within the one that `?tenant=` names.
async fn scope(app: &App, role: Role, query: Option<&str>) -> Result<Scope> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query.unwrap_or_default()).unwrap_or_default();
    let mut named = pairs.iter().filter(|(name, _)| name == "tenant").map(|(_, value)| value.as_str());
    let Some(text) = named.next() else {
        return Ok(match role {
            Role::Operator => Scope::All,
            Role::Tenant(own) => Scope::Tenant(own),
        });
    };
    if named.next().is_some() {
        return Err(Problem::field(Code::BadQuery, "tenant", "stands twice"));
    }
    let tenant: TenantId =
        text.parse().map_err(|error| Problem::field(Code::BadQuery, "tenant", format!("{error}")))?;
    match role {
        Role::Tenant(own) if own == tenant => {}
        Role::Tenant(_) => return Err(Problem::not_found("tenant", tenant)),
        Role::Operator => {
            app.asked(app.backend.tenant(tenant)).await?;
        }
    }
    Ok(Scope::Tenant(tenant))
}

pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
