#![no_main]

#[path = "../src/fuzz/job_file.rs"]
mod job_file;

libfuzzer_sys::fuzz_target!(|input: &[u8]| job_file::read(input));
