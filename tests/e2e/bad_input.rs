//! What people and machines get wrong: each ends in a clear error or a reject, and
//! never in a lost or doubled record.

mod job_file;
mod log;
mod names;
mod records;
mod running;
mod scene;
mod settings;
mod starts;
mod state;
mod surroundings;
