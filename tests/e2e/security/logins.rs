//! Each way of proving who one is, to a broker that lets in nobody else: the copy is exact.

use anyhow::Result;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD as STANDARD, BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tidegate_testcontainers::SecuredKafka;

use super::scene::{CERTIFIED, Scene, TOKEN_USER, USER};

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_scram() -> Result<()> {
    let scene = Scene::new("").await?;
    scene.comes_as(USER)?;
    scene.assert_copies_exactly().await
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_plain() -> Result<()> {
    let scene = Scene::new("").await?;
    let (user, password) = SecuredKafka::PLAIN_USER;
    let properties = format!(
        "security.protocol: SASL_SSL, sasl.mechanism: PLAIN, sasl.username: {user}, sasl.password: {password}, \
         ssl.ca.location: HERE/authority.pem"
    );
    scene.comes_by("SECURED", &properties)?;
    scene.assert_copies_exactly().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_in_files() -> Result<()> {
    let scene = Scene::new("").await?;
    scene.write_certificate(&scene.broker.authority.sign(&[CERTIFIED])?, "client")?;
    scene.comes_by(
        "MUTUAL",
        "security.protocol: SSL, ssl.ca.location: HERE/authority.pem, ssl.certificate.location: HERE/client.pem, \
         ssl.key.location: HERE/client.key",
    )?;
    scene.assert_copies_exactly().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_by_substitution() -> Result<()> {
    let scene = Scene::new("").await?;
    scene.write_certificate(&scene.broker.authority.sign(&[CERTIFIED])?, "client")?;
    scene.comes_by(
        "MUTUAL",
        "security.protocol: SSL, ssl.ca.pem: \"${file:HERE/authority.pem}\", \
         ssl.certificate.pem: \"${file:HERE/client.pem}\", ssl.key.pem: \"${file:HERE/client.key}\"",
    )?;
    scene.assert_copies_exactly().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_its_own_making() -> Result<()> {
    let scene = Scene::new("").await?;
    let properties = format!(
        "security.protocol: SASL_SSL, sasl.mechanism: OAUTHBEARER, enable.sasl.oauthbearer.unsecure.jwt: true, \
         sasl.oauthbearer.config: principal={TOKEN_USER}, ssl.ca.location: HERE/authority.pem"
    );
    scene.comes_by("SECURED", &properties)?;
    scene.assert_copies_exactly().await
}

const CLIENT_SECRET: &str = "the-secret-of-a-client";

/// Gives a token to the client that knows its secret, as an OpenID provider does.
/// The broker takes unsigned ones.
pub(super) async fn token_endpoint() -> Result<String> {
    async fn answer(headers: HeaderMap) -> (StatusCode, Json<Value>) {
        let expected = format!("Basic {}", STANDARD.encode(format!("a-client:{CLIENT_SECRET}")));
        if headers.get("authorization").is_none_or(|given| given.as_bytes() != expected.as_bytes()) {
            return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"})));
        }
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({"sub": TOKEN_USER, "iat": now, "exp": now + 3_600}).to_string();
        let token =
            format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims));
        (StatusCode::OK, Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": 3_600})))
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/token", listener.local_addr()?);
    let router = Router::new().route("/token", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

pub(super) fn by_provider(endpoint: &str, secret: &str) -> String {
    format!(
        "security.protocol: SASL_SSL, sasl.mechanism: OAUTHBEARER, sasl.oauthbearer.method: oidc, \
         sasl.oauthbearer.client.id: a-client, sasl.oauthbearer.client.secret: {secret}, \
         sasl.oauthbearer.token.endpoint.url: \"{endpoint}\", ssl.ca.location: HERE/authority.pem"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_provider() -> Result<()> {
    let scene = Scene::new("").await?;
    scene.comes_by("SECURED", &by_provider(&token_endpoint().await?, CLIENT_SECRET))?;
    scene.assert_copies_exactly().await
}
