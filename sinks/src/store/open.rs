//! From a URL and options to a store. Credentials come from the options, else from the environment as the
//! vendor's own tools read it; none is ever logged, nor part of an error.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::memory::InMemory;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig};

use super::options::Options;
use super::requests::Counting;
use super::{Failing, Local, Object, Store, profile};
use crate::model::error::{Error, Kind};

/// How long a store's requests may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Of one request.
    pub request_timeout: Duration,
    /// Of one call with all its repeated requests, after which it fails with kind `Retry`.
    pub retry_timeout: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { request_timeout: Duration::from_secs(60), retry_timeout: Duration::from_secs(300) }
    }
}

/// As long as so many requests may take, the answer to a copy is waited for.
const COPY_REQUESTS: u32 = 5;

/// Opens the store at a URL: `file:///folder` (taken literally, without percent
/// escapes), `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`,
/// or `memory://name` (lost with the value). Asks no server anything.
///
/// Options for all clouds: `endpoint`, `allow_http`, `ca_file`; for S3 `region`,
/// `path_style`, `access_key_id`, `secret_access_key`, `session_token`, `profile`;
/// and whatever else object_store knows by its own names.
///
/// Errors: `Config`, naming the option or the part of the URL at fault.
pub fn open(
    url: &str,
    options: &BTreeMap<String, String>,
    retries: Retries,
) -> Result<Arc<dyn Store>, Error> {
    Ok(Arc::new(Failing::new(open_plain(url, options, retries)?)))
}

/// Like [`open`], for commands that never write: where a local file system takes no
/// writes, what lies there is believed.
pub fn open_to_read(
    url: &str,
    options: &BTreeMap<String, String>,
    retries: Retries,
) -> Result<Arc<dyn Store>, Error> {
    match url.strip_prefix("file://") {
        Some(rest) => Ok(Arc::new(Failing::new(Arc::new(open_local(url, rest, options)?.reading_only())))),
        None => open(url, options, retries),
    }
}

/// The store itself, without failpoints around it.
pub(crate) fn open_plain(
    url: &str,
    options: &BTreeMap<String, String>,
    retries: Retries,
) -> Result<Arc<dyn Store>, Error> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or_else(|| config(format!("{url:?} is not a URL: file://, s3://, gs:// or az://")))?;
    if scheme == "file" {
        return Ok(Arc::new(open_local(url, rest, options)?));
    }
    let (bucket, root) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() && scheme != "memory" {
        return Err(config(format!("{url:?} names no bucket")));
    }
    let address = format!("{scheme}://{bucket}");
    let client = |retries| -> Result<Arc<dyn ObjectStore>, Error> {
        let options = Options::new(options);
        Ok(match scheme {
            "s3" | "s3a" => Arc::new(open_s3(&address, options, retries)?),
            "gs" => Arc::new(open_gcs(&address, options, retries)?),
            "az" | "azure" | "abfs" | "abfss" => Arc::new(open_azure(&address, options, retries)?),
            _ => return Err(config(format!("{scheme}:// is not a store: file://, s3://, gs:// or az://"))),
        })
    };
    if scheme == "memory" {
        Options::new(options).all_used(scheme)?;
        return Ok(Arc::new(Object::new(Arc::new(InMemory::new()), url, root)));
    }
    // It gives up after the first failure: whether a copy was made is looked for
    // before it is asked for again.
    let patient =
        Retries { request_timeout: retries.request_timeout * COPY_REQUESTS, retry_timeout: Duration::ZERO };
    Ok(Arc::new(Object::new(client(retries)?, url, root).with_copier(client(patient)?, retries)))
}

fn open_local(url: &str, rest: &str, options: &BTreeMap<String, String>) -> Result<Local, Error> {
    Options::new(options).all_used("file")?;
    if !Path::new(rest).is_absolute() {
        return Err(config(format!("{url:?} is not a folder: file:// goes before an absolute path")));
    }
    Ok(Local::new(rest.trim_end_matches('/')))
}

