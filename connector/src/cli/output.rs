//! What commands print: a table for a person, JSON for a program.

use std::io::{ErrorKind, Write, stderr, stdout};

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    #[default]
    Table,
    Json,
}

/// `--output`, the same for every command that prints data.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct OutputArg {
    /// Form of the output
    #[arg(long = "output", value_enum, default_value_t, value_name = "FORM")]
    pub(super) format: Format,
}

impl OutputArg {
    pub(super) fn print(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        let mut text = match self.format {
            Format::Table => text(),
            Format::Json => serde_json::to_string_pretty(value)?,
        };
        text.push('\n');
        write(text.as_bytes())
    }
}

/// Writes to stdout. A reader that has gone away, such as `head`, is no error.
pub(super) fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes to stderr what a person is told beside the data.
pub(super) fn tell(bytes: &[u8]) -> Result<()> {
    Ok(stderr().lock().write_all(bytes)?)
}

pub(super) fn table<const COLUMNS: usize>(
    header: [&str; COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.map(str::to_uppercase));
    for row in rows {
        table.add_row(row);
    }
    table.trim_fmt()
}

/// An optional number, `-` where it is not known.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
