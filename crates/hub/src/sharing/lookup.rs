//! What the hub knows of a value: the fold of the aggregate rows that policy admits.
//!
//! Invariant: counts are made of what the reader may see and nothing else; unknown and hidden are the same answer.

use super::view::View;
use crate::answers::{ObservableAnswer, ObservableState, Related, ReporterCount};
use crate::{Actor, Hub, HubError};
use hashbrown::HashMap;
use model::canonical::{canonical, is_reserved};
use model::detect::detect;
use model::{ObservableType, OrgNo, Pap, Seq, Text, Timestamp, Tlp};
use policy::Sight;
use store::views::Row;
use store::views::owners::matches;
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

/// Threads of one bulk look-up at the most.
const MAX_THREADS: usize = 4;
/// Values for which another thread is worth its start.
const VALUES_PER_THREAD: usize = 1_000;

/// One value of a look-up.
struct Asked {
    /// Where its answer goes.
    place: usize,
    key: u128,
    kind: ObservableType,
    value: Text,
}

/// What the answers of one request share.
struct Memory<'r> {
    view: View<'r>,
    now: Timestamp,
    /// Number of the text that stands for all past the limit.
    overflow: Option<u32>,
    /// Room for the rows of one value.
    rows: Vec<Row>,
    audiences: HashMap<u32, Vec<Text>>,
}

impl<'r> Memory<'r> {
    fn new(hub: &Hub, actor: &'r Actor) -> Self {
        let view = View { reader: &actor.reader, directory: hub.directory().snapshot() };
        Self { view, now: hub.clock().now(), overflow: hub.store().views.strings.find(OVERFLOW), rows: Vec::new(), audiences: HashMap::new() }
    }

    /// What the reader sees of a row of this class.
    fn sight(&mut self, hub: &Hub, class: &Class) -> Sight {
        if class.audience == 0 {
            return self.view.class(class, &[], &hub.store().views.strings);
        }
        let audience = self.audiences.entry(class.audience).or_insert_with(|| hub.store().views.strings.audience(class.audience));
        self.view.class(class, audience, &hub.store().views.strings)
    }
}

impl Hub {
    /// What the hub knows of one value. The value may be defanged or untidy.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where the caller may know nothing of it, [`HubError::Invalid`] where it is no value of the type.
    pub fn observable(&self, actor: &Actor, kind: ObservableType, value: &str) -> Result<ObservableAnswer, HubError> {
        reads(actor)?;
        let value = canonical(kind, value).map_err(|error| HubError::Invalid { pointer: "value".to_owned(), reason: error.to_string() })?;
        let asked = Asked { place: 0, key: self.store().views.keys.observable(kind, &value), kind, value };
        self.answer(actor, &asked, &mut Memory::new(self, actor), true)?.ok_or(HubError::NotFound)
    }

    /// What the hub knows of up to 10,000 values, in their order. `related` is there for up to `MAX_VALUES_WITH_RELATED` of them.
    ///
    /// # Errors
    /// [`HubError::TooLarge`] for more values.
    pub fn lookup(&self, actor: &Actor, values: &[String]) -> Result<Vec<Option<ObservableAnswer>>, HubError> {
        self.lookup_as(actor, values, |answer| answer)
    }

    /// As [`Hub::lookup`], making something of each answer where it is found, on several threads.
    ///
    /// # Errors
    /// As [`Hub::lookup`].
    pub fn lookup_as<T: Send>(&self, actor: &Actor, values: &[String], make: impl Fn(ObservableAnswer) -> T + Sync) -> Result<Vec<Option<T>>, HubError> {
        reads(actor)?;
        if values.len() > MAX_VALUES {
            return Err(HubError::TooLarge { limit: MAX_VALUES as u64, unit: "values" });
        }
        let related = values.len() <= MAX_VALUES_WITH_RELATED;
        let keys = &self.store().views.keys;
        let answer_all = |values: &[String]| -> Result<Vec<Option<T>>, HubError> {
            let asked = values.iter().enumerate().filter_map(|(place, text)| {
                let (kind, value) = detect(text)?;
                Some(Asked { place, key: keys.observable(kind, &value), kind, value })
            });
            let mut asked: Vec<Asked> = asked.collect();
            // In order of key, so that what lies together on disk is read together.
            asked.sort_unstable_by_key(|asked| asked.key);
            let mut answers: Vec<Option<T>> = Vec::new();
            answers.resize_with(values.len(), || None);
            let mut memory = Memory::new(self, actor);
            for asked in asked {
                let answer = self.answer(actor, &asked, &mut memory, related)?;
                if let Some(slot) = answers.get_mut(asked.place) {
                    *slot = answer.map(&make);
                }
            }
            Ok(answers)
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS).min(values.len() / VALUES_PER_THREAD + 1);
        let parts: Vec<&[String]> = values.chunks(values.len().div_ceil(threads).max(1)).collect();
        let answered: Vec<Result<_, HubError>> = std::thread::scope(|scope| {
            let others: Vec<_> = parts.iter().skip(1).map(|part| scope.spawn(|| answer_all(part))).collect();
            let own = parts.first().map(|part| answer_all(part));
            let broken = || Err(HubError::Internal("a look-up broke".into()));
            own.into_iter().chain(others.into_iter().map(|other| other.join().unwrap_or_else(|_| broken()))).collect()
        });
        let mut answers = Vec::with_capacity(values.len());
        for part in answered {
            answers.extend(part?);
        }
        Ok(answers)
    }

