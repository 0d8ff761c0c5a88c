//! The places where tests stop or kill the process: before and after every verb of a [`Store`](crate::store::Store),
//! and between the steps of a local one. A name is `<kind of object>.<verb>.<step>`.

use std::io;

/// Every failpoint that can be met. A test keeps this list equal to what the code passes.
pub const NAMES: &[&str] = &[];

/// The kind of object that lies at a path, of the state or of the data.
#[cfg(any(test, feature = "failpoints"))]
fn kind(path: &str) -> &'static str {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let in_folder = |wanted: &str| path == wanted || path.starts_with(&format!("{wanted}/"));
    if in_folder("checkpoints") {
        if name.trim_start_matches('0') == "1.json" { "genesis" } else { "checkpoint" }
    } else if in_folder("commits") {
        "commit"
    } else if in_folder("probe") || folder.ends_with("/probe") {
        "probe"
    } else if path.starts_with("_tidegate/") && path.contains("/staging") {
        match name {
            "begin.json" => "begin",
            "commit.json" => "manifest",
            _ => "staged",
        }
    } else {
        "final"
    }
}

/// Passes the failpoint of a step. Where failpoints are not compiled in, this is nothing.
///
/// Errors: when a test has set the point to fail.
#[cfg(any(test, feature = "failpoints"))]
pub(crate) fn fire(path: &str, verb: &str, step: &str) -> io::Result<()> {
    let name = format!("{}.{verb}.{step}", kind(path));
    #[cfg(test)]
    tests::PASSED.lock().expect("no test panics while it holds this").insert(name.clone());
    fail::fail_point!(name.as_str(), |_| Err(io::Error::other(format!("failpoint {name}"))));
    Ok(())
}

#[cfg(not(any(test, feature = "failpoints")))]
#[inline(always)]
pub(crate) fn fire(_path: &str, _verb: &str, _step: &str) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    /// Every name passed so far by any test of this process.
    pub(crate) static PASSED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
}
