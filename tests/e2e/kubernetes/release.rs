//! The chart, installed with one job that reads a Kafka and writes to a MinIO beside the cluster.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tidegate_testcontainers::{Kafka, Kubernetes};

use super::LIMIT;
use crate::support::{Job, Place, Settings, minio, unique};

const JOB_FILE: &str = "/etc/tidegate/job.yaml";
const PODS: &str = "tidegate.io/job=orders";

/// A release `lake` in a namespace of that name, which enforces the pod security standard `restricted`.
pub(super) struct Release {
    kubernetes: Kubernetes,
    pub(super) kafka: Kafka,
    pub(super) topic: String,
    pub(super) job: Job,
    values: Value,
}

impl Release {
    pub(super) async fn new(node: &str, image: &str) -> Result<Self> {
        let kubernetes = Kubernetes::start(node).await?;
        let host = kubernetes.host().await?;
        let kafka = Kafka::start_at(&host).await?;
        kubernetes.load(image).await?;
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
        kubernetes.copy(&config, "/config").await?;
        kubernetes
            .run_with(
                &["kubectl", "create", "-f", "-"],
                r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "lake",
                    "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}"#,
            )
            .await?;
        let secret = ["kubectl", "-n", "lake", "create", "secret", "generic", "store"];
        let keys = ["--from-literal=AWS_ACCESS_KEY_ID=minioadmin", "--from-literal=secret=minioadmin"];
        kubernetes.run(&[&secret[..], &keys[..]].concat()).await?;

        let topic = unique("kubernetes");
        kafka.create_topic(&topic, 3).await?;
        let job = Job::new(Settings {
            bootstrap_servers: kafka.bootstrap_servers(),
            topic: &topic,
            place: Place::S3,
            more: "",
            sink: "",
            endpoint: None,
        })
        .await?;
        let port = minio().await?.address().rsplit_once(':').context("a port")?.1.to_owned();
        let (repository, tag) = image.rsplit_once(':').context("the image has no tag")?;
        let values = json!({
            "image": {"repository": format!("docker.io/library/{repository}"), "tag": tag, "pullPolicy": "Never"},
            "networkPolicy": {"enabled": true},
            "tests": {"deep": true},
            "jobs": {"orders": {
                "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
                "probes": {"readiness": {"periodSeconds": 1}, "startup": {"periodSeconds": 1}},
                // One of the secret's keys by the environment, one as a file.
                "env": [{"name": "KEY_ID", "valueFrom": {"secretKeyRef": {"name": "store", "key": "AWS_ACCESS_KEY_ID"}}}],
                "secretFiles": ["store"],
                "config": {
                    "job": job.name,
                    "kafka": {
                        "bootstrap_servers": kafka.bootstrap_servers(),
                        "topics": [topic],
                    },
                    "format": {
                        "columns": [
                            {"name": "id", "type": "int64"},
                            {"name": "ts", "type": "timestamp(ms, UTC)"},
                            {"name": "country", "type": "string"},
                            {"name": "amount", "type": "decimal(18,2)"},
                        ],
                        "metadata": ["partition", "offset"],
                    },
                    "sink": {"url": job.url, "table": "orders", "store": {
                        "endpoint": format!("http://{host}:{port}"),
                        "region": "us-east-1",
                        "path_style": "true",
                        "allow_http": "true",
                        "access_key_id": "${KEY_ID}",
                        "secret_access_key": "${file:/run/secrets/tidegate/store/secret}",
                    }},
                    "checkpoint": {"interval": "500ms", "copy_grace": "1s"},
                    "control": {"poll": "500ms"},
                    "timeouts": {"stop": "15s"},
                },
            }},
        });
        Ok(Self { kubernetes, kafka, topic, job, values })
    }

    /// A key of the job's values.
    pub(super) fn set(&mut self, key: &str, value: Value) {
        self.values["jobs"]["orders"][key] = value;
    }

