//! Since when the organisation of a caller could read a collection made from events, and how much of it: what it may have received.
//!
//! Flow: the history of the organisation's record, read once per version of it → what policy says of each change ([`Reach::of`]), with what was agreed
//! where it is an agreement's collection ([`super::agreed`]) → [`Reach::had`], asked of versions that were there before the caller's present reach began.
//! Invariant: a change counts from the moment the records have it, a date of an agreement from that date. What the history does not tell, as what lies
//! before its oldest rows that are given, counts as having read nothing: where it cannot be known, nothing is told.
//! Not here: what follows for a version ([`super::beside::given`]), contributed objects, each version of which is judged alone ([`super::kept`]).

use super::agreed::{Agreed, Course};
use super::{Collection, Source};
use crate::{Actor, Hub, HubError};
use model::{Agreement, KeyRole, OrgKind, OrgNo, Organisation, Standing, Timestamp, Tlp};
use parking_lot::Mutex;
use policy::{Reader, receives_all};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::views::indicators::{self, Indicator};

/// How long a caller waits for the log to look at what an agreement covers that has become narrower; then what is not known is held back.
const SETTLES_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks at whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// When something could be read, and up to which marking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    from: Timestamp,
    /// Exclusive; [`Timestamp::MAX`]: it lasts.
    until: Timestamp,
    most: Tlp,
    /// Which part of the organisation's past it is of.
    part: usize,
}

/// When a collection could be read by the organisation of a caller, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reach {
    /// Oldest first.
    stretches: Vec<Stretch>,
    /// What was agreed in each part of the past, where it is an agreement's collection.
    course: Option<Course>,
}

impl Reach {
    /// Of those who were always there.
    fn always(most: Tlp) -> Self {
        Self { stretches: vec![Stretch { from: Timestamp::MIN, until: Timestamp::MAX, most, part: 0 }], course: None }
    }

    /// What follows from what an organisation was. `most` is the strictest marking of the collection that it could read, being so at a moment.
    fn of(past: &[Since], now: Timestamp, most: impl Fn(&Facts, Timestamp) -> Option<Tlp>) -> Self {
        let mut stretches = Vec::new();
        let mut add = |part: usize, from: Timestamp, until: Timestamp, most: Option<Tlp>| {
            if let Some(most) = most.filter(|_| from < until) {
                stretches.push(Stretch { from, until, most, part });
            }
        };
        for (part, since) in past.iter().enumerate() {
            let Some(facts) = &since.facts else { continue };
            let next = past.get(part + 1).map(|next| next.from);
            let until = next.unwrap_or(Timestamp::MAX);
            // An agreement's date that lies ahead changes nothing yet.
            let within = |date: &Timestamp| *date > since.from && *date < until && (next.is_some() || *date <= now);
            let over = facts.agreement.as_ref().and_then(|agreement| agreement.expires).filter(within);
            add(part, since.from, over.unwrap_or(until), most(facts, since.from));
            if let Some(over) = over {
                add(part, over, until, most(facts, over));
            }
        }
        Self { stretches, course: None }
    }

    /// The same, with no more from here on.
    fn up_to(mut self, most: Tlp) -> Self {
        if let Some(last) = self.stretches.last_mut() {
            last.most = last.most.min(most);
        }
        self
    }

    /// The same, of the collection of an agreement.
    fn under(self, course: Course) -> Self {
        Self { course: Some(course), ..self }
    }

    /// The stretch that lasts.
    fn lasting(&self) -> Option<&Stretch> {
        self.stretches.last().filter(|last| last.until == Timestamp::MAX)
    }

    /// The strictest marking that is read now; `None`: nothing is.
    pub(super) fn now(&self) -> Option<Tlp> {
        self.lasting().map(|last| last.most)
    }

    /// Whether something may be held back now of which it is not known yet whether it is covered.
    fn awaits(&self) -> bool {
        self.lasting().zip(self.course.as_ref()).is_some_and(|(last, course)| course.awaits(last.part))
    }

    /// Whether a version of this marking, added at a moment, is surely within what is read in a stretch.
    fn surely(&self, stretch: &Stretch, tlp: Tlp, added: Timestamp) -> bool {
        stretch.most >= tlp && self.course.as_ref().is_none_or(|course| course.surely(stretch.part, tlp, added))
    }

