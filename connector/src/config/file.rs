//! A file of keys and values, whatever its keys: as written (`raw`), with its references replaced
//! (`substitute`), read section by section (`section`), value by value (`values`, `secret`), and all that is
//! wrong with it at once (`error`).

pub(super) mod error;
pub(super) mod raw;
pub(super) mod secret;
pub(super) mod section;
pub(super) mod substitute;
pub(super) mod value;
pub(super) mod values;
