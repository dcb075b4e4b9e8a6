//! Bytes to lines, and a line to text.
//!
//! Invariant: every line of a chunk comes once, whatever ends it. NULs are part of UTF-16 and of nothing else: taken away elsewhere they would make
//! one text of two.

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

/// The byte order marks of UTF-16.
const WIDE_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// Whether a body is UTF-16, as its byte order mark says.
pub(super) fn is_wide(beginning: &[u8]) -> bool {
    WIDE_MARKS.iter().any(|mark| beginning.starts_with(mark))
}

/// The text of a line; what is no UTF-8 is marked. `None` where it holds NULs and is not of UTF-16: of that (`wide`) they are taken away with the
/// byte order mark, so that the ASCII of such files can be read.
pub(super) fn text_of(line: &[u8], wide: bool) -> Option<Cow<'_, str>> {
    if !wide {
        return memchr::memchr(0, line).is_none().then(|| String::from_utf8_lossy(line));
    }
    let line = WIDE_MARKS.iter().find_map(|mark| line.strip_prefix(*mark)).unwrap_or(line);
    let kept: Vec<u8> = line.iter().copied().filter(|&byte| byte != 0).collect();
    Some(Cow::Owned(String::from_utf8_lossy(&kept).into_owned()))
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
        assert!(is_wide(&bytes) && !is_wide(b"evil.com"));
        let lines: Vec<String> = Lines::new(&bytes).map(|line| text_of(line, true).unwrap().into_owned()).collect();
        assert_eq!(lines, ["evil.com", "1.2.3.4", ""]);
    }

    #[test]
    fn a_line_with_nuls_is_no_text_elsewhere() {
        assert_eq!(text_of(b"evil.com\0good.com", false), None);
        assert_eq!(text_of(b"evil.com", false).as_deref(), Some("evil.com"));
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
