//! A draft: the fields of one event as the sender wrote them, before they are known to be right.
//!
//! Flow: [`super::parse`] and `csv` fill a [`Draft`] → [`Draft::build`] → `model::Event`.
//! Invariant: every check of the contract's event table is made here and nowhere else, so JSON and CSV cannot disagree; a reason names
//! the field.
//! Not here: reading bytes (`ndjson`, `csv`), how a value becomes canonical (`model::canonical`).

use super::scalar::{Scalar, Wanted, quoted};
use crate::Defaults;
use crate::json::quote_into;
use model::canonical::{canonical, is_reserved};
use model::detect::detect_with_port;
use model::{Category, Details, Event, Notify, Observable, ObservableType, Origin, Pap, Role, Severity, Target, Text, Timestamp, Tlp};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// How far ahead of the hub's time an event may lie.
const AHEAD: Duration = Duration::from_hours(24);
/// Observables of one event.
pub(crate) const MAX_OBSERVABLES: usize = 1_000;
/// Entries of `audience`, `technique` and `cve` each.
pub(crate) const MAX_LIST: usize = 64;
/// Unknown fields of one event.
pub(crate) const MAX_EXTRA_FIELDS: usize = 1_000;
const MAX_EXTRA_BYTES: usize = 64 << 10;
const MAX_ID_BYTES: usize = 255;
const MAX_MALWARE_BYTES: usize = 255;
const MAX_NOTE_BYTES: usize = 16 << 10;
/// Originals are whole objects of other formats; larger than any that fits a line of ours would only be refused later.
const MAX_ORIGINAL_BYTES: usize = 512 << 10;
/// Sectors, audiences, protocols and technique ids are short words.
const MAX_WORD_BYTES: usize = 128;

/// What differs between the doors that fill drafts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Category where the draft has none; `None` refuses it.
    pub category: Option<Category>,
    /// Origin where the draft has none.
    pub origin: Origin,
    /// Whether a draft without a time is an entry of a plain list.
    pub timeless: bool,
    /// Whether an observable that cannot be understood goes to `extra` beside others that can.
    pub lenient: bool,
}

/// A field that the contract does not know: its name and its value as JSON text.
pub(crate) type Member<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The fields of one event as given.
#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    pub time: Scalar<'a>,
    pub last_time: Scalar<'a>,
    pub valid_until: Scalar<'a>,
    pub category: Scalar<'a>,
    /// The array `observables`.
    pub observables: SmallVec<[DraftObservable<'a>; 1]>,
    /// The field `observable`.
    pub single: Vec<DraftObservable<'a>>,
    /// The field `value`, with the `type` beside it.
    pub value: Scalar<'a>,
    pub kind: Scalar<'a>,
    /// For all observables that have no role of their own.
    pub role: Scalar<'a>,
    pub detect: Scalar<'a>,
    pub origin: Scalar<'a>,
    pub tlp: Scalar<'a>,
    pub pap: Scalar<'a>,
    pub audience: Vec<Scalar<'a>>,
    pub named: Scalar<'a>,
    pub notify_owner: Scalar<'a>,
    pub id: Scalar<'a>,
    pub confidence: Scalar<'a>,
    pub severity: Scalar<'a>,
    pub sector: Scalar<'a>,
    pub malware: Scalar<'a>,
    pub technique: Vec<Scalar<'a>>,
    pub cve: Vec<Scalar<'a>>,
    pub port: Scalar<'a>,
    pub dst_ip: Scalar<'a>,
    pub dst_port: Scalar<'a>,
    pub protocol: Scalar<'a>,
    pub count: Scalar<'a>,
    /// `target` given as plain text: an address, else kept under `extra`.
    pub target: Scalar<'a>,
    pub target_ip: Scalar<'a>,
    pub target_asn: Scalar<'a>,
    pub target_sector: Scalar<'a>,
    pub source_asn: Scalar<'a>,
    pub note: Scalar<'a>,
    pub original: Scalar<'a>,
    /// The field `extra` as JSON text.
    pub extra: Option<&'a str>,
    /// Unknown fields.
    pub members: Vec<Member<'a>>,
}

