//! Users: phones that register in a tenant's domains. Passwords are written, never shown, but for
//! those that are made here: once.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use callbox_model::UserId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::page::Asked;
use super::{created, unkept};
use crate::Password;
use crate::app::App;
use crate::backend::UserFilter;
use crate::door::Caller;
use crate::extract::{Body, Path, Query};
use crate::problem::Result;
use crate::views::{List, User, UserBody, UserPatch, UserWithPassword};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct UserQuery {
    /// Only those in the domain of this name.
    domain: Option<String>,
    /// Only those of this name: one in each domain.
    name: Option<String>,
    /// `next` of the piece before.
    #[param(value_type = Option<String>)]
    after: Option<UserId>,
    limit: Option<u32>,
}

/// Users, oldest first
#[utoipa::path(get, path = "/v1/users", tag = "users", params(UserQuery), responses(
    (status = 200, description = "A piece of the list", body = List<User>)
))]
pub(super) async fn list_users(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<UserQuery>,
) -> Result<Json<List<User>>> {
    let mut asked = Asked::new(&app, query.after, query.limit)?;
    let filter = UserFilter { domain: query.domain.map(|name| name.to_ascii_lowercase()), name: query.name };
    let users = app.backend.users(caller.scope, filter, asked.page()).await?;
    Ok(Json(asked.list(users, |user| user.id.to_string())))
}

/// Make a user
#[utoipa::path(post, path = "/v1/users", tag = "users", request_body = UserBody, responses(
    (status = 201, description = "Made. A password that was made for it is shown this once", body = UserWithPassword)
))]
pub(super) async fn create_user(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<UserBody>,
) -> Result<Response> {
    let tenant = caller.tenant()?;
    let (user, made) = body.check()?;
    let user = app.backend.create_user(tenant, user).await?;
    Ok(unkept(created(format!("/v1/users/{}", user.id), with_password(user, made))))
}

/// One user
#[utoipa::path(get, path = "/v1/users/{id}", tag = "users", params(("id" = String, Path)), responses(
    (status = 200, description = "The user", body = User)
))]
pub(super) async fn get_user(State(app): State<App>, caller: Caller, Path(id): Path<UserId>) -> Result<Json<User>> {
    Ok(Json(app.backend.user(caller.scope, id).await?.into()))
}

/// Give a user another password, or another display name
#[utoipa::path(patch, path = "/v1/users/{id}", tag = "users", params(("id" = String, Path)),
    request_body = UserPatch, responses(
        (status = 200, description = "The user as it is now. A password that was made for it is shown this once",
            body = UserWithPassword)
))]
pub(super) async fn change_user(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<UserId>,
    Body(body): Body<UserPatch>,
) -> Result<Response> {
    let (change, made) = body.check()?;
    let user = app.backend.change_user(caller.scope, id, change).await?;
    Ok(unkept(Json(with_password(user, made)).into_response()))
}

/// Delete a user
#[utoipa::path(delete, path = "/v1/users/{id}", tag = "users", params(("id" = String, Path)), responses(
    (status = 204, description = "Gone, with its registrations")
))]
pub(super) async fn delete_user(State(app): State<App>, caller: Caller, Path(id): Path<UserId>) -> Result<StatusCode> {
    app.backend.delete_user(caller.scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn with_password(user: callbox_model::User, made: Option<Password>) -> UserWithPassword {
    UserWithPassword { user: user.into(), password: made.map(|password| password.as_str().to_owned()) }
}
