//! MinIO: an S3 that honours conditional puts.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredential};
use object_store::client::HttpRequest;
use object_store::{path::Path, signer::Signer};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use testcontainers::{ContainerAsync, ImageExt, runners::AsyncRunner};
use testcontainers_modules::minio::MinIO as Image;

use crate::certificates::{Authority, Certificate};
use crate::{reaper, signals};

/// A MinIO server without buckets.
#[derive(Debug)]
pub struct MinIO {
    container: ContainerAsync<Image>,
    endpoint: String,
    password: String,
    /// Of the authority that vouches for it, where it speaks TLS.
    authority: Option<String>,
}

/// Temporary ones, which are good only together.
#[derive(Debug)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
}

impl MinIO {
    pub const ACCESS_KEY: &str = "minioadmin";
    pub const SECRET_KEY: &str = "minioadmin";
    pub const REGION: &str = "us-east-1";

    pub async fn start() -> Result<Self> {
        let container = reaper::owned(Image::default())
            .start()
            .await
            .context("MinIO did not start (is its image there? ./x images)")?;
        let port = container.get_host_port_ipv4(9000).await?;
        let endpoint = format!("http://127.0.0.1:{port}");
        Ok(Self { container, endpoint, password: Self::SECRET_KEY.to_owned(), authority: None })
    }

    /// One that speaks TLS only, as `localhost`, with a password of its own.
    pub async fn start_secured(authority: &Authority, password: &str) -> Result<Self> {
        let Certificate { pem, key } = authority.sign(&["localhost"])?;
        let container = reaper::owned(Image::default())
            .with_env_var("MINIO_ROOT_USER", Self::ACCESS_KEY)
            .with_env_var("MINIO_ROOT_PASSWORD", password)
            .with_copy_to("/certificates/public.crt", pem.into_bytes())
            .with_copy_to("/certificates/private.key", key.into_bytes())
            .with_cmd(["server", "/data", "--certs-dir", "/certificates"])
            .start()
            .await
            .context("MinIO with TLS did not start (is its image there? ./x images)")?;
        let port = container.get_host_port_ipv4(9000).await?;
        let (endpoint, authority) = (format!("https://localhost:{port}"), Some(authority.pem.clone()));
        Ok(Self { container, endpoint, password: password.to_owned(), authority })
    }

    /// `http://host:port`, for path-style requests.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// `host:port`, to put a proxy in front.
    pub fn address(&self) -> &str {
        self.endpoint.trim_start_matches("http://")
    }

    /// Creates a bucket. An error when it exists.
    pub async fn create_bucket(&self, name: &str) -> Result<()> {
        let bucket = AmazonS3Builder::new()
            .with_endpoint(&self.endpoint)
            .with_allow_http(true)
            .with_region(Self::REGION)
            .with_bucket_name(name)
            .with_access_key_id(Self::ACCESS_KEY)
            .with_secret_access_key(&self.password)
            .build()?;
        // The empty path is the bucket itself.
        let url = bucket.signed_url(Method::PUT, &Path::default(), Duration::from_secs(60)).await?;
        self.client()?.put(url).send().await?.error_for_status()?;
        Ok(())
    }

    fn client(&self) -> Result<reqwest::Client> {
        let trusted = self.authority.iter().map(|pem| reqwest::Certificate::from_pem(pem.as_bytes()));
        let client = reqwest::Client::builder();
        let client = match trusted.collect::<Result<Vec<_>, _>>()? {
            none if none.is_empty() => client,
            trusted => client.tls_certs_only(trusted),
        };
        Ok(client.build()?)
    }

    /// Credentials for an hour that may do what a policy (JSON, in AWS's language) allows and nothing else.
    pub async fn assume_role(&self, policy: &str) -> Result<Credentials> {
        let form = [("Action", "AssumeRole"), ("Version", "2011-06-15"), ("Policy", policy)];
        let mut encoded = Url::parse(&self.endpoint)?;
        let body =
            encoded.query_pairs_mut().extend_pairs(form).finish().query().unwrap_or_default().to_owned();
        let mut request = HttpRequest::new(body.clone().into());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("{}/", self.endpoint).parse()?;
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form);
        let (key_id, secret_key) = (Self::ACCESS_KEY.to_owned(), self.password.clone());
        let root = AwsCredential { key_id, secret_key, token: None };
        AwsAuthorizer::new(&root, "sts", Self::REGION).try_authorize(&mut request, None)?;
        let sent =
            self.client()?.post(request.uri().to_string()).headers(request.headers().clone()).body(body);
        let answer = sent.send().await?;
        let (status, answer) = (answer.status(), answer.text().await?);
        let value = |tag: &str| {
            let (_, rest) = answer.split_once(&format!("<{tag}>"))?;
            Some(rest.split_once('<')?.0.to_owned())
        };
        match (value("AccessKeyId"), value("SecretAccessKey"), value("SessionToken")) {
            (Some(access_key_id), Some(secret_access_key), Some(session_token)) => {
                Ok(Credentials { access_key_id, secret_access_key, session_token })
            }
            _ => bail!("MinIO gives no credentials: {status}: {answer}"),
        }
    }

    /// Freezes the server: connections stay open, nobody answers.
    pub async fn pause(&self) -> Result<()> {
        signals::stop(&self.container).await
    }

    /// Ends [`MinIO::pause`].
    pub async fn unpause(&self) -> Result<()> {
        signals::go_on(&self.container).await
    }
}
