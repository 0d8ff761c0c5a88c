//! A browser without a window, driven as a person would, that remembers all it asks for and complains of.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::cdp::Cdp;
use thirtyfour::prelude::*;
use thirtyfour::{ChromiumLikeCapabilities, LoggingPrefsLogLevel, WebElement};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long anything on the page may take to become true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Nothing but the page may be loaded, so all that a browser does on its own is switched off.
const SWITCHES: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

pub(crate) struct Browser {
    pub(crate) driver: WebDriver,
    tools: Cdp,
    // Killed when dropped; the browser that it has started goes with its profile.
    _server: Child,
    profile: TempDir,
}

impl Browser {
    /// Starts one on an empty profile.
    pub(crate) async fn start() -> Result<Self> {
        let (server, port) = server().await?;
        let profile = tempfile::tempdir()?;
        let mut wishes = DesiredCapabilities::chrome();
        for switch in SWITCHES {
            wishes.add_arg(switch)?;
        }
        wishes.add_arg(&format!("--user-data-dir={}", profile.path().display()))?;
        wishes.set_logging_prefs("browser", LoggingPrefsLogLevel::All)?;
        wishes.set_logging_prefs("performance", LoggingPrefsLogLevel::All)?;
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), wishes).await?;
        let tools = driver.cdp();
        Ok(Self { driver, tools, _server: server, profile })
    }

    /// Shows the page as on a screen of this width, in a colour scheme.
    pub(crate) async fn look(&self, width: u32, scheme: &str) -> Result<()> {
        let feature = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tools.send_raw("Emulation.setEmulatedMedia", feature).await?;
        self.resize(width, 844).await?;
        let dark = format!("return matchMedia('(prefers-color-scheme: {scheme})').matches");
        self.until(&format!("{scheme} scheme"), &dark).await
    }

    async fn resize(&self, width: u32, height: u64) -> Result<()> {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.tools.send_raw("Emulation.setDeviceMetricsOverride", metrics).await?;
        Ok(())
    }

    /// The whole page as an image, kept where CI collects it.
    pub(crate) async fn keep_screenshot(&self, name: &str, width: u32) -> Result<()> {
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let folder = target.parent().context("the target folder")?.join("screenshots");
        std::fs::create_dir_all(&folder)?;
        let height = self.run("return document.documentElement.scrollHeight").await?;
        self.resize(width, height.as_u64().context("a height")?).await?;
        self.driver.screenshot(&folder.join(format!("{name}.png"))).await?;
        self.resize(width, 844).await
    }

    /// What a script returns.
    pub(crate) async fn run(&self, script: &str) -> Result<Value> {
        Ok(self.driver.execute(script, Vec::new()).await?.json().clone())
    }

    /// Waits until a script returns something true.
    pub(crate) async fn until(&self, what: &str, script: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.run(script).await?;
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let text = self.run("return document.body.innerText").await?;
                bail!(
                    "no {what} after {PATIENCE:?}; the page says {text}, the console {:?}",
                    self.complaints().await?
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the element's text contains `part`; returns the text.
    pub(crate) async fn says(&self, id: &str, part: &str) -> Result<String> {
        let text = format!("document.getElementById('{id}').textContent");
        self.until(&format!("“{part}” in {id}"), &format!("return {text}.includes({part:?})")).await?;
        Ok(self.run(&format!("return {text}")).await?.as_str().unwrap_or_default().to_owned())
    }

    pub(crate) async fn element(&self, id: &str) -> Result<WebElement> {
        Ok(self.driver.find(By::Id(id)).await?)
    }

    /// Presses a key on whatever has the focus; returns the id of what has it then.
    pub(crate) async fn press(&self, key: Key) -> Result<String> {
        self.driver.active_element().await?.send_keys(key).await?;
        Ok(self.run("return document.activeElement.id").await?.as_str().unwrap_or_default().to_owned())
    }

    /// Role and name of everything that a screen reader is told of.
    pub(crate) async fn accessible(&self) -> Result<Vec<(String, String)>> {
        let tree = self.tools.send_raw("Accessibility.getFullAXTree", json!({})).await?;
        let nodes = tree["nodes"].as_array().context("no tree of accessible nodes")?;
        let text = |node: &Value, key: &str| node[key]["value"].as_str().unwrap_or_default().to_owned();
        let told = nodes.iter().filter(|node| node["ignored"] == false);
        Ok(told.map(|node| (text(node, "role"), text(node, "name"))).collect())
    }

    /// Warnings and errors of the console since the last time.
    pub(crate) async fn complaints(&self) -> Result<Vec<String>> {
        let log = self.driver.get_log("browser").await?;
        let bad = log.into_iter().filter(|entry| ["WARNING", "SEVERE"].contains(&entry.level.as_str()));
        Ok(bad.map(|entry| entry.message).collect())
    }

    /// The addresses of all requests since the last time.
    pub(crate) async fn requests(&self) -> Result<Vec<String>> {
        let mut addresses = Vec::new();
        for entry in self.driver.get_log("performance").await? {
            let event: Value = serde_json::from_str(&entry.message)?;
            if event["message"]["method"] == "Network.requestWillBeSent" {
                let address = event["message"]["params"]["request"]["url"].as_str();
                addresses.push(address.context("a request without an address")?.to_owned());
            }
        }
        ensure!(!addresses.is_empty(), "requests are not recorded");
        Ok(addresses)
    }
}

/// The WebDriver server on a port of its own choice.
async fn server() -> Result<(Child, u16)> {
    let mut server = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("chromedriver does not start; ./x test installs it")?;
    let mut lines = BufReader::new(server.stdout.take().context("its output")?).lines();
    let port = async {
        while let Some(line) = lines.next_line().await? {
            if let Some((_, port)) = line.trim_end_matches('.').split_once("started successfully on port ") {
                return Ok(port.parse()?);
            }
        }
        bail!("chromedriver ended without naming its port")
    };
    let port = tokio::time::timeout(PATIENCE, port).await.context("chromedriver names no port")??;
    // Read on, so that it never waits for somebody to read.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((server, port))
}

impl Drop for Browser {
    /// Also after a failed test nothing is left: the browser's processes are those that name its profile.
    fn drop(&mut self) {
        let profile = self.profile.path().display().to_string();
        let Ok(processes) = std::fs::read_dir("/proc") else { return };
        for process in processes.flatten() {
            let pid = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
            let command = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            if let Some(pid) = pid.filter(|_| String::from_utf8_lossy(&command).contains(&profile)) {
                // SAFETY: a signal to a process that this test has started.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
        }
    }
}
