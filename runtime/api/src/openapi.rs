//! The OpenAPI document: made from the routes, then given what all routes of a door have in common.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use crate::app::App;
use crate::door::Door;
use crate::problem::{FieldError, ProblemBody};

/// This document
#[utoipa::path(get, path = "/v1/openapi.json", tag = "node", responses(
    (status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object)
))]
pub(crate) async fn openapi(State(app): State<App>) -> Response {
    let document = app.document.get().cloned().unwrap_or_default();
    ([(CONTENT_TYPE, "application/json")], document).into_response()
}

pub(crate) fn empty() -> OpenApi {
    let info = InfoBuilder::new()
        .title("callbox")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Modules, applications, numbers, users, trunks and calls of a callbox node. Errors are problem bodies (RFC 9457); \
             `/v1/errors` explains their codes.",
        ))
        .license(Some(utoipa::openapi::License::new("Apache-2.0")))
        .build();
    let mut key = Http::new(HttpAuthScheme::Bearer);
    key.description = Some("An API key: `cbx_…`".to_owned());
    let components = ComponentsBuilder::new()
        .security_scheme(SCHEME, SecurityScheme::Http(key))
        .schema(ProblemBody::name(), ProblemBody::schema())
        .schema(FieldError::name(), FieldError::schema())
        .build();
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

pub(crate) fn describe(document: &mut OpenApi, door: Door) {
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            describe_operation(operation, door, method, path);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::Get, &mut item.get),
        (Method::Put, &mut item.put),
        (Method::Post, &mut item.post),
        (Method::Patch, &mut item.patch),
        (Method::Delete, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Put,
    Post,
    Patch,
    Delete,
}

fn describe_operation(operation: &mut Operation, door: Door, method: Method, path: &str) {
    let has_body = operation.request_body.is_some();
    let mut refusals: Vec<(&str, &str)> = vec![
        ("400", "The request cannot be read"),
        ("429", "Too many requests, or a limit is reached"),
        ("500", "The node failed"),
        ("503", "Not available now"),
        ("504", "No answer in time"),
    ];
    if door != Door::Open {
        operation.security = Some(vec![SecurityRequirement::new(SCHEME, Vec::<String>::new())]);
        refusals.push(("401", "No valid API key"));
        refusals.push(("404", "Not there, or not within what the key may see"));
        add(operation, tenant_parameter());
    } else if path.contains('{') {
        refusals.push(("404", "Not there"));
    }
    if door == Door::Operator {
        refusals.push(("403", "For operators only"));
    } else if door == Door::Keyed && method != Method::Get {
        refusals.push(("403", "The tenant is suspended, or this is an operator's to do"));
    }
    if has_body {
        refusals.extend([
            ("408", "The body did not arrive in time"),
            ("413", "The body is too large"),
            ("415", "The body is of another type"),
            ("422", "Values of the body are wrong"),
        ]);
    }
    if method != Method::Get {
        refusals.push(("409", "It does not go with what is there"));
    }
    if method == Method::Post {
        add(operation, idempotency_parameter());
        if !has_body {
            refusals.push(("422", "The Idempotency-Key came with another request before"));
        }
    }
    for (status, description) in refusals {
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(ResponseBuilder::new().description(description).build()));
    }
    for (status, response) in &mut operation.responses.responses {
        if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response) {
            let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemBody::name()))).build();
            response.content.insert("application/problem+json".to_owned(), problem.into());
        }
    }
}

fn add(operation: &mut Operation, parameter: Parameter) {
    operation.parameters.get_or_insert_default().push(parameter.into());
}

fn tenant_parameter() -> Parameter {
    let description = "The tenant to act within, for operators. A tenant's key has its own.";
    string_parameter("tenant", ParameterIn::Query, description)
}

fn idempotency_parameter() -> Parameter {
    let description = "The same request under the same key is carried out once. Remembered for 24 hours.";
    string_parameter("Idempotency-Key", ParameterIn::Header, description)
}

fn string_parameter(name: &str, place: ParameterIn, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).build()))
        .build()
}

const SCHEME: &str = "key";
