//! Findings made anew once events of theirs are gone.
//!
//! Flow: the ranges withdrawn → which values and owners their events may have concerned → every event of those values is read again.
//! Invariant: an event counts for whom it concerned at its own place: by what was registered then, and by who stood in for owners then.
//! Not here: frames as they come (`super`).

use super::{Concerned, Following, believed, each_event, hit, join};
use crate::ledger::{Frame, Kind, Nation, columns};
use crate::views::KeyFilter;
use crate::views::owners::fallback::Fallback;
use crate::views::owners::finding::Hit;
use crate::views::owners::register::Past;
use crate::views::owners::{MAX_WAITING, Owner, finding_id};
use hashbrown::{HashMap, HashSet};
use model::concern::concerns;
use model::{Category, OrgNo, Seq};
use smallvec::SmallVec;
use std::sync::Arc;

/// A finding whose events are to be read again.
type Anew = HashMap<(u128, Category), SmallVec<[OrgNo; 2]>>;

/// What was read last of who stood in for owners.
#[derive(Default)]
struct Then {
    nation: Option<Nation>,
    fallback: Option<Arc<Fallback>>,
}

impl Following {
    /// Makes every finding anew that an event in `ranges` may have a part in.
    pub(super) fn withdraw(&mut self, mut ranges: Vec<(Seq, Seq)>) {
        ranges.sort_unstable();
        let (Some(&(first, _)), Some(last)) = (ranges.first(), ranges.iter().map(|range| range.1).max()) else { return };
        if self.owners.state.read().rows.is_empty() {
            return;
        }
        let past = self.owners.state.read().register.past();
        let mut then = Then::default();
        let mut anew = Anew::new();
        for place in self.ledger.places(self.ledger.index_of(first)..self.ledger.index_of(last) + 1) {
            if place.header.kind == Kind::Control || place.header.first_seq >= self.position {
                continue;
            }
            let Some(frame) = self.read(&place) else { return };
            let fallback = self.fallback_at(&mut then, place.header.first_seq);
            each_event(&frame, |seq, _, _, event| {
                let range = ranges.partition_point(|range| range.0 <= seq).checked_sub(1).and_then(|at| ranges.get(at));
                if range.is_none_or(|range| seq > range.1) {
                    return;
                }
                concerns(event, |concern| {
                    let key = self.views.keys.observable(concern.kind, &concern.value);
                    let mut add = |organisation: OrgNo| {
                        let owners = anew.entry((key, event.category)).or_default();
                        if !owners.contains(&organisation) {
                            owners.push(organisation);
                        }
                    };
                    past.owners(&concern, None, &mut |owner| add(owner.organisation));
                    if let Some(asn) = concern.asn {
                        past.owners_of_asn(asn, None, &mut |owner| add(owner.organisation));
                    }
                    if let Some(fallback) = fallback.as_deref() {
                        fallback.told(&concern, |asn| past.registrants(asn, Some(seq))).into_iter().for_each(&mut add);
                    }
                });
            });
        }
        self.make_anew(&anew, &past);
    }

    /// Who stood in for owners at a place; asked in order of place, so that each table is read once.
    fn fallback_at(&self, then: &mut Then, seq: Seq) -> Option<Arc<Fallback>> {
        let nation = self.owners.state.read().nations.at(seq).cloned();
        if then.nation != nation {
            then.fallback = nation.as_ref().and_then(|nation| self.fallback_of(nation));
            then.nation = nation;
        }
        then.fallback.clone()
    }

    fn make_anew(&mut self, anew: &Anew, past: &Past) {
        let (mut first, mut last, mut far) = (Seq(u64::MAX), Seq(0), false);
        let mut ids = Vec::new();
        {
            let state = self.owners.state.read();
            for (&(key, category), owners) in anew {
                for &owner in owners {
                    let id = finding_id(owner, key, category);
                    let Some(finding) = state.rows.get(&id) else { continue };
                    ids.push(id);
                    first = first.min(finding.opened());
                    last = last.max(finding.last_seq());
                    far |= finding.far;
                }
            }
        }
        if ids.is_empty() {
            return;
        }
        let keys: HashSet<u128> = anew.keys().map(|(key, _)| *key).collect();
        let mut hits: HashMap<u128, Vec<Hit>> = HashMap::new();
        let mut then = Then::default();
        for place in self.ledger.places(self.ledger.index_of(first)..self.ledger.index_of(last) + 1) {
            if place.header.kind == Kind::Control {
                continue;
            }
            let Some(frame) = self.read(&place) else { return };
            // A frame's filter knows its observables, and no far side.
            let filter = columns::split_filter(frame.body()).and_then(|(filter, _)| KeyFilter::from_bytes(filter));
            if !far && filter.is_some_and(|filter| !keys.iter().any(|&key| filter.may_contain(key))) {
                continue;
            }
            let fallback = self.fallback_at(&mut then, place.header.first_seq);
            self.hits_anew(&frame, anew, past, fallback.as_deref(), &mut hits);
        }
        let mut state = self.owners.state.write();
        for id in &ids {
            state.refill(*id, hits.get(id).map_or(&[], Vec::as_slice), MAX_WAITING);
        }
        self.changed = true;
    }

    /// The hits of a frame on some values, by what was registered and who stood in for owners then.
    fn hits_anew(&self, frame: &Frame, anew: &Anew, past: &Past, fallback: Option<&Fallback>, hits: &mut HashMap<u128, Vec<Hit>>) {
        each_event(frame, |seq, reporter, row, event| {
            if seq >= self.position || !self.views.counts(seq) {
                return;
            }
            let mut here: SmallVec<[(OrgNo, u128); 4]> = SmallVec::new();
            concerns(event, |concern| {
                let key = self.views.keys.observable(concern.kind, &concern.value);
                let Some(wanted) = anew.get(&(key, event.category)) else { return };
                let mut owners = Concerned::new();
                past.owners(&concern, Some(seq), &mut |owner| join(&mut owners, owner));
                if let Some(asn) = believed(&concern, !owners.is_empty(), fallback) {
                    past.owners_of_asn(asn, Some(seq), &mut |owner| join(&mut owners, owner));
                }
                if let Some(fallback) = fallback.filter(|_| owners.is_empty()) {
                    owners.extend(fallback.told(&concern, |asn| past.registrants(asn, Some(seq))).into_iter().map(Owner::standing_in));
                }
                for owner in owners {
                    if !wanted.contains(&owner.organisation) || here.contains(&(owner.organisation, key)) {
                        continue;
                    }
                    here.push((owner.organisation, key));
                    let hit = hit(owner, key, &concern, event, seq, reporter, frame.header.received_at(row));
                    hits.entry(hit.id()).or_default().push(hit);
                }
            });
        });
    }
}
