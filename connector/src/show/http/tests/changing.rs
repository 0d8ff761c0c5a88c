//! What the API asks of the replicas, and what it refuses to ask.

use serde_json::json;

use super::*;

/// A request with a body, of this type.
fn with(method: Method, path: &str, kind: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
    let request = kind.into_iter().fold(request, |request, kind| request.header(header::CONTENT_TYPE, kind));
    request.body(body.into()).unwrap()
}

impl Scene {
    async fn send(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let path = format!("/api/v1{path}");
        let request = with(method, &path, Some("application/json"), body.to_string());
        let response = self.ask(HERE, request).await;
        (response.status().as_u16(), json(response).await)
    }

    /// Every route that changes the job, as the document has it.
    async fn changing(&self) -> Vec<(Method, String)> {
        let (_, document) = self.get("/api/v1/openapi.json").await;
        let paths = document["paths"].as_object().unwrap().iter();
        let routes = paths.flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys().filter(|method| *method != "get");
            methods.map(|method| (method.to_uppercase().parse().unwrap(), path.clone()))
        });
        routes.collect()
    }
}

#[tokio::test]
async fn what_is_asked_is_written_for_all_replicas() {
    let scene = scene().await;
    for (n, path) in ["/checkpoints", "/pause", "/resume", "/stop"].iter().enumerate() {
        let (status, asked) = scene.send(Method::POST, path, &json!({})).await;
        assert_eq!((status, asked["control"].as_u64()), (202, Some(n as u64 + 1)), "{path}");
    }
    let control = scene.shown.board.newest().await.unwrap().unwrap();
    assert!(control.stopped && !control.paused && control.checkpoint == 1, "{control:?}");
}

#[tokio::test]
async fn a_byte_limit_is_set_and_given_back_to_the_job_file() {
    let scene = scene().await;
    for (sent, told, is_asked) in [
        (json!(5_000_000), 5_000_000, true),
        (json!(7.0), 7, true),
        (json!(0), 0, true),
        (json!(null), 0, false),
    ] {
        assert_eq!(scene.send(Method::PUT, "/speed", &json!({"bytes_per_second": sent})).await.0, 202);
        let (_, speed) = scene.get("/api/v1/speed").await;
        assert_eq!(
            (&speed["bytes_per_second"], &speed["is_asked"]),
            (&json!(told), &json!(is_asked)),
            "{sent}"
        );
    }
    for (wrong, says) in [
        (json!({}), "bytes_per_second"),
        (json!({"bytes_per_seconds": 1}), "bytes_per_seconds"),
        (json!({"bytes_per_second": -1}), "no whole number"),
        (json!({"bytes_per_second": 0.5}), "no whole number"),
        (json!({"bytes_per_second": 9_007_199_254_740_992_u64}), "no whole number"),
        (json!({"bytes_per_second": "1MB"}), "expected a JSON number"),
        (json!([1]), "expected a map"),
    ] {
        let (status, problem) = scene.send(Method::PUT, "/speed", &wrong).await;
        assert_eq!(status, 422, "{wrong}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{wrong}: {problem}");
    }
}

#[tokio::test]
async fn a_savepoint_is_started_once_and_told_of() {
    let scene = scene().await;
    let (status, started) = scene.send(Method::POST, "/savepoints", &json!({})).await;
    assert_eq!(status, 202, "{started}");
    let id = started["id"].as_str().unwrap();
    assert!(started["uri"].as_str().unwrap().ends_with(&format!("/savepoints/{id}")), "{started}");
    let (_, savepoint) = scene.get(&format!("/api/v1/savepoints/{id}")).await;
    assert_eq!(savepoint["state"], "in_progress");
    assert_eq!(scene.send(Method::POST, "/savepoints", &json!({})).await.0, 409, "one after another");
    assert_eq!(scene.get("/api/v1/savepoints/none").await.0, StatusCode::NOT_FOUND);
    assert_eq!(scene.send(Method::POST, "/savepoints", &json!({"to": "nowhere"})).await.0, 422);
}

#[tokio::test]
async fn what_a_form_or_a_flood_sends_is_not_read() {
    let scene = scene().await;
    let routes = scene.changing().await;
    assert!(routes.len() >= 6, "{routes:?}");
    for (method, path) in routes {
        for (kind, body, status) in [
            (Some("application/x-www-form-urlencoded"), "stop=true".to_owned(), 415),
            (Some("text/plain"), String::new(), 415),
            (None, "{}".to_owned(), 415),
            (Some("application/json"), "{".to_owned(), 400),
            (Some("application/json"), "{\"no_such\": 1}".to_owned(), 422),
            (Some("application/json"), "[]".to_owned(), 422),
            (Some("application/json"), " ".repeat(1 << 20), 413),
        ] {
            let response = scene.ask(HERE, with(method.clone(), &path, kind, body.clone())).await;
            assert_eq!(response.status().as_u16(), status, "{method} {path} {kind:?}");
        }
    }
    assert_eq!(scene.shown.board.newest().await.unwrap(), None, "nothing was asked");
}

#[tokio::test]
async fn each_route_that_changes_needs_the_token_that_is_set() {
    let scene = scene().await;
    let access = Access { is_loopback: true, token: Some(Secret::new("0123456789abcdef")) };
    for (method, path) in scene.changing().await {
        let request = with(method.clone(), &path, Some("application/json"), "{}");
        assert_eq!(
            scene.ask(access.clone(), request).await.status(),
            StatusCode::UNAUTHORIZED,
            "{method} {path}"
        );
    }
    assert_eq!(scene.shown.board.newest().await.unwrap(), None, "nothing was asked");
}
