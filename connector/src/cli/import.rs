//! `tidegate import`: a job file of FlinkX or ChunJun becomes one of ours; what
//! could not be carried over is told.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::output;
use crate::error::RunError;
use crate::import::{self, ImportError};
use crate::limits::JOB_FILE_MAX_BYTES;

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// Job file of FlinkX or ChunJun (JSON, comments allowed)
    #[arg(value_name = "FLINKX.json", value_hint = clap::ValueHint::FilePath)]
    path: PathBuf,
    /// Name of the new job; the file's own name otherwise
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// Write the job file there instead of to stdout; it must not exist
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
}

pub(super) fn execute(args: &ImportArgs) -> Result<u8> {
    let shown = args.path.display();
    let unfit = |what: String| RunError::Config(format!("{shown}: {what}"), None);
    let mut text = String::new();
    File::open(&args.path)
        .and_then(|file| file.take(JOB_FILE_MAX_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| unfit(format!("cannot be read: {error}")))?;
    let stem = args.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let imported = match import::import(&text, args.job.as_deref().unwrap_or(&stem)) {
        Ok(imported) => imported,
        Err(ImportError::Unfit(what)) => return Err(unfit(what).into()),
        Err(error) => return Err(error).with_context(|| shown.to_string()),
    };
    match &args.output {
        None => output::write(imported.text.as_bytes())?,
        Some(path) => {
            let written =
                File::create_new(path).and_then(|mut file| file.write_all(imported.text.as_bytes()));
            written.map_err(|error| RunError::Config(format!("{}: {error}", path.display()), None))?;
        }
    }
    let mut told: String =
        imported.left.iter().map(|left| format!("{}: {}\n", left.path, left.reason)).collect();
    told.push_str(&format!("{} settings need a look\n", imported.left.len()));
    output::tell(told.as_bytes())?;
    Ok(0)
}
