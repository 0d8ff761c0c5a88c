//! Turns a job file of FlinkX, or of ChunJun as it is called since, into one of this program.
//!
//! The guarantee: what comes out is a job file that this version accepts, and every
//! setting that went in is either in it or named among what is left, with the
//! reason. No secret goes from the one file into the other.

mod columns;
mod document;
mod format;
mod json;
mod reader;
mod section;
mod setting;
mod types;
mod writer;

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use crate::config::{Config, ConfigErrors, Origin};
use crate::limits::JOB_FILE_MAX_BYTES;
use document::Document;
use section::Section;

/// A setting that is not in the new job file as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Where it stands: `job.setting.log.path`.
    pub path: String,
    /// Why, and what to do about it.
    pub reason: String,
}

/// The new job file.
#[derive(Clone, Debug)]
pub struct Imported {
    /// YAML.
    pub text: String,
    /// In the order of the old file's paths.
    pub left: Vec<Left>,
}

/// Why there is nothing to import.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{0}")]
    Unfit(String),
    #[error("the job file that came out does not check, which is a fault of this program: {0}")]
    Unsound(#[source] ConfigErrors),
}

/// What is found wanting while a job is read.
#[derive(Debug, Default)]
struct Report(Vec<Left>);

impl Report {
    fn left(&mut self, path: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Left { path: path.into(), reason: reason.into() });
    }
}

/// What is written where a job file must say something and the old one does not. Each is reported.
const PLACEHOLDERS: [(&str, &str); 4] = [
    ("kafka.bootstrap_servers", "localhost:9092"),
    ("kafka.topics", "[topic]"),
    ("sink.url", "file:///warehouse"),
    ("sink.table", "imported"),
];
/// Each round mends at least one key.
const ROUNDS: usize = 1_000;

/// Reads a job file of FlinkX or ChunJun; the new job is called `name`, made fit for a folder's.
pub fn import(text: &str, name: &str) -> Result<Imported, ImportError> {
    let unfit = |what: String| Err(ImportError::Unfit(what));
    if text.len() as u64 > JOB_FILE_MAX_BYTES {
        return unfit(format!("it is larger than {JOB_FILE_MAX_BYTES} bytes: name the right file"));
    }
    let root: Value = match serde_json::from_str(&json::plain(text)) {
        Ok(root) => root,
        Err(error) => return unfit(format!("it is not JSON: {error}")),
    };
    let Some(contents) = root.pointer("/job/content") else {
        return unfit("it has no job.content, which every job of FlinkX and ChunJun has".to_owned());
    };
    let contents: Vec<(String, &Value)> = match contents.as_array() {
        Some(items) => {
            items.iter().enumerate().map(|(n, item)| (format!("job.content[{n}]"), item)).collect()
        }
        None => vec![("job.content".to_owned(), contents)],
    };
    let kafka = contents.iter().position(|(_, content)| reader::is_kafka(content));
    let Some(kafka) = kafka else {
        let names: Vec<_> =
            contents.iter().filter_map(|(_, c)| c.pointer("/reader/name")?.as_str()).collect();
        return unfit(format!("it has no Kafka reader (its readers: {})", names.join(", ")));
    };
    let (mut document, mut report) = (Document::default(), Report::default());
    document.set("job", document::text(&folder_name(name)), "");
    for (path, _) in contents.iter().enumerate().filter(|(n, _)| *n != kafka).map(|(_, content)| content) {
        report.left(path, "a job here reads from one place into one: import it as a job of its own");
    }
    let mut rest = Section::of(Some(&root), String::new());
    let mut job = rest.section("job");
    rest.finish(&mut report);
    job.skip("content");
    content(contents[kafka].1, &contents[kafka].0, &mut document, &mut report);
    setting::read(job.section("setting"), &mut document, &mut report);
    job.finish(&mut report);
    let text = mend(&mut document, &mut report)?;
    let Report(mut left) = report;
    left.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Imported { text, left })
}

fn content(content: &Value, path: &str, document: &mut Document, report: &mut Report) {
    let mut content = Section::of(Some(content), path.to_owned());
    let (mut reader, mut writer) = (content.section("reader"), content.section("writer"));
    let source = reader::read(&mut reader, document, report);
    let sink = writer::read(&mut writer, &source.topics, document, report);
    columns::merge(source, sink, document, report);
    for section in [reader, writer, content] {
        section.finish(report);
    }
}

/// Takes out what this version does not accept, and puts in what it cannot do
/// without, until it accepts the whole.
fn mend(document: &mut Document, report: &mut Report) -> Result<String, ImportError> {
    let origin = Origin(PathBuf::from("the imported job"));
    for _ in 0..ROUNDS {
        let text = document.render();
        let errors = match Config::parse(&text, &origin) {
            Ok(_) => return Ok(text),
            Err(errors) => errors,
        };
        let mut mended = false;
        for error in &errors.errors {
            // Of two that contradict each other, the one that is told may be a default.
            let other = || document.origins().find(|new| error.problem.contains(new)).map(str::to_owned);
            let path = if document.has(&error.path) { None } else { other() };
            let path = path.as_deref().unwrap_or(&error.path);
            let from = document.origin(path).unwrap_or(path).to_owned();
            if document.remove(path) {
                report.left(from, format!("{}; {}", error.problem, error.remedy));
                mended = true;
            } else if let Some((key, value)) = PLACEHOLDERS.iter().find(|(key, _)| *key == error.path) {
                document.set(key, document::plain(value), "");
                report.left(from, format!("is missing, and {value} stands there now: complete {key}"));
                mended = true;
            }
        }
        if !mended {
            return Err(ImportError::Unsound(errors));
        }
    }
    let errors = Config::parse(&document.render(), &origin).err();
    errors.map_or_else(|| Ok(document.render()), |errors| Err(ImportError::Unsound(errors)))
}

/// Letters, digits, `.`, `_` and `-`, beginning with a letter or digit.
fn folder_name(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
    let name: String = name.chars().map(fits).take(100).collect();
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() { "imported".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests;
