//! What independent readers of Parquet see of a folder: pyarrow, pandas and DuckDB, by `readers/read.py`; and
//! Spark, which takes a virtual machine of its own, in the soak.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use tokio::process::Command;

/// Reads a folder by each of the readers; [`read.py`](readers/read.py) says which there are, and what they
/// answer. `None`, outside of CI, where they are not installed.
pub(crate) async fn read(folder: &Path, readers: &[&str]) -> Result<Option<Value>> {
    let Some(python) = std::env::var_os("TIDEGATE_READERS") else {
        ensure!(std::env::var_os("CI").is_none(), "TIDEGATE_READERS is not set; run the tests by ./x test");
        eprintln!(
            "SKIPPED: TIDEGATE_READERS names no Python with readers of Parquet; ./x test installs them"
        );
        return Ok(None);
    };
    let run = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/readers/read.py"))
        .arg(folder)
        .args(readers)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output =
        tokio::time::timeout(Duration::from_secs(120), run).await.context("readers take too long")??;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(Some(serde_json::from_slice(&output.stdout)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reader_tells_types_and_values_of_a_folder() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let level = dir.path().join("p=1");
    std::fs::create_dir(&level)?;
    let column: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), None]));
    let batch = RecordBatch::try_from_iter([("n", column)])?;
    let file = std::fs::File::create(level.join("a.parquet"))?;
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    let Some(seen) = read(dir.path(), &["parquet", "pyarrow", "dataset", "pandas", "duckdb"]).await? else {
        return Ok(());
    };
    assert_eq!(seen["parquet"]["files"][0]["leaves"]["n"], json!(["INT64", "None"]), "{seen}");
    for (reader, numbers) in
        [("pyarrow", "int64"), ("dataset", "int64"), ("pandas", "float64"), ("duckdb", "BIGINT")]
    {
        assert_eq!(seen[reader]["schema"]["n"], numbers, "{seen}");
        assert_eq!(seen[reader]["rows"].as_array().map(Vec::len), Some(2), "{seen}");
    }
    assert_eq!(seen["duckdb"]["rows"], json!([{"n": 7, "p": 1}, {"n": null, "p": 1}]));
    Ok(())
}
