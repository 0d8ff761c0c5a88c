//! A state that is damaged, lost, or not this job's.

use std::fs;

use anyhow::{Context, Result, ensure};
use tidegate_testcontainers::Kafka;

use super::scene::{Scene, Sections};
use crate::support::JOB_FILE;

/// A job that has written three records in two runs.
async fn written() -> Result<Scene> {
    let scene = Scene::new(1, Sections::default()).await?;
    scene.produce(0, &[Some(b"0"), Some(b"1")]).await?;
    scene.run_to_end().await?;
    scene.produce(0, &[Some(b"2")]).await?;
    scene.run_to_end().await?;
    scene.assert_raw().await?;
    Ok(scene)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_checkpoint_stops_every_command_and_is_named() -> Result<()> {
    let scene = written().await?;
    let path = scene.newest_checkpoint()?;
    let name = path.file_name().and_then(|name| name.to_str()).context("a name")?;
    let sound = fs::read(&path)?;
    for damaged in [&b""[..], &sound[..sound.len() / 2], b"{\"format\": 1}", b"\xff\xfe\x00"] {
        fs::write(&path, damaged)?;
        for (code, command) in
            [(3, &["run", "--until-end"][..]), (2, &["validate"]), (3, &["audit"]), (3, &["position"])]
        {
            let said = scene.ends_with(code, command).await?;
            ensure!(said.contains(name), "{command:?} does not name {name}: {said}");
        }
    }
    let newer = String::from_utf8(sound.clone())?.replace("\"format\": 1", "\"format\": 99");
    fs::write(&path, newer)?;
    let said = scene.ends_with(2, &["run", "--until-end"]).await?;
    ensure!(said.contains("99") && said.contains("upgrade"), "{said}");
    fs::write(&path, &sound)?;
    scene.produce(0, &[Some(b"3")]).await?;
    scene.run_to_end().await?;
    scene.assert_raw().await
}

/// Without the newest checkpoints the chain looks like an older one, whose records
/// would be written a second time.
#[tokio::test(flavor = "multi_thread")]
async fn missing_newest_checkpoints_are_noticed() -> Result<()> {
    let scene = written().await?;
    // Only the first, which knows of no record, is left.
    while !scene.newest_checkpoint()?.ends_with("00000000000000000001.json") {
        fs::remove_file(scene.newest_checkpoint()?)?;
    }
    for command in [&["run", "--until-end"][..], &["run", "--until-end", "--new-incarnation"], &["audit"]] {
        let said = scene.ends_with(3, command).await?;
        ensure!(said.contains("newer checkpoints"), "{command:?}: {said}");
    }
    ensure!(scene.rows("t").await?.len() == 3, "records were written again");
    fs::remove_file(scene.newest_checkpoint()?)?;
    // Overwriting alone does not erase what was committed, though the checkpoints are gone.
    scene.write(Sections { sink: "  mode: overwrite\n", ..Default::default() })?;
    let said = scene.ends_with(3, &["run", "--until-end"]).await?;
    ensure!(said.contains("--new-incarnation"), "{said}");
    ensure!(scene.rows("t").await?.len() == 3, "what was committed is erased");
    // The way out that the message names.
    scene.ends_with(0, &["run", "--until-end", "--new-incarnation"]).await?;
    scene.assert_raw().await?;
    scene.run_to_end().await?;
    scene.assert_raw().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_chain_is_refused_without_a_new_incarnation() -> Result<()> {
    let scene = written().await?;
    fs::remove_dir_all(scene.newest_checkpoint()?.parent().context("a folder")?)?;
    let said = scene.ends_with(3, &["run", "--until-end"]).await?;
    ensure!(said.contains("--new-incarnation"), "{said}");
    let said = scene.ends_with(2, &["validate"]).await?;
    ensure!(said.contains("--new-incarnation"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_was_emptied_is_noticed_by_the_groups_offsets() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    scene.produce(0, &[Some(b"0"), Some(b"1")]).await?;
    let group = Some(scene.job.name.as_str());
    scene.ends_with_in_group(0, &["run", "--until-end"], group).await?;
    scene.assert_raw().await?;
    fs::remove_dir_all(scene.folder())?;
    let said = scene.ends_with_in_group(3, &["run", "--until-end"], group).await?;
    ensure!(said.contains("--new-incarnation") && said.contains(&scene.job.name), "{said}");
    scene.ends_with_in_group(0, &["run", "--until-end", "--new-incarnation"], group).await?;
    scene.assert_raw().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_job_does_not_write_everything_again() -> Result<()> {
    let scene = written().await?;
    let text = fs::read_to_string(scene.job.file())?;
    fs::write(scene.job.file(), text.replacen("job: ", "job: renamed-", 1))?;
    let said = scene.ends_with(3, &["run", "--until-end"]).await?;
    ensure!(said.contains("renamed"), "{said}");
    fs::write(scene.job.file(), text)?;
    scene.assert_raw().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_or_changed_data_file_is_named_by_the_audit() -> Result<()> {
    let scene = written().await?;
    let file = fs::read_dir(scene.folder().join("t"))?.next().context("a file")??.path();
    let name = file.file_name().and_then(|name| name.to_str()).context("a name")?;
    let sound = fs::read(&file)?;
    fs::remove_file(&file)?;
    let said = scene.ends_with(4, &["audit"]).await?;
    ensure!(said.contains("missing") && said.contains(name), "{said}");
    fs::write(&file, &sound[..sound.len() - 1])?;
    let said = scene.ends_with(4, &["audit"]).await?;
    ensure!(said.contains(name), "{said}");
    // A byte of the data that only a reader of all of it sees.
    let mut flipped = sound.clone();
    flipped[8] ^= 0xff;
    fs::write(&file, flipped)?;
    let said = scene.ends_with(4, &["audit", "--deep"]).await?;
    ensure!(said.contains(name), "{said}");
    fs::write(&file, sound)?;
    scene.assert_raw().await
}

/// Readers take whatever lies in the table's folder, under whatever name; some also what is hidden.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_or_a_torn_file_in_a_table_is_named_by_the_audit() -> Result<()> {
    let scene = written().await?;
    let table = scene.folder().join("t");
    let file = fs::read_dir(&table)?.next().context("a file")??.path();
    let name = file.file_name().and_then(|name| name.to_str()).context("a name")?.to_owned();
    let sound = fs::read(&file)?;
    for copy in ["copy.parquet", "copy", "day=1/copy.parquet", ".old/copy.parquet", &format!("_old/{name}")] {
        let copy = table.join(copy);
        fs::create_dir_all(copy.parent().context("a folder")?)?;
        fs::write(&copy, &sound)?;
        let said = scene.ends_with(4, &["audit"]).await?;
        let path = copy.strip_prefix(scene.folder())?.to_string_lossy().into_owned();
        ensure!(said.contains(&format!("duplicate: {path}")), "{path}: {said}");
        fs::remove_file(&copy)?;
    }
    let number = name.rfind('-').context("a number")?;
    let torn = table.join(format!("{}-777.parquet", &name[..number]));
    fs::write(&torn, &sound[..sound.len() / 2])?;
    let said = scene.ends_with(4, &["audit"]).await?;
    ensure!(said.contains("uncommitted file: t/") && said.contains("-777.parquet"), "{said}");
    fs::remove_file(&torn)?;
    // What others have there is theirs.
    fs::write(table.join("part-0.parquet"), b"others")?;
    fs::write(table.join(".part-0.parquet.crc"), b"others")?;
    let said = scene.ends_with(0, &["audit"]).await?;
    ensure!(said.contains("t/part-0.parquet") && !said.contains("crc"), "{said}");
    fs::remove_file(table.join("part-0.parquet"))?;
    scene.assert_raw().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_called_otherwise_since_is_no_false_alarm() -> Result<()> {
    let scene = written().await?;
    let at = format!("file://{}", scene.folder().join("kept").display());
    let made =
        scene.ends_with(0, &["savepoint", "create", JOB_FILE, "--to", &at, "--output", "json"]).await?;
    let made: serde_json::Value = serde_json::from_str(made.trim())?;
    let uri = made["uri"].as_str().context("a URI")?.to_owned();
    scene.write(Sections { sink: "  table: renamed\n", ..Default::default() })?;
    for command in [&["audit"][..], &["audit", "--deep"]] {
        let said = scene.ends_with(0, command).await?;
        ensure!(said.contains("\nexact"), "{said}");
    }
    scene.ends_with(0, &["savepoint", "verify", &uri, "--against-sink", JOB_FILE, "--deep"]).await?;
    let file = fs::read_dir(scene.folder().join("t"))?.next().context("a file")??.path();
    fs::copy(&file, scene.folder().join("t/copy.parquet"))?;
    let said = scene.ends_with(4, &["audit"]).await?;
    ensure!(said.contains("duplicate: t/copy.parquet"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_is_refused() -> Result<()> {
    let scene = written().await?;
    let other = Kafka::start_with(&[("CLUSTER_ID", "MkU3OEVBNTcwNTJENDM2Qk")]).await?;
    other.create_topic(&scene.topic, 1).await?;
    scene.write_at(&scene.job.url, other.bootstrap_servers(), Sections::default())?;
    let said = scene.ends_with(3, &["run", "--until-end"]).await?;
    ensure!(said.contains("5L6g3nShT-eMCtK--X86sw") && said.contains("MkU3OEVBNTcwNTJENDM2Qk"), "{said}");
    let said = scene.ends_with(2, &["validate"]).await?;
    ensure!(said.contains("MkU3OEVBNTcwNTJENDM2Qk"), "{said}");
    scene.write(Sections::default())?;
    scene.assert_raw().await
}
