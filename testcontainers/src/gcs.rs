//! A stand-in for Google Cloud Storage. It proves that our requests are well formed
//! and errors are mapped; it is not the real one.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use tokio::task;

const SERVER: &str = include_str!("../images/gcs/gcs.py");

/// The stand-in, a child process. It ends with this value, or when this process does.
#[derive(Debug)]
pub struct Gcs {
    child: Child,
    endpoint: String,
}

impl Gcs {
    /// Starts it with these buckets, empty.
    pub async fn start(buckets: &[&str]) -> Result<Self> {
        let mut command = Command::new("python3");
        // Port 0: the server takes any free one and says which.
        command.args(["-c", SERVER, "0"]).args(buckets).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("python3 did not start")?;
        let out = child.stdout.take().expect("it is piped");
        let port: u16 = task::spawn_blocking(move || -> Result<u16> {
            let mut line = String::new();
            BufReader::new(out).read_line(&mut line)?;
            line.trim().parse().context("the GCS stand-in named no port")
        })
        .await??;
        Ok(Self { child, endpoint: format!("http://127.0.0.1:{port}") })
    }

    /// `http://host:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A service account whose key is never used: clients would else ask the metadata address for a token.
    pub fn service_account_key(&self) -> String {
        format!(
            r#"{{"gcs_base_url":"{}","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}}"#,
            self.endpoint
        )
    }

    /// Answers the next `count` requests whose `METHOD /target` matches the regular expression with `status`.
    pub async fn fail(&self, status: u16, count: u32, matching: &str) -> Result<()> {
        let (status, count) = (status.to_string(), count.to_string());
        let query = [("status", status.as_str()), ("count", &count), ("match", matching)];
        let url = reqwest::Url::parse_with_params(&format!("{}/_fault", self.endpoint), query)?;
        reqwest::Client::new().put(url).send().await?.error_for_status()?;
        Ok(())
    }
}

impl Drop for Gcs {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
