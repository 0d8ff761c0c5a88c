//! What requests carry, read so that a refusal is a problem like any other, and names what is not known.

use axum::Json;
use axum::body::{Body as RawBody, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::problem::Problem;

/// The query of the address.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Query(asked) = axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(asked))
    }
}

/// A part of the address's path.
pub(super) struct Path<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Path(part) = axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(part))
    }
}

/// A JSON object.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        // A struct would be read out of a list as well, which is not what the description says.
        let Json(fields) = Json::<Map<String, Value>>::from_request(request, state).await?;
        let read = T::deserialize(Value::Object(fields));
        let refused = |error: serde_json::Error| {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("the body does not fit: {error}"))
        };
        read.map(Self).map_err(refused)
    }
}

/// A JSON object that may be left out, or null: then it is an empty one.
pub(super) struct OptionalBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let mut bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), state)
            .await
            .map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
        if bytes.is_empty() {
            // A form says what it is even when it is empty.
            let json = header::HeaderValue::from_static("application/json");
            parts.headers.entry(header::CONTENT_TYPE).or_insert(json);
        }
        if bytes.is_empty() || bytes.trim_ascii() == b"null" {
            bytes = Bytes::from_static(b"{}");
        }
        let request = Request::from_parts(parts, RawBody::from(bytes));
        let Body(read) = Body::from_request(request, state).await?;
        Ok(Self(read))
    }
}

/// Nothing, or an empty object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}
