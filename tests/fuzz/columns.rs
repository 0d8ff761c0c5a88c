#![no_main]

#[path = "../src/fuzz/columns.rs"]
mod columns;

libfuzzer_sys::fuzz_target!(|input: &[u8]| columns::read(input));
