//! The API's own description: OpenAPI, made of the routes that are served.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Method;
use utoipa::OpenApi as _;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;

use super::access::{Access, is_changing};
use super::problem::Problem;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Tidegate",
        description = "One job that moves Kafka records into Parquet tables, exactly once."
    ),
    components(schemas(Problem))
)]
struct Head;

/// Problems that any request may meet.
const ANY: [(&str, &str); 5] = [
    ("400", "The request cannot be read"),
    ("401", "The token is missing or wrong"),
    ("403", "Asked from where it may not be asked"),
    ("500", "What is stored does not read, or was written by a newer version"),
    ("503", "The store does not answer in time"),
];

/// And those that only a request that changes something may meet.
const CHANGING: [(&str, &str); 4] = [
    ("408", "The body was not whole in time"),
    ("413", "The body is too large"),
    ("415", "The body is not `application/json`"),
    ("422", "The body has an unknown field, or a value that does not fit"),
];

/// Name of the security scheme.
const TOKEN: &str = "token";

/// An empty API, to which routes are added.
pub(super) fn head<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::with_openapi(Head::openapi())
}

/// Adds what holds for every route alike, and which of them need the token as the server stands.
pub(super) fn complete(mut document: OpenApi, access: &Access) -> OpenApi {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("`http.token` of the job file"))
        .build();
    document.components.get_or_insert_default().add_security_scheme(TOKEN, SecurityScheme::Http(scheme));
    for item in document.paths.paths.values_mut() {
        let operations = [
            (Method::GET, &mut item.get),
            (Method::PUT, &mut item.put),
            (Method::POST, &mut item.post),
            (Method::DELETE, &mut item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            declare(operation, &ANY);
            if is_changing(&method) {
                declare(operation, &CHANGING);
            }
            if access.needs_token(&method) {
                operation.security = Some(vec![SecurityRequirement::new(TOKEN, [""; 0])]);
            }
        }
    }
    document
}

fn declare(operation: &mut Operation, problems: &[(&str, &str)]) {
    for (status, description) in problems {
        let response = || RefOr::T(problem(description));
        operation.responses.responses.entry((*status).to_owned()).or_insert_with(response);
    }
}

fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}

/// Answers with the document.
pub(super) async fn document(State(document): State<Arc<OpenApi>>) -> Json<OpenApi> {
    Json(OpenApi::clone(&document))
}
