//! Kubernetes on one node that is a container: nothing of it is on the machine, and
//! all of it goes with the container.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use testcontainers::{
    ContainerAsync, GenericImage, ImageExt,
    core::{CgroupnsMode, WaitFor},
    runners::AsyncRunner,
};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::reaper;

const START_TIMEOUT: Duration = Duration::from_secs(180);

/// A control plane and its one node. It has no kube-proxy and no DNS: its pods reach others by address.
/// Network policies have no effect, and nothing measures what pods use.
#[derive(Debug)]
pub struct Kubernetes {
    node: ContainerAsync<GenericImage>,
}

impl Kubernetes {
    /// Starts the image that `images/build --name kubernetes` names.
    pub async fn start(image: &str) -> Result<Self> {
        let (name, tag) = image.rsplit_once(':').context("the image has no tag")?;
        let image = GenericImage::new(name, tag).with_wait_for(WaitFor::message_on_stdout("node is ready"));
        // What `--privileged` would give and containers inside need; all of that flag is
        // more than some machines have.
        let mut request = reaper::owned(image)
            .with_startup_timeout(START_TIMEOUT)
            .with_cgroupns_mode(CgroupnsMode::Private)
            .with_host_config_modifier(|host| {
                host.device_cgroup_rules = Some(vec!["a *:* rwm".into()]);
                host.masked_paths = Some(Vec::new());
                host.readonly_paths = Some(Vec::new());
            });
        for right in ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH", "SYSLOG"] {
            request = request.with_cap_add(right);
        }
        for option in ["seccomp=unconfined", "apparmor=unconfined"] {
            request = request.with_security_opt(option);
        }
        let node = request.start().await.context("the Kubernetes node did not start")?;
        Ok(Self { node })
    }

    /// An address of this machine that it, all containers and all pods can connect to.
    pub async fn host(&self) -> Result<String> {
        let mut command = Command::new("docker");
        command.args(["inspect", "-f", "{{.NetworkSettings.Gateway}}", self.node.id()]);
        let address = output(command, "").await?.trim().to_owned();
        ensure!(!address.is_empty(), "the node has no gateway");
        Ok(address)
    }

    /// Copies an image of this machine's Docker engine onto the node.
    pub async fn load(&self, image: &str) -> Result<()> {
        let script = "docker save \"$1\" | docker exec -i \"$2\" ctr -n k8s.io images import -";
        let mut command = Command::new("bash");
        command.args(["-o", "pipefail", "-c", script, "load", image, self.node.id()]);
        output(command, "").await.map(drop)
    }

    /// Copies a file or folder of this machine onto the node.
    pub async fn copy(&self, from: &Path, to: &str) -> Result<()> {
        let mut command = Command::new("docker");
        command.arg("cp").arg(from).arg(format!("{}:{to}", self.node.id()));
        output(command, "").await.map(drop)
    }

    /// Runs `kubectl`, `helm` or another program on the node; what it prints. An error when it fails.
    pub async fn run(&self, command: &[&str]) -> Result<String> {
        self.run_with(command, "").await
    }

    /// The same with something to read from standard input.
    pub async fn run_with(&self, command: &[&str], input: &str) -> Result<String> {
        let mut docker = Command::new("docker");
        docker.args(["exec", "-i", self.node.id()]).args(command);
        output(docker, input).await
    }
}

async fn output(mut command: Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    // Who does not read it has ended.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let done = child.wait_with_output().await?;
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    ensure!(done.status.success(), "{command:?} ended with {}: {out}{err}", done.status);
    Ok(out.into_owned())
}
