//! Lists, rows and hosts files.
//!
//! Source: RFC 4180 for the cells of a CSV; hosts(5).

use super::Entry;
use std::borrow::Cow;

/// The first line of a CSV.
pub(super) const COLUMNS: &str = "type,value,category,malware,tlp,pap,confidence,first_seen,last_seen,valid_until,sectors\n";

/// A value alone.
pub(super) fn line(out: &mut String, value: &str) {
    out.push_str(value);
    out.push('\n');
}

/// A name that leads nowhere.
pub(super) fn host(out: &mut String, name: &str) {
    out.push_str("0.0.0.0 ");
    line(out, name);
}

/// A row of a CSV.
pub(super) fn row(out: &mut String, entry: &Entry<'_>) {
    cell(out, entry.kind.as_str());
    out.push(',');
    cell(out, entry.value);
    out.push(',');
    cell(out, entry.category.as_str());
    out.push(',');
    cell(out, &guarded(entry.malware.unwrap_or_default()));
    out.push(',');
    out.push_str(entry.tlp.as_str());
    out.push(',');
    out.push_str(entry.pap.as_str());
    out.push(',');
    out.push_str(&entry.confidence.to_string());
    out.push(',');
    entry.first_seen.write_to(out);
    out.push(',');
    entry.last_seen.write_to(out);
    out.push(',');
    if let Some(until) = entry.valid_until {
        until.write_to(out);
    }
    out.push(',');
    cell(out, &entry.sectors.join(" "));
    out.push('\n');
}

/// Free text that a spreadsheet takes as text: what would be a formula gets an apostrophe in front.
fn guarded(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// A cell, quoted where it must be, and where a spreadsheet would take it for a formula or a reader for a comment.
///
/// Quotes do not stop every spreadsheet; the values are given as they are all the same, for a changed indicator matches nothing.
pub(super) fn cell(out: &mut String, text: &str) {
    if text.contains([',', '"', '\n', '\r', ';', '\t']) || text.starts_with(['#', ' ', '=', '+', '-', '@']) || text.ends_with(' ') {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}
