//! What is shipped for Prometheus and Grafana, as Prometheus itself judges it.

use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// Runs `promtool` on what it is to read from standard input. It must be content; returns what it said.
pub(super) fn promtool(arguments: &[&str], input: &str) -> Result<String> {
    let promtool = std::env::var_os("PROMTOOL").unwrap_or_else(|| OsString::from("promtool"));
    let mut child = Command::new(promtool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("promtool is not there; run the tests by ./x test, or give its path as PROMTOOL")?;
    child.stdin.take().context("its input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {said}\n{input}", output.status);
    Ok(said.into_owned())
}

/// Each as a recording rule, since rules can be checked.
#[test]
fn every_panel_of_the_dashboard_asks_in_promql() -> Result<()> {
    let dashboard: Value = serde_json::from_str(include_str!("../../../config/monitoring/dashboard.json"))?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions: Vec<_> = targets.filter_map(|target| target["expr"].as_str()).collect();
    ensure!(expressions.len() > 20, "{expressions:?}");
    let rule = |(number, expression): (usize, &&str)| {
        let expression = expression.replace("$__rate_interval", "5m");
        json!({"record": format!("panel:{number}"), "expr": expression})
    };
    let rules: Vec<_> = expressions.iter().enumerate().map(rule).collect();
    let rules = json!({"groups": [{"name": "panels", "rules": rules}]}).to_string();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("rules.yml");
    std::fs::write(&path, &rules)?;
    let said = promtool(&["check", "rules", &path.display().to_string()], "")?;
    ensure!(said.contains(&format!("{} rules found", expressions.len())), "{said}");
    Ok(())
}
