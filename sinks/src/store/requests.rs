//! Counts what leaves for an object store, each repeated request too: all of them are on somebody's bill. Of
//! a refusal that comes back, only what it says in so many words goes on.

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use super::answering::Asked;
use super::answers;

/// The name under which requests are counted; label `operation`.
pub const REQUESTS: &str = "tidegate_store_requests_total";

/// What a request may be. Parts of an upload are requests too; `other` is what credentials take.
pub const OPERATIONS: [&str; 12] = [
    "get",
    "head",
    "list",
    "put",
    "put_if_absent",
    "copy",
    "delete",
    "begin_upload",
    "upload_part",
    "finish_upload",
    "abort_upload",
    "other",
];

/// Connects as object_store does, and counts.
#[derive(Debug, Default)]
pub(super) struct Counting(ReqwestConnector);

impl HttpConnector for Counting {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Counted(self.0.connect(options)?)))
    }
}

#[derive(Debug)]
struct Counted(HttpClient);

#[async_trait]
impl HttpService for Counted {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let has = |name: &str| request.headers().contains_key(name);
        let operation = operation(request.method().as_str(), request.uri().query().unwrap_or(""), has);
        metrics::counter!(REQUESTS, "operation" => operation).increment(1);
        let secrets = answers::secrets(request.headers());
        let asked = Asked::now();
        let response = self.0.execute(request).await;
        match &response {
            Ok(answer) if answer.status().is_server_error() || answer.status().as_u16() == 429 => {
                asked.failed(format!("status {}", answer.status().as_u16()));
            }
            Ok(_) => asked.answered(),
            // The whole error may name the address with what it signs in by.
            Err(error) => asked.failed(format!("{:?}", error.kind())),
        }
        // S3 refuses these two with a status of success, too.
        let may_refuse = matches!(operation, "copy" | "finish_upload");
        answers::without_secrets(response?, may_refuse, &secrets).await
    }
}

/// Of S3's protocol, of GCS's, which is like it, or of Azure's: what a request asks
/// for, by its query and the names of its headers.
fn operation(method: &str, query: &str, has_header: impl Fn(&str) -> bool) -> &'static str {
    let parameter = |name: &str| {
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    };
    let is_copy =
        ["x-amz-copy-source", "x-goog-copy-source", "x-ms-copy-source"].iter().any(|name| has_header(name));
    let is_conditional = has_header("if-none-match") || has_header("x-goog-if-generation-match");
    match (method, parameter("comp")) {
        ("GET", Some("list")) => "list",
        ("GET", None) if parameter("list-type").is_some() => "list",
        ("GET", None) if parameter("Action").is_none() => "get",
        ("HEAD", _) => "head",
        ("PUT", Some("block")) => "upload_part",
        ("PUT", Some("blocklist")) => "finish_upload",
        ("PUT", None) if parameter("partNumber").is_some() => "upload_part",
        ("PUT", None) if is_copy => "copy",
        ("PUT", None) if is_conditional => "put_if_absent",
        ("PUT", None) => "put",
        ("POST", Some("batch")) => "delete",
        ("POST", None) if parameter("delete").is_some() => "delete",
        ("POST", None) if parameter("uploads").is_some() => "begin_upload",
        ("POST", None) if parameter("uploadId").is_some() => "finish_upload",
        ("DELETE", None) if parameter("uploadId").is_some() => "abort_upload",
        ("DELETE", None) => "delete",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_its_method_its_query_and_its_headers() {
        for (method, query, header, expected) in [
            ("GET", "", "", "get"),
            ("GET", "versionId=1", "range", "get"),
            ("GET", "list-type=2&prefix=a", "", "list"),
            ("GET", "restype=container&comp=list", "", "list"),
            ("HEAD", "", "", "head"),
            ("PUT", "", "", "put"),
            ("PUT", "", "if-none-match", "put_if_absent"),
            ("PUT", "", "x-goog-if-generation-match", "put_if_absent"),
            ("PUT", "", "x-amz-copy-source", "copy"),
            ("PUT", "", "x-goog-copy-source", "copy"),
            ("PUT", "", "x-ms-copy-source", "copy"),
            ("POST", "uploads=", "", "begin_upload"),
            ("PUT", "partNumber=2&uploadId=x", "", "upload_part"),
            ("PUT", "comp=block&blockid=x", "", "upload_part"),
            ("POST", "uploadId=x", "", "finish_upload"),
            ("PUT", "comp=blocklist", "", "finish_upload"),
            ("DELETE", "uploadId=x", "", "abort_upload"),
            ("DELETE", "", "", "delete"),
            ("POST", "delete", "", "delete"),
            ("POST", "restype=container&comp=batch", "", "delete"),
            ("GET", "Action=AssumeRoleWithWebIdentity", "", "other"),
            ("POST", "", "", "other"),
        ] {
            let found = operation(method, query, |name| name == header);
            assert_eq!(found, expected, "{method} ?{query} with {header:?}");
            assert!(OPERATIONS.contains(&found));
        }
    }
}
