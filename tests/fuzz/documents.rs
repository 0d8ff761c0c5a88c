#![no_main]

#[path = "../src/fuzz/documents.rs"]
mod documents;
#[path = "../src/documents/ours.rs"]
mod ours;
#[path = "../src/documents/peers.rs"]
#[allow(dead_code, reason = "arrow-json, its other half, reads batches")]
mod peers;

libfuzzer_sys::fuzz_target!(|input: &[u8]| documents::read(input));
