//! Rejects are decoded once more by a job file that was mended: what passes is committed exactly once, what
//! fails stays, whatever is killed, whoever does the same, and whoever runs.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use tidegate_testcontainers::Kafka;
use tidegate_testcontainers::transactions::json_payload;

use crate::rejects::{dump, stopped};
use crate::support::{Job, Place, Process, Program, Rows, Settings, unique};

const LIMIT: Duration = Duration::from_secs(120);
const PARTITIONS: u64 = 2;
/// Amounts of records from this one on do not go into the column as it is at first.
const WIDE: u64 = 1_000;
/// One of so many is no JSON, and never decodes.
const BROKEN: u64 = 50;
const COLUMN: &str = "- {name: amount, type: \"decimal(18,2)\"}\n";
/// One more column, which takes few of the amounts. A column keeps its type, so the
/// mended job has none of it.
const NARROW_COLUMN: &str = "    - {name: narrow, path: amount, type: \"decimal(3,2)\"}\n";

/// A topic of which many records do not decode at first, and some never.
struct Scene {
    job: Job,
    servers: String,
    topic: String,
    good: Rows,
    /// Records so far, rejected ones, and those that never decode.
    records: u64,
    rejects: u64,
    broken: u64,
}

impl Scene {
    async fn new(place: Place, max_records: u64, more: &str) -> Result<Self> {
        let kafka = Kafka::shared().await?;
        let topic = unique("replay");
        kafka.create_topic(&topic, PARTITIONS as i32).await?;
        let more = format!(
            "checkpoint: {{interval: 200ms, max_records: {max_records}, copy_grace: 1s}}\nerror_limit: {{ratio: 1}}\n{more}"
        );
        let servers = kafka.bootstrap_servers().to_owned();
        let settings = Settings {
            bootstrap_servers: &servers,
            topic: &topic,
            place,
            more: &more,
            sink: "",
            endpoint: None,
        };
        let job = Job::new(settings).await?;
        let scene = Self { job, servers, topic, good: Rows::new(), records: 0, rejects: 0, broken: 0 };
        scene.column(COLUMN, &[COLUMN, NARROW_COLUMN].concat())?;
        Ok(scene)
    }

    /// Replaces columns in the job file.
    fn column(&self, from: &str, to: &str) -> Result<()> {
        let text = std::fs::read_to_string(self.job.file())?;
        ensure!(text.contains(from), "{from} is not in the job file");
        Ok(std::fs::write(self.job.file(), text.replace(from, to))?)
    }

    fn mend(&self) -> Result<()> {
        self.column(NARROW_COLUMN, "")
    }

    fn produce(&mut self, records: u64) -> Result<()> {
        let producer: BaseProducer =
            ClientConfig::new().set("bootstrap.servers", &self.servers).set("log_level", "3").create()?;
        for n in self.records..self.records + records {
            let mut payload = Vec::new();
            let place = ((n % PARTITIONS) as i32, (n / PARTITIONS) as i64);
            if n % BROKEN == 7 {
                payload.extend_from_slice(b"no json");
                self.broken += 1;
                self.rejects += 1;
            } else {
                json_payload(n, &mut payload);
                self.good.insert(place, payload.clone());
                self.rejects += u64::from(n >= WIDE);
            }
            let record = BaseRecord::<[u8], [u8]>::to(&self.topic).partition(place.0).payload(&payload);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        self.records += records;
        Ok(producer.flush(Duration::from_secs(30))?)
    }

    async fn run_to_end(&self) -> Result<()> {
        self.job.run(&["run", "--until-end"]).await.map(drop)
    }

    async fn json(&self, arguments: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.job.run(&[arguments, &["--output", "json"]].concat()).await?)?)
    }

    async fn replay(&self, more: &[&str]) -> Result<Value> {
        self.json(&[&["rejects", "replay"], more].concat()).await
    }

    async fn waiting(&self) -> Result<u64> {
        number(&self.json(&["rejects", "list", "--limit", "1"]).await?, "total")
    }

    /// All that decodes with the mended column is there once, and the rest waits.
    async fn assert_mended(&self) -> Result<()> {
        self.job.assert_equals(&self.good).await?;
        ensure!(self.waiting().await? == self.broken, "{} wait, not {}", self.waiting().await?, self.broken);
        Ok(())
    }

    fn start_replay(&self, environment: &[(&str, &str)], more: &[&str]) -> Result<Process> {
        let arguments = [&["rejects", "replay", "--output", "json"], more].concat();
        self.job.start_in(environment, Program::Failpoints, &arguments, None, None)
    }
}

