//! Since when the organisation of a caller could read a collection made from events, and up to which marking: what it may have received.
//!
//! Flow: the history of the organisation's record, read once per version of it → what policy says of each change ([`Reach::of`]) → [`Reach::had`],
//! asked of versions that were there before the caller's present reach began.
//! Invariant: a change counts from the moment the records have it, a date of an agreement from that date. What the history does not tell, as what lies
//! before its oldest rows that are given, counts as having read nothing: where it cannot be known, nothing is told.
//! Not here: what follows for a version ([`super::beside::given`]), contributed objects, each version of which is judged alone ([`super::kept`]).

use super::{Collection, Source};
use crate::{Actor, Hub, HubError};
use model::{Agreement, KeyRole, OrgKind, OrgNo, Organisation, Standing, Timestamp, Tlp};
use parking_lot::Mutex;
use policy::{Reader, receives_all};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use store::views::indicators::Indicator;

/// When something could be read, and up to which marking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    from: Timestamp,
    /// Exclusive; [`Timestamp::MAX`]: it lasts.
    until: Timestamp,
    most: Tlp,
}

/// When a collection could be read by the organisation of a caller; stretches of time, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reach(Vec<Stretch>);

impl Reach {
    /// Of those who were always there.
    fn always(most: Tlp) -> Self {
        Self(vec![Stretch { from: Timestamp::MIN, until: Timestamp::MAX, most }])
    }

    /// What follows from what an organisation was. `most` is the strictest marking of the collection that it could read, being so at a moment.
    fn of(past: &[Since], now: Timestamp, most: impl Fn(&Facts, Timestamp) -> Option<Tlp>) -> Self {
        let mut stretches = Vec::new();
        let mut add = |from: Timestamp, until: Timestamp, most: Option<Tlp>| {
            if let Some(most) = most.filter(|_| from < until) {
                stretches.push(Stretch { from, until, most });
            }
        };
        for (place, since) in past.iter().enumerate() {
            let Some(facts) = &since.facts else { continue };
            let next = past.get(place + 1).map(|next| next.from);
            let until = next.unwrap_or(Timestamp::MAX);
            // An agreement's date that lies ahead changes nothing yet.
            let within = |date: &Timestamp| *date > since.from && *date < until && (next.is_some() || *date <= now);
            let over = facts.agreement.as_ref().and_then(|agreement| agreement.expires).filter(within);
            add(since.from, over.unwrap_or(until), most(facts, since.from));
            if let Some(over) = over {
                add(over, until, most(facts, over));
            }
        }
        Self(stretches)
    }

    /// The same, with no more from here on.
    fn up_to(mut self, most: Tlp) -> Self {
        if let Some(last) = self.0.last_mut() {
            last.most = last.most.min(most);
        }
        self
    }

    /// The strictest marking that is read now; `None`: nothing is.
    pub(super) fn now(&self) -> Option<Tlp> {
        self.0.last().filter(|last| last.until == Timestamp::MAX).map(|last| last.most)
    }

    /// Since when without a break a marking is read that is read now.
    fn since(&self, tlp: Tlp) -> Option<Timestamp> {
        let mut next = Timestamp::MAX;
        for stretch in self.0.iter().rev().take_while(|stretch| stretch.most >= tlp) {
            if stretch.until != next {
                break;
            }
            next = stretch.from;
        }
        (next < Timestamp::MAX).then_some(next)
    }

    /// Whether what was there from a moment up to another, exclusive, could be read at some time in between.
    pub(super) fn had(&self, tlp: Tlp, from: Timestamp, until: Timestamp) -> bool {
        self.0.iter().any(|stretch| stretch.most >= tlp && stretch.from < until && from < stretch.until)
    }

