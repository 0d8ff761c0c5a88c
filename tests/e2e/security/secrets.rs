//! Secrets are planted wherever a job may hold one, and looked for in all that it says and leaves behind.

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tidegate_testcontainers::{Authority, MinIO};

use super::scene::LIMIT;
use super::store::{PASSWORD, Scene};
use crate::support::{JOB_FILE, Program};

/// In each secret, however it comes in.
const PLANTED: &str = "planted";
const TOKEN: &str = "planted-token-of-the-api";
const TRACE: &[&str] = &["--log-level", "trace"];

fn assert_absent(place: &str, text: &str) -> Result<()> {
    let told = text.lines().find(|line| line.contains(PLANTED));
    ensure!(told.is_none(), "{place} tells a secret: {}", told.unwrap_or_default());
    Ok(())
}

impl Scene {
    /// A job whose Kafka client is given every secret that it takes. The listener asks for none of them.
    async fn planted(minio: &MinIO, authority: &Authority) -> Result<Self> {
        let more = "control: {poll: 200ms}\nerror_limit: {ratio: 1}\n";
        let scene = Self::new(minio, authority, more).await?;
        let beside = |name: &str| scene.job.file().with_file_name(name).display().to_string();
        let client = authority.sign(&["client"])?;
        std::fs::write(beside("key.pem"), format!("{PLANTED}\n{}", client.key))?;
        std::fs::write(beside("token"), TOKEN)?;
        let properties = format!(
            "properties: {{debug: \"all\", sasl.username: planted-user, sasl.password: planted-inline, \
             ssl.key.password: \"${{PLANTED_IN_ENVIRONMENT}}\", ssl.key.pem: \"${{file:{}}}\", \
             ssl.keystore.password: planted-keystore, sasl.oauthbearer.client.secret: planted-client, \
             sasl.oauthbearer.config: \"principal=planted\", ",
            beside("key.pem")
        );
        let http = format!("http: {{listen: 127.0.0.1:0, token: \"${{file:{}}}\"}}", beside("token"));
        let text = std::fs::read_to_string(scene.job.file())?;
        let text = text.replace("properties: {", &properties).replace("http: {listen: 127.0.0.1:0}", &http);
        std::fs::write(scene.job.file(), text)?;
        Ok(scene)
    }