fn number(value: &Value, key: &str) -> Result<u64> {
    value[key].as_u64().with_context(|| format!("{key} is no number in {value}"))
}

async fn succeeds(process: &mut Process) -> Result<Value> {
    let status = process.wait(LIMIT).await?;
    ensure!(status.success(), "it ended with {status}: {}", process.log()?);
    Ok(serde_json::from_str(&process.output()?)?)
}

async fn what_decodes_is_committed_once(place: Place) -> Result<()> {
    let mut scene = Scene::new(place, 500, "").await?;
    scene.produce(3_000)?;
    scene.run_to_end().await?;
    ensure!(scene.waiting().await? == scene.rejects && scene.rejects > 2_000);

    // As long as nothing is mended, nothing changes.
    let before = scene.json(&["position"]).await?;
    let found = scene.replay(&[]).await?;
    ensure!(number(&found["found"], "failing")? == scene.rejects && number(&found["found"], "rows")? == 0);
    ensure!(found["replayed"]["commits"].as_array().is_some_and(Vec::is_empty), "{found}");
    ensure!(scene.json(&["position"]).await? == before, "a replay that mends nothing changed something");

    scene.mend()?;
    let would = scene.replay(&["--dry-run"]).await?;
    ensure!(number(&would["found"], "rows")? == scene.rejects - scene.broken, "{would}");
    ensure!(number(&would["found"], "failing")? == scene.broken, "{would}");
    ensure!(number(&would["reasons"][0], "records")? == scene.broken, "{would}");
    ensure!(scene.json(&["position"]).await? == before, "a dry run changed something");

    let done = scene.replay(&[]).await?;
    ensure!(done["found"] == would["found"] && done["replayed"]["rows"] == would["found"]["rows"], "{done}");
    scene.assert_mended().await?;

    // Each reject that became a row is listed as such, and what failed again once.
    let all = scene.json(&["rejects", "list", "--all", "--limit", "100000"]).await?;
    let rows = all["rejects"].as_array().context("a list")?;
    let (mended, waits): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row["replayed"].is_string());
    ensure!(waits.len() as u64 == scene.broken && mended.len() as u64 == scene.rejects - scene.broken);
    let places: BTreeSet<_> =
        rows.iter().map(|row| (row["partition"].as_i64(), row["offset"].as_i64())).collect();
    ensure!(places.len() == rows.len(), "a reject is listed twice");

    // Again there is nothing to do; and the job goes on, its lane left alone by Kafka's side.
    let again = scene.replay(&[]).await?;
    ensure!(again["replayed"]["commits"].as_array().is_some_and(Vec::is_empty), "{again}");
    scene.produce(500)?;
    scene.run_to_end().await?;
    scene.assert_mended().await?;
    let position = scene.json(&["position"]).await?;
    ensure!(
        position["partitions"].as_array().is_some_and(|list| list.len() == PARTITIONS as usize),
        "{position}"
    );

    // Forgotten rejects are out of reach, and that is said before.
    let forgetting = scene.json(&["forget", "--before", "2100-01-31", "--dry-run"]).await?;
    ensure!(number(&forgetting, "outstanding_rejects")? == scene.broken, "{forgetting}");
    scene.json(&["forget", "--before", "2100-01-31"]).await?;
    let found = scene.replay(&["--dry-run"]).await?;
    ensure!(
        number(&found, "forgotten")? == scene.broken && number(&found["found"], "records")? == 0,
        "{found}"
    );
    scene.job.run(&["audit", "--deep"]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_decodes_after_the_job_file_was_mended_is_committed_once_in_a_folder() -> Result<()> {
    what_decodes_is_committed_once(Place::Folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_decodes_after_the_job_file_was_mended_is_committed_once_in_s3() -> Result<()> {
    what_decodes_is_committed_once(Place::S3).await
}

/// Every step of a replay's commit and of making it visible.
const POINTS: [&str; 31] = [
    "begin.put.before",
    "begin.put.synced",
    "begin.put.renamed",
    "begin.put.after",
    "staged.upload.before",
    "staged.upload.after",
    "staged.write.after",
    "staged.finish.before",
    "staged.finish.synced",
    "staged.finish.renamed",
    "staged.finish.after",
    "manifest.put.before",
    "manifest.put.synced",
    "manifest.put.renamed",
    "manifest.put.after",
    "checkpoint.create.before",
    "checkpoint.create.synced",
    "checkpoint.create.linked",
    "checkpoint.create.folder_synced",
    "checkpoint.create.after",
    "checkpoint.create.after:2",
    "final.move.before",
    "final.move.renamed",
    "final.move.after",
    "final.move.after:2",
    "commit.put.before",
    "commit.put.renamed",
    "commit.put.after",
    "manifest.delete.before",
    "manifest.delete.after",
    "begin.delete.after",
];

/// Each point has a commit of its own to replay; what was killed is then finished, or found finished.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_step_of_a_replay() -> Result<()> {
    let mut scene = Scene::new(Place::Folder, 10_000, "").await?;
    scene.produce(WIDE)?;
    // Each time at least one commit.
    for _ in POINTS {
        scene.produce(100)?;
        scene.run_to_end().await?;
    }
    let all = scene.json(&["rejects", "list", "--limit", "100000"]).await?;
    let rows = all["rejects"].as_array().context("a list")?;
    // Of each commit here some pass and some do not, so that it has files of both kinds.
    let wide = rows.iter().filter(|row| row["column"].is_string()).filter_map(|row| row["commit"].as_str());
    let broken: BTreeSet<_> =
        rows.iter().filter(|row| row["column"].is_null()).filter_map(|row| row["commit"].as_str()).collect();
    let commits: BTreeSet<_> = wide.filter(|commit| broken.contains(commit)).collect();
    ensure!(commits.len() >= POINTS.len(), "{} commits are too few", commits.len());
    scene.mend()?;
    for (point, commit) in POINTS.into_iter().zip(commits) {
        let mut killed = scene.start_replay(&[("TIDEGATE_KILL_AT", point)], &["--commit", commit])?;
        let status = killed.wait(LIMIT).await?;
        ensure!(status.signal() == Some(libc::SIGKILL), "{point}: {status}: {}", killed.log()?);
        scene.job.run(&["audit"]).await.with_context(|| format!("after {point}"))?;
        let mut finishing = scene.start_replay(&[], &["--commit", commit])?;
        let status = finishing.wait(LIMIT).await?;
        let is_done = status.code() == Some(1) && finishing.log()?.contains("no rejects of a commit");
        ensure!(status.success() || is_done, "{point}: {status}: {}", finishing.log()?);
    }
    scene.replay(&[]).await?;
    scene.assert_mended().await?;
    scene.job.run(&["collect"]).await?;
    let staged = scene.job.store()?.list(&format!("_tidegate/{}/staging", scene.job.name)).await?;
    ensure!(staged.is_empty(), "left behind: {staged:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_replays_at_once_each_reject_is_taken_by_one() -> Result<()> {
    let mut scene = Scene::new(Place::Folder, 500, "").await?;
    scene.produce(4_000)?;
    scene.run_to_end().await?;
    scene.mend()?;
    // One sleeps before its checkpoint, until all is done by others.
    let mut frozen = scene.start_replay(&[("TIDEGATE_STOP_AT", "checkpoint.create.before")], &[])?;
    stopped(&mut frozen).await?;
    let mut replays: Vec<_> = (0..4).map(|_| scene.start_replay(&[], &[])).collect::<Result<_>>()?;
    let mut rows = 0;
    for replay in &mut replays {
        rows += number(&succeeds(replay).await?["replayed"], "rows")?;
    }
    ensure!(rows == scene.rejects - scene.broken, "{rows} rows of {}", scene.rejects - scene.broken);
    scene.assert_mended().await?;
    frozen.signal(libc::SIGCONT);
    let late = succeeds(&mut frozen).await?;
    ensure!(number(&late["replayed"], "rows")? == 0, "{late}");
    scene.assert_mended().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_are_replayed_beside_running_replicas() -> Result<()> {
    let mut scene = Scene::new(Place::Folder, 200, "").await?;
    scene.produce(3_000)?;
    let group = unique("replayed-beside");
    // These go on with the narrow column that they have read, so there is always more to replay.
    let mut replicas: Vec<_> = (0..2)
        .map(|_| scene.job.start(Program::Plain, &["run"], Some(&group), None))
        .collect::<Result<_>>()?;
    while scene.job.visible().await?.is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    scene.mend()?;
    let mut rows = 0;
    for _ in 0..8 {
        scene.produce(300)?;
        rows += number(&scene.replay(&[]).await?["replayed"], "rows")?;
    }
    ensure!(rows > 0, "nothing was replayed while replicas ran");
    for replica in &mut replicas {
        replica.signal(libc::SIGTERM);
        let status = replica.wait(LIMIT).await?;
        ensure!(status.success(), "a replica ended with {status}: {}", replica.log()?);
    }
    scene.run_to_end().await?;
    scene.replay(&[]).await?;
    scene.assert_mended().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_takes_back_a_replay_and_what_it_replayed() -> Result<()> {
    let mut scene = Scene::new(Place::Folder, 500, "").await?;
    scene.produce(2_000)?;
    scene.run_to_end().await?;
    let first = scene.job.newest_checkpoint().await?;
    scene.produce(2_000)?;
    scene.run_to_end().await?;
    let second = scene.job.newest_checkpoint().await?;
    let waited = scene.waiting().await?;
    scene.mend()?;
    scene.replay(&[]).await?;
    scene.assert_mended().await?;

    // Back to before the replay: its rejects wait again, and are replayed again.
    let back = |n: u64| {
        let n = n.to_string();
        ["run", "--until-end", "--from-checkpoint", &n, "--rollback"].map(str::to_owned)
    };
    let run = async |arguments: [String; 5]| {
        scene.job.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
    };
    run(back(second)).await?;
    ensure!(scene.waiting().await? == waited, "{} wait, not {waited}", scene.waiting().await?);
    scene.job.run(&["audit", "--deep"]).await?;
    scene.replay(&[]).await?;
    scene.assert_mended().await?;

    // Back to before some of what it replayed: that is read again from Kafka, the rest waits.
    run(back(first)).await?;
    scene.job.run(&["audit", "--deep"]).await?;
    let waits = scene.waiting().await?;
    ensure!(scene.broken < waits && waits < waited, "{waits} wait");
    scene.replay(&[]).await?;
    scene.assert_mended().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_again_is_not_sent_to_the_topic_again() -> Result<()> {
    let dead = unique("dead");
    let kafka = Kafka::shared().await?;
    kafka.create_topic(&dead, 1).await?;
    let mut scene = Scene::new(Place::Folder, 500, &format!("rejects:\n  to: {{topic: {dead}}}\n")).await?;
    scene.produce(2_000)?;
    scene.run_to_end().await?;
    scene.mend()?;
    scene.replay(&[]).await?;
    scene.produce(500)?;
    scene.run_to_end().await?;
    scene.replay(&[]).await?;
    scene.run_to_end().await?;
    scene.assert_mended().await?;
    let mut places = BTreeSet::new();
    for (_, seen) in dump(&scene.servers, &dead)? {
        let said = |name: &str| {
            let header = seen.headers.iter().find(|(own, _)| own == &format!("__connect.errors.{name}"));
            header.and_then(|(_, value)| value.clone())
        };
        ensure!(places.insert((said("partition"), said("offset"))), "{seen:?} was sent twice");
    }
    let late = (2_000..2_500).filter(|n| n % BROKEN == 7).count();
    let rejected = (0..2_000).filter(|n| *n >= WIDE || n % BROKEN == 7).count() + late;
    ensure!(places.len() == rejected, "{} were sent, not {rejected}", places.len());
    Ok(())
}
