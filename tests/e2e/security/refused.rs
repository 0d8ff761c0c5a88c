//! Logins and certificates that do not fit: who is asked is told what is wrong, and what to change.

use anyhow::{Result, ensure};
use tidegate_testcontainers::Authority;

use super::logins::{by_provider, token_endpoint};
use super::scene::{CERTIFIED, Scene, USER, scram};

impl Scene {
    /// `validate` and `run` both end with 2, and say each of `words`.
    async fn assert_refused(&self, words: &[&str]) -> Result<()> {
        for command in [&["validate"][..], &["run", "--until-end"]] {
            let said = self.ends_with(2, command).await?;
            for word in words {
                ensure!(said.contains(word), "{command:?} does not say {word:?}: {said}");
            }
            ensure!(!said.contains("wrong-word"), "{said}");
        }
        let left = self.job.store()?.list("").await?;
        ensure!(left.is_empty(), "nothing may be written: {left:?}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password() -> Result<()> {
    let scene = Scene::new("").await?;
    scene.comes_as((USER.0, "wrong-word"))?;
    scene.assert_refused(&["SCRAM-SHA-512", "sasl.password", "localhost:"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_client_secret() -> Result<()> {
    let scene = Scene::new("").await?;
    scene.comes_by("SECURED", &by_provider(&token_endpoint().await?, "wrong-word"))?;
    scene.assert_refused(&["OAUTHBEARER", "invalid_client", "sasl.oauthbearer.client.secret"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_of_the_broker() -> Result<()> {
    let scene = Scene::new("").await?;
    scene.comes_as(USER)?;
    scene.comes_by("EXPIRED", &scram(USER.0))?;
    scene.assert_refused(&["has expired", "CN=localhost", "renew it"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_host() -> Result<()> {
    let scene = Scene::new("").await?;
    scene.comes_as(USER)?;
    scene.comes_by("ELSEWHERE", &scram(USER.0))?;
    scene.assert_refused(&["for another host", "CN=elsewhere.example", "advertised.listeners"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_authority() -> Result<()> {
    let scene = Scene::new("").await?;
    scene.comes_as(USER)?;
    scene.write("authority.pem", &Authority::new("Somebody else")?.pem)?;
    scene.assert_refused(&["no authority that is trusted here", "ssl.ca.location"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_certificate_or_a_strangers() -> Result<()> {
    let scene = Scene::new("").await?;
    scene.comes_by("MUTUAL", "security.protocol: SSL, ssl.ca.location: HERE/authority.pem")?;
    scene.assert_refused(&["ssl.certificate.location"]).await?;
    scene.write_certificate(&Authority::new("Somebody else")?.sign(&[CERTIFIED])?, "client")?;
    scene.comes_by(
        "MUTUAL",
        "security.protocol: SSL, ssl.ca.location: HERE/authority.pem, ssl.certificate.location: HERE/client.pem, \
         ssl.key.location: HERE/client.key",
    )?;
    scene.assert_refused(&["ssl.certificate.location"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_library_cannot_take() -> Result<()> {
    let scene = Scene::new("").await?;
    scene.comes_by("SECURED", "security.protocol: SASL_SSL, ssl.ca.location: HERE/authority.pem")?;
    scene.assert_refused(&["GSSAPI", "sasl.mechanism"]).await?;
    scene.comes_by("SECURED", &scram(USER.0).replace("authority.pem", "nowhere.pem"))?;
    scene.write("password", USER.1)?;
    scene.assert_refused(&["ssl.ca.location", "nowhere.pem"]).await
}

/// Which of the two is wrong cannot be told from here, so it may be an outage: `run` ends with 1.
#[tokio::test(flavor = "multi_thread")]
async fn no_tls_where_the_broker_wants_it() -> Result<()> {
    let scene = Scene::new("timeouts: {broker: 1s}\n").await?;
    scene.comes_by("SECURED", "security.protocol: PLAINTEXT")?;
    let said = scene.ends_with(2, &["validate"]).await?;
    ensure!(said.contains("security.protocol"), "{said}");
    let said = scene.ends_with(1, &["run", "--until-end"]).await?;
    ensure!(said.contains("security.protocol"), "{said}");
    Ok(())
}
