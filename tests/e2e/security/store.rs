//! A job whose store speaks TLS by a private authority's certificate, and has a password of its own.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use tidegate_testcontainers::{Authority, MinIO};

use super::scene::LIMIT;
use crate::support::{CHECKPOINTS, Job, Place, Program, Settings, orders};

pub(super) const PASSWORD: &str = "planted-password-of-the-store";

pub(super) struct Scene {
    pub(super) job: Job,
    pub(super) servers: &'static str,
    pub(super) topic: &'static str,
}

impl Scene {
    /// `more` goes at the end of the job file.
    pub(super) async fn new(minio: &MinIO, authority: &Authority, more: &str) -> Result<Self> {
        let (servers, topic) = orders().await?;
        let settings = Settings {
            bootstrap_servers: servers,
            topic,
            place: Place::Folder,
            more: &format!("{CHECKPOINTS}{more}"),
            sink: "",
            endpoint: None,
        };
        let mut job = Job::new(settings).await?;
        let beside = |name: &str| job.file().with_file_name(name).display().to_string();
        std::fs::write(beside("authority.pem"), &authority.pem)?;
        std::fs::write(beside("store-password"), PASSWORD)?;
        let url = format!("s3://lake/{}", job.name);
        let options = [
            ("endpoint", minio.endpoint().to_owned()),
            ("region", "us-east-1".to_owned()),
            ("path_style", "true".to_owned()),
            ("access_key_id", MinIO::ACCESS_KEY.to_owned()),
            ("secret_access_key", PASSWORD.to_owned()),
            ("ca_file", beside("authority.pem")),
        ];
        let substituted = format!("\"${{file:{}}}\"", beside("store-password"));
        let lines = options.iter().map(|(key, value)| {
            format!("\n    {key}: {}", if *key == "secret_access_key" { &substituted } else { value })
        });
        let text = std::fs::read_to_string(job.file())?;
        let text = text.replace("  store: {}", &format!("  store:{}", lines.collect::<String>()));
        std::fs::write(job.file(), text.replace(&job.url, &url))?;
        job.options =
            options.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<BTreeMap<_, _>>();
        job.url = url;
        Ok(Self { job, servers, topic })
    }

    /// Runs a command that must end with `code`. Returns all that it said.
    pub(super) async fn ends_with(&self, code: i32, arguments: &[&str]) -> Result<String> {
        let mut process = self.job.start(Program::Plain, arguments, None, None)?;
        let status = process.wait(LIMIT).await?;
        let said = process.output()? + process.log()?.as_str();
        ensure!(status.code() == Some(code), "{arguments:?} ended with {status}, not {code}: {said}");
        Ok(said)
    }
}
