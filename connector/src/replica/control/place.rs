//! Where a savepoint lies: its id, its folder, its address. Whoever asks for one
//! and whoever makes it go by this.

use std::collections::BTreeMap;

use tidegate_sinks::CommitId;

use crate::config::{self, Config};
use crate::error::RunError;
use crate::limits::SAVEPOINT_ID_MAX_CHARS;

/// Options of a store, as under `sink.store` of a job file.
pub type StoreOptions = BTreeMap<String, String>;

/// Where a job's savepoints lie when nothing else is said: `savepoints.to`, else
/// `<checkpoint.state>/savepoints`.
pub fn default_to(config: &Config) -> String {
    config.savepoints.to.clone()
}

/// The address of a savepoint.
pub fn uri(to: &str, id: &str) -> String {
    format!("{}/{id}", to.trim_end_matches('/'))
}

/// An id that no savepoint has: `savepoint-` and 32 hexadecimal digits, ordered by time.
pub fn new_id() -> String {
    format!("savepoint-{}", CommitId::new())
}

/// The job's store options for a URL of the same kind as its sink's; for another
/// kind none, so that credentials come from the environment.
pub fn store_options(config: &Config, url: &str) -> StoreOptions {
    let scheme = |url: &str| url.split_once("://").map(|(scheme, _)| scheme.to_owned());
    if scheme(url) == scheme(&config.sink.url) { config.sink.store.clone() } else { StoreOptions::new() }
}

/// Refuses an id that is not a plain name of a folder.
///
/// Errors: `Config`.
pub fn check_id(id: &str) -> Result<(), RunError> {
    if is_plain_name(id) && id.len() <= SAVEPOINT_ID_MAX_CHARS {
        return Ok(());
    }
    let message = format!(
        "{:?} is not an id of a savepoint: use at most {SAVEPOINT_ID_MAX_CHARS} letters, digits, '-', '_' and '.', \
         beginning with a letter or digit",
        id.chars().take(SAVEPOINT_ID_MAX_CHARS).collect::<String>()
    );
    Err(RunError::Config(message, None))
}

/// The URL of the folder that savepoints are to be made in, without slashes at its end.
///
/// Errors: `Config`, when it is not a plain URL of a folder, or carries credentials.
pub fn check_to(to: &str) -> Result<String, RunError> {
    config::folder_url(to)
        .map_err(|problem| RunError::Config(format!("the folder for savepoints {problem}"), None))
}

/// One name, which leads nowhere else and is hidden nowhere.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) && name.bytes().all(plain)
}
