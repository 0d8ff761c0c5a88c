//! `tidegate forget`: folds old commits into one sum, so that their files are the user's.

use anyhow::Result;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tidegate_sinks::chain::Forgetting;

use super::job::Job;
use super::output::OutputArg;
use super::{JobArg, LogArgs};

#[derive(Debug, clap::Args)]
pub(super) struct ForgetArgs {
    #[command(flatten)]
    job: JobArg,
    /// Forget commits made before: 2026-01-31T08:00:00Z, 2026-01-31 (its first second
    /// in UTC), or 30d (so long ago)
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    before: Timestamp,
    /// Show what would be forgotten, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArg,
}

#[derive(Debug, Serialize)]
struct Shown {
    before: Timestamp,
    dry_run: bool,
    #[serde(flatten)]
    forgetting: Forgetting,
}

pub(super) async fn execute(args: ForgetArgs, log: &LogArgs) -> Result<u8> {
    let Job { config, sink } = Job::open(&args.job, log)?;
    let forgetting = sink.forget(args.before, args.dry_run).await?;
    let shown = Shown { before: args.before, dry_run: args.dry_run, forgetting };
    args.output.print(&shown, || text(&shown, &config.sink.url))?;
    Ok(0)
}

fn text(shown: &Shown, url: &str) -> String {
    let Forgetting { commits, files, bytes, rows, base, removed, usable_from, outstanding_rejects, .. } =
        &shown.forgetting;
    let would = if shown.dry_run { "would be " } else { "" };
    let mut lines = vec![format!(
        "{} commits made before {:.0} {would}forgotten: {rows} rows in {} files, {}",
        commits.len(),
        shown.before,
        files.len(),
        bytesize::ByteSize(*bytes)
    )];
    if *outstanding_rejects > 0 {
        lines.push(format!(
            "{outstanding_rejects} of their rejects were never replayed, and cannot be any more once they are forgotten: \
             `tidegate rejects JOB replay` comes first"
        ));
    }
    if let Some(base) = base {
        lines.push(format!("{} {would}forgotten in all; the audit counts them as one sum", base.commits));
    }
    lines.push(format!(
        "{removed} objects {would}removed from the job's state; no file of a table is touched"
    ));
    if !files.is_empty() {
        let from = match usable_from {
            Some(time) if !shown.dry_run => {
                format!("from {time:.0} on, when no copy can be running any more")
            }
            Some(_) => "checkpoint.copy_grace later".to_owned(),
            None => "from now on".to_owned(),
        };
        lines.push(format!("these files may be compacted or deleted, {from}:"));
        lines.extend(files.iter().map(|path| format!("{url}/{path}")));
    }
    lines.join("\n")
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    // A time without its zone would be taken for its date.
    if let (10, Ok(date)) = (text.len(), text.parse::<Date>()) {
        return date
            .to_zoned(TimeZone::UTC)
            .map(|start| start.timestamp())
            .map_err(|error| error.to_string());
    }
    let ago = humantime::parse_duration(text).ok().and_then(|ago| SignedDuration::try_from(ago).ok());
    ago.and_then(|ago| Timestamp::now().checked_sub(ago).ok())
        .ok_or_else(|| "write a time with its zone, a date, or how long ago: 30d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_a_date_and_an_age_are_times() {
        let time = |text: &str| parse_time(text).unwrap();
        assert_eq!(time("2026-01-31T08:00:00+02:00"), "2026-01-31T06:00:00Z".parse().unwrap());
        assert_eq!(time("2026-01-31"), "2026-01-31T00:00:00Z".parse().unwrap());
        let ago = Timestamp::now().duration_since(time("30d")).as_hours();
        assert!((719..=720).contains(&ago), "{ago}");
        for wrong in ["", "yesterday", "30", "2026-01-31T08:00", "2026-02-30", "-3d", "99999999999y"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
