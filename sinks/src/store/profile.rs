//! Profiles of AWS's own tools: `~/.aws/credentials` and `~/.aws/config`, which object_store does not read.
//! Static keys only; profiles that assume roles or sign in are refused by name rather than half understood.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::open::config;
use crate::model::error::Error;

/// What a profile adds to the options. Holds secrets: no `Debug`.
#[derive(Default)]
pub(super) struct Profile {
    /// Region and endpoint, weaker than the environment's.
    pub(super) defaults: Vec<(&'static str, String)>,
    /// Keys, all from one place.
    pub(super) keys: Vec<(&'static str, String)>,
    /// Whether keys come from the options or from a profile that was asked for.
    pub(super) wins_over_environment: bool,
}

/// The profile to use: the one asked for, else `AWS_PROFILE`, else `default` where it exists. Its keys are
/// left out when the options or, unless a profile was asked for, the environment have any.
///
/// Errors: `Config`, when a profile that was asked for does not exist or has no keys.
pub(super) fn find(asked: Option<String>, options_have_keys: bool) -> Result<Profile, Error> {
    let home = |name: &str| Some(PathBuf::from(std::env::var_os("HOME")?).join(".aws").join(name));
    let file = |variable: &str, name: &str| {
        let path = std::env::var_os(variable).map(PathBuf::from).or_else(|| home(name));
        path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
    };
    let environment_has_keys = ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"]
        .iter()
        .any(|variable| std::env::var_os(variable).is_some());
    let (name, explicit) = match asked {
        Some(name) => (name, true),
        None => (std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_owned()), false),
    };
    let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let settings = file("AWS_CONFIG_FILE", "config");
    let mut profile = read(&name, explicit, &credentials, &settings)?;
    if options_have_keys || (environment_has_keys && !explicit) {
        profile.keys.clear();
    }
    profile.wins_over_environment = options_have_keys || explicit;
    Ok(profile)
}

fn read(name: &str, explicit: bool, credentials: &str, settings: &str) -> Result<Profile, Error> {
    // In `config` all but the default have a word before their name.
    let titles = [format!("profile {name}"), name.to_owned()];
    let mut values = titles.iter().find_map(|title| section(settings, title)).unwrap_or_default();
    values.extend(section(credentials, name).unwrap_or_default());
    let mut take = |key: &'static str, into: &'static str| Some((into, values.remove(key)?));
    let defaults = [take("region", "region"), take("endpoint_url", "endpoint")];
    let keys = [
        take("aws_access_key_id", "access_key_id"),
        take("aws_secret_access_key", "secret_access_key"),
        take("aws_session_token", "session_token"),
    ];
    if explicit && (keys[0].is_none() || keys[1].is_none()) {
        return Err(config(format!(
            "profile {name:?} has no aws_access_key_id and aws_secret_access_key of its own: give keys, or let the \
             platform supply a role"
        )));
    }
    Ok(Profile {
        defaults: defaults.into_iter().flatten().collect(),
        keys: keys.into_iter().flatten().collect(),
        wins_over_environment: false,
    })
}

/// The values under `[title]`.
fn section(text: &str, title: &str) -> Option<BTreeMap<String, String>> {
    let mut lines = text.lines().map(str::trim).skip_while(|line| {
        line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).map(str::trim) != Some(title)
    });
    lines.next()?;
    let values = lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with(['#', ';']))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim().to_owned()));
    Some(values.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "
# people write comments
[default]
aws_access_key_id = first
aws_secret_access_key=one

[other]
aws_access_key_id = second
aws_secret_access_key = two
aws_session_token = token=with=signs
";
    const SETTINGS: &str = "
[default]
region = eu-central-1
[profile other]
region = us-east-2
endpoint_url = https://store.example
[profile role]
role_arn = arn:aws:iam::1:role/x
";

    #[test]
    fn a_profile_is_put_together_from_both_files() {
        let profile = read("other", true, CREDENTIALS, SETTINGS).unwrap();
        assert_eq!(
            profile.defaults,
            [("region", "us-east-2".to_owned()), ("endpoint", "https://store.example".to_owned())]
        );
        assert_eq!(
            profile.keys,
            [
                ("access_key_id", "second".to_owned()),
                ("secret_access_key", "two".to_owned()),
                ("session_token", "token=with=signs".to_owned())
            ]
        );
        let profile = read("default", false, CREDENTIALS, SETTINGS).unwrap();
        assert_eq!(profile.defaults, [("region", "eu-central-1".to_owned())]);
        assert_eq!(profile.keys.len(), 2);
    }

    #[test]
    fn a_profile_that_was_asked_for_must_have_keys() {
        let refused = read("role", true, CREDENTIALS, SETTINGS).err().unwrap();
        assert!(refused.context.contains("\"role\""), "{refused}");
        assert!(read("absent", true, "", "").is_err());
        assert!(read("absent", false, "", "").unwrap().keys.is_empty());
    }
}