    /// Whether a version is given as it is, by what it says itself; `None` where the versions around it decide.
    pub(super) fn gives(&self, version: &Indicator) -> Option<bool> {
        let since = self.since(version.tlp);
        if version.revoked {
            // It says what the version before it said, which was there until then.
            let never = self.0.first().is_none_or(|first| first.from >= version.added);
            return if since.is_some_and(|since| since < version.added) { Some(true) } else { never.then_some(false) };
        }
        match since {
            None => Some(false),
            Some(since) => (since <= version.added).then_some(true),
        }
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
    facts: Option<Facts>,
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
                Ok(Reach::of(&past, now, Facts::agreed).up_to(policy::reach(Some(agreement))))
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
        let mut past: Vec<Since> = before.map(|row| Since { from: row.at, facts: Facts::deserialize(&row.content).ok() }).collect();
        let newest = rows.iter().find(|row| row.version == organisation.version);
        past.push(Since { from: newest.map_or(organisation.updated, |row| row.at), facts: Some(Facts::of(organisation)) });
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

    pub(in crate::taxii) fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    /// Stretches of seconds; 0 as the end of one that lasts.
    pub(in crate::taxii) fn reach(stretches: &[(i64, i64, Tlp)]) -> Reach {
        let until = |second: i64| if second == 0 { Timestamp::MAX } else { at(second) };
        Reach(stretches.iter().map(|&(from, end, most)| Stretch { from: at(from), until: until(end), most }).collect())
    }

    fn since(second: i64, kind: OrgKind, standing: Standing, agreement: Option<Agreement>) -> Since {
        Since { from: at(second), facts: Some(Facts { kind, standing, agreement }) }
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
            Since { from: at(50), facts: None },
            partner(60, until(Tlp::Green, 90)),
        ];
        let expected = [(20, 30, Tlp::Amber), (40, 50, Tlp::AmberStrict)];
        let with = |last: (i64, i64, Tlp)| reach(&[&expected[..], &[last][..]].concat());
        assert_eq!(Reach::of(&past, at(80), Facts::agreed), with((60, 0, Tlp::Green)), "a date that lies ahead changes nothing yet");
        assert_eq!(Reach::of(&past, at(90), Facts::agreed), with((60, 90, Tlp::Green)));
        assert_eq!((Reach::of(&past, at(80), Facts::agreed).now(), Reach::of(&past, at(90), Facts::agreed).now()), (Some(Tlp::Green), None));
        assert_eq!(with((60, 0, Tlp::Green)).up_to(Tlp::Clear).now(), Some(Tlp::Clear));
        let revoked = [since(1, OrgKind::Partner, Standing::Revoked, Some(Agreement::up_to(Tlp::Amber)))];
        assert_eq!(Reach::of(&revoked, at(2), Facts::agreed), Reach::default());
    }

    #[test]
    fn a_collection_for_many_is_read_while_the_standing_lasts() {
        let member = |second, standing| since(second, OrgKind::Company, standing, None);
        let past = [member(1, Standing::Full), member(2, Standing::ReceiveLimited), member(3, Standing::Warned), member(4, Standing::Revoked)];
        let of = |past: &[Since], most: Tlp| Reach::of(past, at(9), |facts, at| receives_all(&facts.reader(KeyRole::Analyst, at), most).then_some(most));
        assert_eq!(of(&past[..3], Tlp::Amber), reach(&[(1, 2, Tlp::Amber), (3, 0, Tlp::Amber)]));
        assert_eq!(of(&past[..3], Tlp::Green).since(Tlp::Green), Some(at(1)));
        assert_eq!(of(&past, Tlp::Amber).now(), None);
        let partners = [partner(1, Some(Agreement::up_to(Tlp::Clear))), partner(5, None)];
        assert_eq!(of(&partners, Tlp::Green), reach(&[(5, 0, Tlp::Green)]));
        assert_eq!(of(&partners, Tlp::Clear).since(Tlp::Clear), Some(at(1)));
        assert_eq!(of(&partners, Tlp::Amber), Reach::default());
    }

    #[test]
    fn a_marking_is_read_without_a_break_since_the_last_gap_or_narrower_stretch() {
        let reach = reach(&[(1, 5, Tlp::Amber), (5, 10, Tlp::Clear), (10, 20, Tlp::Amber), (20, 0, Tlp::Green)]);
        assert_eq!([Tlp::Clear, Tlp::Green, Tlp::Amber].map(|tlp| reach.since(tlp)), [Some(at(1)), Some(at(10)), None]);
        assert!(reach.had(Tlp::Amber, at(4), at(6)) && reach.had(Tlp::Amber, at(19), Timestamp::MAX) && reach.had(Tlp::Clear, at(5), at(6)));
        assert!(!reach.had(Tlp::Amber, at(5), at(10)) && !reach.had(Tlp::Amber, at(20), Timestamp::MAX) && !reach.had(Tlp::Clear, at(0), at(1)));
    }
}
