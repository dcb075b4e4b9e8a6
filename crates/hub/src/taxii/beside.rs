//! What a reader is given of the versions of an indicator, and which of its relationships one of them changes: to malware, to techniques of ATT&CK and to
//! vulnerabilities.
//!
//! Flow: the versions of a value, when the reader could read the collection → those that it is given ([`given`], by the law of [`super::gather`]) → what
//! one of them changes ([`Given::changes`]) → objects with dates right before the version's own. Which version was the first that the reader may have
//! received is [`Oldest`].
//! Invariant: a function of the log and of when the reader could read it. A version of a relationship stands where the versions that are given begin to
//! name its target, and one that is `revoked` where they no longer do. The relationship to malware is one, whatever it leads to: it ends where none is named.
//! Before a version lie, the nearest first: the relationships to what it names, the objects of that, the relationships that end. The log keeps their dates
//! free ([`Indicator::room`]); where an entry of before that lies too close behind another one, nothing stands beside it.
//! Not here: which objects a version is the first to name ([`super::families`]), what they look like ([`super::targets`]).

use super::Reach;
use super::families::waiting;
use super::targets::{Target, named, said_by};
use crate::Hub;
use model::Timestamp;
use std::cell::OnceCell;
use store::views::indicators::Indicator;

/// Whether an entry has room beside it, by the date of the one before.
pub(super) fn has_room(before: Option<Timestamp>, entry: &Indicator) -> bool {
    before.is_none_or(|before| before <= free_after(entry))
}

/// What lies between this moment and an entry, both exclusive, is free for what stands beside it.
pub(super) fn free_after(entry: &Indicator) -> Timestamp {
    entry.added.minus(entry.room())
}

/// What a version changes of one of its indicator's relationships.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// What it leads to.
    pub(super) target: Target,
    /// Whether it ends; else it begins, or leads to other malware than before.
    pub(super) ends: bool,
    /// How many microseconds before the version it stands.
    pub(super) before: i64,
}

/// How many microseconds before its version the object stands that is the one with this number of so many that the version names.
pub(super) fn object_before(place: usize, named: usize) -> i64 {
    (1 + named + place) as i64
}

/// A version as a reader is given it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Given {
    pub(super) version: Indicator,
    /// What the one before it that is given leads to.
    pub(super) said: Vec<Target>,
    /// What else relationships may lead to that the reader had: of versions that are hidden from it by now, and of what is taken back.
    pub(super) had: Vec<Target>,
}

impl Given {
    fn new(version: Indicator) -> Self {
        Self { version, said: Vec::new(), had: Vec::new() }
    }

    /// What the reader had of a version, which ends with this one. The newest malware counts.
    fn add_had(&mut self, had: Vec<Target>) {
        for target in had {
            if !self.had.iter().any(|known| known.is_linked_as(&target)) {
                self.had.push(target);
            }
        }
    }

    /// What may end with it: first what the reader is given that leads there.
    fn standing(&self) -> impl Iterator<Item = &Target> {
        let said = self.said.iter().map(move |said| self.had.iter().find(|had| had.is_linked_as(said)).unwrap_or(said));
        said.chain(self.had.iter().filter(move |had| !self.said.iter().any(|said| said.is_linked_as(had))))
    }

    /// What it changes. What was only had ends as far as there is room.
    pub(super) fn changes(&self) -> Vec<Change> {
        let named = named(&self.version);
        let (first_ended, room) = ((1 + 2 * named.len()) as i64, self.version.room().as_micros() as i64);
        let ended = self.standing().filter(|standing| !named.iter().any(|target| target.is_linked_as(standing)));
        let ended = (first_ended..room).zip(ended).map(|(before, target)| Change { target: target.clone(), ends: true, before });
        let begun = named.iter().enumerate().filter(|(_, target)| !self.said.contains(target));
        begun.map(|(place, target)| Change { target: target.clone(), ends: false, before: (1 + place) as i64 }).chain(ended).collect()
    }
}

