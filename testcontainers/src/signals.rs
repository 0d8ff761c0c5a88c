//! Freezes a server by signals to its first process. `docker pause` is a game of chances
//! on cgroup v1: its freezer gives up on a container whose threads do not all get their
//! turn in time ("unable to freeze"), as on a machine that is busy with tests.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use testcontainers::{ContainerAsync, Image};
use tokio::task;

/// Connections stay open, nobody answers.
pub(crate) async fn stop<I: Image>(container: &ContainerAsync<I>) -> Result<()> {
    send(container, "STOP").await
}

/// Ends [`stop`].
pub(crate) async fn go_on<I: Image>(container: &ContainerAsync<I>) -> Result<()> {
    send(container, "CONT").await
}

async fn send<I: Image>(container: &ContainerAsync<I>, signal: &'static str) -> Result<()> {
    let id = container.id().to_owned();
    task::spawn_blocking(move || {
        let sent =
            Command::new("docker").args(["kill", "--signal", signal, &id]).output().context("docker")?;
        let error = String::from_utf8_lossy(&sent.stderr);
        ensure!(sent.status.success(), "container {id} gets no {signal}: {}", error.trim());
        Ok(())
    })
    .await?
}
