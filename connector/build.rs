//! Tells the program which commit it is built from: what `TIDEGATE_COMMIT` says, else the archive that the
//! sources came in, else git. Debug builds don't ask git, as each commit would compile them anew.

use std::env;
use std::path::Path;
use std::process::Command;

/// `git archive` puts the commit in the place of the format.
const ARCHIVED: &str = "commit";

fn main() {
    println!("cargo::rerun-if-env-changed=TIDEGATE_COMMIT");
    println!("cargo::rerun-if-changed={ARCHIVED}");
    println!("cargo::rerun-if-changed=build.rs");
    if let Some(commit) = named().or_else(archived).or_else(|| is_release().then(asked)?) {
        println!("cargo::rustc-env=TIDEGATE_COMMIT={commit}");
    }
}

fn named() -> Option<String> {
    env::var("TIDEGATE_COMMIT").ok().filter(|commit| !commit.trim().is_empty())
}

fn archived() -> Option<String> {
    let commit = std::fs::read_to_string(ARCHIVED).ok()?.trim().to_owned();
    (!commit.is_empty() && !commit.starts_with('$')).then_some(commit)
}

fn is_release() -> bool {
    env::var("PROFILE").is_ok_and(|profile| profile == "release")
}

/// The commit, and whether the sources are what it has.
fn asked() -> Option<String> {
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    if Path::new(&log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["describe", "--always", "--abbrev=12", "--dirty", "--exclude", "*"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}
