//! A stand-in for S3 that can break its promises, as real servers do that speak its protocol.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use tokio::task;

const SERVER: &str = include_str!("../images/s3/s3.py");

/// The stand-in, a child process with one bucket of any name. It ends with this
/// value, or when this process does.
#[derive(Debug)]
pub struct S3 {
    child: Child,
    endpoint: String,
}

impl S3 {
    /// Starts it, keeping all promises.
    pub async fn start() -> Result<Self> {
        let mut command = Command::new("python3");
        // Port 0: the server takes any free one and says which.
        command.args(["-c", SERVER, "0"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("python3 did not start")?;
        let out = child.stdout.take().expect("it is piped");
        let port: u16 = task::spawn_blocking(move || -> Result<u16> {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line)?;
            line.trim().parse().context("the S3 stand-in named no port")
        })
        .await??;
        Ok(Self { child, endpoint: format!("http://127.0.0.1:{port}") })
    }

    /// `http://host:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Changes how it behaves; the script says which keys there are.
    pub async fn set(&self, how: &[(&str, &str)]) -> Result<()> {
        let url = reqwest::Url::parse_with_params(&format!("{}/_set", self.endpoint), how)?;
        reqwest::Client::new().put(url).send().await?.error_for_status()?;
        Ok(())
    }

    /// How often a copy was asked for, by its target.
    pub async fn copies(&self) -> Result<BTreeMap<String, u64>> {
        let answer = reqwest::get(format!("{}/_count", self.endpoint)).await?.error_for_status()?;
        Ok(serde_json::from_str(&answer.text().await?)?)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
