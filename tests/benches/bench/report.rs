//! What a run has found: tables of figures, kept as JSON, shown as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::measure::{Cost, median};

/// The figures of one bench.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Table {
    /// When and on what it was measured.
    pub(crate) conditions: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) lines: Vec<Line>,
}

/// A column: the key of its figures, its head, and how many digits are shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Column {
    pub(crate) key: String,
    head: String,
    digits: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) figures: BTreeMap<String, f64>,
}

pub(crate) fn columns(columns: &[(&str, &str, usize)]) -> Vec<Column> {
    let column = |(key, head, digits): &(&str, &str, usize)| Column {
        key: (*key).into(),
        head: (*head).into(),
        digits: *digits,
    };
    columns.iter().map(column).collect()
}

/// The columns that [`Line::of_costs`] fills.
pub(crate) const COSTS: [(&str, &str, usize); 5] = [
    ("rows_per_second", "rows/s", 0),
    ("mb_per_second", "MB/s", 0),
    ("cpu", "CPU s / M rows", 2),
    ("rss", "peak RSS MiB", 0),
    ("to_reference", "to the reference", 2),
];

impl Line {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), figures: BTreeMap::new() }
    }

    pub(crate) fn with(mut self, key: &str, figure: impl Into<Option<f64>>) -> Self {
        match figure.into() {
            Some(figure) => self.figures.insert(key.into(), figure),
            None => self.figures.remove(key),
        };
        self
    }

    pub(crate) fn of(&self, key: &str) -> Option<f64> {
        self.figures.get(key).copied()
    }

    /// The medians of some rounds; `reference` is what ran beside it in each of them.
    pub(crate) fn of_costs(
        name: impl Into<String>,
        rows: u64,
        bytes: u64,
        costs: &[Cost],
        reference: &[Cost],
    ) -> Self {
        let wall = median(costs.iter().map(|cost| cost.wall_seconds));
        let cpu = median(costs.iter().map(|cost| cost.cpu_seconds));
        let pairs = costs.iter().zip(reference);
        Self::new(name)
            .with("rounds", costs.len() as f64)
            .with("rows", rows as f64)
            .with("wall", wall)
            .with("rows_per_second", wall.map(|wall| rows as f64 / wall))
            .with("mb_per_second", wall.map(|wall| bytes as f64 / wall / 1e6))
            .with("cpu", cpu.map(|cpu| cpu / rows as f64 * 1e6))
            .with("rss", median(costs.iter().filter_map(|cost| cost.peak_rss_mib)))
            .with("to_reference", median(pairs.clone().map(|(a, b)| a.cpu_seconds / b.cpu_seconds)))
            .with("wall_to_reference", median(pairs.map(|(a, b)| a.wall_seconds / b.wall_seconds)))
    }
}

impl Table {
    pub(crate) fn line(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        let has = |column: &&Column| self.lines.iter().any(|line| line.of(&column.key).is_some());
        let shown: Vec<&Column> = self.columns.iter().filter(has).collect();
        let heads: Vec<&str> = shown.iter().map(|column| column.head.as_str()).collect();
        let _ = writeln!(text, "| | {} |\n|---|{}", heads.join(" | "), "--:|".repeat(heads.len()));
        for line in &self.lines {
            let cell = |column: &&Column| {
                line.of(&column.key).map_or_else(String::new, |figure| rounded(figure, column.digits))
            };
            let cells: Vec<String> = shown.iter().map(cell).collect();
            let _ = writeln!(text, "| {} | {} |", line.name, cells.join(" | "));
        }
        let _ = writeln!(text, "\n{}", self.conditions);
        text
    }
}

/// A figure with so many digits; what rounds to zero has no sign.
fn rounded(figure: f64, digits: usize) -> String {
    let text = format!("{figure:.digits$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|byte| matches!(byte, b'0' | b'.')) => rest.to_owned(),
        _ => text,
    }
}

/// A ratio as what it is more or less than 1, in percent.
pub(crate) fn percent(ratio: f64) -> String {
    let change = rounded((ratio - 1.0) * 100.0, 0);
    format!("{}{change} %", if change.starts_with(['-', '0']) { "" } else { "+" })
}

/// All tables by the names of their benches, as the last run of each has left them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Results(pub(crate) BTreeMap<String, Table>);

impl Results {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("reading {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("writing {}", path.display()))
    }

    pub(crate) fn figure(&self, table: &str, line: &str, key: &str) -> Option<f64> {
        self.0.get(table)?.line(line)?.of(key)
    }

    /// Puts tables, goals and the summary between their marks in a page: `<!-- bench
    /// NAME -->` and `<!-- end -->`.
    pub(crate) fn put_into(&self, page: &str) -> String {
        let mut text = page.to_owned();
        let mut put = |name: &str, content: &str| {
            if let Some(with) = between(&text, name, content) {
                text = with;
            }
        };
        for (name, table) in &self.0 {
            put(name, &table.markdown());
        }
        put("goals", &super::goals::markdown(self));
        if let Some(summary) = super::chart::summary(self) {
            put("summary", &summary);
        }
        text
    }
}

fn between(text: &str, name: &str, content: &str) -> Option<String> {
    let mark = format!("<!-- bench {name} -->\n");
    let start = text.find(&mark)? + mark.len();
    let end = start + text[start..].find("<!-- end -->")?;
    Some(format!("{}{content}{}", &text[..start], &text[end..]))
}
