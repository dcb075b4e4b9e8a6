//! Any bytes as the body of a request whose format is guessed; how it arrives in pieces changes nothing of what NDJSON and arrays give.
#![no_main]

use formats::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((piece, body)) = input.split_first() else { return };
    let format = formats::detect_format(body.get(..65_536).unwrap_or(body), None);
    let pieces = bongsu_fuzz::arrive(format, body, usize::from(*piece) + 1);
    if matches!(format, Format::Ndjson | Format::JsonArray) {
        assert_eq!(pieces, bongsu_fuzz::arrive(format, body, body.len() + 1));
    }
});