/// One observable as given.
#[derive(Debug, Default)]
pub(crate) struct DraftObservable<'a> {
    pub place: Place<'a>,
    /// The type the place implies, where `kind` is absent.
    pub wanted: Wanted,
    pub kind: Scalar<'a>,
    pub value: Scalar<'a>,
    pub role: Scalar<'a>,
    pub detect: Scalar<'a>,
    pub members: Vec<(Cow<'a, str>, &'a str)>,
}

/// Where an observable stood, for reasons.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Place<'a> {
    /// In the array `observables`.
    #[default]
    Listed,
    /// The field `observable`.
    Observable,
    /// The field `value`.
    Value,
    /// A column of a CSV.
    Column(&'a str),
}

/// A place with its number in the array.
struct Located<'a>(Place<'a>, usize);

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Place::Listed => write!(f, "observables[{}]", self.1),
            Place::Observable => f.write_str("observable"),
            Place::Value => f.write_str("value"),
            Place::Column(name) => f.write_str(name),
        }
    }
}

/// What an observable inherits from its event.
struct Inherited {
    category: Category,
    role: Option<Role>,
    detect: Option<bool>,
}

impl<'a> Draft<'a> {
    /// Keeps an unknown field; past the limit only the fact is kept.
    pub(crate) fn keep(&mut self, name: Cow<'a, str>, json: Cow<'a, str>) {
        if self.members.len() <= MAX_EXTRA_FIELDS {
            self.members.push((name, json));
        }
    }

    /// Keeps a text under `extra`.
    pub(crate) fn keep_text(&mut self, name: Cow<'a, str>, text: &str) {
        self.keep(name, Cow::Owned(json_text(text)));
    }

    /// The event, in canonical form.
    ///
    /// # Errors
    /// The reason for the sender, naming the field.
    pub(crate) fn build(&mut self, defaults: &Defaults, rules: &Rules) -> Result<Event, String> {
        let (time, timeless) = match time_not_ahead(&self.time, "time", defaults)? {
            Some(time) => (time, false),
            None if rules.timeless => (defaults.now, true),
            None => return Err("time is missing".into()),
        };
        let (category, category_role) = self.name_category(rules)?;
        let inherited =
            Inherited { category, role: self.role.word(Role::WHAT, Role::parse)?.or(category_role).or(defaults.role), detect: self.detect.flag("detect")? };
        let (observables, value_port) = self.build_observables(&inherited, rules)?;
        let mut event = Event {
            time,
            category,
            observables,
            origin: self.origin.word(Origin::WHAT, Origin::parse)?.unwrap_or(rules.origin),
            tlp: self.tlp.word(Tlp::WHAT, Tlp::parse)?.unwrap_or(defaults.tlp),
            pap: self.pap.word(Pap::WHAT, Pap::parse)?.unwrap_or(defaults.pap),
            named: self.named.flag("named")?.unwrap_or(defaults.named),
            timeless,
            notify_owner: self.notify_owner.word(Notify::WHAT, Notify::parse)?.unwrap_or(Notify::Now),
            confidence: self.build_confidence()?,
            severity: self.severity.word(Severity::WHAT, Severity::parse)?,
            port: port(&self.port, "port")?.or(value_port),
            count: self.count.number("count", 1, u64::from(u32::MAX))?.map_or(1, |count| count as u32),
            sector: sector(&self.sector, "sector")?,
            malware: bounded(&self.malware, "malware", MAX_MALWARE_BYTES)?,
            id: bounded(&self.id, "id", MAX_ID_BYTES)?,
            details: None,
        };
        let details = self.build_details(defaults)?;
        if details != Details::default() {
            event.details = Some(Box::new(details));
        }
        crate::privacy::finish(&mut event);
        Ok(event)
    }

    /// The category and the role that n6's names carry. An unknown name is `other`, kept under `extra`.
    fn name_category(&mut self, rules: &Rules) -> Result<(Category, Option<Role>), String> {
        let json = {
            let Some(name) = self.category.text("category")? else {
                return rules.category.map(|category| (category, None)).ok_or_else(|| "category is missing".into());
            };
            if let Some(known) = Category::from_name(&name) {
                return Ok(known);
            }
            json_text(&name)
        };
        self.keep(Cow::Borrowed("category"), Cow::Owned(json));
        Ok((Category::Other, None))
    }

