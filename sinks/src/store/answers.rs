//! What goes on of a store's refusal: its status, code, message and request id. Stores repeat in the rest
//! what they were sent, session tokens among it, and all of it would stand in errors and logs.

use std::fmt::Write;

use object_store::client::{HttpError, HttpResponse};
use serde_json::Value;

/// Characters of a code or a message that go on.
const LONGEST: usize = 300;
/// Shorter ones are no secrets, and would blot out words.
const SHORTEST_SECRET: usize = 8;
const REQUEST_IDS: [&str; 3] = ["x-amz-request-id", "x-ms-request-id", "x-guploader-uploadid"];

/// What an answer must not repeat of the headers of a request.
pub(super) fn secrets(headers: &object_store::HeaderMap) -> Vec<String> {
    const SECRET: [&str; 4] = ["authorization", "token", "secret", "customer-key"];
    let is_secret = |name: &str| SECRET.iter().any(|part| name.contains(part));
    let secret = headers.iter().filter(|(name, _)| is_secret(name.as_str()));
    let values = secret.filter_map(|(_, value)| value.to_str().ok());
    // Of an authorization, what stands behind the scheme, or is the signature.
    let parts = values.flat_map(|value| {
        let last = value.rsplit(' ').next().unwrap_or(value);
        [value, last.strip_prefix("Signature=").unwrap_or(last)]
    });
    parts.filter(|part| part.len() >= SHORTEST_SECRET).map(str::to_owned).collect()
}

/// The same answer; where it is a refusal, with [`told`] as its body. `may_refuse`:
/// with a status of success, too.
pub(super) async fn without_secrets(
    response: HttpResponse,
    may_refuse: bool,
    secrets: &[String],
) -> Result<HttpResponse, HttpError> {
    let status = response.status();
    let is_refusal = status.is_client_error() || status.is_server_error();
    let may_be_one = is_refusal || (may_refuse && status.is_success());
    if !may_be_one {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = body.bytes().await?;
    let text = String::from_utf8_lossy(&bytes);
    if !is_refusal && !text.contains("<Error>") {
        return Ok(HttpResponse::from_parts(parts, bytes.into()));
    }
    let header = REQUEST_IDS.iter().find_map(|name| parts.headers.get(*name)?.to_str().ok());
    let mut told = told(&text, header);
    for secret in secrets {
        told = told.replace(secret.as_str(), "***");
    }
    if !is_refusal {
        told = format!("<Error>{told}</Error>");
    }
    Ok(HttpResponse::from_parts(parts, told.into()))
}

/// `code: message (request id)`, as far as the body has them; `header` is the id that stands beside it.
fn told(body: &str, header: Option<&str>) -> String {
    let json = || serde_json::from_str::<Value>(body).ok();
    let [code, message, id] = if body.trim_start().starts_with('{') {
        json().map_or_else(Default::default, |json| of_json(&json))
    } else {
        [&["Code"], &["Message"], &["RequestId"]].map(|names| element(body, names[0]).map(unescaped))
    };
    let id = id.or_else(|| header.map(str::to_owned));
    let mut told = code.map_or_else(String::new, |code| one_line(&code));
    if let Some(message) = message.map(|message| one_line(&message)).filter(|message| !message.is_empty()) {
        let colon = if told.is_empty() { "" } else { ": " };
        let _ = write!(told, "{colon}{message}");
    }
    if let Some(id) = id.map(|id| one_line(&id)).filter(|id| !id.is_empty()) {
        let space = if told.is_empty() { "" } else { " " };
        let _ = write!(told, "{space}(request {id})");
    }
    told
}

/// As Google's APIs and the places where tokens come from answer.
fn of_json(body: &Value) -> [Option<String>; 3] {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let of = |value: &Value, names: &[&str]| names.iter().find_map(|name| text(value.get(name)?));
    let error = body.get("error").filter(|error| error.is_object()).unwrap_or(body);
    let code = of(error, &["error", "status", "code", "Code", "__type"]);
    let message = of(error, &["message", "error_description", "Message"]);
    [code, message, of(error, &["requestId", "RequestId", "trace_id"])]
}

/// The text of the first element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

fn unescaped(text: &str) -> String {
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    plain.replace("&apos;", "'").replace("&#39;", "'").replace("&amp;", "&")
}

fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(end);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_refusal_code_message_and_request_id_are_told_and_nothing_else() {
        let s3 = "<?xml version=\"1.0\"?><Error><Code>InvalidToken</Code><Message>The provided token is\n malformed &amp; \
                  invalid.</Message><Token-0>planted</Token-0><CanonicalRequest>x-amz-security-token:planted\
                  </CanonicalRequest><RequestId>4442587FB7D0A2F9</RequestId></Error>";
        let expected = "InvalidToken: The provided token is malformed & invalid. (request 4442587FB7D0A2F9)";
        assert_eq!(told(s3, Some("other")), expected);
        let google = r#"{"error": {"code": 403, "message": "denied", "status": "PERMISSION_DENIED", "details": "planted"}}"#;
        assert_eq!(told(google, None), "PERMISSION_DENIED: denied");
        let token = r#"{"error": "invalid_grant", "error_description": "bad", "assertion": "planted"}"#;
        assert_eq!(told(token, Some("7")), "invalid_grant: bad (request 7)");
        assert_eq!(told("<html>planted</html>", Some("7")), "(request 7)");
        assert_eq!(told("planted", None), "");
    }

    #[tokio::test]
    async fn a_message_that_repeats_a_secret_of_the_request_is_told_without_it() {
        let mut headers = object_store::HeaderMap::new();
        headers.insert("x-amz-security-token", "planted-token".parse().unwrap());
        headers.insert("authorization", "Bearer planted-bearer".parse().unwrap());
        headers.insert("x-amz-date", "20260101T000000Z".parse().unwrap());
        let signed = "AWS4-HMAC-SHA256 Credential=AKIA/x, SignedHeaders=host, Signature=planted-signature";
        headers.insert("proxy-authorization", signed.parse().unwrap());
        let secrets = secrets(&headers);
        let body = "<Error><Code>X</Code><Message>20260101T000000Z planted-token planted-bearer \
                    planted-signature AWS4-HMAC-SHA256</Message></Error>";
        for (status, may_refuse) in [(400, false), (503, false), (200, true)] {
            let mut response = HttpResponse::new(body.to_owned().into());
            *response.status_mut() = status.try_into().unwrap();
            let told = without_secrets(response, may_refuse, &secrets).await.unwrap();
            let told = String::from_utf8(told.into_body().bytes().await.unwrap().to_vec()).unwrap();
            assert!(told.contains("X: 20260101T000000Z *** *** *** AWS4-HMAC-SHA256"), "{told}");
        }
        let whole = HttpResponse::new(body.to_owned().into());
        let whole = without_secrets(whole, false, &secrets).await.unwrap();
        assert_eq!(whole.into_body().bytes().await.unwrap(), body, "an object is what it is");
    }
}
