//! Settings that change under a running table, and those that the surroundings do not allow.

use anyhow::{Result, ensure};

use super::scene::{LIMIT, Scene, Sections, row};

const FORMAT: &str = "{columns: [{name: id, type: int64}, {name: v, type: string}], metadata: [offset]}";

/// Both commands end with 2 and say why; what was written stays as it is.
async fn refuses(scene: &Scene, sections: Sections<'_>, words: &[&str]) -> Result<()> {
    scene.write(sections)?;
    for command in [&["validate"][..], &["run", "--until-end"]] {
        let said = scene.ends_with(2, command).await?;
        ensure!(words.iter().all(|word| said.contains(word)), "{command:?} does not say {words:?}: {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_makes_a_table_unreadable_is_refused() -> Result<()> {
    let scene = Scene::new(1, Sections { format: FORMAT, ..Default::default() }).await?;
    scene.produce(0, &[Some(br#"{"id": 1, "v": "x"}"#)]).await?;
    scene.run_to_end().await?;
    scene.produce(0, &[Some(br#"{"id": 2, "v": [5]}"#)]).await?;
    let base = Sections { format: FORMAT, ..Default::default() };
    let format = FORMAT.replace("v, type: string", "v, type: list<int64>");
    let words = ["column v was string, is now list<int64>", "another job name"];
    refuses(&scene, Sections { format: &format, ..base }, &words).await?;
    let sink = "  partition_by: [id]\n";
    refuses(&scene, Sections { sink, ..base }, &["sink.partition_by was none, is now id"]).await?;
    let words = ["in table t, and would go on in u"];
    refuses(&scene, Sections { sink: "  table: u\n", ..base }, &words).await?;
    refuses(&scene, Sections { format: "{type: raw}", ..base }, &["format.type was json, is now raw"])
        .await?;

    // The way on that the message names, and a column that is left out.
    let format =
        "{columns: [{name: id, type: int64}, {name: v_2, type: list<int64>, path: v}], metadata: [offset]}";
    scene.write(Sections { format, ..base })?;
    let said = scene.ends_with(0, &["validate"]).await?;
    ensure!(said.contains("do not have: v_2") && said.contains("only older files have: v"), "{said}");
    scene.run_to_end().await?;
    let rows = scene.rows("t").await?;
    ensure!(rows.contains(&row(&[("id", "2"), ("v_2", "[5]"), ("_offset", "1")])), "{rows:?}");
    // It cannot come back as something else.
    let format = FORMAT.replace("v, type: string", "v, type: int32");
    refuses(&scene, Sections { format: &format, ..base }, &["column v was string"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_told_by_validate_and_ends_a_run_with_2() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let text = std::fs::read_to_string(scene.job.file())?;
    let address = taken.local_addr()?.to_string();
    std::fs::write(scene.job.file(), text.replace("127.0.0.1:0", &address))?;
    for command in [&["validate"][..], &["run", "--until-end"]] {
        let said = scene.ends_with(2, command).await?;
        ensure!(said.contains("http.listen") && said.contains(&address), "{said}");
    }
    scene.ends_with(0, &["validate", "--offline"]).await?;
    drop(taken);
    scene.ends_with(0, &["validate"]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_brokers_do_not_take_is_named() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    let text = std::fs::read_to_string(scene.job.file())?;
    for (value, words) in [
        ("6s", ["kafka.properties.session.timeout.ms", "write 6000 (milliseconds)"]),
        ("1000", ["kafka.properties.session.timeout.ms", "group.min.session.timeout.ms"]),
    ] {
        std::fs::write(
            scene.job.file(),
            text.replace("session.timeout.ms: 6000", &format!("session.timeout.ms: {value}")),
        )?;
        for command in [&["validate"][..], &["run", "--until-end"]] {
            let said = scene.ends_with(2, command).await?;
            ensure!(
                words.iter().all(|word| said.contains(word)),
                "{command:?} does not say {words:?}: {said}"
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_not_told_to_write_another_type() -> Result<()> {
    let more = "control: {poll: 200ms}\ncheckpoint: {interval: 200ms}\n";
    let scene = Scene::new(1, Sections { format: FORMAT, more, ..Default::default() }).await?;
    scene.produce(0, &[Some(br#"{"id": 1, "v": "x"}"#)]).await?;
    let mut process = scene.start(&["run"])?;
    scene.wait_for_rows(1, &mut process).await?;
    let format = FORMAT.replace("v, type: string", "v, type: list<int64>");
    scene.write(Sections { format: &format, more, ..Default::default() })?;
    let deadline = std::time::Instant::now() + LIMIT;
    while !process.log()?.contains("cannot change while the job runs") {
        ensure!(std::time::Instant::now() < deadline, "the change is not refused: {}", process.log()?);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    process.signal(libc::SIGTERM);
    ensure!(process.wait(LIMIT).await?.success(), "{}", process.log()?);
    Ok(())
}
