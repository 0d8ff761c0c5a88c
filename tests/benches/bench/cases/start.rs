//! From the start of the process to its first record and to its first new file: for
//! the first time, after a clean stop, and after a kill.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::standard::table;
use crate::bench::Bench;
use crate::commit::Each;
use crate::conditions;
use crate::job::Settings;
use crate::replica::Replica;
use crate::report::{Line, Table, columns};
use crate::verify;
use crate::workload::{Kind, Shape, trickle};

const INTERVAL_SECONDS: u64 = 2;
const RECORDS_A_PARTITION: u64 = 10;
const MANY_FILES: u64 = 10_000;

pub(crate) async fn start(bench: &mut Bench) -> Result<Table> {
    let mut lines = Vec::new();
    for partitions in [1, 200, 2_000] {
        let mut scene = Scene::new(bench, partitions).await?;
        let name = |what: &str| format!("{partitions} partitions, {what}");
        lines.push(scene.started(bench, name("first start")).await?);
        scene.stop()?;
        lines.push(scene.started(bench, name("after a clean stop")).await?);
        scene.kill()?;
        lines.push(scene.started(bench, name("after kill -9")).await?);
        scene.stop()?;
    }
    lines.extend(many_files(bench).await?);
    Ok(Table {
        conditions: format!(
            "{} A checkpoint every {INTERVAL_SECONDS} s, session timeout 10 s.",
            conditions(1, 2_000 * RECORDS_A_PARTITION)
        ),
        columns: columns(&[
            ("read", "first record s", 2),
            ("visible", "first file s", 2),
            ("files", "files before", 0),
        ]),
        lines,
    })
}

/// A job that starts and ends.
#[derive(Debug)]
struct Scene {
    name: String,
    topic: String,
    job: PathBuf,
    partitions: i32,
    written: u64,
    replica: Option<Replica>,
}

impl Scene {
    async fn new(bench: &mut Bench, partitions: i32) -> Result<Self> {
        let name = bench.name("start");
        let shape = Shape { kind: Kind::Small, topic: name.clone(), partitions, ..Shape::events(0) };
        bench.topic(&shape).await?;
        let settings = Settings::new(&name, &shape).interval(&format!("{INTERVAL_SECONDS}s"));
        let job = bench.job(&settings)?;
        Ok(Self { topic: name.clone(), name, job, partitions, written: 0, replica: None })
    }

    async fn write(&mut self, bench: &Bench, records: u64) -> Result<()> {
        let numbers = self.written..self.written + records;
        self.written = numbers.end;
        let (servers, topic, partitions) = (bench.servers().to_owned(), self.topic.clone(), self.partitions);
        tokio::task::spawn_blocking(move || trickle(&servers, &topic, partitions, numbers, 0)).await?
    }

    /// Starts the product where there is something to read, and waits for the first file.
    async fn started(&mut self, bench: &Bench, name: String) -> Result<Line> {
        self.write(bench, self.partitions as u64 * RECORDS_A_PARTITION).await?;
        let folder = table(bench, &self.name);
        let count = || verify::files(&folder).map_or(0, |files| files.len());
        let before = count();
        let replica = Replica::start(bench, &self.job, &[])?;
        let read = replica.until("tidegate_records_read_total", 0.0).await?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while count() <= before {
            ensure!(Instant::now() < deadline, "no file has come: {}", replica.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let visible = replica.started.elapsed();
        self.replica = Some(replica);
        eprintln!("{name}: {:.2} s, {:.2} s", read.as_secs_f64(), visible.as_secs_f64());
        Ok(Line::new(name)
            .with("read", read.as_secs_f64())
            .with("visible", visible.as_secs_f64())
            .with("files", before as f64))
    }

    fn stop(&mut self) -> Result<()> {
        self.replica.take().map_or(Ok(()), |replica| replica.stop().map(|_| ()))
    }

    fn kill(&mut self) -> Result<()> {
        self.replica.take().map_or(Ok(()), Replica::kill)
    }
}

/// A table of many files, of few commits and of many.
async fn many_files(bench: &mut Bench) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (commits, files) in [(20, MANY_FILES / 20), (1_000, MANY_FILES / 1_000)] {
        let mut scene = Scene::new(bench, 4).await?;
        // Each commit covers one offset of the first partition.
        scene.write(bench, 4 * commits).await?;
        let _: (_, Each) = bench.part("commit", &scene.job, &format!("[{commits}, {files}, 1024]"))?;
        lines.push(
            scene
                .started(bench, format!("4 partitions, a table of {MANY_FILES} files in {commits} commits"))
                .await?,
        );
        scene.stop()?;
    }
    Ok(lines)
}
