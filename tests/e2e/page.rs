//! The status page in a real browser, on a job that runs.

mod browser;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use thirtyfour::Key;
use tidegate_testcontainers::Kafka;
use tidegate_testcontainers::transactions::json_payload;
use tokio::task::JoinHandle;

use crate::support::{Job, Place, Process, Program, Settings, unique};
use browser::{Browser, PATIENCE};

/// A job that runs, somebody who writes to its topic, and a browser on its page.
struct Scene {
    browser: Browser,
    process: Process,
    origin: String,
    topic: String,
    writing: Arc<AtomicBool>,
    writer: JoinHandle<Result<()>>,
    _job: Job,
}

impl Scene {
    async fn start() -> Result<Self> {
        let kafka = Kafka::shared().await?;
        let topic = unique("page");
        kafka.create_topic(&topic, 6).await?;
        let writing = Arc::new(AtomicBool::new(true));
        let (to, go_on) = (topic.clone(), writing.clone());
        let writer = tokio::task::spawn_blocking(move || write(&to, kafka.bootstrap_servers(), &go_on));
        let job = Job::new(Settings {
            bootstrap_servers: kafka.bootstrap_servers(),
            topic: &topic,
            place: Place::Folder,
            more: "checkpoint: {interval: 1s, copy_grace: 1s}\ncontrol: {poll: 500ms}\n",
            sink: "",
            endpoint: None,
        })
        .await?;
        let mut process = job.start(Program::Plain, &["run"], None, None)?;
        let origin = format!("http://{}", process.listening().await?);
        let browser = Browser::start().await?;
        let went = browser.driver.goto(&origin).await;
        went.with_context(|| format!("the process says {}", process.log().unwrap_or_default()))?;
        Ok(Self { browser, process, origin, topic, writing, writer, _job: job })
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let response = reqwest::get(format!("{}/api/v1{path}", self.origin)).await?;
        Ok(response.error_for_status()?.json().await?)
    }

    /// Somebody's producer that has written and does not commit. The record waits as long as it is kept.
    async fn leave_a_transaction_open(&self) -> Result<BaseProducer> {
        let (servers, topic) = (Kafka::shared().await?.bootstrap_servers(), self.topic.clone());
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("transactional.id", format!("{topic}-forgotten"))
            .set("log_level", "3")
            .create()?;
        let open = move || {
            producer.init_transactions(PATIENCE)?;
            producer.begin_transaction()?;
            let mut payload = Vec::new();
            json_payload(1, &mut payload);
            let record = BaseRecord::<(), _>::to(&topic).partition(5).payload(&payload);
            producer.send(record).map_err(|(error, _)| error)?;
            producer.flush(PATIENCE)?;
            anyhow::Ok(producer)
        };
        tokio::task::spawn_blocking(open).await?
    }

    async fn end(self) -> Result<()> {
        self.writing.store(false, Ordering::Relaxed);
        self.writer.await??;
        self.browser.driver.clone().quit().await?;
        Ok(())
    }
}

