//! A running job whose API is asked.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

use crate::support::{CHECKPOINTS, Job, Place, Process, Program, Settings, orders};

pub(super) const TOKEN: &str = "an-open-sesame-of-the-tests";

/// Longest wait for anything that the job is asked; a poll of its own takes 200 ms.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

pub(super) struct Scene {
    pub(super) job: Job,
    pub(super) process: Process,
    client: Client,
    /// Scheme, host and port.
    pub(super) origin: String,
    /// Sent with every request.
    token: Option<&'static str>,
}

impl Scene {
    /// Starts a job whose `http` section is `http`, and waits until it reads. In `http`, `TOKEN` stands for a
    /// token from a file, and `TLS` for a certificate for `localhost`.
    pub(super) async fn start(http: &str, arguments: &[&str]) -> Result<Self> {
        let (servers, topic) = orders().await?;
        let more = format!("{CHECKPOINTS}control: {{poll: 200ms}}\n");
        let settings = Settings {
            bootstrap_servers: servers,
            topic,
            place: Place::Folder,
            more: &more,
            sink: "",
            endpoint: None,
        };
        let job = Job::new(settings).await?;
        let beside = |name: &str| job.file().with_file_name(name).display().to_string();
        std::fs::write(beside("token"), format!("{TOKEN}\n"))?;
        let section = http.replace("TOKEN", &format!("token: \"${{file:{}}}\"", beside("token"))).replace(
            "TLS",
            &format!("tls: {{cert: {}, key: {}}}", beside("server.pem"), beside("server.key")),
        );
        let text = std::fs::read_to_string(job.file())?;
        let text = text.replace("http: {listen: 127.0.0.1:0}", &format!("http: {section}"));
        // Never used, as the listener takes no password; it must not be shown all the same.
        let text = text.replace("properties: {", "properties: {sasl.password: hunter2hunter2, ");
        std::fs::write(job.file(), text)?;
        let is_tls = http.contains("TLS");
        if is_tls {
            certificate(&job)?;
        }
        let process = job.start(Program::Plain, &[&["run"], arguments].concat(), None, None)?;
        let port = port(&process).await?;
        let client = client(is_tls.then(|| job.file().with_file_name("server.pem")))?;
        let token = http.contains("TOKEN").then_some(TOKEN);
        let origin = format!("{}://localhost:{port}", if is_tls { "https" } else { "http" });
        let scene = Self { job, process, client, origin, token };
        scene
            .until("it is ready", async || Ok(scene.get("/readyz").await?.status() == StatusCode::OK))
            .await?;
        Ok(scene)
    }

    /// A request without a token.
    pub(super) fn plain(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.origin))
    }

    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.plain(method, path);
        match self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(super) async fn get(&self, path: &str) -> Result<Response> {
        Ok(self.request(Method::GET, path).send().await?)
    }

    /// The answer to a `GET` below `/api/v1`, which must be a good one.
    pub(super) async fn read(&self, path: &str) -> Result<Value> {
        let response = self.get(&format!("/api/v1{path}")).await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status == StatusCode::OK, "{path}: {status}: {text}");
        serde_json::from_str(&text).context(text)
    }

    /// Paths of what was ever asked of the replicas, of the newest at least.
    pub(super) async fn asked(&self) -> Result<Vec<String>> {
        let folder = format!("_tidegate/{}/control", self.job.name);
        let entries = self.job.store()?.list(&folder).await?;
        Ok(entries.into_iter().map(|entry| entry.path).collect())
    }

    /// Waits until something is so.
    pub(super) async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while !is_so().await.with_context(|| self.process.log().unwrap_or_default())? {
            if Instant::now() > deadline {
                bail!("not within {LIMIT:?}: {what}: {}", self.process.log()?);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

/// Trusts the certificate in `trusted` alone, or speaks HTTP.
pub(super) fn client(trusted: Option<PathBuf>) -> Result<Client> {
    let client = Client::builder().timeout(LIMIT);
    let Some(trusted) = trusted else { return Ok(client.build()?) };
    let certificate = Certificate::from_pem(&std::fs::read(trusted)?)?;
    Ok(client.tls_certs_only([certificate]).build()?)
}

/// Puts a new certificate for `localhost` and its key beside the job file.
pub(super) fn certificate(job: &Job) -> Result<()> {
    let folder = job.file().parent().context("a folder")?.to_owned();
    tidegate_testcontainers::Certificate::self_signed(&["localhost"])?.write(&folder, "server")?;
    Ok(())
}

/// Where the process serves HTTP, once it has logged it.
async fn port(process: &Process) -> Result<u16> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let log = process.log()?;
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut addresses = lines.filter(|line| line["message"] == "listening for HTTP");
        if let Some(line) = addresses.next() {
            let address = line["address"].as_str().context("an address")?;
            return Ok(address.rsplit_once(':').context("a port")?.1.parse()?);
        }
        ensure!(Instant::now() < deadline, "no address in the log: {log}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
