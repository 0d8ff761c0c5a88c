//! What the fuzz targets of `tests/fuzz` do with an input. Here with the seeds
//! alone, so that they stay right.

mod columns;
mod documents;
mod job_file;

use std::path::Path;

use crate::documents::{ours, peers};

fn on_each_of(folder: &str, read: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        read(&std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files > 2, "{files} seeds");
}

#[test]
fn seeds_of_the_fuzz_targets_are_read_as_they_must_be() {
    on_each_of("fuzz/seeds/documents", documents::read);
    on_each_of("fuzz/seeds/columns", columns::read);
    on_each_of("../config/examples", job_file::read);
}