/// What a reader is given of the versions of a value, newest first as they are.
pub(super) fn given(versions: &[Indicator], reach: &Reach) -> Vec<Given> {
    let mut given: Vec<Given> = Vec::with_capacity(versions.len());
    for (place, version) in versions.iter().enumerate() {
        let whole = reach.gives(version);
        if version.revoked {
            let words = if whole == Some(true) { Some(version) } else { last_had(versions, place, reach).filter(|_| whole.is_none()) };
            let Some(words) = words else { continue };
            // What it takes back is what the reader had.
            let (added, threats_before) = (version.added, version.threats_before);
            let mut taken = Given::new(Indicator { added, revoked: true, threats_before, ..words.clone() });
            taken.add_had(said_by(words));
            given.push(taken);
        } else if whole.unwrap_or_else(|| reach.lets(version, until(versions, place)) == Some(true) && was_had(versions, place, reach)) {
            given.push(Given::new(version.clone()));
        } else if was_had(versions, place, reach)
            && let Some(next) = given.last_mut()
        {
            next.add_had(named(version));
        }
    }
    let before: Vec<Vec<Target>> = given.iter().skip(1).map(|before| named(&before.version)).collect();
    for (given, before) in given.iter_mut().zip(before) {
        given.said = before;
    }
    given
}

/// The newest version before a revoked one, back to the revoked one before that, which the reader may have received.
fn last_had<'v>(versions: &'v [Indicator], revoked: usize, reach: &Reach) -> Option<&'v Indicator> {
    let mut before = versions.iter().enumerate().skip(revoked + 1).take_while(|(_, version)| !version.revoked);
    before.find(|(place, _)| was_had(versions, *place, reach)).map(|(_, version)| version)
}

/// Whether the reader may have received the version at a place while it was the newest.
fn was_had(versions: &[Indicator], place: usize, reach: &Reach) -> bool {
    versions.get(place).is_some_and(|version| reach.had(version, until(versions, place)))
}

/// Until when the version at a place was the newest.
fn until(versions: &[Indicator], place: usize) -> Timestamp {
    place.checked_sub(1).and_then(|next| versions.get(next)).map_or(Timestamp::MAX, |next| next.added)
}

/// Looks through the versions of a value, newest first, for the oldest that a reader may have received.
///
/// Invariant: which one that is does not change once any was received: a reader's past stays as it was, and what is older was replaced by then.
struct Oldest<'r> {
    reach: &'r Reach,
    /// Until when the next one was the newest.
    until: Timestamp,
    /// When the oldest one so far was added.
    found: Option<Timestamp>,
}

impl<'r> Oldest<'r> {
    fn new(reach: &'r Reach) -> Self {
        Self { reach, until: Timestamp::MAX, found: None }
    }

    /// Looks at the next one; false where none that is older can have been received.
    fn look(&mut self, version: &Indicator) -> bool {
        if !version.revoked && self.reach.had(version, self.until) {
            self.found = Some(version.added);
        }
        self.until = version.added;
        version.added != version.created && !self.reach.begins_at_or_after(version.added)
    }
}

/// One version of an indicator among the others, which are read when they are needed.
pub(super) struct Among<'a> {
    hub: &'a Hub,
    reach: &'a Reach,
    version: &'a Indicator,
    /// All of them, where they were read before.
    read: Option<&'a [Indicator]>,
    versions: OnceCell<Others>,
}

/// The versions that a reader is given, newest first.
struct Others {
    given: Vec<Given>,
    /// Whether the value's first version was among those that were looked at.
    complete: bool,
    /// Date of the version that stands, where it is not known yet whether the reader may be given it.
    open: Option<Timestamp>,
    /// When the oldest version was added that the reader may have received, of those that were looked at.
    oldest: Option<Timestamp>,
    /// Whether that is the oldest of all.
    is_oldest: bool,
}

impl Others {
    fn of(versions: &[Indicator], reach: &Reach) -> Self {
        let newest = versions.first().filter(|newest| !newest.revoked && reach.lets(newest, Timestamp::MAX).is_none());
        let mut oldest = Oldest::new(reach);
        let is_oldest = !versions.iter().all(|version| oldest.look(version));
        Self {
            given: given(versions, reach),
            complete: versions.last().is_some_and(|first| first.added == first.created),
            open: newest.map(|newest| newest.added),
            oldest: oldest.found,
            is_oldest,
        }
    }
}