    /// The observables, without repeats, and the port that stood beside the first that had one.
    fn build_observables(&mut self, inherited: &Inherited, rules: &Rules) -> Result<(SmallVec<[Observable; 1]>, Option<u16>), String> {
        let given = self.take_observables();
        if given.len() > MAX_OBSERVABLES {
            return Err(format!("observables: more than {MAX_OBSERVABLES}"));
        }
        let mut observables: SmallVec<[Observable; 1]> = SmallVec::new();
        let mut port = None;
        let mut first_reason = None;
        for (index, draft) in given.into_iter().enumerate() {
            let located = Located(draft.place, index);
            match draft.build(inherited, rules.lenient) {
                Ok((observable, beside)) => {
                    port = port.or(beside);
                    let same = |other: &Observable| other.kind == observable.kind && other.role == observable.role && other.value == observable.value;
                    if !observables.iter().any(same) {
                        observables.push(observable);
                    }
                }
                Err(reason) if rules.lenient => {
                    first_reason.get_or_insert_with(|| format!("{located}: {reason}"));
                    if let Ok(Some(text)) = draft.value.text("value") {
                        self.keep_text(Cow::Owned(located.to_string()), &text);
                    }
                }
                Err(reason) => return Err(format!("{located}: {reason}")),
            }
            for (name, json) in draft.members {
                self.keep(Cow::Owned(format!("{located}.{name}")), Cow::Borrowed(json));
            }
        }
        if observables.is_empty() {
            return Err(first_reason.unwrap_or_else(|| "observables are missing".into()));
        }
        Ok((observables, port))
    }

    /// Everything given as an observable, in the order `observables`, `observable`, `value`.
    fn take_observables(&mut self) -> SmallVec<[DraftObservable<'a>; 1]> {
        let mut given = std::mem::take(&mut self.observables);
        if !self.single.is_empty() {
            given.extend(std::mem::take(&mut self.single).into_iter().map(|draft| DraftObservable { place: Place::Observable, ..draft }));
        }
        let kind = std::mem::take(&mut self.kind);
        if !self.value.is_blank() {
            let value = std::mem::take(&mut self.value);
            given.push(DraftObservable { place: Place::Value, kind, value, ..DraftObservable::default() });
        } else if let Ok(Some(text)) = kind.text("type") {
            self.keep_text(Cow::Borrowed("type"), &text);
        }
        given
    }

    /// 0 to 100, or n6's words.
    fn build_confidence(&self) -> Result<Option<u8>, String> {
        if let Scalar::Text(word) = &self.confidence {
            let word = word.trim();
            for (name, confidence) in [("low", 25), ("medium", 50), ("high", 75)] {
                if word.eq_ignore_ascii_case(name) {
                    return Ok(Some(confidence));
                }
            }
        }
        Ok(self.confidence.number("confidence", 0, 100)?.map(|confidence| confidence as u8))
    }

    fn build_details(&mut self, defaults: &Defaults) -> Result<Details, String> {
        let mut audience = list(&self.audience, "audience", word)?;
        audience.sort_unstable();
        let target = self.build_target()?;
        Ok(Details {
            last_time: time_not_ahead(&self.last_time, "last_time", defaults)?,
            valid_until: self.valid_until.time("valid_until")?,
            audience,
            technique: list(&self.technique, "technique", technique)?,
            cve: list(&self.cve, "cve", |text| canonical(ObservableType::Cve, text).map_err(|error| error.to_string()))?,
            dst_ip: address(&self.dst_ip, "dst_ip")?,
            dst_port: port(&self.dst_port, "dst_port")?,
            protocol: bounded(&self.protocol, "protocol", MAX_WORD_BYTES)?.map(lower_case),
            target,
            source_asn: asn(&self.source_asn, "source_asn")?,
            note: bounded(&self.note, "note", MAX_NOTE_BYTES)?,
            original: bounded(&self.original, "original", MAX_ORIGINAL_BYTES)?,
            extra: self.build_extra()?,
        })
    }