    /// Whether a version that was replaced at a moment is within what is read in a stretch.
    fn within(&self, stretch: &Stretch, version: &Indicator, until: Timestamp) -> bool {
        let stood = |course: &Course| course.stood(stretch.part, until);
        stretch.most >= version.tlp && (self.surely(stretch, version.tlp, version.added) || self.course.as_ref().is_some_and(stood))
    }

    /// Since when without a break everything is read that has a marking and was added at a moment, and is read now.
    fn since(&self, tlp: Tlp, added: Timestamp) -> Option<Timestamp> {
        let mut next = Timestamp::MAX;
        for stretch in self.stretches.iter().rev().take_while(|stretch| self.surely(stretch, tlp, added)) {
            if stretch.until != next {
                break;
            }
            next = stretch.from;
        }
        (next < Timestamp::MAX).then_some(next)
    }

    /// Whether a version that was there up to a moment, exclusive, could be read at some time until then.
    pub(super) fn had(&self, version: &Indicator, until: Timestamp) -> bool {
        let overlaps = |stretch: &&Stretch| stretch.from < until && version.added < stretch.until;
        self.stretches.iter().filter(overlaps).any(|stretch| self.within(stretch, version, until))
    }

    /// Whether nothing was read yet at a moment.
    pub(super) fn begins_at_or_after(&self, moment: Timestamp) -> bool {
        self.stretches.first().is_none_or(|first| first.from >= moment)
    }

    /// Whether all that a log up to a marking can have got at a moment could be read then.
    pub(super) fn had_all(&self, most: Tlp, added: Timestamp) -> bool {
        let all = |stretch: &Stretch| match &self.course {
            None => stretch.most >= most,
            Some(course) => course.everything(stretch.part, stretch.most, added),
        };
        self.stretches.iter().any(|stretch| stretch.from <= added && added < stretch.until && all(stretch))
    }

    /// Whether a version is given as it is, by what it says itself; `None` where the versions around it decide.
    pub(super) fn gives(&self, version: &Indicator) -> Option<bool> {
        if version.revoked {
            // It says what the version before it said, which was there until then, and of which the date is not known.
            let whole = self.since(version.tlp, Timestamp::MIN).is_some_and(|since| since < version.added);
            return if whole { Some(true) } else { self.begins_at_or_after(version.added).then_some(false) };
        }
        if self.now().is_none_or(|most| version.tlp > most) {
            return Some(false);
        }
        self.since(version.tlp, version.added).is_some_and(|since| since <= version.added).then_some(true)
    }

    /// Whether a version that is not `revoked`, and was replaced at a moment, is within what is read now; `None` where that is not known until the log
    /// has looked at it.
    pub(super) fn lets(&self, version: &Indicator, until: Timestamp) -> Option<bool> {
        let Some(last) = self.lasting().filter(|last| last.most >= version.tlp) else { return Some(false) };
        let open = until == Timestamp::MAX && self.course.as_ref().is_some_and(|course| course.is_open(last.part));
        if self.within(last, version, until) { Some(true) } else { (!open).then_some(false) }
    }
}

/// What decides which collections made from events an organisation reads.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Facts {
    kind: OrgKind,
    standing: Standing,
    #[serde(default)]
    agreement: Option<Agreement>,
}

impl Facts {
    fn of(organisation: &Organisation) -> Self {
        Self { kind: organisation.kind, standing: organisation.standing, agreement: organisation.agreement.clone() }
    }

    /// Whoever holds a key of it with this role at a moment, as far as collections for many go.
    fn reader(&self, role: KeyRole, at: Timestamp) -> Reader {
        Reader {
            org: OrgNo::HUB,
            kind: self.kind,
            constituency: None,
            audience_ids: Vec::new(),
            standing: self.standing,
            agreement: self.agreement.clone().filter(|agreement| agreement.holds(at)),
            role,
            red: false,
        }
    }

    /// The strictest marking of its own collection that a partner reads at a moment.
    fn agreed(&self, at: Timestamp) -> Option<Tlp> {
        let partner = self.kind == OrgKind::Partner && self.standing != Standing::Revoked;
        let agreement = self.agreement.as_ref().filter(|agreement| partner && agreement.holds(at))?;
        Some(policy::reach(Some(agreement)))
    }
}

