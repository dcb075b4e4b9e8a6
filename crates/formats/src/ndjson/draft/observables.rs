//! The values of a draft: type, canonical form, role, and the port that stood beside.
//!
//! Flow: [`Draft::build_observables`] takes what was given in `observables`, `observable` and `value` → each is understood by itself.
//! Invariant: in strict doors one value that cannot be understood refuses the event; in lenient ones it is kept under `extra`.
//! Not here: canonical forms (`model::canonical`), telling a type (`model::detect`).

use super::{Draft, DraftObservable, MAX_OBSERVABLES, Place, Rules};
use crate::ndjson::scalar::{Wanted, quoted};
use model::canonical::{canonical, is_reserved};
use model::detect::detect_with_port;
use model::{Category, Observable, ObservableType, Role, Text};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt;

/// What an observable inherits from its event.
pub(super) struct Inherited {
    pub(super) category: Category,
    pub(super) role: Option<Role>,
    pub(super) detect: Option<bool>,
}

impl<'a> Draft<'a> {
    /// The observables, without repeats, and the port that stood beside the first that had one.
    pub(super) fn build_observables(&mut self, inherited: &Inherited, rules: &Rules) -> Result<(SmallVec<[Observable; 1]>, Option<u16>), String> {
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
