//! Apache Kafka: one broker, or three.
//!
//! A broker keeps its address through [`Kafka::restart`], as a real one does: its
//! port is chosen here, not by Docker.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
};
use testcontainers::{
    ContainerAsync, GenericImage, ImageExt,
    core::{ExecCommand, ExecResult, IntoContainerPort, WaitFor},
    runners::AsyncRunner,
};
use tokio::{sync::OnceCell, task};

use crate::{Toxiproxy, ports::free_port, reaper, signals};

const IMAGE: &str = "apache/kafka";
const TAG: &str = "4.2.0";
const START_TIMEOUT: Duration = Duration::from_secs(120);
const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A Kafka cluster whose controllers and brokers are the same processes (KRaft).
#[derive(Debug)]
pub struct Kafka {
    brokers: Vec<ContainerAsync<GenericImage>>,
    bootstrap_servers: String,
}

impl Kafka {
    /// One broker, for tests that disturb it. Others use [`Kafka::shared`].
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// One broker with further settings as the image takes them: `("KAFKA_LOG_RETENTION_MS", "1000")`.
    pub async fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        let mut broker = Broker::new(free_port());
        broker.set(settings);
        Self::of_one(broker).await
    }

    pub(crate) async fn of_one(broker: Broker) -> Result<Self> {
        let port = broker.ports[0];
        Self::of(vec![broker.start().await?], &[port]).await
    }

    /// One broker for clients in containers, to whom 127.0.0.1 is another machine: they
    /// find it at `host`, an address of this one.
    pub async fn start_at(host: &str) -> Result<Self> {
        let port = free_port();
        let advertised = format!("PLAINTEXT://{host}:{port},BROKER://localhost:9093");
        let settings = [
            ("KAFKA_ADVERTISED_LISTENERS", advertised.as_str()),
            // It is never restarted; on a busy machine the short times of the others cut it
            // off from its own controller.
            ("KAFKA_BROKER_SESSION_TIMEOUT_MS", "60000"),
            ("KAFKA_BROKER_HEARTBEAT_INTERVAL_MS", "5000"),
        ];
        let mut broker = Broker::new(port);
        broker.set(&settings);
        let kafka =
            Self { brokers: vec![broker.start().await?], bootstrap_servers: format!("{host}:{port}") };
        kafka.wait_ready().await?;
        Ok(kafka)
    }

    /// One broker that is reached through `proxy` too, whatever it answers to who asks there.
    pub async fn start_behind(proxy: &Toxiproxy) -> Result<Self> {
        let (port, behind) = (free_port(), free_port());
        let listeners = format!(
            "PLAINTEXT://0.0.0.0:{port},BROKER://0.0.0.0:9093,CONTROLLER://0.0.0.0:9094,PROXIED://0.0.0.0:{behind}"
        );
        let advertised =
            format!("PLAINTEXT://127.0.0.1:{port},BROKER://localhost:9093,PROXIED://{}", proxy.address());
        let settings = [
            ("KAFKA_LISTENERS", listeners.as_str()),
            ("KAFKA_ADVERTISED_LISTENERS", &advertised),
            (
                "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
                "BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
            ),
        ];
        let mut broker = Broker::new(port);
        broker.ports.push(behind);
        broker.set(&settings);
        let kafka = Self::of_one(broker).await?;
        proxy.redirect(&format!("127.0.0.1:{behind}")).await?;
        Ok(kafka)
    }

    /// Three brokers on a network of their own. A topic has three replicas and stays
    /// writable with one broker down.
    pub async fn start_three() -> Result<Self> {
        Self::start_three_with(&[]).await
    }

    /// The same with further settings, as [`Kafka::start_with`] takes them.
    pub async fn start_three_with(settings: &[(&str, &str)]) -> Result<Self> {
        static CLUSTERS: AtomicU32 = AtomicU32::new(0);
        let network = format!("{}-{}", reaper::owner(), CLUSTERS.fetch_add(1, Ordering::Relaxed));
        let hosts: Vec<String> = (1..=3).map(|id| format!("{network}-kafka-{id}")).collect();
        let ports = [free_port(), free_port(), free_port()];
        let start = |id: usize| {
            let (hosts, network) = (hosts.clone(), Some(network.clone()));
            let mut broker = Broker { hosts, id, network, ..Broker::new(ports[id - 1]) };
            broker.set(settings);
            broker.start()
        };
        // None is ready before two are there to elect a controller.
        let (first, second, third) = tokio::try_join!(start(1), start(2), start(3))?;
        Self::of(vec![first, second, third], &ports).await
    }

    /// The one broker that all tests of this process use who only add topics of their
    /// own. It ends with the process.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Kafka> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    async fn of(brokers: Vec<ContainerAsync<GenericImage>>, ports: &[u16]) -> Result<Self> {
        let addresses: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let kafka = Self { brokers, bootstrap_servers: addresses.join(",") };
        kafka.wait_ready().await?;
        Ok(kafka)
    }

    /// `host:port`, several separated by commas, as clients' `bootstrap.servers` takes it.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// The id of the first broker's container.
    pub fn container(&self) -> &str {
        self.brokers[0].id()
    }

    /// Creates a topic, replicated to every broker. An error when it exists.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> Result<()> {
        self.create_topic_with(name, partitions, &[]).await
    }

    /// The same with topic settings: `("retention.ms", "1000")`.
    pub async fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let replicas = i32::try_from(self.brokers.len()).expect("at most three brokers");
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replicas));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let results = self.admin()?.create_topics([&topic], &admin_options()).await?;
        for result in results {
            result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} not created: {code}"))?;
        }
        self.wait_until(name, true).await
    }

    /// Creates a topic of one partition on the brokers named (0 is the first), of which
    /// the first named leads.
    pub async fn create_topic_on(
        &self,
        brokers: &[i32],
        name: &str,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let ids: Vec<i32> = brokers.iter().map(|broker| broker + 1).collect();
        let replicas = [&ids[..]];
        let mut topic = NewTopic::new(name, 1, TopicReplication::Variable(&replicas));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        for result in self.admin()?.create_topics([&topic], &admin_options()).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} not created: {code}"))?;
        }
        self.wait_until(name, true).await
    }

    /// Waits until a topic of one partition is led by a broker, and has that many replicas in sync.
    pub async fn wait_led_by(&self, topic: &str, broker: i32, in_sync: usize) -> Result<()> {
        let (servers, topic) = (self.bootstrap_servers.clone(), topic.to_owned());
        task::spawn_blocking(move || {
            let give_up = Instant::now() + START_TIMEOUT;
            // A broker that is frozen must not be asked for long.
            let client: BaseConsumer = config(&servers).set("socket.timeout.ms", "2000").create()?;
            let is_so = || {
                let metadata = client.fetch_metadata(Some(&topic), Duration::from_secs(1)).ok()?;
                let partition = metadata.topics().first()?.partitions().first()?;
                Some(partition.leader() == broker + 1 && partition.isr().len() == in_sync)
            };
            while is_so() != Some(true) {
                ensure!(
                    Instant::now() < give_up,
                    "topic {topic}: not led by {broker} after {START_TIMEOUT:?}"
                );
                thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        })
        .await?
    }

    /// Grows a topic to `partitions` in all.
    pub async fn add_partitions(&self, topic: &str, partitions: usize) -> Result<()> {
        let grown = NewPartitions::new(topic, partitions);
        for result in self.admin()?.create_partitions([&grown], &admin_options()).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} not grown: {code}"))?;
        }
        Ok(())
    }

    /// Deletes a topic and all its records; returns when the brokers no longer speak of it.
    pub async fn delete_topic(&self, topic: &str) -> Result<()> {
        for result in self.admin()?.delete_topics(&[topic], &admin_options()).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic} not deleted: {code}"))?;
        }
        self.wait_until(topic, false).await
    }

    /// Waits until the brokers speak of a topic, or no longer do; that is a while after they have agreed.
    async fn wait_until(&self, topic: &str, there: bool) -> Result<()> {
        let (servers, topic) = (self.bootstrap_servers.clone(), topic.to_owned());
        task::spawn_blocking(move || {
            let give_up = Instant::now() + START_TIMEOUT;
            let client: BaseConsumer = config(&servers).create()?;
            let is_there = || -> Result<bool> {
                let metadata = client.fetch_metadata(None, START_TIMEOUT)?;
                Ok(metadata.topics().iter().any(|known| known.name() == topic))
            };
            while is_there()? != there {
                ensure!(Instant::now() < give_up, "topic {topic}: no change after {START_TIMEOUT:?}");
                thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        })
        .await?
    }

    /// Kills every broker at once and starts it again with the data it had; returns when it answers.
    pub async fn restart(&self) -> Result<()> {
        for broker in 0..self.brokers.len() {
            self.kill(broker).await?;
        }
        for broker in 0..self.brokers.len() {
            self.start_again(broker).await?;
        }
        self.wait_ready().await
    }

    /// Kills a broker (0 is the first) without a chance to say goodbye.
    pub async fn kill(&self, broker: usize) -> Result<()> {
        Ok(self.brokers[broker].stop_with_timeout(Some(0)).await?)
    }

    /// Has a broker (0 is the first) say goodbye and end: what it leads has another leader by then, or none.
    pub async fn stop(&self, broker: usize) -> Result<()> {
        Ok(self.brokers[broker].stop_with_timeout(Some(60)).await?)
    }

    /// Starts a broker that has ended; returns at once, see [`Kafka::wait_ready`].
    pub async fn start_again(&self, broker: usize) -> Result<()> {
        Ok(self.brokers[broker].start().await?)
    }

    /// Freezes one broker (0 is the first): connections stay open, and it does not answer.
    pub async fn freeze(&self, broker: usize) -> Result<()> {
        signals::stop(&self.brokers[broker]).await
    }

    /// Ends [`Kafka::freeze`].
    pub async fn thaw(&self, broker: usize) -> Result<()> {
        signals::go_on(&self.brokers[broker]).await
    }

    /// Freezes every broker: connections stay open, nobody answers.
    pub async fn pause(&self) -> Result<()> {
        for broker in &self.brokers {
            signals::stop(broker).await?;
        }
        Ok(())
    }

    /// Ends [`Kafka::pause`].
    pub async fn unpause(&self) -> Result<()> {
        for broker in &self.brokers {
            signals::go_on(broker).await?;
        }
        Ok(())
    }

    /// Waits until each broker says that all of them are in the cluster and every partition has a leader.
    pub async fn wait_ready(&self) -> Result<()> {
        let (servers, brokers) = (self.bootstrap_servers.clone(), self.brokers.len());
        task::spawn_blocking(move || {
            let give_up = Instant::now() + START_TIMEOUT;
            // One after the other: for a while, the rest of a cluster speaks of a killed
            // broker as if it were there.
            for server in servers.split(',') {
                let client: BaseConsumer = config(server).create()?;
                while !is_ready(&client, brokers) {
                    if Instant::now() > give_up {
                        bail!("broker {server} not ready after {START_TIMEOUT:?}");
                    }
                    thread::sleep(Duration::from_millis(100));
                }
            }
            Ok(())
        })
        .await?
    }

    /// Runs a command in the first broker's container.
    pub(crate) async fn exec(&self, command: ExecCommand) -> Result<ExecResult> {
        Ok(self.brokers[0].exec(command).await?)
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(config(&self.bootstrap_servers).create()?)
    }
}

