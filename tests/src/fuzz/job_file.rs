//! The job file: no text makes its reader panic, and what it refuses is refused with a reason.

use tidegate::config::{Config, Origin};

pub(crate) fn read(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // Such a reference is read, wherever it leads.
    if text.contains("file:/") && text.contains("${") {
        return;
    }
    match Config::parse(text, &Origin("job.yaml".into())) {
        Ok(job) => assert!(!job.job.is_empty()),
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
}
