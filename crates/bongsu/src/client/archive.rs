//! Tar archives: each regular file in turn, read as it comes.
//!
//! Flow: 512-byte headers, each followed by its file's bytes rounded up to 512.
//! Invariant: bounded memory; a damaged archive is an error that names the entry before it, never a panic.
//! Not here: compression (`input`), links, devices and sparse files, which hold no events and are skipped.
//!
//! Source: POSIX.1-2008, pax interchange format (ustar header block, `path` and `size` records); GNU tar manual (type `L`).

use anyhow::{Context, bail};
use std::io::{self, Read};

/// Size of headers and of the unit that files are rounded up to.
const BLOCK: usize = 512;
/// Longest name in an extended header, in bytes.
const LONGEST_EXTENSION: u64 = 64 << 10;
/// Entries at the most.
const MOST_ENTRIES: usize = 1_000_000;

/// Whether the beginning of a file is a tar header.
pub fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// Calls `visit` with the name and content of each regular file.
pub fn each(reader: &mut dyn Read, visit: &mut dyn FnMut(&str, &mut dyn Read) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut extension = Extension::default();
    let mut before = "the beginning".to_owned();
    for _ in 0..MOST_ENTRIES {
        let damaged = || format!("damaged archive after {before}");
        let Some(header) = read_header(reader).with_context(damaged)? else { return Ok(()) };
        let kind = header.get(156).copied().unwrap_or(0);
        let stated = number(header.get(124..136).unwrap_or_default()).with_context(damaged)?;
        let size = extension.size.filter(|_| !matches!(kind, b'L' | b'K' | b'x' | b'g')).unwrap_or(stated);
        // Named, so that the borrow ends with this entry.
        let entry: &mut dyn Read = &mut *reader;
        let mut content = entry.take(size);
        match kind {
            b'0' | 0 | b'7' => {
                let name = extension.path.take().unwrap_or_else(|| name_of(&header));
                extension = Extension::default();
                before.clone_from(&name);
                visit(&name, &mut content)?;
            }
            b'L' => extension.path = Some(text_of(&read_extension(&mut content)?)),
            b'x' => extension.read_pax(&read_extension(&mut content)?),
            b'g' | b'K' => {}
            _ => extension = Extension::default(),
        }
        io::copy(&mut content, &mut io::sink()).with_context(|| format!("damaged archive after {before}"))?;
        if content.limit() > 0 {
            bail!("the archive ends inside {before}");
        }
        let padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        io::copy(&mut (&mut *reader).take(padding), &mut io::sink())?;
    }
    bail!("the archive holds more than {MOST_ENTRIES} entries")
}

/// What an extended header says of the entry after it.
#[derive(Debug, Default)]
struct Extension {
    path: Option<String>,
    size: Option<u64>,
}

impl Extension {
    /// Reads records of the form `LENGTH KEY=VALUE\n`; others than `path` and `size` do not matter here.
    fn read_pax(&mut self, mut records: &[u8]) {
        while let Some(space) = records.iter().position(|&byte| byte == b' ') {
            let (length, _) = records.split_at(space);
            let Some(length) = std::str::from_utf8(length).ok().and_then(|text| text.parse::<usize>().ok()) else { return };
            let Some((record, rest)) = records.split_at_checked(length) else { return };
            let record = record.get(space + 1..).unwrap_or_default();
            let record = record.strip_suffix(b"\n").unwrap_or(record);
            if let Some(path) = record.strip_prefix(b"path=") {
                self.path = Some(text_of(path));
            } else if let Some(size) = record.strip_prefix(b"size=") {
                self.size = text_of(size).parse().ok();
            }
            if length == 0 {
                return;
            }
            records = rest;
        }
    }
}

/// The next header; `None` at the end, which is a block of zeros or the end of the file.
fn read_header(reader: &mut dyn Read) -> anyhow::Result<Option<[u8; BLOCK]>> {
    let mut header = [0; BLOCK];
    let mut filled = 0;
    while let Some(free) = header.get_mut(filled..).filter(|free| !free.is_empty()) {
        let read = reader.read(free)?;
        if read == 0 {
            break;
        }
        filled += read;
    }
    if filled == 0 || (filled == BLOCK && header.iter().all(|&byte| byte == 0)) {
        return Ok(None);
    }
    if filled < BLOCK {
        bail!("half a header");
    }
    if !checksum_holds(&header) {
        bail!("a header's checksum is wrong");
    }
    Ok(Some(header))
}

