//! One row of a table: its cells put where their columns say, then what depends on several cells decided.
//!
//! Invariant: a cell that says something is either in a field of the draft or under `extra`.
//! Not here: finding rows (`csv`), what column names mean (`columns`), checks (`ndjson::draft`).

use super::columns::{self, Column};
use crate::Defaults;
use crate::ndjson::draft::{Draft, DraftObservable, Place, Rules};
use crate::ndjson::scalar::{Scalar, Wanted};
use ::csv::ByteRecord;
use model::detect::detect_with_port;
use model::{Category, ObservableType, Origin};
use std::borrow::Cow;

/// Words that say a cell is empty.
const EMPTY_WORDS: [&str; 6] = ["-", "--", "n/a", "nan", "none", "null"];

/// What the columns of a table are.
pub(super) struct Plan<'h> {
    columns: Vec<(&'h str, Option<Column>)>,
    /// Neither a time nor a category of an event: a threat list that happens to be a table.
    is_threat_list: bool,
    has_own_time: bool,
    has_any_time: bool,
}

impl<'h> Plan<'h> {
    pub(super) fn of(names: &'h [String]) -> Self {
        let mut columns: Vec<_> = names.iter().map(|name| (name.as_str(), columns::column(name))).collect();
        let has = |wanted: &[Column]| columns.iter().any(|(_, column)| column.is_some_and(|column| wanted.contains(&column)));
        let has_own_time = has(&[Column::Time, Column::Observed]);
        let has_any_time = has_own_time || has(&[Column::ListTime, Column::LastTime, Column::ListLastTime]);
        let is_threat_list = !has_own_time && !has(&[Column::Category]);
        for (_, column) in &mut columns {
            if *column == Some(Column::Name) {
                *column = (!is_threat_list).then_some(Column::Malware);
            }
        }
        Self { columns, is_threat_list, has_own_time, has_any_time }
    }

    pub(super) fn rules(&self, defaults: &Defaults) -> Rules {
        let passed_on = self.is_threat_list || !self.has_any_time;
        Rules {
            category: defaults.category.or_else(|| self.is_threat_list.then_some(Category::Other)),
            origin: defaults.origin.unwrap_or(if passed_on { Origin::Relayed } else { Origin::Sensor }),
            timeless: !self.has_own_time,
            lenient: true,
        }
    }
}

/// A cell with its column's name.
type Named<'a> = (&'a str, Cow<'a, str>);

