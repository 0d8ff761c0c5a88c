//! The REST API of a running job: what it tells, what it changes, and whom it refuses.

mod scene;
mod schemathesis;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};

use scene::{Scene, TOKEN, certificate, client};

/// Every route of the document that changes the job, with something in place of its parameters.
fn changing(document: &Value) -> Result<Vec<(Method, String)>> {
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().context("paths")? {
        for method in item.as_object().context("an item")?.keys().filter(|method| *method != "get") {
            routes.push((method.to_uppercase().parse()?, path.replace("{id}", "savepoint-1")));
        }
    }
    ensure!(routes.len() >= 6, "only {routes:?}");
    Ok(routes)
}

async fn is_refused(response: Response, status: StatusCode) -> Result<()> {
    ensure!(response.status() == status, "{}: {}", response.url(), response.status());
    ensure!(response.headers()[header::CONTENT_TYPE] == "application/problem+json", "{}", response.url());
    let challenged = response.headers().contains_key(header::WWW_AUTHENTICATE);
    ensure!(challenged == (status == StatusCode::UNAUTHORIZED), "{}", response.url());
    let problem: Value = response.json().await?;
    ensure!(problem["status"] == status.as_u16() && problem["detail"].is_string(), "{problem}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_does_what_it_says() -> Result<()> {
    let mut scene = Scene::start("{listen: 127.0.0.1:0}", &[]).await?;
    let job = scene.read("/job").await?;
    ensure!(job["job"] == scene.job.name.as_str(), "{job}");
    scene
        .until("everything is committed", async || {
            let position = scene.read("/position").await?;
            let rows = position["partitions"].as_array().context("partitions")?;
            Ok(rows.len() == 3 && rows.iter().all(|row| row["lag"] == 0))
        })
        .await?;
    let checkpoints = scene.read("/checkpoints?limit=1").await?;
    let newest = checkpoints[0]["n"].as_u64().context("a checkpoint")?;

    asked(&scene, Method::PUT, "/speed", Some(json!({"bytes_per_second": 5_000_000}))).await?;
    let speed = scene.read("/speed").await?;
    ensure!(speed["bytes_per_second"] == 5_000_000 && speed["is_asked"] == true, "{speed}");
    asked(&scene, Method::PUT, "/speed", Some(json!({"bytes_per_second": null}))).await?;
    let speed = scene.read("/speed").await?;
    ensure!(speed["bytes_per_second"] == 0 && speed["is_asked"] == false, "{speed}");

    asked(&scene, Method::POST, "/checkpoints", None).await?;
    let n = scene.read("/checkpoints?limit=1").await?[0]["n"].as_u64();
    ensure!(n >= Some(newest), "{n:?} after {newest}");
    asked(&scene, Method::POST, "/pause", None).await?;
    ensure!(scene.read("/replicas").await?[0]["state"] == "paused");
    ensure!(scene.read("/job").await?["state"] == "paused");
    asked(&scene, Method::POST, "/resume", None).await?;
    ensure!(scene.read("/replicas").await?[0]["state"] == "running");

    makes_a_savepoint(&scene).await?;
    let response = scene.request(Method::POST, "/api/v1/stop").send().await?;
    ensure!(response.status() == StatusCode::ACCEPTED, "{}", response.text().await?);
    ensure!(scene.process.wait(Duration::from_secs(60)).await?.success(), "{}", scene.process.log()?);
    Ok(())
}

/// Asks for something, and waits until the replica says that it is done.
async fn asked(scene: &Scene, method: Method, path: &str, body: Option<Value>) -> Result<()> {
    let request = scene.request(method, &format!("/api/v1{path}"));
    let request = if let Some(body) = body { request.json(&body) } else { request };
    let response = request.send().await?;
    let (status, answer) = (response.status(), response.text().await?);
    ensure!(status == StatusCode::ACCEPTED, "{path}: {status}: {answer}");
    let answer: Value = serde_json::from_str(&answer)?;
    let n = answer["control"].as_u64().context("its number")?;
    ensure!(!scene.asked().await?.is_empty());
    scene.until(path, async || Ok(scene.read("/replicas").await?[0]["control"].as_u64() >= Some(n))).await
}

async fn makes_a_savepoint(scene: &Scene) -> Result<()> {
    let folder = scene.job.file().with_file_name("savepoints");
    let to = format!("file://{}", folder.display());
    let body = json!({"to": to, "stop": false});
    let response = scene.request(Method::POST, "/api/v1/savepoints").json(&body).send().await?;
    ensure!(response.status() == StatusCode::ACCEPTED, "{}", response.text().await?);
    let location = response.headers()[header::LOCATION].to_str()?.to_owned();
    let started: Value = response.json().await?;
    let id = started["id"].as_str().context("an id")?;
    ensure!(
        started["uri"] == format!("{to}/{id}") && location == format!("/api/v1/savepoints/{id}"),
        "{started}"
    );
    scene
        .until("the savepoint is made", async || {
            let savepoint = scene.read(&format!("/savepoints/{id}")).await?;
            ensure!(savepoint["state"] != "failed", "{savepoint}");
            Ok(savepoint["state"] == "completed" && savepoint["uri"] == started["uri"])
        })
        .await?;
    ensure!(folder.join(id).join("manifest.json").is_file());
    is_refused(scene.get("/api/v1/savepoints/none-such").await?, StatusCode::NOT_FOUND).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_changes_the_job_without_its_token() -> Result<()> {
    let mut scene = Scene::start("{listen: 127.0.0.1:0, TOKEN}", &[]).await?;
    let document: Value = scene.plain(Method::GET, "/api/v1/openapi.json").send().await?.json().await?;
    for (method, path) in changing(&document)? {
        let asked = |token: Option<&str>| {
            let request = scene.plain(method.clone(), &path).json(&json!({}));
            if let Some(token) = token { request.bearer_auth(token) } else { request }
        };
        for token in [None, Some("an-open-sesame-of-others"), Some("")] {
            is_refused(asked(token).send().await?, StatusCode::UNAUTHORIZED).await.context(path.clone())?;
        }
    }
    ensure!(scene.process.is_running()?);
    ensure!(scene.asked().await?.is_empty(), "something was asked all the same");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_everything_needs_the_token_over_tls_with_the_newest_certificate() -> Result<()> {
    let scene = Scene::start("{listen: '0.0.0.0:0', TOKEN, TLS}", &[]).await?;
    for path in ["/livez", "/readyz", "/metrics"] {
        ensure!(scene.plain(Method::GET, path).send().await?.status() == StatusCode::OK, "{path}");
    }
    let document = scene.read("/openapi.json").await?;
    for (path, item) in document["paths"].as_object().context("paths")? {
        for method in item.as_object().context("an item")?.keys() {
            let method = method.to_uppercase().parse()?;
            let request = scene.plain(method, &path.replace("{id}", "savepoint-1"));
            is_refused(request.send().await?, StatusCode::UNAUTHORIZED).await?;
        }
    }
    let plain = scene.origin.replace("https", "http");
    for (origin, what) in [(&scene.origin, "trusted by everybody"), (&plain, "served without TLS")] {
        let answer = client(None)?.get(format!("{origin}/livez")).send().await;
        ensure!(answer.is_err_and(|error| !error.is_timeout()), "{what}");
    }

    certificate(&scene.job)?;
    let newer = client(Some(scene.job.file().with_file_name("server.pem")))?;
    let livez = format!("{}/livez", scene.origin);
    scene.until("the new certificate", async || Ok(newer.get(&livez).send().await.is_ok())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_pages_send_is_refused_and_no_secret_is_told() -> Result<()> {
    let scene = Scene::start("{listen: 127.0.0.1:0}", &[]).await?;
    let document = scene.read("/openapi.json").await?;
    for (method, path) in changing(&document)? {
        let sent = |name: header::HeaderName, value: &str| {
            scene.plain(method.clone(), &path).header(name, value).body("bytes_per_second=1")
        };
        is_refused(sent(header::HOST, "evil.example").send().await?, StatusCode::FORBIDDEN).await?;
        is_refused(sent(header::ORIGIN, "https://evil.example").send().await?, StatusCode::FORBIDDEN).await?;
        let form = sent(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        is_refused(form.send().await?, StatusCode::UNSUPPORTED_MEDIA_TYPE).await?;
        let unknown = scene.plain(method.clone(), &path).json(&json!({"bytes": 1}));
        is_refused(unknown.send().await?, StatusCode::UNPROCESSABLE_ENTITY).await?;
    }
    ensure!(scene.asked().await?.is_empty(), "something was asked all the same");
    let mut told = scene.process.log()?;
    for path in document["paths"].as_object().context("paths")?.keys().chain([&"/metrics".to_owned()]) {
        told += &scene.get(path).await?.text().await?;
    }
    ensure!(!told.contains("hunter2") && !told.contains(TOKEN), "a secret is told");
    Ok(())
}
