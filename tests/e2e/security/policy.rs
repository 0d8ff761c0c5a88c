//! The policy for S3 that the manual has: it is enough for all that a job does, it ends at the job's folder,
//! and where one of its rights is missing, whoever starts the job is told which.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tidegate_testcontainers::{Credentials, MinIO};

use super::scene::LIMIT;
use crate::stores::keeps_every_promise;
use crate::support::{CHECKPOINTS, JOB_FILE, Job, Place, Program, Settings, minio, orders, unique};

/// The first block of JSON on the page about stores, for another folder than its own.
fn policy(folder: &str) -> Result<Value> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/stores.md"))?;
    let (_, block) = page.split_once("```json\n").context("a policy")?;
    let (block, _) = block.split_once("```").context("its end")?;
    ensure!(block.contains("\"arn:aws:s3:::lake/raw/*\"") && block.contains("[\"raw/*\"]"), "{block}");
    Ok(serde_json::from_str(&block.replace("raw/", &format!("{folder}/")))?)
}

/// The same policy without one of its rights.
fn without(policy: &Value, right: &str) -> Result<Value> {
    let mut policy = policy.clone();
    let statements = policy["Statement"].as_array_mut().context("statements")?;
    let mut left = 0;
    for statement in statements.iter_mut() {
        let actions = match statement["Action"].take() {
            Value::Array(actions) => actions,
            one => vec![one],
        };
        left += actions.len();
        statement["Action"] = actions.into_iter().filter(|action| action != right).collect();
        left -= statement["Action"].as_array().map_or(0, Vec::len);
    }
    statements.retain(|statement| statement["Action"] != json!([]));
    ensure!(left == 1, "{right} is {left} times in the manual's policy");
    Ok(policy)
}

/// A job in the shared bucket, and what of it the manual leaves to the reader.
struct Scene {
    job: Job,
    servers: &'static str,
    topic: &'static str,
    /// The job file with the keys of the store's owner.
    whole: String,
}

impl Scene {
    async fn new() -> Result<Self> {
        let (servers, topic) = orders().await?;
        let settings = Settings {
            bootstrap_servers: servers,
            topic,
            place: Place::S3,
            more: CHECKPOINTS,
            sink: "",
            endpoint: None,
        };
        let job = Job::new(settings).await?;
        let whole = std::fs::read_to_string(job.file())?;
        Ok(Self { job, servers, topic, whole })
    }

    /// From here on the job file has the keys of somebody who may do only what `policy` allows.
    async fn may_do(&self, policy: &Value) -> Result<()> {
        let Credentials { access_key_id, secret_access_key, session_token } =
            minio().await?.assume_role(&policy.to_string()).await?;
        let owner = ["access_key_id", "secret_access_key"].map(|key| format!("{key}: minioadmin"));
        ensure!(owner.iter().all(|key| self.whole.contains(key)), "{}", self.whole);
        let text = self.whole.replace(&owner[0], &format!("access_key_id: \"{access_key_id}\"")).replace(
            &owner[1],
            &format!("secret_access_key: \"{secret_access_key}\", session_token: \"{session_token}\""),
        );
        Ok(std::fs::write(self.job.file(), text)?)
    }

    /// Runs a command that must end with `code`. Returns all that it said.
    async fn ends_with(&self, code: i32, arguments: &[&str]) -> Result<String> {
        let mut process = self.job.start(Program::Plain, arguments, None, None)?;
        let status = process.wait(LIMIT).await?;
        let said = process.output()? + process.log()?.as_str();
        ensure!(status.code() == Some(code), "{arguments:?} ended with {status}, not {code}: {said}");
        Ok(said)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manuals_policy_is_enough_for_every_command() -> Result<()> {
    let scene = Scene::new().await?;
    scene.may_do(&policy(&scene.job.name)?).await?;
    // Leaves files behind that can never commit.
    let kill_at = Some("checkpoint.create.before:3");
    let mut killed = scene.job.start(Program::Failpoints, &["run", "--until-end"], None, kill_at)?;
    ensure!(killed.wait(LIMIT).await?.code().is_none(), "not killed: {}", killed.log()?);
    for arguments in [
        &["validate"][..],
        &["run", "--until-end"],
        &["savepoint", "create", JOB_FILE],
        &["savepoint", "list", JOB_FILE],
        &["pause"],
        &["resume"],
        &["run", "--until-end", "--from-checkpoint", "2", "--rollback"],
        &["collect"],
        &["position"],
        &["audit", "--deep"],
        &["forget", "--before", "2100-01-01T00:00:00Z"],
        &["audit", "--deep"],
    ] {
        scene.ends_with(0, arguments).await?;
    }
    scene.job.assert_exact(scene.servers, scene.topic).await?;

    // Those who only look need no more than to list and to read.
    let looks = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
        .iter()
        .try_fold(policy(&scene.job.name)?, |policy, right| without(&policy, right))?;
    scene.may_do(&looks).await?;
    scene.ends_with(0, &["audit", "--deep"]).await?;
    scene.ends_with(0, &["position"]).await?;

    // The folder beside is not theirs.
    scene.may_do(&policy(&format!("{}-beside", scene.job.name))?).await?;
    let said = scene.ends_with(2, &["validate"]).await?;
    ensure!(said.contains(&format!("could not create {}/", scene.job.url)), "{said}");
    Ok(())
}

/// Large uploads, names that are escaped, many writers, and whatever else the suite of all sinks has.
#[tokio::test(flavor = "multi_thread")]
async fn the_manuals_policy_is_enough_for_every_promise() -> Result<()> {
    let folder = unique("policy");
    let minio = minio().await?;
    let keys = minio.assume_role(&policy(&folder)?.to_string()).await?;
    let options: BTreeMap<_, _> = [
        ("endpoint", minio.endpoint()),
        ("region", MinIO::REGION),
        ("path_style", "true"),
        ("allow_http", "true"),
        ("access_key_id", &keys.access_key_id),
        ("secret_access_key", &keys.secret_access_key),
        ("session_token", &keys.session_token),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    keeps_every_promise(&format!("s3://lake/{folder}"), &options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named() -> Result<()> {
    for (right, says) in [
        ("s3:ListBucket", "could not list"),
        ("s3:GetObject", "could not read"),
        ("s3:PutObject", "could not create"),
        ("s3:DeleteObject", "could not delete"),
    ] {
        let scene = Scene::new().await?;
        scene.may_do(&without(&policy(&scene.job.name)?, right)?).await?;
        for arguments in [&["validate"][..], &["run", "--until-end"]] {
            let said = scene.ends_with(2, arguments).await.with_context(|| format!("without {right}"))?;
            let says = format!("{says} {}/", scene.job.url);
            ensure!(said.contains(&says) && said.contains(right), "{arguments:?} without {right}: {said}");
        }
    }
    Ok(())
}