    /// A key of the job file, by a pointer; null takes it away.
    pub(super) fn configure(&mut self, pointer: &str, value: Value) {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
        let config = &mut self.values["jobs"]["orders"]["config"];
        let section = config.pointer_mut(parent).and_then(Value::as_object_mut).expect("a section");
        match value {
            Value::Null => section.remove(key),
            value => section.insert(key.to_owned(), value),
        };
    }

    /// Installs the release or upgrades it, and waits until all of it is ready.
    pub(super) async fn upgrade(&self) -> Result<()> {
        self.helm(&["--wait", "--timeout=4m"]).await
    }

    pub(super) async fn upgrade_without_waiting(&self) -> Result<()> {
        self.helm(&[]).await
    }

    async fn helm(&self, options: &[&str]) -> Result<()> {
        let command =
            ["helm", "-n", "lake", "upgrade", "--install", "lake", "/config/helm/tidegate", "-f", "-"];
        let upgraded =
            self.kubernetes.run_with(&[&command[..], options].concat(), &self.values.to_string()).await;
        match upgraded {
            Ok(_) => Ok(()),
            Err(error) => Err(error.context(self.describe().await)),
        }
    }

    pub(super) async fn rollback(&self, revision: &str) -> Result<()> {
        let command = ["helm", "-n", "lake", "rollback", "lake", revision, "--wait", "--timeout=4m"];
        self.kubernetes.run(&command).await.map(drop)
    }

    /// The number of the release's newest revision.
    pub(super) async fn revision(&self) -> Result<String> {
        let list = self.kubernetes.run(&["helm", "-n", "lake", "list", "-o", "json"]).await?;
        let list: Value = serde_json::from_str(&list)?;
        Ok(list[0]["revision"].as_str().context("no revision")?.to_owned())
    }

    /// `helm test`: what the audit says.
    pub(super) async fn test(&self) -> Result<String> {
        self.kubernetes.run(&["helm", "-n", "lake", "test", "lake", "--logs", "--timeout=4m"]).await
    }

    pub(super) async fn uninstall(&self) -> Result<()> {
        self.kubernetes.run(&["helm", "-n", "lake", "uninstall", "lake", "--wait"]).await.map(drop)
    }

    /// Runs `kubectl` in the namespace.
    pub(super) async fn run(&self, arguments: &[&str]) -> Result<String> {
        self.kubernetes.run(&[&["kubectl", "-n", "lake"], arguments].concat()).await
    }

    /// Runs a command of the program in the pod; `JOB` stands for the job file.
    pub(super) async fn tidegate(&self, arguments: &[&str]) -> Result<String> {
        let pod = self.pod().await?;
        let command = ["exec", &pod, "-c", "tidegate", "--", "tidegate"];
        let arguments = arguments.iter().map(|argument| if *argument == "JOB" { JOB_FILE } else { argument });
        self.run(&command.into_iter().chain(arguments).collect::<Vec<_>>()).await
    }

