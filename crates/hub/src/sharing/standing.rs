//! What members shared in the month that is judged, and the round that gives them their standing by it.
//!
//! Flow: a task asks [`Hub::judge_standings`] at the start and once a day → the ledger is read backwards to the beginning of last month →
//! `members::standing::decide` → `Members::settle_standing`.
//! Invariant: a month holds what the hub received in it, in the realm's zone. Where the ledger cannot be read nobody is judged, and where events of the
//! month have expired nobody to whom they may have belonged.
//! Invariant: bounded memory: one frame at a time and one set of counters for each member. What is of use is found early, so that only frames of
//! members who share nothing of use are unpacked to their end.
//! Not here: the rule (`members::standing`), what a standing lets a reader see (`policy`).

use crate::members::standing::{Decision, Facts, Month, Shared, decide, is_bound, is_held};
use crate::{Hub, HubError};
use model::{Category, Event, OrgId, OrgNo, Organisation, Origin, Seq, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use store::ledger::{Body, Kind, columns};
use store::views::Days;

/// A decision about one organisation as it was at a version.
struct Due {
    organisation: OrgId,
    version: u64,
    decision: Decision,
}

/// What members shared in the months that were looked at.
struct Found {
    by_member: HashMap<OrgNo, Shared>,
    /// Whether every event of these months was still there, or of use was found before one that was not.
    is_whole: bool,
}

impl Hub {
    /// Carries the rule of contribution out: decides every member's standing as of now and writes what changes; gives how many did.
    ///
    /// # Errors
    /// [`HubError`] where ledger or records cannot be read or written; what was decided before stays.
    pub async fn judge_standings(self: &Arc<Self>) -> Result<usize, HubError> {
        let hub = Arc::clone(self);
        let due = tokio::task::spawn_blocking(move || hub.standings_due()).await.map_err(|error| HubError::Internal(Box::new(error)))??;
        let mut changed = 0;
        for Due { organisation, version, decision } in due {
            changed += usize::from(self.members().settle_standing(organisation, version, decision).await?);
        }
        Ok(changed)
    }

    fn standings_due(&self) -> Result<Vec<Due>, HubError> {
        let now = self.clock().now();
        let mut days = self.make_days();
        let month = Month::of_day(i64::from(days.day(now)));
        let limit_from = beginning_of(month.limit_day(), days.as_mut());
        let snapshot = self.directory().snapshot();
        let open = |organisation: &Organisation| !is_held(organisation.standing_by, organisation.standing_review, now);
        let judged: HashSet<OrgNo> =
            snapshot.organisations().filter(|organisation| is_bound(organisation) && open(organisation)).map(|organisation| organisation.number).collect();
        let Some(found) = self.shared_by(&judged, month.plus(-1), days.as_mut())? else { return Ok(Vec::new()) };
        let mut due = Vec::new();
        for organisation in snapshot.organisations() {
            let shared = found.by_member.get(&organisation.number).copied().unwrap_or_default();
            if !found.is_whole && is_bound(organisation) && !shared.of_use {
                continue;
            }
            let decision = decide(&Facts {
                bound: is_bound(organisation),
                standing: organisation.standing,
                by: organisation.standing_by,
                review: organisation.standing_review,
                now,
                month,
                joined: Month::of_day(i64::from(days.day(organisation.created))),
                limit_from,
                shared,
            });
            if decision != Decision::Keep {
                due.push(Due { organisation: organisation.id, version: organisation.version, decision });
            }
        }
        Ok(due)
    }

    /// What these members shared since the beginning of the month `judged`; `None` where the hub stops meanwhile.
    fn shared_by(&self, members: &HashSet<OrgNo>, judged: Month, days: &mut dyn Days) -> Result<Option<Found>, HubError> {
        let ledger = &self.store().ledger;
        let stopping = self.streams_stopping();
        let mut all: HashMap<OrgNo, Shared> = HashMap::new();
        let mut without_use = members.len();
        let mut is_whole = true;
        // Newest first: whoever shares at all is known of use after a few frames.
        for index in (0..ledger.frames()).rev() {
            if *stopping.borrow() {
                return Ok(None);
            }
            let Some(place) = ledger.place(index) else { continue };
            let month = Month::of_day(i64::from(days.day(place.header.received)));
            if month < judged || without_use == 0 {
                break;
            }
            if place.header.kind == Kind::Control {
                continue;
            }
            if place.header.end() <= self.store().views.expired_before() {
                is_whole = false;
                break;
            }
            let frame = ledger.read(&place).map_err(|error| HubError::Internal(Box::new(error)))?;
            // It may have expired since the look at its place.
            is_whole &= !frame.header.expired;
            let undecided = |org: OrgNo| members.contains(&org) && all.get(&org).is_none_or(|shared| !shared.of_use);
            let submissions: Vec<_> = frame.submissions().into_iter().filter(|submission| undecided(submission.org)).collect();
            if submissions.is_empty() {
                continue;
            }
            let unreadable = || HubError::Internal(Box::new(std::io::Error::other("a block of the month that is judged cannot be opened")));
            let (_, body) = columns::split_filter(frame.body()).ok_or_else(unreadable)?;
            let reader = Body::open(frame.header.rows, body).and_then(|body| body.events(frame.vault())).ok_or_else(unreadable)?;
            for submission in submissions {
                let shared = all.entry(submission.org).or_default();
                if shared.of_use {
                    continue;
                }
                for row in submission.start..submission.start + submission.rows {
                    let seq = Seq(place.header.first_seq.0 + u64::from(row));
                    let Some(event) = reader.event(row as usize) else { continue };
                    self.count_shared(seq, &event, month == judged, shared);
                    if shared.of_use {
                        without_use -= 1;
                        break;
                    }
                }
            }
        }
        Ok(Some(Found { by_member: all, is_whole }))
    }

    /// Counts one event of a member; only those of the judged month are figures of its reason.
    fn count_shared(&self, seq: Seq, event: &Event, figures: bool, shared: &mut Shared) {
        let views = &self.store().views;
        let one = u64::from(figures);
        if views.merged.read().contains(seq.0) {
            // The same event sent again.
        } else if views.withdrawn.read().contains(seq.0) {
            shared.withdrawn += one;
        } else if event.category == Category::Test {
            shared.test += one;
        } else if event.origin == Origin::Relayed {
            shared.relayed += one;
        } else {
            let disputed = views.disputed.read();
            let all_upheld = event.observables.iter().all(|observable| disputed.contains(&views.keys.observable(observable.kind, &observable.value)));
            // An event whose values were erased was of use all the same.
            if all_upheld && !event.observables.is_empty() {
                shared.disputed += one;
            } else {
                shared.of_use = true;
            }
        }
    }
}

/// The first second of a civil day.
fn beginning_of(day: i64, days: &mut dyn Days) -> Timestamp {
    const DAY: i64 = 86_400;
    // No zone is a whole day from UTC: the beginning lies between these two.
    let (mut before, mut within) = (day * DAY - 2 * DAY, day * DAY + DAY);
    while within - before > 1 {
        let middle = before + (within - before) / 2;
        if i64::from(days.day(Timestamp::from_seconds(middle))) < day {
            before = middle;
        } else {
            within = middle;
        }
    }
    Timestamp::from_seconds(within)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::days::ZoneDays;
    use crate::sharing::Withdrawal;
    use crate::test_support::Realm;
    use jiff::tz::TimeZone;
    use model::time::days_from_civil;
    use model::{OrgKind, Standing, StandingBy};

    /// Noon in Korea of a civil day.
    fn noon(year: i64, month: i64, day: i64) -> i64 {
        days_from_civil(year, month, day) * 86_400 + 3 * 3_600
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn members_are_warned_limited_and_restored_by_what_they_share() {
        let realm = Realm::open(noon(2026, 1, 20), None).await;
        let (sharing, sharing_actor) = realm.member("Sharing", OrgKind::Company).await;
        let (idle, idle_actor) = realm.member("Idle", OrgKind::Agency).await;
        let (relaying, relaying_actor) = realm.member("Relaying", OrgKind::Company).await;
        let (vendor, _) = realm.member("Vendor", OrgKind::Vendor).await;
        let members = [sharing, idle, relaying, vendor];
        let standings = |realm: &Realm| members.map(|id| realm.standing(id));
        realm.now(noon(2026, 4, 10));
        realm.send(&sharing_actor, r#""category":"scanner","value":"185.60.1.1""#).await;
        for filler in [r#""category":"scanner","value":"185.60.1.2","origin":"relayed""#, r#""category":"test","value":"185.60.1.3""#] {
            realm.send(&relaying_actor, filler).await;
        }
        assert_eq!(realm.hub.judge_standings().await.unwrap(), 0, "grace");

        realm.now(noon(2026, 5, 1));
        assert_eq!(realm.hub.judge_standings().await.unwrap(), 2);
        assert_eq!(realm.hub.judge_standings().await.unwrap(), 0, "the second round changes nothing");
        assert_eq!(standings(&realm), [Standing::Full, Standing::Warned, Standing::Warned, Standing::Full]);
        let warned = realm.hub.directory().by_id(relaying).unwrap();
        assert_eq!(warned.standing_by, StandingBy::Rule);
        // Midnight in Korea.
        assert_eq!(warned.standing_review.unwrap().to_string(), "2026-06-14T15:00:00Z");
        assert!(warned.standing_reason.as_ref().unwrap().contains("relayed 1, test 1"), "{:?}", warned.standing_reason);
        let history = realm.hub.members().history(&realm.coordinator, relaying).await.unwrap();
        assert_eq!((history[0].action.as_str(), &history[0].key, &history[0].organisation), ("standing", &None, &None), "the hub itself acted");

        // One of them shares, is full again, and stays so the day after.
        realm.now(noon(2026, 5, 20));
        realm.send(&relaying_actor, r#""category":"scanner","value":"185.60.1.4""#).await;
        let taken_back = realm.send(&idle_actor, r#""category":"scanner","value":"185.60.1.5""#).await;
        realm.hub.withdraw(&idle_actor, Withdrawal::Seq(taken_back), "wrong", false).await.unwrap();
        assert_eq!(realm.hub.judge_standings().await.unwrap(), 1);
        realm.now(noon(2026, 5, 21));
        assert_eq!(realm.hub.judge_standings().await.unwrap(), 0);
        assert_eq!(standings(&realm), [Standing::Full, Standing::Warned, Standing::Full, Standing::Full]);

        realm.now(noon(2026, 6, 14));
        realm.send(&sharing_actor, r#""category":"scanner","value":"185.60.1.6""#).await;
        assert_eq!(realm.hub.judge_standings().await.unwrap(), 0);
        realm.now(noon(2026, 6, 15));
        assert_eq!(realm.hub.judge_standings().await.unwrap(), 1);
        assert_eq!(realm.standing(idle), Standing::ReceiveLimited);

        // An operator hears an appeal; the rule waits until the date.
        let until = Timestamp::from_seconds(noon(2026, 8, 1));
        realm.hub.members().set_standing(&realm.coordinator, idle, Standing::Full, "moved its sensors", Some(until)).await.unwrap();
        realm.now(noon(2026, 7, 31));
        realm.send(&sharing_actor, r#""category":"scanner","value":"185.60.1.7""#).await;
        realm.send(&relaying_actor, r#""category":"scanner","value":"185.60.1.8""#).await;
        assert_eq!(realm.hub.judge_standings().await.unwrap(), 0);
        realm.now(noon(2026, 8, 1));
        assert_eq!(realm.hub.judge_standings().await.unwrap(), 1);
        assert_eq!(realm.standing(idle), Standing::Warned, "a warning comes before a limit");
        realm.close().await;
    }

    #[test]
    fn a_civil_day_begins_at_midnight_of_the_zone() {
        for (zone, expected) in [("UTC", "2026-06-15T00:00:00Z"), ("Asia/Seoul", "2026-06-14T15:00:00Z"), ("America/New_York", "2026-06-15T04:00:00Z")] {
            let mut days = ZoneDays::new(TimeZone::get(zone).unwrap());
            assert_eq!(beginning_of(days_from_civil(2026, 6, 15), &mut days).to_string(), expected);
        }
    }
}
