//! An object store whose certificate only a private authority vouches for.

use anyhow::{Result, ensure};
use tidegate_testcontainers::{Authority, MinIO};

use super::store::{PASSWORD, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_a_private_authority() -> Result<()> {
    let authority = Authority::new("Authority of the store")?;
    let minio = MinIO::start_secured(&authority, PASSWORD).await?;
    minio.create_bucket("lake").await?;
    let scene = Scene::new(&minio, &authority, "").await?;
    scene.job.run(&["run", "--until-end"]).await?;
    scene.job.assert_exact(scene.servers, scene.topic).await?;

    // Trusted by nobody without `ca_file`; also not for an address that it does not hold.
    for (from, to, says) in
        [("    ca_file: ", "    # ", "ca_file"), ("https://localhost", "https://127.0.0.1", "127.0.0.1")]
    {
        let text = std::fs::read_to_string(scene.job.file())?;
        // A refused certificate is asked for again, as the store may renew it.
        let impatient = "timeouts: {store_request: 10s, store_retry: 11s}\n";
        std::fs::write(scene.job.file(), text.replace(from, to) + impatient)?;
        let said = scene.ends_with(2, &["validate"]).await?;
        ensure!(said.contains(says) && said.contains("certificate"), "{said}");
        std::fs::write(scene.job.file(), text)?;
    }
    Ok(())
}
