//! What the hub knows of a value: the fold of the aggregate rows that policy admits.
//!
//! Invariant: counts are made of what the reader may see and nothing else; unknown and hidden are the same answer.

use super::view::View;
use crate::answers::{ObservableAnswer, ObservableState, Related, ReporterCount};
use crate::{Actor, Hub, HubError};
use hashbrown::{HashMap, HashSet};
use model::canonical::{canonical, is_reserved};
use model::detect::detect;
use model::{ObservableType, OrgNo, Pap, Text, Timestamp, Tlp};
use policy::Sight;
use store::records::{NetworkKind, NetworkState};
use store::views::Row;
use store::views::prepare::JOIN;
use store::views::row::NEVER;
use store::views::strings::{Class, OVERFLOW};

/// Values of one bulk look-up at the most.
pub const MAX_VALUES: usize = 10_000;
/// Rows of one value that an answer folds at the most.
const MAX_ROWS: usize = 4_096;
/// Values seen in the same events that an answer names at the most.
const MAX_RELATED: usize = 20;
/// Values of a bulk look-up up to which their related values are named too; each may cost the reading of blocks.
pub const MAX_VALUES_WITH_RELATED: usize = 100;
/// Events read to find them.
const MAX_RELATED_EVENTS: usize = 8;

/// Classes and audiences looked up once per request.
#[derive(Default)]
struct Memory {
    classes: HashMap<u32, Option<(Class, Sight)>>,
    audiences: HashMap<u32, Vec<Text>>,
}

impl Hub {
    /// What the hub knows of one value. The value may be defanged or untidy.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where the caller may know nothing of it, [`HubError::Invalid`] where it is no value of the type.
    pub fn observable(&self, actor: &Actor, kind: ObservableType, value: &str) -> Result<ObservableAnswer, HubError> {
        reads(actor)?;
        let value = canonical(kind, value).map_err(|error| HubError::Invalid { pointer: "value".to_owned(), reason: error.to_string() })?;
        self.answer(actor, kind, &value, &mut Memory::default(), true)?.ok_or(HubError::NotFound)
    }

    /// What the hub knows of up to 10,000 values, in their order. `related` is there for up to `MAX_VALUES_WITH_RELATED` of them.
    ///
    /// # Errors
    /// [`HubError::TooLarge`] for more values.
    pub fn lookup(&self, actor: &Actor, values: &[String]) -> Result<Vec<Option<ObservableAnswer>>, HubError> {
        reads(actor)?;
        if values.len() > MAX_VALUES {
            return Err(HubError::TooLarge { limit: MAX_VALUES as u64, unit: "values" });
        }
        let mut memory = Memory::default();
        values
            .iter()
            .map(|text| match detect(text) {
                Some((kind, value)) => self.answer(actor, kind, &value, &mut memory, values.len() <= MAX_VALUES_WITH_RELATED),
                None => Ok(None),
            })
            .collect()
    }

    fn answer(&self, actor: &Actor, kind: ObservableType, value: &Text, memory: &mut Memory, related: bool) -> Result<Option<ObservableAnswer>, HubError> {
        let views = &self.store().views;
        let key = views.keys.observable(kind, value);
        let mut rows = views.observables.get(key).map_err(|error| HubError::Internal(Box::new(error)))?;
        if rows.is_empty() {
            return Ok(None);
        }
        let view = View { reader: &actor.reader, directory: self.directory().snapshot() };
        // Hidden rows take no place and tell nothing by their number.
        rows.retain(|row| self.class_seen(&view, row.class, memory).is_some_and(|(_, sight)| sight.sees_event()));
        let cut = rows.len() > MAX_ROWS;
        rows.truncate(MAX_ROWS);
        let now = self.clock().now();
        let mut fold = Fold::new(kind, value.clone());
        for row in &rows {
            let Some((class, sight)) = self.class_seen(&view, row.class, memory) else { continue };
            fold.add(row, &class, sight);
        }
        let overflow = views.strings.read().find(OVERFLOW);
        let incomplete = overflow.is_some_and(|number| fold.malware.contains(&number) || fold.sectors.contains(&number));
        let Some(mut answer) = fold.finish(self, now, views.disputed.read().contains(&key)) else { return Ok(None) };
        answer.at_least = cut || incomplete;
        answer.warning_lists = self.warning_lists.hits(kind, value);
        answer.reserved = is_reserved(kind, value);
        answer.protected = self.is_protected(actor, kind, value);
        if related {
            answer.related = Some(self.related(&view, &rows, memory, kind, value));
        }
        Ok(Some(answer))
    }

    fn class_seen(&self, view: &View<'_>, number: u32, memory: &mut Memory) -> Option<(Class, Sight)> {
        let Memory { classes, audiences } = memory;
        *classes.entry(number).or_insert_with(|| {
            let class = self.store().views.class(number)?;
            let audience = audiences.entry(class.audience).or_insert_with(|| {
                let strings = self.store().views.strings.read();
                strings.get(class.audience).map_or_else(Vec::new, |joined| joined.split(JOIN).map(Text::from).collect())
            });
            let sight = view.class(&class, audience);
            Some((class, sight))
        })
    }

