//! Modules: uploaded once, immutable, switched on and off.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use callbox_model::ModuleId;
use callbox_model::ModuleState::{Disabled, Quarantined, Ready};
use serde::Deserialize;
use utoipa::IntoParams;

use super::created;
use super::page::Asked;
use crate::app::App;
use crate::backend::ModuleFilter;
use crate::door::Caller;
use crate::extract::{Body, Path, Query};
use crate::problem::{Code, Problem, Result};
use crate::views::{Fields, List, Module, ModulePatch, ModuleState};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ModuleQuery {
    /// All versions of this name.
    name: Option<String>,
    #[param(inline)]
    state: Option<ModuleState>,
    /// `next` of the piece before.
    #[param(value_type = Option<String>)]
    after: Option<ModuleId>,
    limit: Option<u32>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadQuery {
    /// The next version of this name is made.
    #[param(min_length = 1, max_length = 64, pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]*$")]
    name: String,
}

/// Modules, newest first
#[utoipa::path(get, path = "/v1/modules", tag = "modules", params(ModuleQuery), responses(
    (status = 200, description = "A piece of the list", body = List<Module>)
))]
pub(super) async fn list_modules(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ModuleQuery>,
) -> Result<Json<List<Module>>> {
    let mut asked = Asked::new(&app, query.after, query.limit)?;
    let filter = ModuleFilter { name: query.name, state: query.state.map(Into::into) };
    let modules = app.backend.modules(caller.scope, filter, asked.page()).await?;
    Ok(Json(asked.list(modules, |module| module.id.to_string())))
}

/// Upload a module: a component, or a core module with its WIT metadata
///
/// It is checked, compiled and described before the answer comes, which takes as long as its size
/// asks for. Why a module was not let in, `code` and `detail` of the problem say.
#[utoipa::path(post, path = "/v1/modules", tag = "modules", params(UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses((status = 201, description = "Taken in", body = Module)))]
pub(super) async fn upload_module(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<UploadQuery>,
    component: Bytes,
) -> Result<Response> {
    let tenant = caller.tenant()?;
    let mut fields = Fields::default();
    fields.hold_name("name", &query.name);
    fields.done()?;
    let module = app.backend.upload_module(tenant, query.name, component).await?;
    Ok(created(format!("/v1/modules/{}", module.id), Module::from(module)))
}

/// One version of a module
#[utoipa::path(get, path = "/v1/modules/{id}", tag = "modules", params(("id" = String, Path)), responses(
    (status = 200, description = "The module", body = Module)
))]
pub(super) async fn get_module(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ModuleId>,
) -> Result<Json<Module>> {
    Ok(Json(app.backend.module(caller.scope, id).await?.into()))
}

/// Switch a module on or off
#[utoipa::path(patch, path = "/v1/modules/{id}", tag = "modules", params(("id" = String, Path)),
    request_body = ModulePatch, responses((status = 200, description = "The module as it is now", body = Module)))]
pub(super) async fn change_module(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ModuleId>,
    Body(body): Body<ModulePatch>,
) -> Result<Json<Module>> {
    let module = app.backend.module(caller.scope, id).await?;
    let to = body.state.into();
    match (module.state, to) {
        (from, to) if from == to => return Ok(Json(module.into())),
        (Ready | Disabled, Ready | Disabled) => {}
        (Quarantined, _) | (_, Quarantined) if caller.is_operator() => {}
        (Quarantined, _) | (_, Quarantined) => {
            let detail = format!("only an operator may put the module `{id}` into quarantine, or take it out");
            return Err(Problem::new(Code::OperatorOnly, detail));
        }
    }
    Ok(Json(app.backend.change_module_state(caller.scope, id, module.state, to).await?.into()))
}
