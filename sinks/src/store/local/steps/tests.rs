//! Whatever one process believes of what another has done is synced first, and what
//! it knows to be synced is not again.

use super::super::folders::SYNCS;
use super::*;

/// What `step` syncs.
fn syncs<T>(step: impl FnOnce() -> io::Result<T>) -> Vec<PathBuf> {
    SYNCS.take();
    step().unwrap();
    SYNCS.take()
}

#[test]
fn what_another_process_has_done_is_synced_before_it_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (root, table) = (folder.path(), &*folder.path().join("t"));
    put(root, "t/there", b"x").unwrap();
    assert_eq!(syncs(|| get(root, "t/there", false)), [table]);
    assert_eq!(syncs(|| head(root, "t/there", false)), [table]);
    assert_eq!(syncs(|| head(root, "t/gone", false)), [] as [&Path; 0], "nothing is believed");
    assert_eq!(syncs(|| delete(root, "t/gone")), [table]);
    assert_eq!(syncs(|| delete(root, "t/there")), [table]);
    assert_eq!(syncs(|| delete(root, "t/day=1/gone")), [table], "the folder is gone, too");
}

#[test]
fn a_folder_that_another_process_has_made_is_synced_once() {
    let folder = tempfile::tempdir().unwrap();
    let (root, table) = (folder.path(), &*folder.path().join("t"));
    put(root, "mine", b"x").unwrap();
    fs::create_dir(table).unwrap();
    assert_eq!(syncs(|| put(root, "t/one", b"x")), [root, table]);
    assert_eq!(syncs(|| put(root, "t/two", b"x")), [table]);
    // Removed, and made again by somebody else. The other one keeps the first one's
    // inode from being used again.
    fs::rename(table, root.join("old")).unwrap();
    fs::create_dir(table).unwrap();
    assert_eq!(syncs(|| put(root, "t/one", b"x")), [root, table]);
    // One of its own.
    assert_eq!(syncs(|| put(root, "u/one", b"x")), [root, &root.join("u")]);
    assert_eq!(syncs(|| put(root, "u/two", b"x")), [root.join("u")]);
}