/// The sum of all bytes, with the field itself read as blanks.
fn checksum_holds(header: &[u8; BLOCK]) -> bool {
    let sum: u64 = header.iter().enumerate().map(|(place, &byte)| if (148..156).contains(&place) { u64::from(b' ') } else { u64::from(byte) }).sum();
    header.get(148..156).and_then(|field| number(field).ok()) == Some(sum)
}

/// A number in octal digits, or in base 256 where the first bit is set.
fn number(field: &[u8]) -> anyhow::Result<u64> {
    if let Some((first, rest)) = field.split_first()
        && first & 0x80 != 0
    {
        let mut value = u64::from(first & 0x7f);
        for &byte in rest {
            value = value.checked_mul(256).and_then(|value| value.checked_add(u64::from(byte))).context("a number is too large")?;
        }
        return Ok(value);
    }
    let text = text_of(field);
    let digits = text.trim();
    if digits.is_empty() {
        return Ok(0);
    }
    u64::from_str_radix(digits, 8).context("a number is no octal")
}

fn name_of(header: &[u8; BLOCK]) -> String {
    let name = text_of(header.get(..100).unwrap_or_default());
    // The prefix field belongs to POSIX headers alone; GNU keeps times there.
    let posix = header.get(257..263) == Some(b"ustar\0");
    let prefix = text_of(header.get(345..500).unwrap_or_default());
    if posix && !prefix.is_empty() { format!("{prefix}/{name}") } else { name }
}

/// Text up to the first NUL.
fn text_of(field: &[u8]) -> String {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(field.get(..end).unwrap_or_default()).into_owned()
}

fn read_extension(content: &mut io::Take<&mut dyn Read>) -> anyhow::Result<Vec<u8>> {
    if content.limit() > LONGEST_EXTENSION {
        bail!("an extended header is larger than {LONGEST_EXTENSION} bytes");
    }
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
pub mod tests {
    use super::*;

    /// One entry of an archive.
    pub fn entry(name: &str, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut header = [0_u8; BLOCK];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = kind;
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        header[154] = 0;
        let mut out = header.to_vec();
        out.extend_from_slice(content);
        out.resize(out.len().div_ceil(BLOCK) * BLOCK, 0);
        out
    }

    fn read(archive: &[u8]) -> anyhow::Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        let mut reader = archive;
        each(&mut reader, &mut |name, content| {
            let mut text = String::new();
            content.read_to_string(&mut text)?;
            found.push((name.to_owned(), text));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn regular_files_come_in_order_and_others_are_skipped() {
        let mut archive = entry("folder/", b'5', b"");
        archive.extend(entry("folder/a.txt", b'0', b"1.2.3.4\n"));
        archive.extend(entry("link", b'2', b""));
        archive.extend(entry("b.txt", b'0', &[b'x'; 513]));
        archive.extend([0; 1024]);
        assert!(is_tar(&archive));
        assert_eq!(read(&archive).unwrap(), [("folder/a.txt".to_owned(), "1.2.3.4\n".to_owned()), ("b.txt".to_owned(), "x".repeat(513))]);
    }

    #[test]
    fn long_names_are_read_from_extended_headers() {
        let long = "n".repeat(150);
        let mut archive = entry("././@LongLink", b'L', format!("{long}\0").as_bytes());
        archive.extend(entry("short", b'0', b"a"));
        let record = format!("{} path=p/{long}\n", 7 + 2 + 150 + 3);
        archive.extend(entry("pax", b'x', record.as_bytes()));
        archive.extend(entry("short", b'0', b"b"));
        let names: Vec<String> = read(&archive).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names[0], long);
        assert_eq!(names[1].len(), record.len() - 5 - 5);
    }

    #[test]
    fn a_file_that_is_not_read_is_skipped_over() {
        let mut archive = entry("a", b'0', &[b'y'; 2000]);
        archive.extend(entry("b", b'0', b"z"));
        let mut names = Vec::new();
        each(&mut archive.as_slice(), &mut |name, _| {
            names.push(name.to_owned());
            Ok(())
        })
        .unwrap();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn a_cut_or_damaged_archive_is_an_error_that_says_where() {
        let mut archive = entry("a.txt", b'0', &[b'y'; 2000]);
        assert!(format!("{:#}", read(&archive[..1500]).unwrap_err()).contains("a.txt"));
        archive.extend(entry("b.txt", b'0', b"z"));
        let damaged = archive.len() - 1024 + 3;
        archive[damaged] ^= 0xff;
        assert!(format!("{:#}", read(&archive).unwrap_err()).contains("after a.txt"));
    }
}
