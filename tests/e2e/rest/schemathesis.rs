//! An API tester that makes its requests from the OpenAPI document: what it asks
//! must be answered as described.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::scene::{Scene, TOKEN};

/// Its requests ask for savepoints where the job's lie, and not in any folder that chance makes up.
const HOOKS: &str = r#"
import schemathesis

@schemathesis.hook
def before_call(context, case, **kwargs):
    if isinstance(case.body, dict) and isinstance(case.body.get("to"), str):
        case.body = {key: value for key, value in case.body.items() if key != "to"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() -> Result<()> {
    let Some(program) = std::env::var_os("TIDEGATE_SCHEMATHESIS") else {
        ensure!(
            std::env::var_os("CI").is_none(),
            "TIDEGATE_SCHEMATHESIS is not set; run the tests by ./x test"
        );
        eprintln!("SKIPPED: TIDEGATE_SCHEMATHESIS names no schemathesis; ./x test installs it");
        return Ok(());
    };
    // It asks the job to stop as well, which must not end the server.
    let mut scene = Scene::start("{listen: 127.0.0.1:0, TOKEN}", &["--on-stop", "hold"]).await?;
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("hooks_of_the_tests.py"), HOOKS)?;
    let run = Command::new(program)
        .arg("run")
        .arg(format!("{}/api/v1/openapi.json", scene.origin))
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args([
            "--checks",
            "all",
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            "40",
            "--seed",
            "1",
        ])
        .args([
            "--generation-database",
            "none",
            "--suppress-health-check",
            "all",
            "--no-color",
            "--warnings",
            "off",
        ])
        .args(["--request-timeout", "20", "--continue-on-failure"])
        .current_dir(dir.path())
        .env("PYTHONPATH", dir.path())
        .env("SCHEMATHESIS_HOOKS", "hooks_of_the_tests")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(180), run)
        .await
        .context("schemathesis takes too long")??;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    ensure!(said.contains("passed"), "it has asked nothing: {said}");
    ensure!(scene.process.is_running()?, "{}", scene.process.log()?);
    Ok(())
}
