//! How long the paths of a store may be.

use crate::model::error::{Error, Kind};

/// File systems end a name here.
const NAME_MAX_BYTES: usize = 255;
/// Buckets end a key here.
const KEY_MAX_BYTES: usize = 1_024;
/// File systems end a path here, without the zero after it.
const PATH_MAX_BYTES: usize = 4_095;

/// Bytes that a path below a store's URL may take.
pub fn path_room(url: &str) -> usize {
    let url = url.trim_end_matches('/');
    match url.split_once("://") {
        Some(("file", path)) => PATH_MAX_BYTES.saturating_sub(path.len() + 1),
        Some((_, rest)) => {
            KEY_MAX_BYTES.saturating_sub(rest.split_once('/').map_or(0, |(_, prefix)| prefix.len() + 1))
        }
        None => KEY_MAX_BYTES,
    }
}

/// Refuses a path at which nothing can be made: what is in force must be able to become visible.
///
/// Errors: `Config`.
pub(crate) fn check_room(url: &str, path: &str) -> Result<(), Error> {
    let name = path.split('/').map(str::len).max().unwrap_or_default();
    if name <= NAME_MAX_BYTES && path.len() <= path_room(url) {
        return Ok(());
    }
    let context = format!(
        "no file can be made at a path of {} bytes with a name of {name} below {url}: names end at {NAME_MAX_BYTES} \
         bytes, paths at {}; shorten the table's name or sink.partition_by",
        path.len(),
        path_room(url)
    );
    Err(Error::new(Kind::Config, context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_can_be_made_are_possible() {
        let url = "s3://bucket/a/prefix";
        assert_eq!(path_room(url), 1_024 - 9);
        assert_eq!((path_room("s3://bucket"), path_room("file:///w/x/")), (1_024, 4_095 - 5));
        assert!(check_room(url, &format!("t/{}/x.parquet", "l".repeat(255))).is_ok());
        let folders = vec!["l".repeat(200); 5].join("/");
        for path in [format!("t/{}/x.parquet", "l".repeat(256)), format!("t/{folders}/x.parquet")] {
            assert_eq!(check_room(url, &path).unwrap_err().kind, Kind::Config, "{path}");
        }
        assert!(check_room("file:///w", &format!("t/{folders}/x.parquet")).is_ok());
    }
}
