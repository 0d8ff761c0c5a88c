//! Job files of FlinkX and ChunJun become job files that validate.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

fn tidegate(arguments: &[&str]) -> Result<Output> {
    let program =
        std::env::var_os("TIDEGATE_BIN").context("TIDEGATE_BIN is not set; run the tests by ./x test")?;
    Ok(Command::new(program).args(arguments).output()?)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

#[test]
fn every_imported_job_validates_and_what_is_left_is_told() -> Result<()> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/flinkx");
    let dir = tempfile::tempdir()?;
    let mut jobs = 0;
    for fixture in fixtures.read_dir()? {
        let fixture = fixture?.path();
        let job = dir.path().join(format!("{jobs}.yaml"));
        let imported = tidegate(&["import", text(&fixture)?, "--output", text(&job)?])?;
        let told = String::from_utf8(imported.stderr)?;
        ensure!(imported.status.success() && imported.stdout.is_empty(), "{}: {told}", fixture.display());
        ensure!(told.contains(".writer.") && told.contains("settings need a look"), "{told}");
        let validated = tidegate(&["validate", text(&job)?, "--offline"])?;
        let said = String::from_utf8(validated.stdout)? + String::from_utf8(validated.stderr)?.as_str();
        ensure!(validated.status.success(), "{}: {said}", fixture.display());
        let again = tidegate(&["import", text(&fixture)?, "--output", text(&job)?])?;
        ensure!(again.status.code() == Some(2), "a file that is there was overwritten");
        let printed = tidegate(&["import", text(&fixture)?])?;
        ensure!(printed.stdout == std::fs::read(&job)?, "stdout differs from the file");
        jobs += 1;
    }
    ensure!(jobs >= 4, "{jobs} fixtures");
    Ok(())
}

#[test]
fn what_is_no_job_of_theirs_is_exit_code_2() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("job.json");
    for (content, problem) in [("{\"job\": {\"content\": []}}", "no Kafka reader"), ("job: x", "not JSON")] {
        std::fs::write(&file, content)?;
        let refused = tidegate(&["import", text(&file)?])?;
        let said = String::from_utf8(refused.stderr)?;
        ensure!(refused.status.code() == Some(2) && said.contains(problem), "{said}");
    }
    let missing = tidegate(&["import", text(&dir.path().join("none.json"))?])?;
    ensure!(missing.status.code() == Some(2), "{missing:?}");
    Ok(())
}
