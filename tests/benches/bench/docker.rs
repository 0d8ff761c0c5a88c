//! A broker and an object store in Docker, by its command line: a client library
//! would be most of what is compiled here.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const KAFKA_IMAGE: &str = "apache/kafka:4.2.0";
pub(crate) const BUCKET: &str = "bench";
const PATIENCE: Duration = Duration::from_secs(120);
/// Waits for the end of this process, however it ends, and removes the container.
const REAPER: &str = r#"trap '' INT TERM HUP; cat >/dev/null; docker rm -f -v "$1""#;

/// A container that goes when its value is dropped, and at the latest with this process.
#[derive(Debug)]
struct Container {
    reaper: Child,
}

impl Container {
    fn start(name: &str, arguments: &[String]) -> Result<Self> {
        let mut reaper = Command::new("sh");
        reaper.args(["-c", REAPER, "reaper", name]).stdin(Stdio::piped());
        let reaper = reaper.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let container = Self { reaper };
        let run = Command::new("docker").args(["run", "-d", "--name", name]).args(arguments).output()?;
        ensure!(run.status.success(), "docker run: {}", String::from_utf8_lossy(&run.stderr));
        Ok(container)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // The end of its input is what it waits for.
        drop(self.reaper.stdin.take());
        let _ = self.reaper.wait();
    }
}

fn name(service: &str) -> String {
    format!("tidegate-bench-{service}-{}", std::process::id())
}

pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// One broker.
#[derive(Debug)]
pub(crate) struct Kafka {
    _container: Container,
    pub(crate) servers: String,
}

impl Kafka {
    pub(crate) async fn start() -> Result<Self> {
        let port = free_port()?;
        let listeners = format!("PLAINTEXT://0.0.0.0:{port},BROKER://0.0.0.0:9093,CONTROLLER://0.0.0.0:9094");
        let advertised = format!("PLAINTEXT://127.0.0.1:{port},BROKER://localhost:9093");
        let settings = [
            ("NODE_ID", "1"),
            ("PROCESS_ROLES", "broker,controller"),
            ("CONTROLLER_QUORUM_VOTERS", "1@localhost:9094"),
            ("CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
            ("INTER_BROKER_LISTENER_NAME", "BROKER"),
            ("LISTENERS", &listeners),
            ("ADVERTISED_LISTENERS", &advertised),
            ("LISTENER_SECURITY_PROTOCOL_MAP", "BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
            ("OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
            ("OFFSETS_TOPIC_NUM_PARTITIONS", "3"),
            ("TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
            ("TRANSACTION_STATE_LOG_MIN_ISR", "1"),
            ("TRANSACTION_STATE_LOG_NUM_PARTITIONS", "3"),
            ("AUTO_CREATE_TOPICS_ENABLE", "false"),
            // A group's first members are not waited for: that would be the broker's time, in
            // all that is measured.
            ("GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
            ("MESSAGE_MAX_BYTES", "4000000"),
            ("REPLICA_FETCH_MAX_BYTES", "4000000"),
        ];
        let mut arguments: Vec<String> = vec!["-p".into(), format!("127.0.0.1:{port}:{port}")];
        arguments.extend(["-e".into(), "CLUSTER_ID=5L6g3nShT-eMCtK--X86sw".into()]);
        for (key, value) in settings {
            arguments.extend(["-e".into(), format!("KAFKA_{key}={value}")]);
        }
        arguments.push(KAFKA_IMAGE.into());
        let container = Container::start(&name("kafka"), &arguments)?;
        let kafka = Self { _container: container, servers: format!("127.0.0.1:{port}") };
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = kafka.admin()?.inner().fetch_metadata(None, Duration::from_secs(1)) {
            ensure!(Instant::now() < deadline, "the broker does not answer: {error}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(kafka)
    }

    pub(crate) async fn create_topic(&self, name: &str, partitions: i32) -> Result<()> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        for result in self.admin()?.create_topics([&topic], &options).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} not created: {code}"))?;
        }
        Ok(())
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers).set("reconnect.backoff.max.ms", "500");
        Ok(config.set("log_level", "2").create()?)
    }
}

/// A store with one bucket, [`BUCKET`]. User and password are `minioadmin`.
#[derive(Debug)]
pub(crate) struct Minio {
    _container: Container,
    pub(crate) address: String,
}

impl Minio {
    /// `image`: its name.
    pub(crate) async fn start(image: &str) -> Result<Self> {
        let port = free_port()?;
        // A folder of its data is a bucket.
        let serve = format!("mkdir -p /data/{BUCKET} && exec minio server /data");
        let arguments = [
            "-p",
            &format!("127.0.0.1:{port}:9000"),
            "-e",
            "MINIO_PROMETHEUS_AUTH_TYPE=public",
            "--entrypoint",
            "sh",
            image,
            "-c",
            &serve,
        ];
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let container = Container::start(&name("minio"), &arguments)?;
        let minio = Self { _container: container, address: format!("127.0.0.1:{port}") };
        let deadline = Instant::now() + PATIENCE;
        while get(&minio.address, "/minio/health/live").await.is_err() {
            ensure!(Instant::now() < deadline, "MinIO does not answer");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(minio)
    }
}

/// The body of an answer to a GET, over HTTP 1.0, which is neither compressed nor sent in chunks.
pub(crate) async fn get(address: &str, path: &str) -> Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), exchange).await??;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    if head.split(' ').nth(1) != Some("200") {
        bail!("{path} is answered {}", head.lines().next().unwrap_or_default());
    }
    Ok(body.to_owned())
}
