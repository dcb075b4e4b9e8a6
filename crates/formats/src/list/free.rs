//! Lines that are neither a value nor a rule: a value with a comment, an item of a text, a labelled value, prose.
//!
//! Invariant: of prose only the first word can be a value; a word further on may be anything, the report's own address too.

use super::cells::{Wanted, is_weak, many, row, type_word, value_of};
use super::{Entry, Line};
use model::ObservableType;
use model::canonical::canonical;
use model::detect::detect_with_port;

/// What stands before the items of a text.
const BULLETS: &[&str] = &["- ", "* ", "+ ", "> ", "\u{2022}", "\u{b7}", "\u{2013} ", "\u{2014} "];
/// Bullets inside bullets.
const MAX_BULLETS: usize = 3;
/// The longest label before a colon.
const MAX_LABEL_BYTES: usize = 48;

/// Takes the value of a line, or says why there is none.
pub(super) fn read(line: &str) -> Line {
    let bare = without_bullets(line).trim_end_matches([',', ';']).trim_end();
    if let Some(found) = detect_with_port(bare) {
        return Line::one(Entry::new(found));
    }
    if bare.starts_with('|')
        && let Some(Line::Entries(entries)) = row(bare, b'|')
    {
        return Line::Entries(entries);
    }
    if let Some(entries) = many(bare.split([' ', '\t', ',', ';', '|']).filter(|word| !word.is_empty())) {
        return Line::Entries(entries);
    }
    match first_word(bare).or_else(|| labelled(bare)) {
        Some(entry) => Line::one(entry),
        None => why(line),
    }
}

fn without_bullets(line: &str) -> &str {
    let mut bare = line;
    for _ in 0..MAX_BULLETS {
        let Some(rest) = without_bullet(bare) else { break };
        bare = rest.trim_start();
    }
    bare.strip_prefix("**").and_then(|rest| rest.strip_suffix("**")).unwrap_or(bare)
}

fn without_bullet(line: &str) -> Option<&str> {
    BULLETS.iter().find_map(|bullet| line.strip_prefix(*bullet)).or_else(|| without_number(line))
}

/// `12. item`, `12) item`.
fn without_number(line: &str) -> Option<&str> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=3).contains(&digits) {
        return None;
    }
    let rest = line.get(digits..)?;
    rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") "))
}

/// The first word, or its part before a mark that no host, hash or address has. A file's name only where nothing but a comment follows.
fn first_word(bare: &str) -> Option<Entry> {
    let word = bare.split(char::is_whitespace).next()?;
    let after = bare.get(word.len()..)?.trim_start();
    let is_only = after.is_empty() || after.starts_with(['#', ';']) || after.starts_with("//");
    let whole = word.trim_end_matches([',', ';', ':', '!']);
    let part = word.split([',', ';', '|', '#']).next().unwrap_or(word);
    let found = detect_with_port(whole).or_else(|| detect_with_port(part))?;
    (is_only || !is_weak(found.0)).then(|| Entry::new(found))
}

/// `label: value`, where the label names the type, or the value is a hash, which tells it by itself.
fn labelled(bare: &str) -> Option<Entry> {
    let (label, value) = bare.split_once(':')?;
    let (label, value) = (label.trim(), value.trim());
    if label.len() > MAX_LABEL_BYTES || value.contains(char::is_whitespace) {
        return None;
    }
    value_of(type_word(label).unwrap_or(Wanted::Hash), value)
}

fn why(line: &str) -> Line {
    let has_blank = line.contains(char::is_whitespace);
    if line.contains('\u{fffd}') {
        return Line::refused("not valid UTF-8");
    }
    if line.contains('\u{2026}') || line.ends_with("...") {
        return Line::refused("value is cut off");
    }
    if line.starts_with('/') && !has_blank {
        return Line::refused("a path without a host");
    }
    if line.contains(":\\") || line.starts_with("\\\\") || (line.starts_with("HK") && line.contains('\\')) {
        return Line::refused("a place on a machine, no value of a known type");
    }
    if !has_blank
        && line.contains("://")
        && let Err(error) = canonical(ObservableType::Url, line)
    {
        return Line::refused(error.to_string());
    }
    Line::refused("no value of a known type")
}
