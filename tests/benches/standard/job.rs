//! The job file of the product, which also tells the other parts what to do.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use tidegate::config::{Column, Config};

use super::workload::{COLUMNS, TOPIC};

/// A checked job file.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) config: Arc<Config>,
}

/// Writes the job file of a round: a table, a group and a state of its own. All else is the default, but for
/// checkpoints that are frequent enough to have their part in the figures.
pub(crate) fn write(path: &Path, servers: &str, name: &str, folder: &Path) -> Result<()> {
    let mut text = format!(
        "job: {name}\nkafka: {{bootstrap_servers: \"{servers}\", topics: [{TOPIC}]}}\n\
         sink: {{url: \"file://{}\"}}\ncheckpoint: {{interval: 10s}}\nhttp: {{listen: 127.0.0.1:0}}\n\
         format:\n  columns:\n",
        folder.display()
    );
    for (name, type_name) in COLUMNS {
        writeln!(text, "    - {{name: {name}, type: \"{type_name}\"}}")?;
    }
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

impl Job {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Ok(Self { config: Arc::new(Config::load(path)?) })
    }

    pub(crate) fn columns(&self) -> &[Column] {
        self.config.format.columns.as_deref().unwrap_or_default()
    }

    /// Where the table's files lie.
    pub(crate) fn table_folder(&self) -> Result<PathBuf> {
        let folder = self.config.sink.url.strip_prefix("file://").context("the sink is a folder")?;
        Ok(Path::new(folder).join(TOPIC))
    }
}
