//! What a person sees of savepoints.

use serde_json::Value;

use super::create::CreatedSavepoint;
use super::{Shown, Summary, Verified};
use crate::cli::output::{or_dash, table};
use crate::job::savepoint::{Change, Diff, FileInfo, Listed};

/// Files that a person is shown.
const SHOWN: usize = 20;

pub(super) fn created(created: &CreatedSavepoint, asked_to_stop: bool) -> String {
    let how = match (created.by_replicas, created.stopped, asked_to_stop) {
        (true, true, _) => "made when all replicas had stopped; `tidegate resume` lets them run again",
        (true, false, _) => "made by the running replicas after a checkpoint",
        (false, _, true) => "no replica runs, so there was none to stop; made of the stored state",
        (false, _, false) => "no replica runs; made of the stored state",
    };
    format!("{}\n\n{}\n{how}", created.summary.uri, head(&created.summary))
}

fn head(summary: &Summary) -> String {
    let pending = match summary.unpublished {
        0 => String::new(),
        unpublished => format!("\n{unpublished} commits were still to be made visible"),
    };
    format!(
        "savepoint {} of job {}, made {:.3} by tidegate {}\ncheckpoint {}, incarnation {}, cluster {}, sink {}\n\
         {} commits, {} files, {}, {} rows, {} rejects{pending}",
        summary.id,
        summary.job,
        summary.created,
        summary.tool,
        summary.checkpoint,
        summary.incarnation,
        or_dash(summary.cluster_id.as_ref()),
        summary.sink,
        summary.commits,
        summary.files,
        bytesize::ByteSize(summary.bytes),
        summary.rows,
        summary.rejects,
    )
}

pub(super) fn list(listed: &[Listed]) -> String {
    let rows = listed.iter().map(|savepoint| {
        let manifest = savepoint.manifest.as_ref();
        [
            savepoint.name.clone(),
            or_dash(manifest.map(|manifest| &manifest.job)),
            or_dash(manifest.map(|manifest| format!("{:.3}", manifest.created))),
            or_dash(manifest.map(|manifest| manifest.checkpoint)),
            savepoint.problem.as_ref().map_or("complete", |_| "not usable").to_owned(),
        ]
    });
    let mut text = table(["name", "job", "created", "checkpoint", "state"], rows);
    for problem in listed.iter().filter_map(|savepoint| savepoint.problem.as_ref()) {
        text.push_str(&format!("\n\n{problem}"));
    }
    text
}

pub(super) fn show(shown: &Shown<'_>) -> String {
    let rows = shown.partitions.iter().map(|row| {
        [
            row.partition.topic.to_string(),
            row.partition.partition.to_string(),
            row.state.start.to_string(),
            row.state.next.to_string(),
            row.state.rows.to_string(),
        ]
    });
    let partitions = table(["topic", "partition", "start", "next", "rows"], rows);
    format!("{}\n\n{partitions}\n\njob: {:#}", head(&shown.summary), shown.job_file)
}

pub(super) fn verify(verified: &Verified) -> String {
    let mut text = format!("{}\n\nsound: every hash, and all parts fit together", head(&verified.summary));
    let Some(compared) = &verified.against_sink else { return text };
    text.push_str(&format!(
        "\nin the sink: {} of {} files",
        compared.files - compared.problems.len(),
        compared.files
    ));
    if !compared.pending.is_empty() {
        text.push_str(&format!(
            ", {} of them committed and still to be made visible, by the next run",
            compared.pending.len()
        ));
    }
    for problem in &compared.problems {
        text.push_str(&format!("\n{} {}", problem.path, problem.problem));
    }
    text
}

pub(super) fn diff(diff: &Diff) -> String {
    let mut parts = vec![table(["", "a", "b"], diff.identity.iter().map(row))];
    if !diff.partitions.is_empty() {
        let rows = diff.partitions.iter().map(|found| {
            [
                found.partition.to_string(),
                or_dash(found.a.map(|state| state.next)),
                or_dash(found.b.map(|state| state.next)),
                format!("{:+}", found.offsets),
                format!("{:+}", found.rows),
            ]
        });
        parts.push(table(["partition", "a", "b", "offsets", "rows"], rows));
    }
    for (files, what) in [(&diff.files_added, "only in b"), (&diff.files_removed, "only in a")] {
        if !files.is_empty() {
            parts.push(file_list(files, what));
        }
    }
    for (changes, what) in [(&diff.schema, "column"), (&diff.settings, "setting")] {
        if !changes.is_empty() {
            parts.push(table([what, "a", "b"], changes.iter().map(row)));
        }
    }
    parts.join("\n\n")
}

fn row(change: &Change) -> [String; 3] {
    let shown = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    [change.key.clone(), shown(&change.a), shown(&change.b)]
}

fn file_list(files: &[FileInfo], what: &str) -> String {
    let (bytes, rows): (u64, u64) =
        files.iter().fold((0, 0), |(bytes, rows), file| (bytes + file.bytes, rows + file.rows));
    let names: Vec<_> = files.iter().take(SHOWN).map(|file| format!("\n  {}", file.path)).collect();
    let more = if files.len() > SHOWN { "\n  …" } else { "" };
    format!(
        "{} files, {}, {rows} rows {what}:{}{more}",
        files.len(),
        bytesize::ByteSize(bytes),
        names.concat()
    )
}
