//! The routes, the doors they stand behind, and the document that is made from them.

mod applications;
mod assets;
mod calls;
mod domains;
mod errors;
mod events;
mod keys;
mod modules;
mod node;
mod numbers;
mod page;
mod recordings;
mod registrations;
mod secrets;
mod tenants;
mod trunks;
mod usage;
mod users;

use axum::extract::DefaultBodyLimit;
use axum::http::header::{CACHE_CONTROL, ETAG, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};
use bytes::Bytes;
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::door::{self, Door, Intake};
use crate::finish::{finish, note_route, panicked};
use crate::openapi;

type Routes = OpenApiRouter<App>;

pub(crate) fn router(app: &App) -> Router {
    let config = &app.config;
    let json = Intake::json(config);
    // Where groups share a path, the last one's door is passed by methods that none of them has: the
    // widest comes last, so that a tenant is told of the method and not of operators.
    let groups = [
        (Door::Open, json, open()),
        (Door::Operator, json, operator()),
        (Door::Keyed, Intake::wasm(config), Routes::default().routes(routes!(modules::upload_module))),
        (Door::Keyed, Intake::wav(config), Routes::default().routes(routes!(assets::put_asset))),
        (Door::Keyed, json, keyed()),
    ];
    let (mut router, mut document) = (Router::new(), openapi::empty());
    for (door, intake, group) in groups {
        let (routes, mut part) = group.split_for_parts();
        openapi::describe(&mut part, door);
        router =
            router.merge(routes.route_layer(middleware::from_fn_with_state((app.clone(), door, intake), door::enter)));
        document.merge(part);
    }
    keep(app, &document);
    router
        // Bodies are counted at the door, each kind by its own limit.
        .layer(DefaultBodyLimit::disable())
        .route_layer(middleware::from_fn(note_route))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(app.clone(), finish))
        .with_state(app.clone())
}

fn open() -> Routes {
    Routes::default()
        .routes(routes!(openapi::openapi))
        .routes(routes!(errors::list_errors))
        .routes(routes!(errors::get_error))
}

fn keyed() -> Routes {
    Routes::default()
        .routes(routes!(tenants::get_tenant))
        .routes(routes!(numbers::list_numbers))
        .routes(routes!(numbers::get_number, numbers::bind_number, numbers::change_number))
        .routes(routes!(modules::list_modules))
        .routes(routes!(modules::get_module, modules::change_module))
        .routes(routes!(applications::list_applications, applications::create_application))
        .routes(routes!(
            applications::get_application,
            applications::replace_application,
            applications::delete_application
        ))
        .routes(routes!(secrets::list_secrets))
        .routes(routes!(secrets::put_secret, secrets::delete_secret))
        .routes(routes!(assets::list_assets))
        .routes(routes!(assets::get_asset, assets::delete_asset))
        .routes(routes!(domains::list_domains))
        .routes(routes!(domains::get_domain))
        .routes(routes!(users::list_users, users::create_user))
        .routes(routes!(users::get_user, users::change_user, users::delete_user))
        .routes(routes!(registrations::list_registrations, registrations::delete_registrations))
        .routes(routes!(trunks::list_trunks, trunks::create_trunk))
        .routes(routes!(trunks::get_trunk, trunks::replace_trunk, trunks::delete_trunk))
        .routes(routes!(calls::list_calls, calls::place_call))
        .routes(routes!(calls::get_call))
        .routes(routes!(calls::get_timeline))
        .routes(routes!(calls::list_runs))
        .routes(routes!(calls::hang_up))
        .routes(routes!(calls::send_message))
        .routes(routes!(recordings::list_recordings))
        .routes(routes!(recordings::get_recording))
        .routes(routes!(recordings::get_recording_audio))
        .routes(routes!(usage::get_usage))
        .routes(routes!(usage::get_outbound))
        .routes(routes!(events::list_events))
        .routes(routes!(events::stream_events))
        .routes(routes!(node::list_limits))
}

fn operator() -> Routes {
    Routes::default()
        .routes(routes!(tenants::list_tenants, tenants::create_tenant))
        .routes(routes!(tenants::change_tenant))
        .routes(routes!(keys::list_keys, keys::create_key))
        .routes(routes!(keys::delete_key))
        .routes(routes!(keys::list_tenant_keys, keys::create_tenant_key))
        .routes(routes!(keys::delete_tenant_key))
        .routes(routes!(numbers::create_number))
        .routes(routes!(numbers::delete_number))
        .routes(routes!(domains::create_domain))
        .routes(routes!(domains::change_domain, domains::delete_domain))
        .routes(routes!(node::get_node))
}

fn keep(app: &App, document: &OpenApi) {
    match serde_json::to_vec(document) {
        Ok(bytes) => drop(app.document.set(Bytes::from(bytes))),
        Err(error) => tracing::error!(%error, "the OpenAPI document cannot be written"),
    }
}

/// 201, with where the new thing is.
fn created<T: Serialize>(path: String, body: T) -> Response {
    let mut response = (StatusCode::CREATED, Json(body)).into_response();
    if let Ok(path) = HeaderValue::from_str(&path) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}

fn with_revision(mut response: Response, revision: u64) -> Response {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(ETAG, value);
    }
    response
}

/// For answers that nobody in between may keep.
fn unkept(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