fn is_ready(client: &BaseConsumer, brokers: usize) -> bool {
    client.fetch_metadata(None, Duration::from_secs(1)).is_ok_and(|metadata| {
        let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        metadata.brokers().len() == brokers && partitions.all(|partition| partition.leader() >= 0)
    })
}

fn config(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    // A broker that restarts is looked for again soon, not after the client's usual ten seconds.
    config.set("bootstrap.servers", servers).set("reconnect.backoff.max.ms", "500").set("log_level", "3");
    config
}

fn admin_options() -> AdminOptions {
    // A topic can be used as soon as its creation returns.
    AdminOptions::new().operation_timeout(Some(ADMIN_TIMEOUT)).request_timeout(Some(ADMIN_TIMEOUT))
}

/// A broker yet to be started.
pub(crate) struct Broker {
    /// Of all brokers of the cluster; the first has id 1.
    hosts: Vec<String>,
    id: usize,
    /// By which it is reached from this machine, the tests' own way first.
    pub(crate) ports: Vec<u16>,
    network: Option<String>,
    /// As the image takes them.
    pub(crate) settings: Vec<(String, String)>,
    /// Path in the container, and content.
    pub(crate) files: Vec<(String, String)>,
}

impl Broker {
    /// One that is a cluster by itself.
    pub(crate) fn new(port: u16) -> Self {
        let hosts = vec!["localhost".to_owned()];
        Self { hosts, id: 1, ports: vec![port], network: None, settings: Vec::new(), files: Vec::new() }
    }

