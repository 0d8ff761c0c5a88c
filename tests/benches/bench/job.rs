//! The job file of a run, which also tells the other parts what to do.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tidegate::config::{Column, Config, Origin, Topics};

use super::workload::{Kind, Shape};

pub(crate) const TABLE: &str = "bench";

/// What a job file says. All else is the default, but for checkpoints that are
/// frequent enough to have their part in the figures.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) kind: Kind,
    /// `checkpoint.interval`
    pub(crate) interval: String,
    /// Further entries of sections: `("sink", "partition_by: [country]")`.
    pub(crate) more: Vec<(&'static str, String)>,
    /// Instead of a folder of its own.
    pub(crate) url: Option<String>,
}

impl Settings {
    pub(crate) fn new(name: impl Into<String>, shape: &Shape) -> Self {
        Self {
            name: name.into(),
            topic: shape.topic.clone(),
            kind: shape.kind,
            interval: "10s".into(),
            more: Vec::new(),
            url: None,
        }
    }

    pub(crate) fn interval(mut self, interval: &str) -> Self {
        self.interval = interval.into();
        self
    }

    pub(crate) fn with(mut self, section: &'static str, entry: impl Into<String>) -> Self {
        self.more.push((section, entry.into()));
        self
    }

    /// Writes the job file into a folder; the tables lie in a folder beside it.
    pub(crate) fn write(&self, servers: &str, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(format!("{}.yaml", self.name));
        std::fs::write(&path, self.text(servers, &folder.join(&self.name))?)
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// The job without a broker and without a file.
    pub(crate) fn alone(&self) -> Result<Job> {
        let text = self.text("localhost:9092", Path::new("/nowhere"))?.replace("${PORT}", "0");
        Ok(Job { config: Arc::new(Config::parse(&text, &Origin("job.yaml".into()))?) })
    }

    fn text(&self, servers: &str, folder: &Path) -> Result<String> {
        let url = self.url.clone().unwrap_or_else(|| format!("file://{}", folder.display()));
        let mut text = format!("job: {}\nhttp: {{listen: \"127.0.0.1:${{PORT}}\"}}\n", self.name);
        let given = [
            ("kafka", format!("bootstrap_servers: \"{servers}\"\n  topics: [{}]", self.topic)),
            ("sink", format!("url: {url}\n  table: {TABLE}")),
            ("checkpoint", format!("interval: {}", self.interval)),
        ];
        let mut sections: Vec<(&str, String)> = given.into();
        for (name, entry) in &self.more {
            match sections.iter_mut().find(|(section, _)| section == name) {
                Some((_, entries)) => write!(entries, "\n  {entry}")?,
                None => sections.push((name, entry.clone())),
            }
        }
        for (name, entries) in sections {
            writeln!(text, "{name}:\n  {entries}")?;
        }
        if !text.contains("\nformat:") {
            text.push_str("format:\n");
        }
        let at = text.find("\nformat:\n").context("the format is there")? + "\nformat:\n".len();
        let mut columns = String::from("  columns:\n");
        for (name, kind) in self.kind.columns() {
            writeln!(columns, "    - {{name: {name}, type: \"{kind}\"}}")?;
        }
        text.insert_str(at, &columns);
        Ok(text)
    }
}

/// A checked job file.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) config: Arc<Config>,
}

impl Job {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Ok(Self { config: Arc::new(Config::load(path)?) })
    }

    pub(crate) fn columns(&self) -> &[Column] {
        self.config.format.columns.as_deref().unwrap_or_default()
    }

    pub(crate) fn topic(&self) -> Result<&str> {
        match &self.config.kafka.topics {
            Topics::List(topics) if topics.len() == 1 => Ok(&topics[0]),
            topics => bail!("one topic was expected, not {topics:?}"),
        }
    }

    /// Where the table's files lie.
    pub(crate) fn table_folder(&self) -> Result<PathBuf> {
        let folder = self.config.sink.url.strip_prefix("file://").context("the sink is a folder")?;
        Ok(Path::new(folder).join(TABLE))
    }
}