/// What an organisation was from a moment on; without facts: it is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Since {
    from: Timestamp,
    /// Of the record.
    version: u64,
    facts: Option<Facts>,
}

impl Since {
    /// What was agreed with it.
    fn agreed(&self) -> Agreed {
        match &self.facts {
            None => Agreed::Unknown,
            Some(facts) => facts.agreement.clone().map_or(Agreed::Nothing, Agreed::On),
        }
    }
}

/// What organisations were, with the version of the record that it was read at. One entry for each organisation that asked; the directory has them all.
#[derive(Debug, Default)]
pub(crate) struct Pasts(Mutex<HashMap<OrgNo, (u64, Arc<Vec<Since>>)>>);

impl Pasts {
    fn known(&self, organisation: &Organisation) -> Option<Arc<Vec<Since>>> {
        self.0.lock().get(&organisation.number).filter(|(version, _)| *version == organisation.version).map(|(_, past)| past.clone())
    }
}

impl Hub {
    /// When the caller's organisation could read a collection made from events. The coordinator sees of an agreement's collection what its partner is given.
    /// Where the agreement has just become narrower it waits some seconds for the log to have looked at what there is.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where the partner is not there; what the records say.
    pub async fn taxii_reach(&self, actor: &Actor, collection: &Collection) -> Result<Reach, HubError> {
        let now = self.clock().now();
        match &collection.source {
            Source::Events(events) if actor.is_coordinator() => Ok(Reach::always(events.tlp())),
            Source::Events(events) => {
                let (most, past) = (events.tlp(), self.past_of(&actor.organisation).await?);
                Ok(Reach::of(&past, now, |facts, at| receives_all(&facts.reader(actor.role, at), most).then_some(most)))
            }
            Source::Agreement(partner, agreement) => {
                let partner = self.directory().organisation(*partner).ok_or(HubError::NotFound)?;
                let past = self.past_of(&partner).await?;
                let agreed: Vec<(u64, Agreed)> = past.iter().map(|since| (since.version, since.agreed())).collect();
                let (own, began) = (indicators::Collection::Agreement(partner.number), Instant::now());
                loop {
                    // What was told is asked for last: it is as new at the least.
                    let (settled, register) = (self.store().indicators.settled(own), self.store().indicators.told().1);
                    let told = register.terms(partner.number).filter(|terms| terms.agreement == partner.agreement).map(|terms| terms.version);
                    let course = Course::of(&agreed, told, settled);
                    let reach = Reach::of(&past, now, Facts::agreed).up_to(policy::reach(Some(agreement))).under(course);
                    if !reach.awaits() || began.elapsed() >= SETTLES_WITHIN {
                        return Ok(reach);
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
            Source::Intelligence | Source::Sector(_) | Source::Private => Ok(Reach::default()),
        }
    }

    /// What an organisation was, oldest first, up to what it is.
    async fn past_of(&self, organisation: &Organisation) -> Result<Arc<Vec<Since>>, HubError> {
        if let Some(past) = self.pasts.known(organisation) {
            return Ok(past);
        }
        let rows = self.members().rows_of(&organisation.id.to_string()).await?;
        let before = rows.iter().rev().filter(|row| row.version < organisation.version);
        let mut past: Vec<Since> = before.map(|row| Since { from: row.at, version: row.version, facts: Facts::deserialize(&row.content).ok() }).collect();
        let newest = rows.iter().find(|row| row.version == organisation.version);
        let from = newest.map_or(organisation.updated, |row| row.at);
        past.push(Since { from, version: organisation.version, facts: Some(Facts::of(organisation)) });
        past.dedup_by(|later, earlier| later.facts == earlier.facts);
        let past = Arc::new(past);
        self.pasts.0.lock().insert(organisation.number, (organisation.version, past.clone()));
        Ok(past)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
pub(super) mod tests {
    use super::*;
    use model::Category;

    /// A version of a value that was seen at first in second 1.
    pub(in crate::taxii) fn version(second: i64) -> Indicator {
        Indicator { created: at(1), ..crate::test_support::indicator(at(second)) }
    }

    pub(in crate::taxii) fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    /// Stretches of seconds; 0 as the end of one that lasts.
    pub(in crate::taxii) fn reach(stretches: &[(i64, i64, Tlp)]) -> Reach {
        let until = |second: i64| if second == 0 { Timestamp::MAX } else { at(second) };
        let stretches = stretches.iter().map(|&(from, end, most)| Stretch { from: at(from), until: until(end), most, part: 0 }).collect();
        Reach { stretches, course: None }
    }

    /// Of a partner from the second of each agreement on, which came with versions 1, 2 and so on; with when the log had settled under them.
    pub(in crate::taxii) fn agreed(agreements: &[(i64, Option<Agreement>)], settled: &[(u64, i64)]) -> Reach {
        let versions = 1_u64..;
        let since = |((second, agreement), version): (&(i64, Option<Agreement>), u64)| Since { version, ..partner(*second, agreement.clone()) };
        let past: Vec<Since> = agreements.iter().zip(versions).map(since).collect();
        let settled = settled.iter().map(|&(version, second)| indicators::Settled { version, at: at(second) }).collect();
        let course = Course::of(&past.iter().map(|since| (since.version, since.agreed())).collect::<Vec<_>>(), None, settled);
        Reach::of(&past, at(1_000), Facts::agreed).under(course)
    }

    /// The same without which part of the past each stretch is of.
    fn plain(reach: Reach) -> Reach {
        let stretches = reach.stretches.into_iter().map(|stretch| Stretch { part: 0, ..stretch }).collect();
        Reach { stretches, ..reach }
    }

    fn since(second: i64, kind: OrgKind, standing: Standing, agreement: Option<Agreement>) -> Since {
        Since { from: at(second), version: 1, facts: Some(Facts { kind, standing, agreement }) }
    }

    fn partner(second: i64, agreement: Option<Agreement>) -> Since {
        since(second, OrgKind::Partner, Standing::Full, agreement)
    }

    #[test]
    fn an_agreement_s_collection_is_read_from_its_beginning_to_its_date_as_far_as_each_went() {
        let until = |tlp, second| Some(Agreement { expires: Some(at(second)), ..Agreement::up_to(tlp) });
        let past = [
            partner(10, None),
            partner(20, until(Tlp::Amber, 30)),
            partner(40, Some(Agreement::up_to(Tlp::AmberStrict))),
            Since { from: at(50), version: 1, facts: None },
            partner(60, until(Tlp::Green, 90)),
        ];
        let expected = [(20, 30, Tlp::Amber), (40, 50, Tlp::AmberStrict)];
        let with = |last: (i64, i64, Tlp)| reach(&[&expected[..], &[last][..]].concat());
        assert_eq!(plain(Reach::of(&past, at(80), Facts::agreed)), with((60, 0, Tlp::Green)), "a date that lies ahead changes nothing yet");
        assert_eq!(plain(Reach::of(&past, at(90), Facts::agreed)), with((60, 90, Tlp::Green)));
        assert_eq!((Reach::of(&past, at(80), Facts::agreed).now(), Reach::of(&past, at(90), Facts::agreed).now()), (Some(Tlp::Green), None));
        assert_eq!(with((60, 0, Tlp::Green)).up_to(Tlp::Clear).now(), Some(Tlp::Clear));
        let revoked = [since(1, OrgKind::Partner, Standing::Revoked, Some(Agreement::up_to(Tlp::Amber)))];
        assert_eq!(Reach::of(&revoked, at(2), Facts::agreed), Reach::default());
    }

    #[test]
    fn a_collection_for_many_is_read_while_the_standing_lasts() {
        let member = |second, standing| since(second, OrgKind::Company, standing, None);
        let past = [member(1, Standing::Full), member(2, Standing::ReceiveLimited), member(3, Standing::Warned), member(4, Standing::Revoked)];
        let reads = |most: Tlp| move |facts: &Facts, at: Timestamp| receives_all(&facts.reader(KeyRole::Analyst, at), most).then_some(most);
        let of = |past: &[Since], most: Tlp| plain(Reach::of(past, at(9), reads(most)));
        assert_eq!(of(&past[..3], Tlp::Amber), reach(&[(1, 2, Tlp::Amber), (3, 0, Tlp::Amber)]));
        assert_eq!(of(&past[..3], Tlp::Green).since(Tlp::Green, at(1)), Some(at(1)));
        assert_eq!(of(&past, Tlp::Amber).now(), None);
        let partners = [partner(1, Some(Agreement::up_to(Tlp::Clear))), partner(5, None)];
        assert_eq!(of(&partners, Tlp::Green), reach(&[(5, 0, Tlp::Green)]));
        assert_eq!(of(&partners, Tlp::Clear).since(Tlp::Clear, at(1)), Some(at(1)));
        assert_eq!(of(&partners, Tlp::Amber), Reach::default());
    }

    #[test]
    fn a_marking_is_read_without_a_break_since_the_last_gap_or_narrower_stretch() {
        let reach = reach(&[(1, 5, Tlp::Amber), (5, 10, Tlp::Clear), (10, 20, Tlp::Amber), (20, 0, Tlp::Green)]);
        assert_eq!([Tlp::Clear, Tlp::Green, Tlp::Amber].map(|tlp| reach.since(tlp, at(1))), [Some(at(1)), Some(at(10)), None]);
        let had = |tlp: Tlp, from: i64, until: Timestamp| reach.had(&Indicator { tlp, ..version(from) }, until);
        assert!(had(Tlp::Amber, 4, at(6)) && had(Tlp::Amber, 19, Timestamp::MAX) && had(Tlp::Clear, 5, at(6)));
        assert!(!had(Tlp::Amber, 5, at(10)) && !had(Tlp::Amber, 20, Timestamp::MAX) && !had(Tlp::Clear, 0, at(1)));
        assert!(reach.had_all(Tlp::Amber, at(10)) && !reach.had_all(Tlp::Amber, at(20)));
        assert!(reach.had_all(Tlp::Clear, at(5)) && !reach.had_all(Tlp::Clear, at(0)));
    }

    #[test]
    fn what_an_agreement_that_has_become_narrower_may_not_cover_is_held_back_until_the_log_has_looked_at_it() {
        let amber = || Some(Agreement::up_to(Tlp::Amber));
        let phishing = || Some(Agreement { categories: vec![Category::Phishing], ..Agreement::up_to(Tlp::Amber) });
        let with = |settled: &[(u64, i64)]| agreed(&[(1, None), (10, amber()), (30, phishing())], settled);
        let (open, done) = (with(&[(2, 12)]), with(&[(2, 12), (3, 40)]));
        assert!(open.awaits() && !done.awaits());
        let of = |second: i64, tlp: Tlp| Indicator { tlp, ..version(second) };
        let (wide, late, new, green) = (of(20, Tlp::Amber), of(35, Tlp::Amber), of(50, Tlp::Amber), of(20, Tlp::Green));
        // Whatever it says it is of: what lies above green in it may be of something else.
        for version in [&wide, &late] {
            assert_eq!((open.gives(version), open.lets(version, Timestamp::MAX), open.lets(version, at(38))), (None, None, Some(false)));
            assert_eq!((done.gives(version), done.lets(version, Timestamp::MAX), done.lets(version, at(41))), (None, Some(true), Some(true)));
            assert_eq!(done.lets(version, at(40)), Some(false), "it was replaced before anybody looked at it");
        }
        assert_eq!((open.gives(&green), done.gives(&green), done.gives(&new)), (Some(true), Some(true), Some(true)));
        // What the log still wrote by the wider one was never read, unless it was found to be covered.
        assert!(done.had(&wide, at(25)) && done.had(&wide, at(38)) && !done.had(&late, at(38)) && done.had(&late, at(45)) && !open.had(&late, Timestamp::MAX));
        // What is taken back was said by a version of which the date is not known.
        assert_eq!(done.gives(&Indicator { revoked: true, ..new.clone() }), None);
        assert_eq!(agreed(&[(10, phishing())], &[]).gives(&Indicator { revoked: true, ..new }), Some(true));
        // Where a marking alone narrows there is nothing to wait for.
        let green_only = agreed(&[(1, None), (10, amber()), (30, Some(Agreement::up_to(Tlp::Green)))], &[]);
        assert_eq!((green_only.awaits(), green_only.gives(&wide), green_only.gives(&green)), (false, Some(false), Some(true)));
    }
}
