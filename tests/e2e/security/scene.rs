//! A job that reads from a broker which asks for a login.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tidegate_testcontainers::transactions::Transactions;
use tidegate_testcontainers::{Certificate, SecuredKafka};
use tokio::sync::OnceCell;

use crate::support::{CHECKPOINTS, Job, Place, Program, Settings, unique};

use std::time::Duration;

pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// By SCRAM. The password has what properties and shells trip over.
pub(super) const USER: (&str, &str) = ("scram-user", "pass=word 'of' the $user");
/// By SCRAM too, and without any right of its own.
pub(super) const POOR: (&str, &str) = ("poor-user", "a-poor-password");
/// Who they are by a certificate, and by a token.
pub(super) const CERTIFIED: &str = "certified-user";
pub(super) const TOKEN_USER: &str = "token-user";

/// Topics and groups of jobs that may be read begin with it; nothing else may.
pub(super) const OURS: &str = "secured";

/// The one secured broker of all tests here.
pub(super) async fn broker() -> Result<&'static SecuredKafka> {
    static SHARED: OnceCell<SecuredKafka> = OnceCell::const_new();
    let start = || async {
        let broker = SecuredKafka::start().await?;
        for (user, password) in [USER, POOR] {
            broker.add_user(user, password).await?;
        }
        let users = [USER.0, SecuredKafka::PLAIN_USER.0, CERTIFIED, TOKEN_USER];
        // All that reading takes. A topic that is made later shows that the broker has heard of it.
        broker.allow(&users, &reading(OURS, OURS)).await?;
        anyhow::Ok(broker)
    };
    SHARED.get_or_try_init(start).await
}

/// The rights to read topics and use groups by their first letters, as `kafka-acls.sh` takes them.
pub(super) fn reading<'a>(topics: &'a str, groups: &'a str) -> Vec<&'a str> {
    let kind = ["--operation", "Read", "--resource-pattern-type", "prefixed", "--topic"];
    [&kind[..], &[topics, "--group", groups]].concat()
}

pub(super) struct Scene {
    pub(super) job: Job,
    pub(super) topic: String,
    pub(super) broker: &'static SecuredKafka,
}

impl Scene {
    /// A topic of its own with records, and a job that has no login yet. `more` goes at
    /// the end of the job file.
    pub(super) async fn new(more: &str) -> Result<Self> {
        Self::with_topic(&unique(OURS), more).await
    }

    pub(super) async fn with_topic(topic: &str, more: &str) -> Result<Self> {
        let broker = broker().await?;
        broker.open().create_topic(topic, 3).await?;
        let plan = Transactions { records: 2_000, ..Default::default() };
        plan.produce(broker.open().bootstrap_servers(), topic).await?;
        let settings = Settings {
            bootstrap_servers: "LISTENER",
            topic,
            place: Place::Folder,
            more: &format!("{CHECKPOINTS}{more}"),
            sink: "",
            endpoint: None,
        };
        let scene = Self { job: Job::new(settings).await?, topic: topic.to_owned(), broker };
        scene.write("authority.pem", &broker.authority.pem)?;
        Ok(scene)
    }

    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.job.file().with_file_name(name)
    }

    pub(super) fn write(&self, name: &str, content: &str) -> Result<()> {
        Ok(std::fs::write(self.beside(name), content)?)
    }

    pub(super) fn write_certificate(&self, certificate: &Certificate, name: &str) -> Result<()> {
        certificate.write(self.beside("").as_path(), name)?;
        Ok(())
    }

    /// Lets the job come in by a listener with these properties. In them, `HERE` stands
    /// for the job file's folder.
    pub(super) fn comes_by(&self, listener: &str, properties: &str) -> Result<()> {
        let text = std::fs::read_to_string(self.job.file())?;
        let folder = self.job.file().parent().context("a folder")?.display().to_string();
        let properties = properties.replace("HERE", &folder);
        let before =
            text.lines().filter(|line| !line.contains("bootstrap_servers:") && !line.contains("properties:"));
        let lines: Vec<&str> = before.collect();
        let kafka = format!(
            "kafka:\n  bootstrap_servers: \"{}\"\n  properties: {{session.timeout.ms: 6000, {properties}}}",
            self.broker.listener(listener)
        );
        Ok(std::fs::write(self.job.file(), lines.join("\n").replace("kafka:", &kafka) + "\n")?)
    }

    /// By TLS and SCRAM.
    pub(super) fn comes_as(&self, (user, password): (&str, &str)) -> Result<()> {
        self.write("password", password)?;
        self.comes_by("SECURED", &scram(user))
    }

    pub(super) async fn assert_copies_exactly(&self) -> Result<()> {
        let said = self.ends_with(0, &["validate"]).await?;
        ensure!(said.contains("a run would start"), "{said}");
        self.ends_with(0, &["run", "--until-end"]).await?;
        self.job.assert_exact(self.broker.open().bootstrap_servers(), &self.topic).await
    }

    /// Runs a command that must end with `code`, in a group of the right name. Returns all that it said.
    pub(super) async fn ends_with(&self, code: i32, arguments: &[&str]) -> Result<String> {
        self.ends_in_group(code, arguments, &format!("{OURS}-{}", self.job.name)).await
    }

    pub(super) async fn ends_in_group(&self, code: i32, arguments: &[&str], group: &str) -> Result<String> {
        let mut process = self.job.start(Program::Plain, arguments, Some(group), None)?;
        let status = process.wait(LIMIT).await?;
        let said = process.output()? + process.log()?.as_str();
        ensure!(status.code() == Some(code), "{arguments:?} ended with {status}, not {code}: {said}");
        ensure!(!said.contains("panicked"), "{said}");
        Ok(said)
    }
}

/// Properties of a user whose password lies beside the job file.
pub(super) fn scram(user: &str) -> String {
    format!(
        "security.protocol: SASL_SSL, sasl.mechanism: SCRAM-SHA-512, sasl.username: {user}, \
         sasl.password: \"${{file:HERE/password}}\", ssl.ca.location: HERE/authority.pem"
    )
}