/// A row's cells, before those that depend on others are settled.
#[derive(Default)]
pub(super) struct Row<'a> {
    draft: Draft<'a>,
    values: Vec<Named<'a>>,
    kind: Option<Named<'a>>,
    host: Option<Named<'a>>,
    path: Option<Named<'a>>,
    observed: Option<Named<'a>>,
    list_times: Vec<Named<'a>>,
    list_last_time: Option<Named<'a>>,
    /// A wider category or a list's own word.
    hints: Vec<Named<'a>>,
    destinations: Vec<(Wanted, Named<'a>)>,
    beside: Vec<(Wanted, Named<'a>)>,
}

impl<'a> Row<'a> {
    pub(super) fn read(plan: &Plan<'a>, record: &'a ByteRecord) -> Self {
        let mut row = Self::default();
        for (index, bytes) in record.iter().enumerate() {
            let cell = clean(bytes);
            if cell.is_empty() {
                continue;
            }
            match plan.columns.get(index) {
                Some((name, Some(column))) => {
                    if !EMPTY_WORDS.iter().any(|word| cell.eq_ignore_ascii_case(word)) {
                        row.put(*column, (*name, cell));
                    }
                }
                Some((name, None)) if !name.is_empty() => row.draft.keep_text(Cow::Borrowed(*name), &cell),
                Some(_) | None => row.draft.keep_text(Cow::Owned(format!("column {}", index + 1)), &cell),
            }
        }
        row
    }

    fn put(&mut self, column: Column, named: Named<'a>) {
        let (name, cell) = named;
        let draft = &mut self.draft;
        match column {
            Column::Time => draft.time = Scalar::Text(cell),
            Column::Observed => self.observed = Some((name, cell)),
            Column::ListTime => self.list_times.push((name, cell)),
            Column::LastTime => draft.last_time = Scalar::Text(cell),
            Column::ListLastTime => self.list_last_time = Some((name, cell)),
            Column::ValidUntil => draft.valid_until = Scalar::Text(cell),
            Column::Category => draft.category = Scalar::Text(cell),
            Column::Taxonomy | Column::Threat => self.hints.push((name, cell)),
            Column::Observables => put_observables(draft, name, cell),
            Column::Value => self.values.push((name, cell)),
            Column::Kind => self.kind = Some((name, cell)),
            Column::Typed(wanted) => put_observable(draft, name, wanted, cell),
            Column::Host => self.host = Some((name, cell)),
            Column::Path => self.path = Some((name, cell)),
            Column::Destination(wanted) => self.destinations.push((wanted, (name, cell))),
            Column::Beside(wanted) => self.beside.push((wanted, (name, cell))),
            Column::Role => draft.role = Scalar::Text(cell),
            Column::Detect => draft.detect = Scalar::Text(cell),
            Column::Origin => put_origin(draft, cell),
            Column::Tlp => draft.tlp = Scalar::Text(cell),
            Column::Pap => draft.pap = Scalar::Text(cell),
            Column::Audience => draft.audience = words(cell),
            Column::Named => draft.named = Scalar::Text(cell),
            Column::NotifyOwner => draft.notify_owner = Scalar::Text(cell),
            Column::Id => draft.id = Scalar::Text(cell),
            Column::Confidence => draft.confidence = Scalar::Text(cell),
            Column::Severity => draft.severity = Scalar::Text(cell),
            Column::Sector => draft.sector = Scalar::Text(cell),
            Column::Malware | Column::Name => draft.malware = Scalar::Text(cell),
            Column::Technique => draft.technique = words(cell),
            Column::Cve => draft.cve = words(cell),
            Column::Port => draft.port = Scalar::Text(cell),
            Column::DstIp => draft.dst_ip = Scalar::Text(cell),
            Column::DstPort => draft.dst_port = Scalar::Text(cell),
            Column::Protocol => draft.protocol = Scalar::Text(cell),
            Column::Count => draft.count = Scalar::Text(cell),
            Column::Target => draft.target = Scalar::Text(cell),
            Column::TargetIp => draft.target_ip = Scalar::Text(cell),
            Column::TargetAsn => draft.target_asn = Scalar::Text(cell),
            Column::TargetSector => draft.target_sector = Scalar::Text(cell),
            Column::SourceAsn => draft.source_asn = Scalar::Text(cell),
            Column::Note => put_note(draft, name, cell),
            Column::Original => draft.original = Scalar::Text(cell),
            Column::Extra => match cell {
                Cow::Borrowed(json) if crate::ndjson::object_members(json, 0).is_some() => draft.extra = Some(json),
                text => draft.keep_text(Cow::Borrowed(name), &text),
            },
            Column::Head => {}
        }
    }

    /// Decides what depends on several cells.
    pub(super) fn settle(mut self) -> Draft<'a> {
        self.settle_values();
        self.settle_far_side();
        self.settle_time();
        for (name, word) in std::mem::take(&mut self.hints) {
            match threat_category(&word) {
                Some(category) if self.draft.category.is_blank() => self.draft.category = Scalar::borrowed(category.as_str()),
                Some(_) | None => self.draft.keep_text(Cow::Borrowed(name), &word),
            }
        }
        self.draft
    }

    fn settle_values(&mut self) {
        let mut wanted = Wanted::Any;
        if let Some((name, word)) = self.kind.take() {
            wanted = Wanted::parse_loosely(&word);
            if self.values.is_empty() || Wanted::parse(&word).is_none() {
                self.draft.keep_text(Cow::Borrowed(name), &word);
            }
        }
        for (name, cell) in std::mem::take(&mut self.values) {
            put_observable(&mut self.draft, name, wanted, cell);
        }
        match (self.host.take(), self.path.take()) {
            (Some((name, host)), Some((_, path))) => {
                let slash = if path.starts_with('/') { "" } else { "/" };
                push(&mut self.draft, name, Wanted::Exact(ObservableType::Url), Cow::Owned(format!("{host}{slash}{path}")));
            }
            (Some((name, host)), None) => push(&mut self.draft, name, Wanted::Any, host),
            (None, Some((name, path))) => self.draft.keep_text(Cow::Borrowed(name), &path),
            (None, None) => {}
        }
    }

    fn settle_far_side(&mut self) {
        let has_source = !self.draft.observables.is_empty();
        for (wanted, (name, cell)) in std::mem::take(&mut self.destinations) {
            if !has_source {
                push(&mut self.draft, name, wanted, cell);
            } else if wanted == Wanted::Address && self.draft.dst_ip.is_blank() {
                self.draft.dst_ip = Scalar::Text(cell);
            } else {
                self.draft.keep_text(Cow::Borrowed(name), &cell);
            }
        }
        for (wanted, (name, cell)) in std::mem::take(&mut self.beside) {
            if self.draft.observables.is_empty() {
                push(&mut self.draft, name, wanted, cell);
            } else {
                self.draft.keep_text(Cow::Borrowed(name), &cell);
            }
        }
        if self.draft.observables.is_empty() {
            if let Some(Scalar::Text(cve)) = self.draft.cve.first() {
                let cve = cve.clone();
                push(&mut self.draft, "cve", Wanted::Exact(ObservableType::Cve), cve);
            } else if let Scalar::Text(number) = &self.draft.source_asn {
                let number = number.clone();
                push(&mut self.draft, "asn", Wanted::Exact(ObservableType::Asn), number);
            }
        }
    }

    /// The best time given; a list's date that cannot be read is kept and does not count.
    fn settle_time(&mut self) {
        if let Some((name, cell)) = self.observed.take() {
            if self.draft.time.is_blank() {
                self.draft.time = Scalar::Text(cell);
            } else {
                self.draft.keep_text(Cow::Borrowed(name), &cell);
            }
        }
        if let Some((name, cell)) = self.list_last_time.take() {
            if self.draft.last_time.is_blank() && is_time(&cell) {
                self.draft.last_time = Scalar::Text(cell);
            } else {
                self.draft.keep_text(Cow::Borrowed(name), &cell);
            }
        }
        for (name, cell) in std::mem::take(&mut self.list_times) {
            if self.draft.time.is_blank() && is_time(&cell) {
                self.draft.time = Scalar::Text(cell);
            } else {
                self.draft.keep_text(Cow::Borrowed(name), &cell);
            }
        }
        if self.draft.time.is_blank() {
            self.draft.time = self.draft.last_time.clone();
        }
    }
}

