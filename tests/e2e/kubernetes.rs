//! The chart on a real Kubernetes: what a platform does to pods, and what people do to releases, while
//! somebody writes. Exact at the end; how long each step held up the readers is printed.

mod release;
mod standstill;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use self::release::Release;
use self::standstill::Standstill;
use crate::operate::scene::Writer;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_pods_and_releases_the_output_is_exact() -> Result<()> {
    let (Some(node), Some(image)) =
        (std::env::var_os("TIDEGATE_KUBERNETES_NODE"), std::env::var_os("TIDEGATE_IMAGE"))
    else {
        eprintln!(
            "SKIPPED: no Kubernetes; TIDEGATE_KUBERNETES=on ./x test builds it and says what hinders it"
        );
        return Ok(());
    };
    let (node, image) = (node.to_string_lossy(), image.to_string_lossy());
    let mut release = Release::new(&node, &image).await?;
    let writer = Writer::start(release.kafka.bootstrap_servers(), &release.topic, 3);
    writer.rounds(1).await?;

    release.upgrade().await.context("installing")?;
    let watch = Standstill::watch(&release.job).await?;
    let first = release.pod().await?;

    watch.step("pod deleted", async || release.remove(&["delete", "pod", &first]).await).await?;
    let second = release.pod().await?;
    watch
        .step("pod killed", async || {
            release.remove(&["delete", "pod", &second, "--grace-period=0", "--force"]).await
        })
        .await?;
    watch.step("pod evicted", async || release.evict().await).await?;

    release.set("replicas", json!(3));
    watch.step("scaled to 3", async || release.upgrade().await).await?;
    release.until_spread(3).await?;
    release.set("replicas", json!(1));
    watch.step("scaled to 1", async || release.upgrade().await).await?;
    release.until_spread(1).await?;

    let before = release.pod().await?;
    release.configure("/checkpoint/interval", json!("400ms"));
    watch.step("interval changed", async || release.upgrade().await).await?;
    release.until_logged("checkpoint.interval").await.context("taken over by the running pod")?;
    ensure!(release.pod().await? == before, "what is taken over without a restart has restarted the pod");

    let good = release.revision().await?;
    release.configure("/sink/file", json!({"compression": "snappy"}));
    watch.step("job changed", async || release.upgrade().await).await?;
    let changed = release.pod().await?;
    ensure!(changed != before, "a changed job file has not restarted the pod");
    watch.step("rolled back", async || release.rollback(&good).await).await?;
    ensure!(release.pod().await? != changed, "the rollback has not restarted the pod");
    release.configure("/sink/file", Value::Null);

    release.configure("/kafka/topcs", json!(["typo"]));
    let refused = release.upgrade_without_waiting().await.context("a job file that is wrong");
    refused?;
    let said = release.until_refused().await?;
    ensure!(said.contains("topcs"), "the log of the init container does not name the key: {said}");
    watch.step("wrong job refused, rolled back", async || release.rollback(&good).await).await?;
    release.configure("/kafka/topcs", Value::Null);

    stopped_with_a_savepoint(&mut release, &writer).await?;
    watch.settle().await?;

    release.set("staticMembership", json!(true));
    release.set("replicas", json!(2));
    watch.step("static membership", async || release.upgrade().await).await?;
    release.until_spread(2).await?;
    let member = release.pod().await?;
    watch.step("static member deleted", async || release.remove(&["delete", "pod", &member]).await).await?;
    release.until_spread(2).await?;

    let audit = release.test().await?;
    ensure!(audit.contains("exact") && !audit.contains("NOT EXACT"), "helm test says: {audit}");
    writer.end().await?;
    release.until_all_is_read().await?;
    eprintln!("{}", watch.report().await?);
    release.uninstall().await?;
    release.job.assert_exact(release.kafka.bootstrap_servers(), &release.topic).await
}

/// The job stops with a savepoint and holds, also in a new pod, and goes on when it is resumed.
async fn stopped_with_a_savepoint(release: &mut Release, writer: &Writer) -> Result<()> {
    let made = release.tidegate(&["savepoint", "create", "JOB", "--stop", "--output", "json"]).await?;
    let made: Value = serde_json::from_str(&made).with_context(|| made.clone())?;
    ensure!(made["stopped"] == true && made["by_replicas"] == true, "{made}");
    release.until_ready(0).await?;
    let held = release.pod().await?;
    release.run(&["delete", "pod", &held]).await?;
    writer.rounds(5).await?;
    let before = release.position().await?;
    writer.rounds(5).await?;
    ensure!(release.pod().await? != held, "the pod was not replaced");
    release.until_ready(0).await?;
    ensure!(release.position().await? == before, "a job that holds has committed");
    release.tidegate(&["resume", "JOB"]).await?;
    release.until_ready(1).await
}

/// Longest that anything may take that is waited for.
const LIMIT: Duration = Duration::from_secs(240);
