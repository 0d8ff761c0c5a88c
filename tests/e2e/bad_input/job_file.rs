//! Job files that cannot be run.

use anyhow::{Result, ensure};

use super::scene::{Scene, Sections};

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_with_a_job_file_is_told_at_once() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    scene.write(Sections {
        kafka: "  on_data_los: fail\n",
        format: "{type: json, columns: [{name: a, type: in64}]}",
        more: "checkpoint: {interval: soon}\nspeed: {bytes_per_second: -1}\nerror_limit: [1]\n",
        ..Default::default()
    })?;
    for command in [&["run"][..], &["validate"], &["validate", "--offline"], &["audit"], &["position"]] {
        let said = scene.ends_with(2, command).await?;
        for wrong in [
            "kafka.on_data_los",
            "on_data_loss",
            "format.columns[0].type",
            "checkpoint.interval",
            "speed.bytes_per_second",
            "error_limit",
            "line ",
        ] {
            ensure!(said.contains(wrong), "{command:?} does not name {wrong}: {said}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_file_that_is_no_yaml_or_not_there_is_a_clear_error() -> Result<()> {
    let scene = Scene::new(1, Sections::default()).await?;
    std::fs::write(scene.job.file(), "job: [a\nkafka: {")?;
    let said = scene.ends_with(2, &["run"]).await?;
    ensure!(said.contains("not valid YAML") && said.contains("line "), "{said}");
    std::fs::remove_file(scene.job.file())?;
    let said = scene.ends_with(2, &["run"]).await?;
    ensure!(said.contains("job.yaml"), "{said}");
    Ok(())
}
