//! A draft: the fields of one event as the sender wrote them, before they are known to be right.
//!
//! Flow: [`super::parse`] and `csv` fill a [`Draft`] → [`Draft::build`] → `model::Event`.
//! Invariant: every check of the contract's event table is made here and nowhere else, so JSON and CSV cannot disagree; a reason names
//! the field.
//! Not here: a field by itself (`checks`), an event's values (`observables`), reading bytes (`ndjson`, `csv`), how a value becomes canonical
//! (`model::canonical`).

mod checks;
mod observables;

use super::scalar::{Scalar, Wanted, quoted};
use crate::json::quote_into;
use crate::{Assumed, Defaults};
use checks::{address, asn, bounded, json_text, list, lower_case, port, sector, technique, time_not_ahead, word};
use model::canonical::canonical;
use model::{Category, Details, Event, Notify, ObservableType, Origin, Pap, Role, Severity, Target, Text, Tlp};
use observables::Inherited;
use smallvec::SmallVec;
use std::borrow::Cow;

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

    /// Whether a field of the contract is given; true for other names.
    pub(crate) fn has(&self, field: &str) -> bool {
        let scalar = match field {
            "time" => &self.time,
            "last_time" => &self.last_time,
            "valid_until" => &self.valid_until,
            "category" => &self.category,
            "observables" | "observable" | "value" => return !(self.observables.is_empty() && self.single.is_empty() && self.value.is_blank()),
            "type" => &self.kind,
            "role" => &self.role,
            "detect" => &self.detect,
            "origin" => &self.origin,
            "tlp" => &self.tlp,
            "pap" => &self.pap,
            "audience" => return !self.audience.is_empty(),
            "named" => &self.named,
            "notify_owner" => &self.notify_owner,
            "id" => &self.id,
            "confidence" => &self.confidence,
            "severity" => &self.severity,
            "sector" => &self.sector,
            "malware" => &self.malware,
            "technique" => return !self.technique.is_empty(),
            "cve" => return !self.cve.is_empty(),
            "port" => &self.port,
            "dst_ip" => &self.dst_ip,
            "dst_port" => &self.dst_port,
            "protocol" => &self.protocol,
            "count" => &self.count,
            "target" => return [&self.target, &self.target_ip, &self.target_asn, &self.target_sector].into_iter().any(|part| !part.is_blank()),
            "source_asn" => &self.source_asn,
            "note" => &self.note,
            "original" => &self.original,
            "extra" => return self.extra.is_some(),
            _ => return true,
        };
        !scalar.is_blank()
    }

    /// Counts what stood in for fields that are not given.
    pub(crate) fn note_assumed(&self, defaults: &Defaults, rules: &Rules, assumed: &mut Assumed) {
        assumed.tlp += u64::from(self.tlp.is_blank());
        assumed.other += u64::from(defaults.category.is_none() && self.category.is_blank());
        assumed.relayed += u64::from(rules.origin == Origin::Relayed && defaults.origin.is_none() && self.origin.is_blank());
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
        if self.has_details() {
            let details = self.build_details(defaults)?;
            if details != Details::default() {
                event.details = Some(Box::new(details));
            }
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

    /// Whether any of the rarer fields was given; most events have none, and looking at each would cost as much as the rest.
    fn has_details(&self) -> bool {
        let rare = [
            &self.last_time,
            &self.valid_until,
            &self.dst_ip,
            &self.dst_port,
            &self.protocol,
            &self.target,
            &self.target_ip,
            &self.target_asn,
            &self.target_sector,
            &self.source_asn,
            &self.note,
            &self.original,
        ];
        !self.audience.is_empty()
            || !self.technique.is_empty()
            || !self.cve.is_empty()
            || self.extra.is_some()
            || !self.members.is_empty()
            || rare.iter().any(|scalar| **scalar != Scalar::Absent)
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