    fn set(&mut self, settings: &[(&str, &str)]) {
        self.settings.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    }

    async fn start(self) -> Result<ContainerAsync<GenericImage>> {
        let Self { hosts, id, ports, network, settings, files } = self;
        let (host, port) = (&hosts[id - 1], ports[0]);
        let voters: Vec<String> =
            hosts.iter().enumerate().map(|(n, host)| format!("{}@{host}:9094", n + 1)).collect();
        let replicas = hosts.len().to_string();
        let in_sync = hosts.len().div_ceil(2).to_string();
        let image =
            GenericImage::new(IMAGE, TAG).with_wait_for(WaitFor::message_on_stdout("Kafka Server started"));
        let mut request = reaper::owned(image)
            .with_startup_timeout(START_TIMEOUT)
            .with_env_var("CLUSTER_ID", "5L6g3nShT-eMCtK--X86sw")
            .with_env_var("KAFKA_NODE_ID", id.to_string())
            .with_env_var("KAFKA_PROCESS_ROLES", "broker,controller")
            .with_env_var("KAFKA_CONTROLLER_QUORUM_VOTERS", voters.join(","))
            .with_env_var("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER")
            .with_env_var("KAFKA_INTER_BROKER_LISTENER_NAME", "BROKER")
            .with_env_var(
                "KAFKA_LISTENERS",
                format!("PLAINTEXT://0.0.0.0:{port},BROKER://0.0.0.0:9093,CONTROLLER://0.0.0.0:9094"),
            )
            .with_env_var(
                "KAFKA_ADVERTISED_LISTENERS",
                format!("PLAINTEXT://127.0.0.1:{port},BROKER://{host}:9093"),
            )
            .with_env_var(
                "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
                "BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            )
            .with_env_var("KAFKA_DEFAULT_REPLICATION_FACTOR", &replicas)
            .with_env_var("KAFKA_MIN_INSYNC_REPLICAS", &in_sync)
            .with_env_var("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", &replicas)
            .with_env_var("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", &replicas)
            .with_env_var("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", &in_sync)
            // The defaults of 50 partitions each only cost start-up time.
            .with_env_var("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "3")
            .with_env_var("KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS", "3")
            .with_env_var("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0")
            .with_env_var("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
            // A killed broker is noticed within tests' patience, and a restarted one need not
            // outwait its own old session.
            .with_env_var("KAFKA_BROKER_SESSION_TIMEOUT_MS", "3000")
            .with_env_var("KAFKA_BROKER_HEARTBEAT_INTERVAL_MS", "500");
        for port in ports {
            request = request.with_mapped_port(port, port.tcp());
        }
        if let Some(network) = network {
            request = request.with_network(network).with_container_name(host);
        }
        for (key, value) in settings {
            request = request.with_env_var(key, value);
        }
        for (path, content) in files {
            request = request.with_copy_to(path, content.into_bytes());
        }
        request
            .start()
            .await
            .with_context(|| format!("{IMAGE}:{TAG} did not start (is it there? ./x images)"))
    }
}