    fn build_target(&mut self) -> Result<Option<Target>, String> {
        let mut target = Target {
            ip: address(&self.target_ip, "target.ip")?,
            asn: asn(&self.target_asn, "target.asn")?,
            sector: sector(&self.target_sector, "target.sector")?,
        };
        match address(&self.target, "target") {
            Ok(None) => {}
            Ok(ip) => target.ip = ip,
            // n6 names the brand that was aimed at.
            Err(_) => {
                let json = json_text(&self.target.text("target")?.unwrap_or_default());
                self.keep(Cow::Borrowed("target"), Cow::Owned(json));
            }
        }
        Ok((target != Target::default()).then_some(target))
    }

    /// One JSON object of all unknown fields; of fields with the same name the last stays.
    fn build_extra(&mut self) -> Result<Option<Text>, String> {
        if self.extra.is_none() && self.members.is_empty() {
            return Ok(None);
        }
        let mut members: Vec<Member<'a>> = Vec::new();
        if let Some(text) = self.extra {
            match super::object_members(text, MAX_EXTRA_FIELDS) {
                Some(inner) => members.extend(inner),
                None if text == "null" => {}
                None => members.push((Cow::Borrowed("extra"), Cow::Borrowed(text))),
            }
        }
        members.append(&mut self.members);
        if members.len() > MAX_EXTRA_FIELDS {
            return Err(format!("extra: more than {MAX_EXTRA_FIELDS} unknown fields"));
        }
        let mut out = vec![b'{'];
        for (index, (name, json)) in members.iter().enumerate() {
            if members.iter().skip(index + 1).any(|(later, _)| later == name) {
                continue;
            }
            super::check_json(json).map_err(|_| format!("extra: {} holds a number or text out of range, or is nested too deeply", quoted(name)))?;
            if out.len() > 1 {
                out.push(b',');
            }
            quote_into(&mut out, name);
            out.push(b':');
            crate::json::compact_into(&mut out, json);
            if out.len() >= MAX_EXTRA_BYTES {
                return Err("extra is larger than 64 KiB".into());
            }
        }
        out.push(b'}');
        // Only quoted names and parts of valid text were written.
        let text = Text::from_utf8(&out).map_err(|_| "extra is not valid UTF-8")?;
        Ok((text != "{}").then_some(text))
    }
}

impl DraftObservable<'_> {
    /// The observable, and the port that stood beside its value.
    fn build(&self, inherited: &Inherited, lenient: bool) -> Result<(Observable, Option<u16>), String> {
        let Some(value) = self.value.text("value")? else {
            return Err("value is missing".into());
        };
        let wanted = match self.kind.text("type")? {
            None => self.wanted,
            Some(word) if lenient => Wanted::parse_loosely(&word),
            Some(word) => Wanted::parse(&word).ok_or_else(|| format!("unknown observable type {}", quoted(&word)))?,
        };
        let (kind, value, port) = find(wanted, &value, lenient)?;
        let own_role = self.role.word(Role::WHAT, Role::parse)?;
        let own_detect = self.detect.flag("detect")?;
        let observable = Observable {
            kind,
            role: own_role.or(inherited.role).unwrap_or_else(|| Role::default_for(inherited.category, kind)),
            detect: own_detect.or(inherited.detect).unwrap_or_else(|| kind.detect_by_default()),
            reserved: is_reserved(kind, &value),
            value,
        };
        Ok((observable, port))
    }
}

/// A value's type, canonical form and the port beside it.
fn find(wanted: Wanted, value: &str, lenient: bool) -> Result<(ObservableType, Text, Option<u16>), String> {
    let detected = |accepts: fn(ObservableType) -> bool, what: &str| {
        detect_with_port(value).filter(|(kind, ..)| lenient || accepts(*kind)).ok_or_else(|| format!("{what}: {}", quoted(value)))
    };
    match wanted {
        Wanted::Any => detected(|_| true, "not recognised as an observable"),
        Wanted::Address => detected(ObservableType::is_address, "not an IP address"),
        Wanted::Hash => detected(is_hash, "not a hash"),
        Wanted::Exact(kind) => match canonical(kind, value) {
            Ok(text) => Ok((kind, text, None)),
            Err(error) if lenient => loosely(kind, value).ok_or_else(|| error.to_string()),
            Err(error) => Err(error.to_string()),
        },
    }
}

