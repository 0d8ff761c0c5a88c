//! Nothing outlives the process that started it, not even after `kill -9`.
//!
//! Every container carries this process's label. A shell waits at the end of a pipe whose other end only this
//! process holds; when the process is gone, the pipe closes and the shell removes what carries the label.

use std::{
    process::{self, ChildStdin, Command, Stdio},
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use testcontainers::{ContainerRequest, Image, ImageExt};

const LABEL: &str = "tidegate.owner";

/// Ends when its standard input does. Signals from the terminal are not meant for it.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
ids=$(docker ps -aq --filter "label=$1")
[ -z "$ids" ] || docker rm -f -v $ids
docker network ls -q --filter "name=$2" | xargs -r docker network rm
"#;

/// Unique among the processes that use this Docker engine; networks start with it,
/// containers carry it as a label.
pub(crate) fn owner() -> &'static str {
    static OWNER: OnceLock<String> = OnceLock::new();
    OWNER.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock stands after 1970");
        format!("tidegate-{}-{:x}", process::id(), since.as_nanos())
    })
}

/// Marks a container as this process's, so that it goes with it.
pub(crate) fn owned<I: Image>(image: impl Into<ContainerRequest<I>>) -> ContainerRequest<I> {
    // Held open and never written to.
    static REAPER: OnceLock<Option<ChildStdin>> = OnceLock::new();
    REAPER.get_or_init(|| {
        Command::new("sh")
            .args(["-c", SCRIPT, "reaper", &format!("{LABEL}={}", owner()), owner()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell can be started")
            .stdin
    });
    image.into().with_label(LABEL, owner())
}