fn is_time(cell: &str) -> bool {
    Scalar::borrowed(cell).time("time").is_ok_and(|time| time.is_some())
}

/// A category that a threat list's word names.
fn threat_category(word: &str) -> Option<Category> {
    let folded = word.to_ascii_lowercase().replace(['_', ' '], "-");
    match folded.as_str() {
        "botnet-cc" => Some(Category::C2Server),
        "malware-download" | "payload" | "payload-delivery" => Some(Category::MalwareDistribution),
        other => Category::from_name(other).map(|(category, _)| category),
    }
}

/// n6 also names what the data were taken from: a command-and-control server, a crawler, a sandbox.
fn put_origin<'a>(draft: &mut Draft<'a>, cell: Cow<'a, str>) {
    if matches!(cell.to_ascii_lowercase().as_str(), "c2" | "dropzone" | "p2p-crawler" | "p2p-drone" | "proxy" | "sandbox") {
        draft.keep_text(Cow::Borrowed("origin"), &cell);
        draft.origin = Scalar::borrowed(Origin::Sensor.as_str());
    } else {
        draft.origin = Scalar::Text(cell);
    }
}

/// The first free text is the note, others are kept.
fn put_note<'a>(draft: &mut Draft<'a>, name: &'a str, cell: Cow<'a, str>) {
    if draft.note.is_blank() {
        draft.note = Scalar::Text(cell);
    } else {
        draft.keep_text(Cow::Borrowed(name), &cell);
    }
}

/// `observables` as JSON, or values with spaces between them.
fn put_observables<'a>(draft: &mut Draft<'a>, name: &'a str, cell: Cow<'a, str>) {
    if let Cow::Borrowed(json) = cell
        && json.starts_with(['[', '{', '"'])
        && let Some(given) = crate::ndjson::observables(json)
    {
        draft.observables.extend(given);
        return;
    }
    for part in split(cell, char::is_whitespace) {
        push(draft, name, Wanted::Any, part);
    }
}

/// One cell may hold several values where its type admits no separator inside a value.
fn put_observable<'a>(draft: &mut Draft<'a>, name: &'a str, wanted: Wanted, cell: Cow<'a, str>) {
    let parts = match wanted {
        Wanted::Exact(ObservableType::Filename | ObservableType::UserAgent | ObservableType::Phone | ObservableType::Ssdeep) => Vec::new(),
        Wanted::Exact(ObservableType::Url) => split(cell.clone(), char::is_whitespace),
        Wanted::Any if detect_with_port(&cell).is_some() => Vec::new(),
        Wanted::Any | Wanted::Address | Wanted::Hash | Wanted::Exact(_) => split(cell.clone(), |c| c.is_whitespace() || matches!(c, ',' | ';' | '|')),
    };
    if parts.len() > 1 && (wanted != Wanted::Any || parts.iter().any(|part| detect_with_port(part).is_some())) {
        for part in parts {
            push(draft, name, wanted, part);
        }
    } else {
        push(draft, name, wanted, cell);
    }
}

fn push<'a>(draft: &mut Draft<'a>, name: &'a str, wanted: Wanted, value: Cow<'a, str>) {
    draft.observables.push(DraftObservable { place: Place::Column(name), wanted, value: Scalar::Text(value), ..DraftObservable::default() });
}

fn words(cell: Cow<'_, str>) -> Vec<Scalar<'_>> {
    split(cell, |c| c.is_whitespace() || matches!(c, ',' | ';' | '|')).into_iter().map(Scalar::Text).collect()
}

/// The parts of a cell that are not empty.
fn split(cell: Cow<'_, str>, separates: impl Fn(char) -> bool) -> Vec<Cow<'_, str>> {
    match cell {
        Cow::Borrowed(text) => text.split(separates).filter(|part| !part.is_empty()).map(Cow::Borrowed).collect(),
        Cow::Owned(text) => text.split(separates).filter(|part| !part.is_empty()).map(|part| Cow::Owned(part.to_owned())).collect(),
    }
}

/// A cell as text, without the spaces that people cannot see.
pub(super) fn clean(cell: &[u8]) -> Cow<'_, str> {
    let invisible = |c: char| c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' | '\0');
    match String::from_utf8_lossy(cell) {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches(invisible)),
        Cow::Owned(text) => Cow::Owned(text.trim_matches(invisible).to_owned()),
    }
}
