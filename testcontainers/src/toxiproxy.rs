//! Toxiproxy: a way to a server that a test can cut, stall and slow down.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use testcontainers::{ContainerAsync, GenericImage, ImageExt, runners::AsyncRunner};

use crate::{ports::free_port, reaper};

const IMAGE: &str = "ghcr.io/shopify/toxiproxy";
const TAG: &str = "2.12.0";

/// A proxy before one server. It shares this machine's network, so that it reaches what listens on loopback.
#[derive(Debug)]
pub struct Toxiproxy {
    _container: ContainerAsync<GenericImage>,
    http: Client,
    api: String,
    address: String,
}

impl Toxiproxy {
    /// Starts a proxy to `upstream`, a `host:port` as seen from this machine.
    pub async fn start(upstream: &str) -> Result<Self> {
        let (api_port, port) = (free_port(), free_port());
        let container = reaper::owned(GenericImage::new(IMAGE, TAG))
            .with_cmd(["-host=127.0.0.1".to_owned(), format!("-port={api_port}")])
            .with_host_config_modifier(|host| host.network_mode = Some("host".to_owned()))
            .start()
            .await
            .context("toxiproxy did not start (is its image there? ./x images)")?;
        let proxy = Self {
            _container: container,
            http: Client::new(),
            api: format!("http://127.0.0.1:{api_port}"),
            address: format!("127.0.0.1:{port}"),
        };
        proxy.wait_ready().await?;
        let body = json!({"name": "way", "listen": proxy.address, "upstream": upstream, "enabled": true});
        proxy.send(Method::POST, "/proxies", body).await?;
        Ok(proxy)
    }

    /// `host:port` to connect to instead of the server's.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Leads to another server from now on.
    pub async fn redirect(&self, upstream: &str) -> Result<()> {
        self.send(Method::POST, "/proxies/way", json!({"upstream": upstream, "enabled": true})).await
    }

    /// Closes every connection and refuses new ones.
    pub async fn cut(&self) -> Result<()> {
        self.send(Method::POST, "/proxies/way", json!({"enabled": false})).await
    }

    /// Swallows every byte towards the client; connections stay open. A request arrives, its answer is lost.
    pub async fn lose_answers(&self) -> Result<()> {
        self.toxic("timeout", "downstream", json!({"timeout": 0})).await
    }

    /// Delays every answer.
    pub async fn latency(&self, delay: Duration) -> Result<()> {
        let delay = u64::try_from(delay.as_millis()).context("delay")?;
        self.toxic("latency", "downstream", json!({"latency": delay})).await
    }

    /// Takes back all of the above.
    pub async fn restore(&self) -> Result<()> {
        self.send(Method::POST, "/reset", json!({})).await
    }

    async fn toxic(&self, kind: &str, stream: &str, attributes: Value) -> Result<()> {
        let body = json!({"type": kind, "stream": stream, "attributes": attributes});
        self.send(Method::POST, "/proxies/way/toxics", body).await
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Result<()> {
        let request = self.http.request(method, format!("{}{path}", self.api)).json(&body);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    async fn wait_ready(&self) -> Result<()> {
        let url = format!("{}/version", self.api);
        for _ in 0..100 {
            if self.http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("toxiproxy does not answer at {url}")
    }
}
