//! A Kafka broker that lets in only who proves who they are, and does only what they may.

use anyhow::{Result, ensure};
use testcontainers::core::ExecCommand;

use crate::certificates::{Authority, Certificate};
use crate::kafka::{Broker, Kafka};
use crate::ports::free_port;

/// One broker with an authorizer (who has no right has none), and listeners that differ in what they ask for:
///
/// - `SECURED`: TLS and SASL (SCRAM-SHA-512, PLAIN, OAUTHBEARER with unsecured tokens);
/// - `MUTUAL`: a client certificate of [`SecuredKafka::authority`], whose common name is the user;
/// - `EXPIRED` and `ELSEWHERE`: as `SECURED`, but the broker's certificate is out of date, or another host's.
///
/// Tests themselves come in without any of that, by [`SecuredKafka::open`], and may do everything.
#[derive(Debug)]
pub struct SecuredKafka {
    kafka: Kafka,
    pub authority: Authority,
    ports: [u16; 4],
}

const LISTENERS: [&str; 4] = ["SECURED", "MUTUAL", "EXPIRED", "ELSEWHERE"];

impl SecuredKafka {
    /// A user by SASL PLAIN.
    pub const PLAIN_USER: (&str, &str) = ("plain-user", "plain-users-password");

    pub async fn start() -> Result<Self> {
        let authority = Authority::new("Authority of the tests")?;
        let (open, ports) = (free_port(), [(); 4].map(|()| free_port()));
        let mut broker = Broker::new(open);
        let [mut listeners, mut advertised, mut protocols] = [
            format!("PLAINTEXT://0.0.0.0:{open},BROKER://0.0.0.0:9093,CONTROLLER://0.0.0.0:9094"),
            format!("PLAINTEXT://127.0.0.1:{open},BROKER://localhost:9093"),
            "BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
        ];
        let (user, password) = Self::PLAIN_USER;
        for (name, port) in LISTENERS.into_iter().zip(ports) {
            let protocol = if name == "MUTUAL" { "SSL" } else { "SASL_SSL" };
            listeners += &format!(",{name}://0.0.0.0:{port}");
            advertised += &format!(",{name}://localhost:{port}");
            protocols += &format!(",{name}:{protocol}");
            let certificate = match name {
                "EXPIRED" => authority.sign_expired(&["localhost"])?,
                "ELSEWHERE" => authority.sign(&["elsewhere.example"])?,
                _ => authority.sign(&["localhost"])?,
            };
            let folder = "/mnt/tls";
            let Certificate { pem, key } = certificate;
            broker.ports.push(port);
            broker.files.push((format!("{folder}/{name}.pem"), format!("{key}{pem}")));
            let mut set = |key: &str, value: &str| {
                broker.settings.push((format!("KAFKA_LISTENER_NAME_{name}_{key}"), value.to_owned()));
            };
            set("SSL_KEYSTORE_TYPE", "PEM");
            set("SSL_KEYSTORE_LOCATION", &format!("{folder}/{name}.pem"));
            if protocol == "SSL" {
                set("SSL_CLIENT_AUTH", "required");
                set("SSL_TRUSTSTORE_TYPE", "PEM");
                set("SSL_TRUSTSTORE_LOCATION", &format!("{folder}/authority.pem"));
                set("SSL_PRINCIPAL_MAPPING_RULES", "RULE:^CN=(.*)$/$1/");
                continue;
            }
            let module = "org.apache.kafka.common.security";
            set("SASL_ENABLED_MECHANISMS", "SCRAM-SHA-512,PLAIN,OAUTHBEARER");
            set("SCRAM___SHA___512_SASL_JAAS_CONFIG", &format!("{module}.scram.ScramLoginModule required;"));
            let users = format!("{module}.plain.PlainLoginModule required user_{user}=\"{password}\";");
            set("PLAIN_SASL_JAAS_CONFIG", &users);
            let tokens = format!(
                "{module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"b\";"
            );
            set("OAUTHBEARER_SASL_JAAS_CONFIG", &tokens);
        }
        broker.files.push(("/mnt/tls/authority.pem".to_owned(), authority.pem.clone()));
        for (key, value) in [
            ("KAFKA_LISTENERS", listeners.as_str()),
            ("KAFKA_ADVERTISED_LISTENERS", &advertised),
            ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", &protocols),
            ("KAFKA_AUTHORIZER_CLASS_NAME", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
            ("KAFKA_SUPER_USERS", "User:ANONYMOUS"),
        ] {
            broker.settings.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self { kafka: Kafka::of_one(broker).await?, authority, ports })
    }

    /// The broker as the tests themselves reach it, without a login.
    pub fn open(&self) -> &Kafka {
        &self.kafka
    }

    /// `localhost:port` of a listener.
    pub fn listener(&self, name: &str) -> String {
        let at = LISTENERS.iter().position(|listener| *listener == name).expect("a listener's name");
        format!("localhost:{}", self.ports[at])
    }

    /// Makes a user for SCRAM-SHA-512, without rights.
    pub async fn add_user(&self, name: &str, password: &str) -> Result<()> {
        let credentials = format!("SCRAM-SHA-512=[iterations=4096,password={password}]");
        self.run(
            "kafka.admin.ConfigCommand",
            &["--alter", "--add-config", &credentials, "--entity-type", "users"],
            &["--entity-name", name],
        )
        .await
    }

    /// Gives users rights, as `kafka-acls.sh --add` takes them: `["--operation",
    /// "Read", "--topic", "orders"]`.
    pub async fn allow(&self, users: &[&str], rights: &[&str]) -> Result<()> {
        self.change_rights(&["--add"], users, rights).await
    }

    /// Takes rights away that were given in the same words.
    pub async fn take_away(&self, users: &[&str], rights: &[&str]) -> Result<()> {
        self.change_rights(&["--remove", "--force"], users, rights).await
    }

    async fn change_rights(&self, how: &[&str], users: &[&str], rights: &[&str]) -> Result<()> {
        let principals: Vec<String> = users.iter().map(|user| format!("User:{user}")).collect();
        let allow = principals.iter().flat_map(|principal| ["--allow-principal", principal]);
        let arguments: Vec<&str> = how.iter().copied().chain(allow).collect();
        self.run("org.apache.kafka.tools.AclCommand", &arguments, rights).await
    }

    async fn run(&self, class: &str, arguments: &[&str], more: &[&str]) -> Result<()> {
        let program = ["/opt/kafka/bin/kafka-run-class.sh", class, "--bootstrap-server", "localhost:9093"];
        let command = program.iter().chain(arguments).chain(more).map(ToString::to_string);
        let mut result = self.kafka.exec(ExecCommand::new(command.collect::<Vec<_>>())).await?;
        let said = [result.stdout_to_vec().await?, result.stderr_to_vec().await?].concat();
        let code = result.exit_code().await?;
        ensure!(code == Some(0), "{class} ended with {code:?}: {}", String::from_utf8_lossy(&said));
        Ok(())
    }
}
