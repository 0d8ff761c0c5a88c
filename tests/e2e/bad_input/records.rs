//! Records that are no rows, and records at the edge of being some.

use anyhow::{Result, ensure};

use super::scene::{RAW, Row, Scene, Sections, hex, row};

const JSON: &str = "{type: json, metadata: [offset], columns: [{name: id, type: int64}, \
                    {name: text, type: string}, {name: deep, type: json}]}";

/// A payload; with the error that it is rejected for, or as the row that it becomes.
type Case = (Vec<u8>, Result<[&'static str; 3], &'static str>);

fn cases() -> Vec<Case> {
    let nested = |depth: usize| format!("{{\"id\":7,\"deep\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let large = format!("{{\"id\":8,\"text\":\"{}\"}}", "x".repeat(1 << 20));
    vec![
        (b"{\"id\":1,\"text\":\"\xc3\xa9\"}".to_vec(), Ok(["1", "é", ""])),
        (b"".to_vec(), Err("empty")),
        (b"{\"id\":2".to_vec(), Err("not JSON")),
        (b"{\"id\":2,\"text\":\"\xff\"}".to_vec(), Err("UTF-8")),
        (b"{\"id\":3,\"id\":3}".to_vec(), Err("twice")),
        (b"{\"id\":9223372036854775807}".to_vec(), Ok(["9223372036854775807", "", ""])),
        (b"{\"id\":9223372036854775808}".to_vec(), Err("id")),
        (b"{\"id\":123456789012345678901234567890}".to_vec(), Err("id")),
        (b"{\"id\":1.5}".to_vec(), Err("id")),
        (b"{\"id\":\"4x\"}".to_vec(), Err("id")),
        (b"[]".to_vec(), Err("expected an object")),
        (nested(20).into_bytes(), Ok(["7", "", "[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]"])),
        (nested(100_000).into_bytes(), Err("deep")),
        (large.into_bytes(), Ok(["8", "large", ""])),
        (b"{}".to_vec(), Ok(["", "", ""])),
    ]
}

async fn bad_records(error_limit: &str) -> Result<Scene> {
    let scene = Scene::new(1, Sections { format: JSON, more: error_limit, ..Default::default() }).await?;
    let cases = cases();
    let payloads: Vec<_> = cases.iter().map(|(payload, _)| Some(payload.as_slice())).collect();
    scene.produce(0, &payloads).await?;
    Ok(scene)
}

fn expected_rows() -> Vec<Row> {
    let rows = cases().into_iter().zip(0..).filter_map(|((_, expected), offset)| {
        let [id, text, deep] = expected.ok()?;
        let text = if text == "large" { "x".repeat(1 << 20) } else { text.to_owned() };
        Some(row(&[("id", id), ("text", &text), ("deep", deep), ("_offset", &i32::to_string(&offset))]))
    });
    rows.collect()
}

/// Each reject's place and bytes, and an error that says what is wrong with it.
async fn assert_rejects(scene: &Scene) -> Result<()> {
    let mut rejects = scene.rejects().await?;
    for ((payload, expected), offset) in cases().into_iter().zip(0..) {
        let Err(error) = expected else { continue };
        let at = rejects.iter().position(|row| row["offset"] == i32::to_string(&offset));
        let Some(found) = at.map(|at| rejects.remove(at)) else { anyhow::bail!("no reject at {offset}") };
        ensure!(found["topic"] == scene.topic && found["partition"] == "0", "{found:?}");
        ensure!(found["payload"] == hex(&payload), "the payload at {offset} differs");
        ensure!(found["key"] == hex(b"key"), "{found:?}");
        ensure!(found["error"].contains(error), "{offset}: {}", found["error"]);
    }
    ensure!(rejects.is_empty(), "too many: {rejects:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_csv_are_rows_and_other_records_are_rejects() -> Result<()> {
    let format = "{type: csv, columns: [{name: id, type: int64}, {name: text, type: string}, \
                  {name: price, type: \"decimal(9,2)\"}]}";
    let more = "error_limit: {records: 3}\n";
    let scene = Scene::new(1, Sections { format, more, ..Default::default() }).await?;
    let lines = [
        &b"1,Ada,1.50"[..],
        b"2,\"a \"\"b\"\", c\",\r\n",
        b"3,too few",
        b",\"\",0\n",
        b"4,a,1.505",
        b"5,a,1\n6,b,2\n",
    ];
    scene.produce(0, &lines.map(Some)).await?;
    scene.ends_with(0, &["validate"]).await?;
    scene.run_to_end().await?;
    let rows = [["1", "Ada", "1.50"], ["2", "a \"b\", c", ""], ["", "", "0.00"]];
    let rows = rows.map(|[id, text, price]| row(&[("id", id), ("text", text), ("price", price)]));
    scene.assert_rows("t", rows.to_vec()).await?;
    let rejects = scene.rejects().await?;
    let mut errors: Vec<_> =
        rejects.iter().map(|row| (row["offset"].as_str(), row["error"].as_str())).collect();
    errors.sort_unstable();
    let expected = [
        ("2", "2 fields, expected 3"),
        ("4", "price: decimal(9,2) would lose digits of the number"),
        ("5", "a second line at byte 5"),
    ];
    ensure!(errors == expected, "{errors:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_bad_record_stops_the_job_and_a_higher_limit_goes_on() -> Result<()> {
    let scene = bad_records("").await?;
    let said = scene.ends_with(2, &["run", "--until-end"]).await?;
    for part in [scene.topic.as_str(), "offset 1", "error_limit"] {
        ensure!(said.contains(part), "{part} in {said}");
    }
    ensure!(scene.rows("t").await?.is_empty() && scene.rejects().await?.is_empty(), "nothing is committed");
    scene.write(Sections { format: JSON, more: "error_limit: {records: 9}\n", ..Default::default() })?;
    let said = scene.ends_with(2, &["run", "--until-end"]).await?;
    ensure!(said.contains("10 records rejected"), "{said}");
    scene.write(Sections { format: JSON, more: "error_limit: {records: 10}\n", ..Default::default() })?;
    scene.run_to_end().await?;
    scene.assert_rows("t", expected_rows()).await?;
    assert_rejects(&scene).await?;
    // The limit counts the whole job, so one more is too many for ever after.
    scene.produce(0, &[Some(b"{\"id\":10}"), Some(b"bad")]).await?;
    let said = scene.ends_with(2, &["run", "--until-end"]).await?;
    ensure!(said.contains("11 records rejected"), "{said}");
    scene.assert_rows("t", expected_rows()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ratio_in_a_window_remembers_what_was_committed_before_a_restart() -> Result<()> {
    let limit = |window| format!("error_limit: {{ratio: 0.01, window: {window}}}\n");
    let scene = Scene::new(1, Sections { format: JSON, more: &limit("1h"), ..Default::default() }).await?;
    let (good, bad): (&[u8], &[u8]) = (b"{\"id\":1}", b"bad");
    let mut payloads = vec![Some(good); 198];
    payloads.extend([Some(bad); 2]);
    scene.produce(0, &payloads).await?;
    scene.run_to_end().await?;
    ensure!(scene.rejects().await?.len() == 2);
    scene.produce(0, &[Some(bad)]).await?;
    let said = scene.ends_with(2, &["run", "--until-end"]).await?;
    for part in
        ["3 of 201 records rejected", "3600s", "offset 200", "error_limit.ratio is 0.01", "nothing is lost"]
    {
        ensure!(said.contains(part), "{part} in {said}");
    }
    // In a window that has nothing else in it, one record is no ratio.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    scene.write(Sections { format: JSON, more: &limit("1s"), ..Default::default() })?;
    scene.run_to_end().await?;
    ensure!(scene.rejects().await?.len() == 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tombstones_are_skipped_or_become_nulls() -> Result<()> {
    let skipping = Scene::new(1, Sections { format: JSON, ..Default::default() }).await?;
    skipping.produce(0, &[None, Some(b"{\"id\":1}"), None]).await?;
    skipping.run_to_end().await?;
    let one = row(&[("id", "1"), ("text", ""), ("deep", ""), ("_offset", "1")]);
    skipping.assert_rows("t", vec![one.clone()]).await?;

    let format = JSON.replacen("json,", "json, tombstones: nulls,", 1);
    let nulls = Scene::new(1, Sections { format: &format, ..Default::default() }).await?;
    nulls.produce(0, &[None, Some(b"{\"id\":1}"), None]).await?;
    nulls.run_to_end().await?;
    let empty = |offset| row(&[("id", ""), ("text", ""), ("deep", ""), ("_offset", offset)]);
    nulls.assert_rows("t", vec![empty("0"), one, empty("2")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_payloads_are_copied_whatever_they_are() -> Result<()> {
    let scene = Scene::new(2, Sections { format: RAW, ..Default::default() }).await?;
    let mebibyte = vec![0xff; 1 << 20];
    scene.produce(0, &[Some(b""), Some(b"\x00\xff"), Some(&mebibyte), Some(b"{")]).await?;
    scene.produce(1, &[Some(b"text")]).await?;
    scene.run_to_end().await?;
    scene.assert_raw().await
}

#[tokio::test(flavor = "multi_thread")]
async fn inferred_columns_are_pinned() -> Result<()> {
    let format = "{type: json, metadata: [offset]}";
    let scene = Scene::new(1, Sections { format, ..Default::default() }).await?;
    scene.run_to_end().await?;
    scene.produce(0, &[Some(b"{\"a\":1}"), Some(b"{\"a\":2,\"b\":\"x\"}")]).await?;
    scene.run_to_end().await?;
    let mut expected = vec![
        row(&[("a", "1"), ("b", ""), ("_offset", "0")]),
        row(&[("a", "2"), ("b", "x"), ("_offset", "1")]),
    ];
    scene.assert_rows("t", expected.clone()).await?;
    // A sample of these would give other columns, and another type of `a`.
    let later: Vec<Option<&[u8]>> = vec![Some(b"{\"c\":true,\"a\":3}"), Some(b"{\"a\":\"text\"}")];
    scene.produce(0, &later).await?;
    let said = scene.ends_with(2, &["run", "--until-end"]).await?;
    ensure!(said.contains("offset 3") && said.contains("a: "), "{said}");
    scene.write(Sections { format, more: "error_limit: {records: 1}\n", ..Default::default() })?;
    scene.run_to_end().await?;
    expected.push(row(&[("a", "3"), ("b", ""), ("_offset", "2")]));
    scene.assert_rows("t", expected).await?;
    ensure!(scene.rejects().await?.len() == 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_inferred_from_every_partition_of_every_topic_for_each_table() -> Result<()> {
    let other = crate::support::unique("other");
    let topics = |scene: &Scene| format!("  topics: [{}, {other}]\n", scene.topic);
    let scene = Scene::new(2, Sections::default()).await?;
    tidegate_testcontainers::Kafka::shared().await?.create_topic(&other, 1).await?;
    let sections = Sections {
        kafka: &topics(&scene),
        format: "{type: json, unknown: reject}",
        sink: "  table: \"{topic}\"\n",
        ..Default::default()
    };
    scene.write(sections)?;
    // More than a sample, in one partition.
    let first: Vec<_> = (0..3_000).map(|n| format!("{{\"x\":{n}}}")).collect();
    let first: Vec<_> = first.iter().map(|payload| Some(payload.as_bytes())).collect();
    scene.produce(0, &first).await?;
    scene.produce(1, &[Some(b"{\"y\":\"only here\"}")]).await?;
    super::scene::produce(scene.servers, &other, 0, &[Some(b"{\"x\":\"text\",\"z\":null}")], None).await?;
    let said = scene.ends_with(0, &["validate"]).await?;
    ensure!(said.contains(&format!("{}/1: 1", scene.topic)) && said.contains("json"), "{said}");
    scene.run_to_end().await?;
    let mut rows = scene.rows(&scene.topic).await?;
    let last = rows.iter().position(|row| row["y"] == "only here").map(|at| rows.swap_remove(at));
    ensure!(last == Some(row(&[("x", ""), ("y", "only here")])) && rows.len() == 3_000, "{last:?}");
    ensure!(rows.iter().all(|row| !row["x"].is_empty() && row["y"].is_empty()));
    scene.assert_rows(&other, vec![row(&[("x", "text"), ("z", "")])]).await?;
    let schema: serde_json::Value =
        serde_json::from_str(&scene.job.run(&["schema", "--output", "json"]).await?)?;
    ensure!(schema["tables"][&other]["columns"][1]["type"] == "json", "{schema:#}");
    // A topic's first records may come later than the others'.
    let later = crate::support::unique("later");
    tidegate_testcontainers::Kafka::shared().await?.create_topic(&later, 1).await?;
    super::scene::produce(scene.servers, &later, 0, &[Some(b"{\"x\":true}")], None).await?;
    let kafka = format!("  topics: [{}, {other}, {later}]\n", scene.topic);
    scene.write(Sections { kafka: &kafka, ..sections })?;
    scene.run_to_end().await?;
    scene.assert_rows(&later, vec![row(&[("x", "true")])]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_record_to_infer_columns_from_waits_unready() -> Result<()> {
    let more = "checkpoint: {interval: 500ms}\n";
    let scene = Scene::new(1, Sections { format: "{type: json}", more, ..Default::default() }).await?;
    for ends_waiting in [true, false] {
        let mut process = scene.start(&["run"])?;
        let url = format!("http://{}", super::scene::address(&process).await?);
        let reason = wait_until_it_says(&url, "a first record").await?;
        ensure!(reqwest::get(format!("{url}/livez")).await?.status() == 200, "{reason}");
        if !ends_waiting {
            scene.produce(0, &[Some(b"{\"a\":1}")]).await?;
            wait_until_it_says(&url, "ok").await?;
            scene.wait_for_rows(1, &mut process).await?;
        }
        process.signal(libc::SIGTERM);
        let ended = process.wait(super::scene::LIMIT).await?;
        ensure!(ended.success(), "{ended}: {}", process.log()?);
    }
    scene.assert_rows("t", vec![row(&[("a", "1")])]).await
}

async fn wait_until_it_says(url: &str, wanted: &str) -> Result<String> {
    let start = std::time::Instant::now();
    loop {
        let answer = reqwest::get(format!("{url}/readyz")).await?;
        let (is_ready, text) = (answer.status() == 200, answer.text().await?);
        if text.contains(wanted) && is_ready == (wanted == "ok") {
            return Ok(text);
        }
        ensure!(start.elapsed() < super::scene::LIMIT, "{text}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_column_asks_for_is_told_and_may_be_refused() -> Result<()> {
    let columns = "columns: [{name: UserId, type: int64}, {name: Name, type: string}]";
    let format = format!("{{type: json, {columns}}}");
    let scene = Scene::new(1, Sections { format: &format, ..Default::default() }).await?;
    let records: [Option<&[u8]>; 3] = [
        Some(b"{\"UserId\":1,\"userId\":1}"),
        Some(b"{\"payload\":{\"UserId\":2}}"),
        Some(b"{\"UserId\":3,\"Name\":\"x\"}"),
    ];
    scene.produce(0, &records).await?;
    let said = scene.ends_with(0, &["run", "--until-end"]).await?;
    for part in
        ["in 1 rows no column found anything", "2 members", "differs from `UserId` only in letter case"]
    {
        ensure!(said.contains(part), "{part}: {said}");
    }
    let format = format!("{{type: json, unknown: reject, {columns}}}");
    scene.write(Sections { format: &format, more: "error_limit: {records: 2}\n", ..Default::default() })?;
    scene.produce(0, &records).await?;
    scene.run_to_end().await?;
    ensure!(scene.rejects().await?.len() == 2 && scene.rows("t").await?.len() == 4);
    Ok(())
}