impl<'a> Among<'a> {
    pub(super) fn new(hub: &'a Hub, reach: &'a Reach, version: &'a Indicator, read: Option<&'a [Indicator]>) -> Self {
        Self { hub, reach, version, read, versions: OnceCell::new() }
    }

    /// The version as the reader is given it, but for its `created` ([`Among::oldest`]); `None` where it is not.
    ///
    /// # Errors
    /// What the log says; [`super::families::is_waiting`] where the log has yet to look at whether the reader may be given it.
    pub(super) fn shown(&self) -> std::io::Result<Option<&Indicator>> {
        match self.reach.gives(self.version) {
            Some(true) => Ok(Some(self.version)),
            Some(false) => Ok(None),
            // Whoever reads on would never come back to it.
            None if self.others()?.open == Some(self.version.added) => Err(waiting()),
            None => Ok(self.own()?.map(|given| &given.version)),
        }
    }

    /// When the oldest version of the value was added that the reader may have received: an earlier date would tell that there was another before. Of
    /// more versions than the store looks back at ([`store::views::indicators::MAX_LOOKED_BACK`]) it is the oldest of those.
    pub(super) fn oldest(&self) -> std::io::Result<Option<Timestamp>> {
        let others = self.others()?;
        if others.is_oldest {
            return Ok(others.oldest);
        }
        let mut oldest = Oldest::new(self.reach);
        self.hub.store().indicators.look_back(self.version.collection, self.version.key, |version| oldest.look(&version))?;
        Ok(oldest.found)
    }

    fn others(&self) -> std::io::Result<&Others> {
        if let Some(others) = self.versions.get() {
            return Ok(others);
        }
        let others = match self.read {
            Some(versions) => Others::of(versions, self.reach),
            None => Others::of(&self.hub.store().indicators.versions(self.version.collection, self.version.key)?, self.reach),
        };
        Ok(self.versions.get_or_init(|| others))
    }

    /// The version among those that are given.
    fn own(&self) -> std::io::Result<Option<&Given>> {
        Ok(self.others()?.given.iter().find(|given| given.version.added == self.version.added))
    }

    /// Whether it is the value's very first.
    fn is_beginning(&self) -> bool {
        self.version.added == self.version.created
    }

    /// Whether it is the first that is given.
    pub(super) fn is_first(&self) -> std::io::Result<bool> {
        if self.is_beginning() {
            return Ok(true);
        }
        let others = self.others()?;
        Ok(others.complete && others.given.last().is_some_and(|first| first.version.added == self.version.added))
    }

    /// Whether it is the newest that is given.
    pub(super) fn is_newest(&self) -> std::io::Result<bool> {
        Ok(self.others()?.given.first().is_none_or(|newest| newest.version.added <= self.version.added))
    }

    /// What it changes of the relationships.
    pub(super) fn changes(&self) -> std::io::Result<Vec<Change>> {
        if self.is_beginning() {
            // Most name nothing.
            let names = !named(self.version).is_empty();
            return Ok(if names { Given::new(self.version.clone()).changes() } else { Vec::new() });
        }
        Ok(self.own()?.map(Given::changes).unwrap_or_default())
    }

    /// Whether no version before it changes the relationship to a target.
    pub(super) fn is_first_change(&self, target: &Target) -> std::io::Result<bool> {
        Ok(self.is_beginning() || !self.changing(target)?.any(|added| added < self.version.added))
    }

    /// Whether no version after it does.
    pub(super) fn is_last_change(&self, target: &Target) -> std::io::Result<bool> {
        Ok(!self.changing(target)?.any(|added| added > self.version.added))
    }

    /// Dates of the versions that change the relationship to a target, newest first.
    fn changing(&self, target: &Target) -> std::io::Result<impl Iterator<Item = Timestamp>> {
        let is_changed = move |given: &&Given| given.changes().iter().any(|change| change.target.is_linked_as(target));
        Ok(self.others()?.given.iter().filter(is_changed).map(|given| given.version.added))
    }
}

#[cfg(test)]
mod tests;
