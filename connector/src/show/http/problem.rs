//! What a request gets that is not done: a problem as of RFC 9457, and where it comes from.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tidegate_sinks::{Error, Kind};
use utoipa::ToSchema;

use crate::error::RunError;

/// A browser waits about this long before its user gives up; a healthy store answers in a tenth of it.
const STORE_ANSWER_MAX: Duration = Duration::from_secs(10);

/// Why a request was not done, as `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the status says the kind.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, and what to do about it.
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: detail.into(),
        }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"tidegate\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = match error.kind {
            Kind::Retry => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Config | Kind::Corrupt | Kind::Refused => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        let status = match error {
            RunError::Config(..) => StatusCode::UNPROCESSABLE_ENTITY,
            RunError::Refused(..) => StatusCode::CONFLICT,
            RunError::Failed(..) => StatusCode::SERVICE_UNAVAILABLE,
            RunError::Corrupt(..) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}

/// The store's answer, waited for only so long as whoever asked is likely to.
pub(super) async fn in_time<T, E: Into<Problem>>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(STORE_ANSWER_MAX, answer).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => {
            let limit = STORE_ANSWER_MAX.as_secs();
            Err(Problem::unavailable(format!("the store has not answered within {limit} s; ask again")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_store_that_does_not_answer_is_a_problem_in_time() {
        let problem = in_time(std::future::pending::<Result<(), Error>>()).await.unwrap_err();
        assert_eq!(problem.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
        let refused =
            in_time(async { Err::<(), _>(Error::new(Kind::Retry, "no answer")) }).await.unwrap_err();
        assert_eq!((refused.status, refused.detail.as_str()), (503, "no answer"));
    }
}
