//! Bytes to lines, and a line to text.
//!
//! Invariant: every line of a chunk comes once, whatever ends it; no bytes are refused here.

use std::borrow::Cow;

/// The lines of a chunk without their ends: LF, CRLF, CR alone, mixed; and the CR and LF of UTF-16, whose bytes have NULs between them.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    pub(super) const fn new(chunk: &'a [u8]) -> Self {
        Self { rest: chunk }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest;
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (line, end) = rest.split_at_checked(end)?;
        self.rest = match end {
            [b'\r', b'\n', after @ ..] | [b'\r', 0, b'\n', after @ ..] | [_, after @ ..] => after,
            [] => &[],
        };
        Some(line)
    }
}

/// The text of a line: NULs and the byte order mark of UTF-16 are taken away, so that the ASCII of such files can be read; what is no
/// UTF-8 is marked.
pub(super) fn text_of(line: &[u8]) -> Cow<'_, str> {
    let line = line.strip_prefix(b"\xff\xfe").or_else(|| line.strip_prefix(b"\xfe\xff")).unwrap_or(line);
    if memchr::memchr(0, line).is_none() {
        return String::from_utf8_lossy(line);
    }
    let kept: Vec<u8> = line.iter().copied().filter(|&byte| byte != 0).collect();
    Cow::Owned(String::from_utf8_lossy(&kept).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn any_line_end_counts_one() {
        let lines: Vec<&[u8]> = Lines::new(b"a\nb\r\nc\rd\n\ne").collect();
        assert_eq!(lines, [&b"a"[..], b"b", b"c", b"d", b"", b"e"]);
        assert_eq!(Lines::new(b"").count(), 0);
        assert_eq!(Lines::new(b"a\n").count(), 1);
    }

    #[test]
    fn utf_16_is_read_as_far_as_it_is_ascii() {
        let bytes: Vec<u8> = "\u{feff}evil.com\r\n1.2.3.4\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let lines: Vec<String> = Lines::new(&bytes).map(|line| text_of(line).into_owned()).collect();
        assert_eq!(lines, ["evil.com", "1.2.3.4", ""]);
    }

    proptest! {
        #[test]
        fn nothing_but_line_ends_is_lost(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r')], 0..100)) {
            let kept: Vec<u8> = Lines::new(&bytes).flatten().copied().filter(|&byte| byte != 0).collect();
            let expected: Vec<u8> = bytes.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r' | 0)).collect();
            prop_assert_eq!(kept, expected);
        }
    }
}