    /// What a command says at its most talkative.
    async fn says(&self, code: i32, arguments: &[&str]) -> Result<()> {
        let environment = [("PLANTED_IN_ENVIRONMENT", "planted-by-environment"), ("RUST_BACKTRACE", "1")];
        let arguments = [arguments, TRACE].concat();
        let mut process = self.job.start_in(&environment, Program::Plain, &arguments, None, None)?;
        let status = process.wait(LIMIT).await?;
        let said = process.output()? + process.log()?.as_str();
        ensure!(status.code() == Some(code), "{arguments:?} ended with {status}, not {code}: {said}");
        assert_absent(&format!("{arguments:?}"), &said.replace("PLANTED_IN_ENVIRONMENT", ""))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_told() -> Result<()> {
    let authority = Authority::new("Authority of the store")?;
    let minio = MinIO::start_secured(&authority, PASSWORD).await?;
    minio.create_bucket("lake").await?;
    let scene = Scene::planted(&minio, &authority).await?;
    let environment = [("PLANTED_IN_ENVIRONMENT", "planted-by-environment")];
    let arguments = [&["run"], TRACE].concat();
    let mut process = scene.job.start_in(&environment, Program::Plain, &arguments, None, None)?;
    let origin = format!("http://{}", process.listening().await?);
    let client = Client::new();
    let ask =
        |method: Method, path: &str| client.request(method, format!("{origin}{path}")).bearer_auth(TOKEN);
    while ask(Method::GET, "/readyz").send().await?.status() != StatusCode::OK {
        ensure!(process.is_running()?, "{}", process.log()?);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    ask(Method::POST, "/api/v1/checkpoints").send().await?.error_for_status()?;
    let to = format!("file://{}", scene.job.file().with_file_name("savepoints").display());
    let asked =
        ask(Method::POST, "/api/v1/savepoints").json(&json!({"to": to, "stop": false})).send().await?;
    let asked = asked.error_for_status()?.text().await?;
    assert_absent("a savepoint's answer", &asked)?;
    let id = serde_json::from_str::<Value>(&asked)?["id"].as_str().context("no id")?.to_owned();
    let savepoint = format!("/api/v1/savepoints/{id}");
    loop {
        let said = ask(Method::GET, &savepoint).send().await?.error_for_status()?.text().await?;
        assert_absent("how a savepoint stands", &said)?;
        if said.contains("completed") {
            break;
        }
        ensure!(said.contains("in_progress") && process.is_running()?, "{said}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let mut answers = 0;
    for path in ["/", "/livez", "/readyz", "/metrics"].into_iter().map(str::to_owned).chain(
        ["job", "position", "checkpoints", "replicas", "speed", "overview", "openapi.json", "no-such-place"]
            .map(|name| format!("/api/v1/{name}")),
    ) {
        for token in [TOKEN, "planted-but-wrong"] {
            let answer = ask(Method::GET, &path).bearer_auth(token).send().await?;
            answers += usize::from(answer.status() == StatusCode::OK);
            assert_absent(&path, &answer.text().await?)?;
        }
    }
    ensure!(answers > 10, "only {answers} good answers");
    process.signal(libc::SIGTERM);
    let status = process.wait(LIMIT).await?;
    ensure!(status.success(), "{status}: {}", process.log()?);
    let log = process.log()?;
    assert_absent("the log", &log)?;
    ensure!(
        log.contains("\"TRACE\"") && log.contains("rdkafka"),
        "the log is not at its most talkative: {log}"
    );

    for arguments in [
        &["validate"][..],
        &["position"],
        &["audit", "--deep"],
        &["collect"],
        &["replicas"],
        &["schema"],
        &["rejects", JOB_FILE, "list"],
        &["savepoint", "create", JOB_FILE],
        &["savepoint", "list", JOB_FILE],
        &["pause"],
        &["resume"],
        &["speed", "1MB"],
        &["forget", "--before", "2020-01-01T00:00:00Z"],
        &["run", "--until-end"],
    ] {
        scene.says(0, arguments).await?;
    }
    let store = scene.job.store()?;
    let mut objects = 0;
    for entry in store.list("_tidegate").await? {
        let bytes = store.get(&entry.path).await?.unwrap_or_default();
        assert_absent(&entry.path, &String::from_utf8_lossy(&bytes))?;
        objects += 1;
    }
    ensure!(objects > 5, "{objects} objects");
    let saved = scene.job.file().with_file_name("savepoints");
    for folder in std::fs::read_dir(&saved)? {
        for file in std::fs::read_dir(folder?.path())? {
            let path = file?.path();
            if path.is_file() {
                assert_absent(&path.display().to_string(), &String::from_utf8_lossy(&std::fs::read(&path)?))?;
            }
        }
    }
    scene.says_nothing_when_it_fails().await
}

impl Scene {
    /// Each of the job file's mistakes ends in an error that names it without its value.
    async fn says_nothing_when_it_fails(&self) -> Result<()> {
        let good = std::fs::read_to_string(self.job.file())?;
        let url = &self.job.url;
        for (from, to, code) in [
            // The client and the store refuse what they are given.
            ("sasl.username: planted-user", "security.protocol: SSL, sasl.username: planted-user", 2),
            ("debug: \"all\"", "debug: planted-word", 2),
            ("sasl.oauthbearer.config: \"principal=planted\"", "sasl.jaas.config: planted", 2),
            ("access_key_id: minioadmin", "access_key_id: planted-stranger", 2),
            // Where no secret belongs.
            (url.as_str(), "s3://key:planted@lake/x", 2),
            ("endpoint: https://", "endpoint: https://key:planted@", 2),
            ("token: \"", "tocken: \"", 2),
            ("kafka:", "kafka: planted", 2),
            ("ssl.key.pem: \"${file:", "ssl.key.pem: \"${file:/nowhere", 2),
            ("${PLANTED_IN_ENVIRONMENT}", "${PLANTED_ELSEWHERE}", 2),
        ] {
            ensure!(good.contains(from), "{from:?} is not in the job file");
            std::fs::write(self.job.file(), good.replacen(from, to, 1))?;
            let environment = [("PLANTED_IN_ENVIRONMENT", "planted-by-environment")];
            for arguments in [&["validate"][..], &["run", "--until-end"]] {
                let arguments = [arguments, TRACE].concat();
                let mut process = self.job.start_in(&environment, Program::Plain, &arguments, None, None)?;
                let status = process.wait(LIMIT).await?;
                let said = process.output()? + process.log()?.as_str();
                ensure!(status.code() == Some(code), "{to:?}: {status}, not {code}: {said}");
                assert_absent(
                    to,
                    &said.replace("PLANTED", "").replace("planted-word", "").replace("planted-stranger", ""),
                )?;
            }
        }
        Ok(())
    }
}