    fn answer(&self, actor: &Actor, asked: &Asked, memory: &mut Memory<'_>, related: bool) -> Result<Option<ObservableAnswer>, HubError> {
        let views = &self.store().views;
        let (kind, value) = (asked.kind, &asked.value);
        let mut rows = std::mem::take(&mut memory.rows);
        rows.clear();
        views.observables.rows(asked.key, MAX_ROWS, &mut rows).map_err(|error| HubError::Internal(Box::new(error)))?;
        if rows.is_empty() {
            memory.rows = rows;
            return Ok(None);
        }
        // Hidden rows take no place and tell nothing by their number.
        let mut fold = Fold::new(kind, value.clone());
        let mut admitted = 0;
        let mut shared = Vec::new();
        for row in &rows {
            let Some(class) = views.class(row.class) else { continue };
            let sight = memory.sight(self, &class);
            if !sight.sees_event() {
                continue;
            }
            admitted += 1;
            if admitted > MAX_ROWS {
                break;
            }
            fold.add(row, &class, sight);
            if class.related {
                shared.push(row.last_seq);
            }
        }
        memory.rows = rows;
        let incomplete = memory.overflow.is_some_and(|number| fold.malware.contains(&number) || fold.sectors.contains(&number));
        let Some(mut answer) = fold.finish(self, memory.now, views.disputed.read().contains(&asked.key)) else { return Ok(None) };
        answer.at_least = admitted > MAX_ROWS || incomplete;
        answer.warning_lists = self.warning_lists.hits(kind, value);
        answer.reserved = is_reserved(kind, value);
        answer.protected = self.is_protected(actor, kind, value);
        if related {
            answer.related = Some(self.related(&memory.view, shared, kind, value));
        }
        Ok(Some(answer))
    }

    /// Values of the latest events that the reader sees.
    fn related(&self, view: &View<'_>, mut places: Vec<Seq>, kind: ObservableType, value: &Text) -> Vec<Related> {
        places.sort_unstable_by(|a, b| b.cmp(a));
        let mut related: Vec<Related> = Vec::new();
        for seq in places.into_iter().take(MAX_RELATED_EVENTS) {
            let Some((reporter, mut event)) = self.blocks.outline(seq) else { continue };
            let sight = view.event(reporter, &event);
            if !policy::redact(&mut event, sight) {
                continue;
            }
            for observable in event.observables {
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
            network.protected && network.counts() && may_know && matches(network.kind, &network.value, kind, value)
        })
    }
}

/// Reporters only submit and auditors read totals: neither asks for events.
pub(crate) fn reads(actor: &Actor) -> Result<(), HubError> {
    if actor.reader.reads_events() { Ok(()) } else { Err(HubError::Forbidden("this role does not read events")) }
}

/// An answer being put together.
struct Fold {
    answer: ObservableAnswer,
    /// With repeats until the end: most values have few rows.
    reporters: Vec<OrgNo>,
    withheld: bool,
    sectors: Vec<u32>,
    malware: Vec<u32>,
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
            reporters: Vec::new(),
            withheld: false,
            sectors: Vec::new(),
            malware: Vec::new(),
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
        self.sectors.push(class.sector);
        self.malware.push(class.malware);
        // Relayed events are nobody's observation.
        if !class.relayed {
            self.reporters.push(class.reporter);
            self.withheld |= !sight.sees_reporter();
        }
    }

    fn finish(mut self, hub: &Hub, now: Timestamp, disputed: bool) -> Option<ObservableAnswer> {
        let strings = &hub.store().views.strings;
        let texts = |numbers: &mut Vec<u32>| {
            numbers.sort_unstable();
            numbers.dedup();
            let mut texts: Vec<Text> = numbers.iter().filter_map(|&number| strings.get(number).cloned()).collect();
            texts.sort_unstable();
            texts
        };
        self.reporters.sort_unstable();
        self.reporters.dedup();
        let reporters = self.reporters.len() as u64;
        self.answer.reporters = if self.withheld && reporters < 3 { ReporterCount::UnderThree } else { ReporterCount::Exactly(reporters) };
        self.answer.sectors = texts(&mut self.sectors);
        self.answer.malware = texts(&mut self.malware);
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
