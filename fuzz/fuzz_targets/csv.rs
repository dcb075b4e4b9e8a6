//! Any bytes as CSV.
#![no_main]

use formats::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| bongsu_fuzz::parse(Format::Csv, bytes));
