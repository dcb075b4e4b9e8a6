//! Input: files and standard input as plain sources, whatever they are packed in.
//!
//! Flow: [`visit`] opens a file → [`layer`] looks at its first bytes: gzip, zstd and tar are read through, one inside the other →
//! what is left is a [`Source`].
//! Invariant: packing is told by content, never by name; bounded depth and memory.
//! Not here: formats of events (`formats`), cutting into requests (`chunks`).

use super::archive;
use anyhow::Context;
use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

/// Bytes that are looked at to tell packing and format.
const HEAD: u64 = 64 << 10;
/// Packings inside one another at the most, for example zstd, tar, gzip.
const DEEPEST: u32 = 4;

/// One input of events.
pub struct Source<'a> {
    /// For messages: the file, and the member of an archive behind a colon.
    pub name: &'a str,
    /// The last part of the name, without packing endings.
    pub file_name: &'a str,
    /// The first bytes, up to 64 KiB.
    pub head: &'a [u8],
    /// Everything, the first bytes included.
    pub reader: &'a mut dyn Read,
}

/// What is done with each source.
pub type Visit<'a> = dyn FnMut(Source<'_>) -> anyhow::Result<()> + 'a;

/// Calls `visit` with each source of a file; `-` is standard input.
pub fn visit(path: &Path, progress: &ProgressBar, visit: &mut Visit<'_>) -> anyhow::Result<()> {
    if path == Path::new("-") {
        return layer("standard input", Box::new(progress.wrap_read(std::io::stdin().lock())), DEEPEST, visit);
    }
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| name.clone())?;
    layer(&name, Box::new(progress.wrap_read(file)), DEEPEST, visit)
}

fn layer(name: &str, mut reader: Box<dyn Read + '_>, depth: u32, visit: &mut Visit<'_>) -> anyhow::Result<()> {
    let mut head = Vec::new();
    (&mut reader).take(HEAD).read_to_end(&mut head).with_context(|| format!("reading {name}"))?;
    if depth > 0 {
        if head.starts_with(&[0x1f, 0x8b]) {
            return layer(name, Box::new(MultiGzDecoder::new(Cursor::new(head).chain(reader))), depth - 1, visit);
        }
        if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let inner = zstd::stream::read::Decoder::new(Cursor::new(head).chain(reader)).with_context(|| format!("reading {name}"))?;
            return layer(name, Box::new(inner), depth - 1, visit);
        }
        if archive::is_tar(&head) {
            let mut whole = Cursor::new(head).chain(reader);
            return archive::each(&mut whole, &mut |member, content| layer(&format!("{name}:{member}"), Box::new(content), depth - 1, visit))
                .with_context(|| name.to_owned());
        }
    }
    let mut whole = Cursor::new(head.as_slice()).chain(reader);
    visit(Source { name, file_name: without_packing(name), head: &head, reader: &mut whole })
}

/// The last part of a path without the endings of packings.
fn without_packing(name: &str) -> &str {
    let mut name = name.rsplit(['/', ':']).next().unwrap_or(name);
    while let Some((before, ending)) = name.rsplit_once('.')
        && matches!(ending.to_ascii_lowercase().as_str(), "gz" | "zst" | "tar" | "tgz")
        && !before.is_empty()
    {
        name = before;
    }
    name
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn sources(bytes: &[u8]) -> Vec<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("input.bin");
        std::fs::write(&path, bytes).unwrap();
        let mut found = Vec::new();
        visit(&path, &ProgressBar::hidden(), &mut |source| {
            let mut text = String::new();
            source.reader.read_to_string(&mut text).unwrap();
            assert!(text.as_bytes().starts_with(source.head));
            found.push((source.file_name.to_owned(), text));
            Ok(())
        })
        .unwrap();
        found
    }

    #[test]
    fn a_plain_file_is_its_own_source_even_when_empty() {
        assert_eq!(sources(b"a\nb\n"), [("input.bin".to_owned(), "a\nb\n".to_owned())]);
        assert_eq!(sources(b""), [("input.bin".to_owned(), String::new())]);
    }

    #[test]
    fn every_member_of_a_gzip_file_is_read() {
        let mut packed = gzip(b"one\n");
        packed.extend(gzip(b"two\n"));
        assert_eq!(sources(&packed)[0].1, "one\ntwo\n");
    }

    #[test]
    fn packings_inside_one_another_are_read_through() {
        let mut archive = archive::tests::entry("x/a.txt", b'0', b"plain\n");
        archive.extend(archive::tests::entry("x/b.csv.gz", b'0', &gzip(b"packed\n")));
        archive.extend([0; 1024]);
        let packed = zstd::encode_all(archive.as_slice(), 1).unwrap();
        assert_eq!(sources(&packed), [("a.txt".to_owned(), "plain\n".to_owned()), ("b.csv".to_owned(), "packed\n".to_owned())]);
    }

    #[test]
    fn endings_of_packings_do_not_hide_the_format() {
        assert_eq!(without_packing("/x/list.CSV.gz"), "list.CSV");
        assert_eq!(without_packing("a.tar.zst:b/c.txt"), "c.txt");
        assert_eq!(without_packing(".gz"), ".gz");
    }
}
