//! Where words for people and machines go: results to standard output, everything else to standard error.
//!
//! Invariant: a reader that goes away (`bongsu search | head`) ends the command quietly instead of panicking.

use std::io::{self, BufWriter, StdoutLock, Write};

/// Columns are cut at this many characters in tables for people.
const WIDEST_CELL: usize = 60;

/// Standard output, buffered; the caller flushes.
pub fn standard() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

/// Writes one line to standard output at once.
pub fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Writes one line to standard error; a closed standard error is nobody's concern.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes an error to standard error.
pub fn complain(text: &str) {
    note(&format!("error: {text}"));
}

/// Whether the cause is that nobody reads our output any more.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe))
        && error.downcast_ref::<ToHub>().is_none()
}

/// Marks errors of the connection to the hub, whose broken pipe is a failure.
#[derive(Debug, Clone, Copy)]
pub struct ToHub;

impl std::fmt::Display for ToHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cannot reach the hub")
    }
}

/// Writes rows under a header, columns aligned. An empty table prints nothing.
pub fn table(out: &mut impl Write, header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut widths: Vec<usize> = header.iter().map(|title| title.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count().min(WIDEST_CELL));
        }
    }
    let titles: Vec<String> = header.iter().map(|title| title.to_uppercase()).collect();
    write_row(out, &widths, &titles)?;
    for row in rows {
        write_row(out, &widths, row)?;
    }
    Ok(())
}

fn write_row(out: &mut impl Write, widths: &[usize], cells: &[String]) -> io::Result<()> {
    let last = cells.len().saturating_sub(1);
    for (place, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if place == last {
            // The last column is given whole: nothing stands after it.
            out.write_all(shorten(cell, usize::MAX).as_bytes())?;
        } else {
            let shown = shorten(cell, WIDEST_CELL);
            let pad = width.saturating_sub(shown.chars().count()) + 2;
            write!(out, "{shown}{:pad$}", "")?;
        }
    }
    out.write_all(b"\n")
}

/// The text, or its first characters and an ellipsis. Neither control characters nor those that turn the direction of others reach the terminal.
pub fn shorten(text: &str, most: usize) -> String {
    let turns = |character: char| matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let clean = |character: char| if character.is_control() || turns(character) { '\u{fffd}' } else { character };
    if text.chars().count() <= most {
        return text.chars().map(clean).collect();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).map(clean).collect();
    short.push('…');
    short
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_the_last_is_whole() {
        let mut out = Vec::new();
        let rows = vec![vec!["a".to_owned(), "x".repeat(100)], vec!["bcd".to_owned(), "y".to_owned()]];
        table(&mut out, &["id", "name"], &rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "ID   NAME");
        assert_eq!(lines[1].len(), 5 + 100);
        assert_eq!(lines[2], "bcd  y");
    }

    #[test]
    fn a_control_character_never_reaches_the_terminal() {
        let mut out = Vec::new();
        table(&mut out, &["id", "name"], &[vec!["a".to_owned(), "b\u{1b}[2J".to_owned()]]).unwrap();
        assert!(!out.contains(&0x1b));
        assert_eq!(shorten("a\u{1b}[2J", 60), "a\u{fffd}[2J");
        assert_eq!(shorten("exe\u{202e}gnp", 60), "exe\u{fffd}gnp");
        assert_eq!(shorten("abcdef", 4), "abc…");
    }

    #[test]
    fn a_closed_pipe_to_the_hub_is_a_failure() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_closed_pipe(&anyhow::Error::new(pipe())));
        assert!(!is_closed_pipe(&anyhow::Error::new(pipe()).context(ToHub)));
    }
}