/// A few hundred records a second until told to stop.
fn write(topic: &str, servers: &str, writing: &AtomicBool) -> Result<()> {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", servers).set("log_level", "3").create()?;
    let mut payload = Vec::new();
    let mut id = 0;
    while writing.load(Ordering::Relaxed) {
        for _ in 0..60 {
            id += 1;
            payload.clear();
            json_payload(id, &mut payload);
            let record = BaseRecord::<(), _>::to(topic).partition((id % 6) as i32).payload(&payload);
            producer.send(record).map_err(|(error, _)| error)?;
        }
        producer.flush(PATIENCE)?;
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Runs a test on a page; when it fails, the process's log tells why.
async fn on_a_page(test: impl AsyncFnOnce(&mut Scene) -> Result<()>) -> Result<()> {
    let mut scene = Scene::start().await?;
    let result = test(&mut scene).await;
    let log = scene.process.log()?;
    scene.end().await?;
    result.with_context(|| format!("the process says {log}"))
}

/// The number of the newest checkpoint, as the page shows it.
const CHECKPOINT: &str = "document.getElementById('figures').textContent.match(/number ([0-9,]+)/)?.[1]";

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_a_running_job_and_steers_it() -> Result<()> {
    on_a_page(async |scene| {
        let browser = &scene.browser;
        browser.says("verdict-word", "All is well").await?;
        browser.says("verdict-line", "Running. Last checkpoint").await?;
        ensure!(scene.get("/overview").await?["job"] == browser.says("job", "job-").await?);

        // Numbers move: checkpoints are counted up, records are read, and the charts draw both.
        let before = browser.run(&format!("return {CHECKPOINT}")).await?;
        browser
            .until("further checkpoint", &format!("return {CHECKPOINT} && {CHECKPOINT} !== {before}"))
            .await?;
        browser.says("figures", "/s").await?;
        browser
            .until(
                "line of two samples",
                "return document.querySelector('#chart-records .plot .line-0[d*=L]')",
            )
            .await?;
        browser
            .until("6 partitions", "return document.querySelectorAll('#partitions tbody tr').length === 6")
            .await?;
        browser
            .until("a bar each", "return document.querySelectorAll('#chart-checkpoints rect[y]').length > 2")
            .await?;

        // The byte limit, there and back.
        browser.element("speed-value").await?.send_keys("3.5" + Key::Enter).await?;
        browser.says("result", "Limit 3.5 MB/s").await?;
        browser.says("speed-now", "now 3.5 MB/s").await?;
        ensure!(scene.get("/overview").await?["limits"]["bytes_per_second"] == 3_500_000);
        browser.element("speed-reset").await?.click().await?;
        browser.says("result", "The limit of the job file").await?;
        browser.says("speed-now", "now without limit").await?;

        // A savepoint, by Enter in the field, which the API knows as well.
        browser.element("do-savepoint").await?.click().await?;
        browser.element("savepoint-to").await?.send_keys(Key::Enter).await?;
        let said = browser.says("result", "Savepoint made: ").await?;
        let uri = said.trim_start_matches("Savepoint made: ");
        let id = uri.rsplit('/').find(|part| !part.is_empty()).context("a savepoint without a name")?;
        ensure!(scene.get(&format!("/savepoints/{id}")).await?["state"] == "completed", "{said}");

        // Pause asks first; then the page says that it is paused, and resumes.
        browser.element("do-pause").await?.click().await?;
        browser.element("confirm-go").await?.click().await?;
        browser.says("verdict-line", "Paused").await?;
        browser.says("do-pause", "Resume").await?;
        browser.element("do-pause").await?.click().await?;
        browser.says("verdict-line", "Running.").await?;

        let complaints = browser.complaints().await?;
        ensure!(complaints.is_empty(), "the console says {complaints:?}");
        // The browser's own first page comes from itself.
        for address in browser.requests().await? {
            ensure!(
                !address.contains("://")
                    || address.starts_with("chrome://")
                    || address.starts_with(&scene.origin),
                "{address} was asked for"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_legible_on_a_phone_and_a_desk_in_both_schemes() -> Result<()> {
    on_a_page(async |scene| {
        let browser = &scene.browser;
        browser.says("verdict-line", "Running. Last checkpoint").await?;
        let _open = scene.leave_a_transaction_open().await?;
        browser.says("transactions", "-5 stands at offset").await?;
        browser.says("transactions", "kafka-transactions.sh --bootstrap-server").await?;
        for chart in ["records", "bytes", "lag", "latency"] {
            let line = format!("#chart-{chart} .plot .line-0");
            let samples = "getAttribute('d').split(/[ML]/).length > 4";
            browser
                .until("line of four samples", &format!("return document.querySelector('{line}')?.{samples}"))
                .await?;
        }
        for width in [390, 1280] {
            for scheme in ["light", "dark"] {
                browser.look(width, scheme).await?;
                let overflow = format!("return document.documentElement.scrollWidth - {width}");
                let overflow = browser.run(&overflow).await?;
                ensure!(
                    overflow.as_i64().is_some_and(|pixels| pixels <= 0),
                    "{width} px: {overflow} px too wide"
                );
                let contrast = browser.run(include_str!("page/contrast.js")).await?;
                ensure!(contrast["seen"].as_u64() > Some(80), "{contrast}");
                ensure!(contrast["bad"] == json!([]), "{width} px, {scheme}: {contrast}");
                browser.keep_screenshot(&format!("status-{width}-{scheme}"), width).await?;
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_works_by_keyboard_and_is_told_to_screen_readers() -> Result<()> {
    on_a_page(async |scene| {
        let browser = &scene.browser;
        browser.says("verdict-line", "Running.").await?;
        let mut path = Vec::new();
        while path.last().is_none_or(|id| id != "do-savepoint") {
            ensure!(path.len() < 8, "{path:?} leads to no savepoint");
            path.push(browser.press(Key::Tab).await?);
            let outline = browser.run("return getComputedStyle(document.activeElement).outlineStyle").await?;
            ensure!(outline != "none", "the focus is not visible after {path:?}");
        }
        ensure!(
            path == ["", "do-checkpoint", "do-savepoint"],
            "the skip link first, then the buttons: {path:?}"
        );
        browser.press(Key::Enter).await?;
        browser.until("a dialog", "return document.getElementById('savepoint-dialog').open").await?;
        ensure!(browser.press(Key::Tab).await? == "savepoint-stop", "the focus is in the dialog");
        browser.press(Key::Escape).await?;
        browser
            .until("the focus where it was", "return document.activeElement.id === 'do-savepoint'")
            .await?;

        let told = browser.accessible().await?;
        let names = |role: &str| {
            told.iter().filter(|(one, _)| one == role).map(|(_, name)| name.as_str()).collect::<Vec<_>>()
        };
        for landmark in ["banner", "main", "contentinfo"] {
            ensure!(names(landmark).len() == 1, "{landmark}: {told:?}");
        }
        for role in [
            "button",
            "link",
            "spinbutton",
            "searchbox",
            "combobox",
            "region",
            "table",
            "application",
            "image",
        ] {
            ensure!(
                names(role).iter().all(|name| !name.is_empty()),
                "a {role} without a name: {:?}",
                names(role)
            );
        }
        ensure!(
            names("status").len() <= 1,
            "more than the result of a button speaks by itself: {:?}",
            names("status")
        );
        ensure!(names("application").iter().any(|name| name.starts_with("Lag in records, last hour. ")));
        let headings = browser
            .run("return [...document.querySelectorAll('main h2, header h1')].map(h => h.tagName)")
            .await?;
        ensure!(headings[0] == "H1" && headings.as_array().is_some_and(|all| all.len() > 7), "{headings}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_so_when_the_process_answers_no_longer() -> Result<()> {
    on_a_page(async |scene| {
        scene.browser.says("verdict-line", "Running.").await?;
        scene.process.signal(libc::SIGKILL);
        scene.process.wait(PATIENCE).await?;
        scene.browser.says("verdict-line", "The process does not answer.").await?;
        scene.browser.says("problems", "Last answer").await?;
        scene.browser.says("problems", " ago. What you see is from then.").await?;
        Ok(())
    })
    .await
}