const fn is_hash(kind: ObservableType) -> bool {
    matches!(kind, ObservableType::Md5 | ObservableType::Sha1 | ObservableType::Sha256 | ObservableType::Sha512 | ObservableType::Ssdeep)
}

/// Tables hold `80.85.154.48:443` as a URL and URLs without scheme.
fn loosely(kind: ObservableType, value: &str) -> Option<(ObservableType, Text, Option<u16>)> {
    detect_with_port(value).or_else(|| {
        let with_scheme = (kind == ObservableType::Url).then(|| format!("http://{value}"))?;
        canonical(kind, &with_scheme).ok().map(|text| (kind, text, None))
    })
}

fn time_not_ahead(scalar: &Scalar<'_>, field: &str, defaults: &Defaults) -> Result<Option<Timestamp>, String> {
    match scalar.time(field)? {
        Some(time) if time > defaults.now.plus(AHEAD) => Err(format!("{field} lies more than 24 h ahead")),
        time => Ok(time),
    }
}

fn json_text(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    quote_into(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

fn bounded(scalar: &Scalar<'_>, field: &str, limit: usize) -> Result<Option<Text>, String> {
    match scalar.text(field)? {
        Some(text) if text.len() > limit => Err(format!("{field} is longer than {limit} bytes")),
        Some(text) => Ok(Some(Text::from(text))),
        None => Ok(None),
    }
}

fn sector(scalar: &Scalar<'_>, field: &str) -> Result<Option<Text>, String> {
    Ok(bounded(scalar, field, MAX_WORD_BYTES)?.map(lower_case))
}

fn lower_case(mut text: Text) -> Text {
    text.make_ascii_lowercase();
    text
}

fn port(scalar: &Scalar<'_>, field: &str) -> Result<Option<u16>, String> {
    Ok(scalar.number(field, 0, u64::from(u16::MAX))?.map(|port| port as u16))
}

fn asn(scalar: &Scalar<'_>, field: &str) -> Result<Option<u32>, String> {
    if let Scalar::Text(text) = scalar
        && let Some((prefix, digits)) = text.trim().split_at_checked(2)
        && prefix.eq_ignore_ascii_case("as")
        && let Ok(number) = digits.trim().parse::<u32>()
    {
        return Ok(Some(number));
    }
    Ok(scalar.number(field, 0, u64::from(u32::MAX))?.map(|number| number as u32))
}

fn address(scalar: &Scalar<'_>, field: &str) -> Result<Option<Text>, String> {
    let Some(text) = scalar.text(field)? else { return Ok(None) };
    canonical(ObservableType::Ipv4, &text).or_else(|_| canonical(ObservableType::Ipv6, &text)).map(Some).map_err(|_| format!("{field}: not an IP address"))
}

/// A list of words without repeats.
fn list(items: &[Scalar<'_>], field: &str, each: impl Fn(&str) -> Result<Text, String>) -> Result<Vec<Text>, String> {
    if items.len() > MAX_LIST {
        return Err(format!("{field}: more than {MAX_LIST} entries"));
    }
    let mut out = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let Some(text) = item.text(field)? else { continue };
        let entry = each(&text).map_err(|reason| format!("{field}[{index}]: {reason}"))?;
        if !out.contains(&entry) {
            out.push(entry);
        }
    }
    Ok(out)
}

fn word(text: &str) -> Result<Text, String> {
    if text.len() > MAX_WORD_BYTES {
        return Err(format!("longer than {MAX_WORD_BYTES} bytes"));
    }
    Ok(Text::new(text))
}

/// An ATT&CK id: `T1059.001`, `TA0001`, `S0002`, `G0016`, `M1036`, …
fn technique(text: &str) -> Result<Text, String> {
    let shaped = text.len() <= MAX_WORD_BYTES
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-');
    if !shaped {
        return Err(format!("not an ATT&CK id: {}", quoted(text)));
    }
    Ok(Text::from(text.to_ascii_uppercase()))
}