    /// Values of the latest events that the reader sees.
    fn related(&self, view: &View<'_>, rows: &[Row], memory: &mut Memory, kind: ObservableType, value: &Text) -> Vec<Related> {
        let mut places: Vec<_> = rows
            .iter()
            .filter(|row| self.class_seen(view, row.class, memory).is_some_and(|(class, sight)| class.related && sight.sees_event()))
            .map(|row| row.last_seq)
            .collect();
        places.sort_unstable_by(|a, b| b.cmp(a));
        let mut related: Vec<Related> = Vec::new();
        for seq in places.into_iter().take(MAX_RELATED_EVENTS) {
            let Some(mut found) = self.blocks.event(seq) else { continue };
            let sight = view.event(found.reporter, &found.event);
            if !policy::redact(&mut found.event, sight) {
                continue;
            }
            for observable in found.event.observables {
                let other = Related { kind: observable.kind, value: observable.value };
                if (other.kind, &other.value) != (kind, value) && !related.contains(&other) && related.len() < MAX_RELATED {
                    related.push(other);
                }
            }
        }
        related
    }

    /// Whether a value lies in a protected network that the reader may know of: as owner, authority or coordinator.
    pub(crate) fn is_protected(&self, actor: &Actor, kind: ObservableType, value: &str) -> bool {
        let directory = self.directory().snapshot();
        directory.networks().iter().any(|network| {
            let owner = directory.by_id(network.organisation);
            let may_know = actor.is_coordinator()
                || network.organisation == actor.organisation.id
                || owner.is_some_and(|owner| actor.reader.is_authority_of(owner.constituency));
            network.protected && network.state == NetworkState::Approved && may_know && holds(network.kind, &network.value, kind, value)
        })
    }
}

/// Whether a registration holds a value.
fn holds(registered: NetworkKind, range: &str, kind: ObservableType, value: &str) -> bool {
    match registered {
        NetworkKind::Cidr => range.parse().is_ok_and(|range| model::filter::value_within(kind, value, &range)),
        NetworkKind::Domain => model::filter::value_under(kind, value, range),
        NetworkKind::Asn => kind == ObservableType::Asn && value == range,
    }
}

/// Reporters only submit and auditors read totals: neither asks for events.
pub(crate) fn reads(actor: &Actor) -> Result<(), HubError> {
    if actor.reader.reads_events() { Ok(()) } else { Err(HubError::Forbidden("this role does not read events")) }
}

/// An answer being put together.
struct Fold {
    answer: ObservableAnswer,
    reporters: HashSet<OrgNo>,
    withheld: bool,
    sectors: HashSet<u32>,
    malware: HashSet<u32>,
    expires: i64,
    withdrawn: bool,
}

impl Fold {
    fn new(kind: ObservableType, value: Text) -> Self {
        Self {
            answer: ObservableAnswer {
                kind,
                value,
                state: ObservableState::Expired,
                first_seen: Timestamp::MAX,
                last_seen: Timestamp::MIN,
                events: 0,
                count: 0,
                reporters: ReporterCount::Exactly(0),
                sectors: Vec::new(),
                categories: Vec::new(),
                malware: Vec::new(),
                confidence: None,
                tlp: Tlp::Clear,
                pap: Pap::Clear,
                warning_lists: Vec::new(),
                protected: false,
                reserved: false,
                related: None,
                at_least: false,
            },
            reporters: HashSet::new(),
            withheld: false,
            sectors: HashSet::new(),
            malware: HashSet::new(),
            expires: i64::MIN,
            withdrawn: false,
        }
    }

    fn add(&mut self, row: &Row, class: &Class, sight: Sight) {
        let answer = &mut self.answer;
        if class.withdrawn {
            // Tells that there was something, and nothing of it.
            self.withdrawn = true;
            if answer.events == 0 {
                answer.first_seen = answer.first_seen.min(row.first_time);
                answer.last_seen = answer.last_seen.max(row.last_time);
                answer.tlp = answer.tlp.max(class.tlp);
                answer.pap = answer.pap.max(class.pap);
            }
            return;
        }
        if answer.events == 0 {
            (answer.first_seen, answer.last_seen, answer.tlp, answer.pap) = (Timestamp::MAX, Timestamp::MIN, Tlp::Clear, Pap::Clear);
        }
        answer.events += u64::from(row.events);
        answer.count += row.count;
        answer.first_seen = answer.first_seen.min(row.first_time);
        answer.last_seen = answer.last_seen.max(row.last_time);
        answer.confidence = answer.confidence.max(row.confidence.checked_sub(1));
        answer.tlp = answer.tlp.max(class.tlp);
        answer.pap = answer.pap.max(class.pap);
        self.expires = self.expires.max(row.expires);
        if !answer.categories.contains(&class.category) {
            answer.categories.push(class.category);
        }
        self.sectors.insert(class.sector);
        self.malware.insert(class.malware);
        // Relayed events are nobody's observation.
        if !class.relayed {
            self.reporters.insert(class.reporter);
            self.withheld |= !sight.sees_reporter();
        }
    }

    fn finish(mut self, hub: &Hub, now: Timestamp, disputed: bool) -> Option<ObservableAnswer> {
        let strings = hub.store().views.strings.read();
        let texts = |numbers: &HashSet<u32>| {
            let mut texts: Vec<Text> = numbers.iter().filter_map(|&number| strings.get(number).cloned()).collect();
            texts.sort_unstable();
            texts
        };
        let reporters = self.reporters.len() as u64;
        self.answer.reporters = if self.withheld && reporters < 3 { ReporterCount::UnderThree } else { ReporterCount::Exactly(reporters) };
        self.answer.sectors = texts(&self.sectors);
        self.answer.malware = texts(&self.malware);
        self.answer.categories.sort_unstable();
        self.answer.state = match (self.answer.events, self.withdrawn) {
            (0, false) => return None,
            (0, true) => ObservableState::Withdrawn,
            _ if disputed => ObservableState::Disputed,
            _ if self.expires >= NEVER || self.expires > now.seconds() => ObservableState::Active,
            _ => ObservableState::Expired,
        };
        Some(self.answer)
    }
}