fn open_s3(url: &str, mut options: Options, retries: Retries) -> Result<object_store::aws::AmazonS3, Error> {
    let mut builder = AmazonS3Builder::new()
        .with_url(url)
        // Objects are deleted one by one, and only the plain request tells a refusal by its status.
        .with_disable_bulk_delete(true)
        .with_http_connector(Counting::default())
        .with_retry(retry_config(retries))
        .with_client_options(client_options(&mut options, retries)?);
    let profile = profile::find(options.take("profile"), options.has("access_key_id"))?;
    for (key, value) in &profile.defaults {
        builder = builder.with_config(parse(key, "s3")?, value);
    }
    for (key, value) in environment("AWS_") {
        // Keys from different places are never mixed.
        let is_key = matches!(&*key, "aws_access_key_id" | "aws_secret_access_key" | "aws_session_token");
        if let (false, Ok(key)) = (is_key && profile.wins_over_environment, key.parse()) {
            builder = builder.with_config(key, value);
        }
    }
    for (key, value) in &profile.keys {
        builder = builder.with_config(parse(key, "s3")?, value);
    }
    if let Some(path_style) = options.take("path_style") {
        let path_style: bool = path_style.parse().map_err(|_| config("path_style is true or false"))?;
        builder = builder.with_virtual_hosted_style_request(!path_style);
    }
    for (key, value) in options.rest() {
        builder = builder.with_config(parse(&key, "s3")?, value);
    }
    builder.build().map_err(|source| unusable(url, source))
}

fn open_gcs(
    url: &str,
    mut options: Options,
    retries: Retries,
) -> Result<object_store::gcp::GoogleCloudStorage, Error> {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_url(url)
        .with_http_connector(Counting::default())
        .with_retry(retry_config(retries))
        .with_client_options(client_options(&mut options, retries)?);
    for (key, value) in environment("GOOGLE_") {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = options.take("endpoint") {
        builder = builder.with_base_url(&endpoint);
    }
    for (key, value) in options.rest() {
        builder = builder.with_config(parse(&key, "gs")?, value);
    }
    builder.build().map_err(|source| unusable(url, source))
}

fn open_azure(
    url: &str,
    mut options: Options,
    retries: Retries,
) -> Result<object_store::azure::MicrosoftAzure, Error> {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_url(url)
        .with_http_connector(Counting::default())
        .with_retry(retry_config(retries))
        .with_client_options(client_options(&mut options, retries)?);
    for (key, value) in environment("AZURE_") {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    for (key, value) in options.rest() {
        builder = builder.with_config(parse(&key, "az")?, value);
    }
    builder.build().map_err(|source| unusable(url, source))
}

/// The environment's variables with a prefix, as object_store names its keys.
fn environment(prefix: &'static str) -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(move |(key, value)| {
        let key = key.to_str()?;
        key.starts_with(prefix).then_some((key.to_ascii_lowercase(), value.into_string().ok()?))
    })
}

fn client_options(options: &mut Options, retries: Retries) -> Result<ClientOptions, Error> {
    let mut client = ClientOptions::new()
        .with_timeout(retries.request_timeout)
        .with_connect_timeout(retries.request_timeout.min(Duration::from_secs(10)));
    if let Some(allow) = options.take("allow_http") {
        let allow = allow.parse().map_err(|_| config("allow_http is true or false"))?;
        client = client.with_allow_http(allow);
    }
    if let Some(path) = options.take("ca_file") {
        let pem = std::fs::read(&path)
            .map_err(|source| config(format!("ca_file {path:?} cannot be read")).with_source(source))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|source| {
            config(format!("ca_file {path:?} holds no certificates")).with_source(source)
        })?;
        for certificate in certificates {
            client = client.with_root_certificate(certificate);
        }
    }
    Ok(client)
}

/// The time decides when to give up, not the count.
fn retry_config(retries: Retries) -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: usize::MAX,
        retry_timeout: retries.retry_timeout,
    }
}

fn parse<K: std::str::FromStr>(key: &str, scheme: &str) -> Result<K, Error> {
    key.parse().map_err(|_| config(format!("{key:?} is not an option of {scheme}:// stores")))
}

fn unusable(url: &str, source: object_store::Error) -> Error {
    config(format!("the options of {url} do not fit together")).with_source(source)
}

pub(super) fn config(context: impl Into<String>) -> Error {
    Error::new(Kind::Config, context)
}
