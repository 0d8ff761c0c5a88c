//! The manual in `docs/`: its commands work as they stand there, its links lead
//! somewhere, and it knows every alert.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tidegate_testcontainers::Kafka;

/// Pages with commands, in the order in which a reader comes by.
const TRIED: [&str; 2] = ["start.md", "operations.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page(name: &str) -> Result<String> {
    let path = root().join("docs").join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The text of each block of a page that begins with this fence.
fn blocks(page: &str, fence: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("```") {
            let block = lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>().join("\n");
            if line == fence {
                blocks.push(block);
            }
        }
    }
    blocks
}

#[tokio::test(flavor = "multi_thread")]
async fn its_commands_work() -> Result<()> {
    let kafka = Kafka::start().await?;
    let folder = tempfile::tempdir()?;
    let program = std::env::var("TIDEGATE_BIN").context("run the tests by ./x test")?;
    std::os::unix::fs::symlink(program, folder.path().join("tidegate"))?;
    let mut script = String::new();
    for name in TRIED {
        let blocks = blocks(&page(name)?, "```sh,tested");
        ensure!(!blocks.is_empty(), "{name} has no commands");
        script += &blocks.join("\n");
        script.push('\n');
    }
    let script = script
        .replace("localhost:9092", kafka.bootstrap_servers())
        .replace("tidegate-kafka", kafka.container());
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH")?);
    let mut command = Command::new("bash");
    command.args(["-euxo", "pipefail", "-c", &script]).current_dir(folder.path()).env("PATH", path);
    command.env("TIDEGATE_LOG", "warn").stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success(), "{}: {said}", output.status);
    for word in ["a run would start", ".parquet", "exact", "1 of 1 rejects", "sound: every hash"] {
        ensure!(said.contains(word), "nowhere {word:?}: {said}");
    }
    Ok(())
}

/// As GitHub and mdBook make them of a heading.
fn anchor(heading: &str) -> String {
    let plain = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = plain.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Where a page's links lead, as written.
fn links(page: &str) -> Vec<String> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

#[test]
fn its_links_lead_somewhere() -> Result<()> {
    let mut pages =
        vec![root().join("README.md"), root().join("ARCHITECTURE.md"), root().join("CONTRIBUTING.md")];
    for entry in std::fs::read_dir(root().join("docs"))? {
        pages.extend(Some(entry?.path()).filter(|path| path.extension().is_some_and(|kind| kind == "md")));
    }
    let summary = page("SUMMARY.md")?;
    for page in &pages {
        let text = std::fs::read_to_string(page)?;
        let name = page.file_name().context("a name")?.to_string_lossy();
        if page.parent().is_some_and(|folder| folder.ends_with("docs")) && name != "SUMMARY.md" {
            ensure!(summary.contains(&format!("({name})")), "{name} is not in SUMMARY.md");
        }
        for link in links(&text).iter().filter(|link| !link.contains("://")) {
            let (file, wanted) =
                link.split_once('#').map_or((link.as_str(), None), |(file, at)| (file, Some(at)));
            let target =
                if file.is_empty() { page.clone() } else { page.parent().context("a folder")?.join(file) };
            ensure!(target.exists(), "{}: {link} leads nowhere", page.display());
            if let Some(wanted) = wanted {
                let there = std::fs::read_to_string(&target)?;
                let mut headings = there.lines().filter(|line| line.starts_with('#'));
                ensure!(headings.any(|heading| anchor(heading) == wanted), "{}: no {link}", page.display());
            }
        }
    }
    Ok(())
}

#[test]
fn its_runbook_has_every_alert_and_no_other() -> Result<()> {
    let alerts = std::fs::read_to_string(root().join("config/monitoring/alerts.yml"))?;
    let mut names = BTreeSet::new();
    let mut lines = alerts.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("- alert: ") else { continue };
        names.insert(name.to_owned());
        let url = lines.find_map(|line| line.strip_prefix("runbook_url: "));
        let url = url.with_context(|| format!("{name} has no runbook_url"))?;
        ensure!(url.ends_with(&format!("/docs/runbook.md#{}", anchor(name))), "{name}: {url}");
    }
    ensure!(names.len() > 10, "{names:?}");
    let page = page("runbook.md")?;
    let told: BTreeSet<String> =
        page.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    ensure!(told == names, "{told:?}\n{names:?}");
    Ok(())
}
