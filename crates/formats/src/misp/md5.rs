//! MD5, for the hashes that MISP's feeds and caches compare values by. Never used to protect anything.
//!
//! Source: RFC 1321.

use std::sync::OnceLock;

/// Left rotations of the four steps of each round.
const ROTATIONS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
const BEGIN: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
const BLOCK: usize = 64;
/// Where in the last block the length stands.
const LENGTH_AT: usize = 56;

/// The digest in lower-case hexadecimal digits.
pub fn md5_hex(text: &str) -> String {
    let mut padded = text.as_bytes().to_vec();
    padded.push(0x80);
    while padded.len() % BLOCK != LENGTH_AT {
        padded.push(0);
    }
    padded.extend_from_slice(&(text.len() as u64).wrapping_mul(8).to_le_bytes());
    let state = padded.chunks_exact(BLOCK).fold(BEGIN, mix);
    state.iter().map(|word| format!("{:08x}", word.swap_bytes())).collect::<Vec<_>>().concat()
}

fn mix(state: [u32; 4], block: &[u8]) -> [u32; 4] {
    let mut words = [0_u32; 16];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte));
    }
    let [mut a, mut b, mut c, mut d] = state;
    for (step, sine) in sines().iter().enumerate() {
        let (mixed, place) = match step / 16 {
            0 => ((b & c) | (!b & d), step),
            1 => ((d & b) | (!d & c), 5 * step + 1),
            2 => (b ^ c ^ d, 3 * step + 5),
            _ => (c ^ (b | !d), 7 * step),
        };
        let word = words.get(place % 16).copied().unwrap_or_default();
        let rotation = ROTATIONS.get(step / 16).and_then(|round| round.get(step % 4)).copied().unwrap_or_default();
        let sum = a.wrapping_add(mixed).wrapping_add(*sine).wrapping_add(word);
        (a, b, c, d) = (d, b.wrapping_add(sum.rotate_left(rotation)), b, c);
    }
    let [first, second, third, fourth] = state;
    [first.wrapping_add(a), second.wrapping_add(b), third.wrapping_add(c), fourth.wrapping_add(d)]
}

/// The whole part of 2^32 times the sine of each step's number, without its sign.
fn sines() -> &'static [u32; 64] {
    static SINES: OnceLock<[u32; 64]> = OnceLock::new();
    SINES.get_or_init(|| std::array::from_fn(|step| (((step + 1) as f64).sin().abs() * 4_294_967_296.0) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_hold() {
        // Source: RFC 1321, appendix A.5.
        for (text, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            ("12345678901234567890123456789012345678901234567890123456789012345678901234567890", "57edf4a22be3c955ac49da2e2107b67a"),
        ] {
            assert_eq!(md5_hex(text), digest, "{text}");
        }
    }
}