    /// Pods that are not about to go.
    async fn pods(&self) -> Result<Vec<Value>> {
        let pods: Value = serde_json::from_str(&self.run(&["get", "pods", "-l", PODS, "-o", "json"]).await?)?;
        let pods = pods["items"].as_array().context("no pods")?;
        Ok(pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).cloned().collect())
    }

    /// The name of the first pod.
    pub(super) async fn pod(&self) -> Result<String> {
        let pods = self.pods().await?;
        Ok(pods.first().and_then(|pod| pod["metadata"]["name"].as_str()).context("no pod")?.to_owned())
    }

    /// Takes a pod away by a command of `kubectl`, and waits until another is ready.
    pub(super) async fn remove(&self, arguments: &[&str]) -> Result<()> {
        let count = self.pods().await?.len();
        self.run(arguments).await?;
        self.until_ready(count).await
    }

    /// Evicts the pod as the draining of a node does, which the disruption budget may refuse.
    pub(super) async fn evict(&self) -> Result<()> {
        let pod = self.pod().await?;
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "lake"}});
        let path = format!("/api/v1/namespaces/lake/pods/{pod}/eviction");
        self.kubernetes
            .run_with(&["kubectl", "create", "--raw", &path, "-f", "-"], &eviction.to_string())
            .await?;
        self.until("the evicted pod gone", async || Ok(self.pod().await.is_ok_and(|now| now != pod))).await?;
        self.until_ready(1).await
    }

    pub(super) async fn until_ready(&self, count: usize) -> Result<()> {
        self.until(&format!("{count} ready"), async || {
            let pods = self.pods().await?;
            let ready = |pod: &&Value| pod["status"]["containerStatuses"][0]["ready"] == true;
            Ok(!pods.is_empty() && pods.iter().filter(ready).count() == count)
        })
        .await
    }

    /// Waits until so many replicas run, each with a share of the partitions.
    pub(super) async fn until_spread(&self, count: usize) -> Result<()> {
        self.until(&format!("spread over {count}"), async || {
            let replicas: Value =
                serde_json::from_str(&self.tidegate(&["replicas", "JOB", "--output", "json"]).await?)?;
            let replicas = replicas.as_array().context("no list of replicas")?;
            let share = |replica: &Value| replica["partitions"].as_array().is_some_and(|of| !of.is_empty());
            Ok(replicas.len() == count && replicas.iter().all(share))
        })
        .await
    }

    pub(super) async fn until_logged(&self, words: &str) -> Result<()> {
        self.until(&format!("{words} in the log"), async || {
            Ok(self.run(&["logs", &self.pod().await?, "-c", "tidegate"]).await?.contains(words))
        })
        .await
    }

    /// Waits until a pod's job file was refused; what its log says.
    pub(super) async fn until_refused(&self) -> Result<String> {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            for pod in self.pods().await? {
                let state = &pod["status"]["initContainerStatuses"][0];
                let code = [&state["state"], &state["lastState"]]
                    .map(|state| state["terminated"]["exitCode"].as_i64());
                if code.contains(&Some(2)) {
                    let name = pod["metadata"]["name"].as_str().context("a name")?;
                    return self.run(&["logs", name, "-c", "validate"]).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        bail!("no pod's job file was refused: {}", self.describe().await)
    }

    /// The position of the job, as the pod sees it, without what changes by itself.
    pub(super) async fn position(&self) -> Result<Vec<Value>> {
        let position: Value =
            serde_json::from_str(&self.tidegate(&["position", "JOB", "--output", "json"]).await?)?;
        let partitions =
            position["partitions"].as_array().with_context(|| format!("no partitions: {position}"))?;
        Ok(partitions.iter().map(|partition| partition["next"].clone()).collect())
    }

    /// Waits until the job has read all that is committed.
    pub(super) async fn until_all_is_read(&self) -> Result<()> {
        self.until("at the end", async || {
            let position: Value =
                serde_json::from_str(&self.tidegate(&["position", "JOB", "--output", "json"]).await?)?;
            let partitions =
                position["partitions"].as_array().with_context(|| format!("no partitions: {position}"))?;
            ensure!(partitions.len() == 3, "{position}");
            Ok(partitions.iter().all(|partition| partition["lag"] == 0))
        })
        .await
    }

    async fn until(&self, what: &str, is: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        let mut last = None;
        while Instant::now() < deadline {
            match is().await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // Pods that come and go do not answer.
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        bail!("not {what} in time (last error {last:?}): {}", self.describe().await)
    }

    /// For who looks at a failure.
    async fn describe(&self) -> String {
        let mut said = String::new();
        for arguments in [
            &["get", "pods", "-o", "wide"][..],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &["logs", "-l", PODS, "-c", "validate", "--tail=20"],
            &["logs", "-l", PODS, "-c", "tidegate", "--tail=20"],
        ] {
            said.push_str(&self.run(arguments).await.unwrap_or_else(|error| error.to_string()));
        }
        said
    }
}
