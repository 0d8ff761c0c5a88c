//! `tidegate schema`: the job's Arrow schema, or a column list inferred from a sample of the topic, ready to be
//! pasted into the job file.

use anyhow::{Result, bail};
use arrow::datatypes::{Schema, SchemaRef};
use serde::Serialize;
use tidegate_sinks::Sink;

use super::job::Job;
use super::output::{OutputArg, table};
use super::{JobArg, LogArgs};
use crate::cluster::{Cluster, Connected};
use crate::columns;
use crate::config::{Column, Config, FormatKind, client_properties};
use crate::{decode, run};

#[derive(Debug, clap::Args)]
pub(super) struct SchemaArgs {
    #[command(flatten)]
    job: JobArg,
    /// Infer the columns from a sample of the topic even where the job has them
    #[arg(long)]
    infer: bool,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, Serialize)]
struct Shown {
    /// Where the columns come from: `job file`, `checkpoint`, `sample`.
    from: &'static str,
    /// As the job file has them, without Kafka's metadata.
    columns: Vec<Column>,
    /// Every column of the files, with its Arrow type.
    arrow: Vec<ArrowField>,
}

#[derive(Debug, Serialize)]
struct ArrowField {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    arrow: String,
    nullable: bool,
}

pub(super) async fn execute(args: SchemaArgs, log: &LogArgs) -> Result<u8> {
    let job = Job::open_to_look(&args.job, log)?;
    let (from, columns) = find(&job, args.infer).await?;
    let schema = files_schema(&job.config, &columns)?;
    let shown = Shown { from, columns, arrow: arrow_fields(&schema) };
    args.output.print(&shown, || text(&shown))?;
    Ok(0)
}

async fn find(job: &Job, infer: bool) -> Result<(&'static str, Vec<Column>)> {
    let config = &job.config;
    if config.format.kind == FormatKind::Raw {
        return Ok(("job file", Vec::new()));
    }
    if let Some(columns) = config.format.columns.as_ref().filter(|_| !infer) {
        return Ok(("job file", columns.clone()));
    }
    if !infer && let Some(state) = job.sink.load().await? {
        return Ok(("checkpoint", run::columns(config, &state)?));
    }
    let group = config.kafka.group_id.clone();
    let cluster = Connected::connect(client_properties(config), config.kafka.topics.clone(), group).await?;
    let sample = cluster.sample(&cluster.partitions().await?).await?;
    if sample.is_empty() {
        bail!("the topics hold no record to infer columns from; list them under format.columns");
    }
    Ok(("sample", decode::infer::infer(sample.iter().map(Vec::as_slice))?))
}

/// The schema of the job's files.
pub(super) fn files_schema(config: &Config, columns: &[Column]) -> Result<SchemaRef> {
    match config.format.kind {
        FormatKind::Json => Ok(columns::schema(columns, &config.format.metadata)?),
        FormatKind::Raw => Ok(decode::decoder(&config.format, columns)?.schema().clone()),
    }
}

fn arrow_fields(schema: &Schema) -> Vec<ArrowField> {
    let field = |field: &arrow::datatypes::FieldRef| ArrowField {
        name: field.name().clone(),
        type_name: columns::type_name(field).unwrap_or_default(),
        arrow: field.data_type().to_string(),
        nullable: field.is_nullable(),
    };
    schema.fields().iter().map(field).collect()
}

fn text(shown: &Shown) -> String {
    let mut text = table(
        ["column", "type", "arrow", "nullable"],
        shown.arrow.iter().map(|field| {
            [field.name.clone(), field.type_name.clone(), field.arrow.clone(), field.nullable.to_string()]
        }),
    );
    if shown.from == "sample" {
        text.push_str("\n\nfor the job file, under format:\n\n  columns:\n");
        for column in &shown.columns {
            // JSON is YAML as well, and quotes what needs it.
            let entries = serde_json::to_value(column).ok().and_then(|column| match column {
                serde_json::Value::Object(entries) => Some(entries),
                _ => None,
            });
            let entry = |(key, value): (String, serde_json::Value)| format!("{key}: {value}");
            let entries: Vec<_> = entries.unwrap_or_default().into_iter().map(entry).collect();
            text.push_str(&format!("    - {{{}}}\n", entries.join(", ")));
        }
    }
    text.trim_end().to_owned()
}
