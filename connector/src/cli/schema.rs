//! `tidegate schema`: the job's Arrow schema, or a column list inferred from a
//! sample of the topic, ready to be pasted into the job file.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use arrow::datatypes::{Schema, SchemaRef};
use serde::Serialize;
use tidegate_sinks::Sink;

use super::job::Job;
use super::output::{OutputArg, table};
use super::{JobArg, LogArgs};
use crate::columns;
use crate::config::{Column, Config, client_properties};
use crate::flow::decode;
use crate::flow::tables::{self, TableColumns};
use crate::formats::Columns;
use crate::kafka::cluster::{Cluster, Connected};

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

/// Of one table, or of all where the job file's columns are the same for each.
#[derive(Debug, Serialize)]
struct Shown {
    /// Where the columns come from: `job file`, `checkpoint`, `sample`.
    from: &'static str,
    /// As the job file has them, without Kafka's metadata.
    columns: Vec<Column>,
    /// Every column of the files, with its Arrow type.
    arrow: Vec<ArrowField>,
    /// What a user should know of inferred columns.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// More than one table with columns of its own.
#[derive(Debug, Serialize)]
struct ShownTables {
    tables: BTreeMap<String, Shown>,
    /// Tables of which nothing is known yet, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    unknown: BTreeMap<String, String>,
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
    let config = &job.config;
    let infers = args.infer && matches!(config.format.kind.columns, Columns::Inferred(_));
    if let Some(columns) = config.format.known_columns().filter(|_| !infers) {
        return print(&args, &shown(config, "job file", columns, Vec::new())?);
    }
    let mut found = find(&job, args.infer).await?;
    match (found.tables.len(), found.unknown.len()) {
        (0, _) => {
            let why = found.unknown.into_values().next().unwrap_or_else(|| "no topic matches yet".into());
            bail!("there is nothing to infer columns from: {why}; list them under format.columns");
        }
        (1, 0) => {
            let table = found.tables.pop_first().map(|(_, table)| table);
            table.map_or(Ok(0), |table| print(&args, &table))
        }
        _ => {
            args.output.print(&found, || text_of_tables(&found))?;
            Ok(0)
        }
    }
}

fn print(args: &SchemaArgs, shown: &Shown) -> Result<u8> {
    args.output.print(shown, || text(shown))?;
    Ok(0)
}

fn shown(config: &Config, from: &'static str, columns: Vec<Column>, notes: Vec<String>) -> Result<Shown> {
    let schema = files_schema(config, &columns)?;
    let notes = notes.into_iter().chain(columns::twins(&schema)).collect();
    Ok(Shown { from, arrow: arrow_fields(&schema), columns, notes })
}

/// The columns of each table: pinned, or inferred where they are not.
async fn find(job: &Job, infer: bool) -> Result<ShownTables> {
    let config = &job.config;
    let state = if infer { None } else { job.sink.load().await? };
    let known = match &state {
        Some(state) => TableColumns::read(config, Some(state))?,
        None => TableColumns::inferred(config),
    };
    let mut tables = BTreeMap::new();
    let topics = state.iter().flat_map(|state| state.kafka_partitions().map(|(p, _)| &*p.topic));
    for (table, columns) in known.by_table(topics) {
        if let Some(columns) = columns {
            tables.insert(table, shown(config, "checkpoint", columns, Vec::new())?);
        }
    }
    let group = config.kafka.group_id.clone();
    let cluster = Connected::connect(client_properties(config), config.kafka.topics.clone(), group);
    let look = async {
        let cluster = cluster.await?;
        let unknown = known.unknown(&cluster.partitions().await?);
        tables::look(&cluster, config, &unknown).await
    };
    let found = match look.await {
        Ok(found) => found,
        // What is pinned can be shown without Kafka.
        Err(error) if !tables.is_empty() => {
            tracing::warn!(%error, "tables without columns yet are left out");
            Vec::new()
        }
        Err(error) => return Err(error.into()),
    };
    let mut unknown = BTreeMap::new();
    for found in found {
        match found.inferred {
            Ok(inferred) => {
                let shown = shown(config, "sample", inferred.columns, inferred.notes)?;
                tables.insert(found.table, shown);
            }
            Err(why) => drop(unknown.insert(found.table, why)),
        }
    }
    Ok(ShownTables { tables, unknown })
}

/// The schema of the job's files.
pub(super) fn files_schema(config: &Config, columns: &[Column]) -> Result<SchemaRef> {
    Ok(decode::decoder(&config.format, columns)?.schema().clone())
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

fn text_of_tables(shown: &ShownTables) -> String {
    let known = shown.tables.iter().map(|(table, shown)| format!("table {table}:\n\n{}", text(shown)));
    let unknown = shown.unknown.iter().map(|(table, why)| format!("table {table}: no columns yet, {why}"));
    known.chain(unknown).collect::<Vec<_>>().join("\n\n")
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
    for note in &shown.notes {
        text.push_str(&format!("\n\nnote: {note}"));
    }
    text.trim_end().to_owned()
}
