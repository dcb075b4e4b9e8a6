//! Those who are no members are told by mail what is wrong in their networks, where the configuration says so: each abuse contact by one digest a day at
//! the most.
//!
//! Flow: once a day at [`AT`] → the findings told since the round before in which an authority or the hub stands in for an owner → the innermost contact
//! of each value → one mail for each address, in the order of [`Hub::outsiders_place`] → the place in the file, after each.
//! Invariant: of a finding goes out what an owner is told of it ([`TOLD`]), when the mail is written: neither who reported it, who stands in, nor what
//! people decided. What waits for release, is a test or was the far side of something is in none. A mail has the same Message-ID whenever it is tried; a
//! round that was cut short goes on where it was, and the mails that it repeats are known by that.
//! Not here: the table of contacts (`owners::abuse`), the words (`render`), what providers that are members are told (their own subscriptions).

use super::mail::{Mailer, Recipient};
use super::message::{ABUSE_LIST, Lane, Language, Message};
use super::queue::MAX_THINGS;
use super::render::MAIN_REALM;
use super::rhythm::{self, ClockTime, Rhythm, next_due};
use super::webhook::SendError;
use crate::owners::FindingView;
use crate::{Hub, HubError};
use hashbrown::HashSet;
use model::{OrgKind, OrgNo, Seq, Text, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// When digests go out, in the realm's zone.
const AT: &str = "09:00";
/// How often it is looked whether there is something to do.
const ROUND: Duration = Duration::from_secs(30);
/// What was told a moment ago may not be there yet; it is told the day after.
const SETTLED: Duration = Duration::from_secs(60);
/// After so long what was not sent is given up; the next round has what is told again.
const GIVE_UP: Duration = Duration::from_secs(20 * 3_600);
/// The longest wait after a mail that the server did not take.
const LATER: Duration = Duration::from_secs(3_600);
/// Findings looked at as one job.
const AT_ONCE: usize = 1_000;
/// Addresses that are mailed in a round.
const MAX_ADDRESSES: usize = 10_000;
/// Findings that a round carries.
const MAX_CARRIED: usize = 500_000;
/// Refusals for good before anything was taken; further ones are the server's or the hub's fault.
const MAX_REFUSED_FIRST: usize = 3;
/// What goes out of a finding.
const TOLD: [&str; 10] = ["id", "category", "type", "value", "port", "malware", "first_time", "last_time", "count", "guidance"];

/// Marks in the file: up to when findings were carried, up to when the round that is under way carries them (0: none is), the place up to which it is
/// through, and when the last one ended.
const TOLD_TO: &str = "outsiders told";
const UNTIL: &str = "outsiders until";
const PLACE: &str = "outsiders place";
const ENDED: &str = "outsiders ended";
/// Before every place.
const NOWHERE: i64 = -1;

/// Where the rounds stand.
#[derive(Default)]
pub(super) struct Outsiders {
    /// What the owners' view is to reach before the findings of a round are gathered, and when that was.
    wanted: Option<(Seq, Timestamp)>,
    round: Option<Round>,
}

/// One day's mails.
struct Round {
    until: Timestamp,
    /// What is to be sent, by the place of the address.
    left: BTreeMap<i64, Bundle>,
    carried: usize,
    /// Findings for which there was no room.
    over: u64,
    /// The place that was tried last.
    tried: i64,
    /// Mails that the server took.
    sent: u32,
    /// Mails in a row that the server did not take, and when the next one is tried.
    failures: u32,
    next: Timestamp,
    /// Addresses that the server refused for good.
    refused: Vec<Text>,
}

/// What one address is told.
struct Bundle {
    address: Text,
    findings: Vec<u128>,
    left_out: u64,
}

impl Round {
    fn new(until: Timestamp) -> Self {
        Self { until, left: BTreeMap::new(), carried: 0, over: 0, tried: NOWHERE, sent: 0, failures: 0, next: Timestamp::MIN, refused: Vec::new() }
    }

    fn add(&mut self, place: i64, address: Text, finding: u128) {
        let has_room = self.carried < MAX_CARRIED && (self.left.len() < MAX_ADDRESSES || self.left.contains_key(&place));
        if !has_room {
            self.over += 1;
            return;
        }
        let bundle = self.left.entry(place).or_insert_with(|| Bundle { address, findings: Vec::new(), left_out: 0 });
        if bundle.findings.len() < MAX_THINGS {
            bundle.findings.push(finding);
            self.carried += 1;
        } else {
            bundle.left_out += 1;
        }
    }

    /// The next place: one address that is not reached holds up no other.
    fn following(&self) -> Option<i64> {
        let after = self.left.range((Bound::Excluded(self.tried), Bound::Unbounded)).next();
        after.or_else(|| self.left.iter().next()).map(|(place, _)| *place)
    }

    /// The place up to which all is done.
    fn done(&self) -> i64 {
        self.left.keys().next().map_or(i64::MAX, |first| first - 1)
    }
}

/// Mails digests until the hub goes.
pub(super) async fn run(hub: Weak<Hub>, mut stopping: watch::Receiver<bool>) {
    loop {
        {
            let Some(hub) = hub.upgrade() else { return };
            // In an exercise nobody outside is told of what was made up.
            if hub.delivery.mailer.is_none() || hub.options.realm != MAIN_REALM || !hub.options.mail.as_ref().is_some_and(|mail| mail.abuse_contacts) {
                return;
            }
            if let Err(error) = hub.mail_outsiders(&stopping).await {
                tracing::warn!(%error, "digests to abuse contacts wait");
            }
        }
        tokio::select! {
            _ = stopping.changed() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}

impl Hub {
    /// Begins a round where its time has come, and goes on with the one that is under way.
    pub(super) async fn mail_outsiders(self: &Arc<Self>, stopping: &watch::Receiver<bool>) -> Result<(), HubError> {
        let Some(mailer) = &self.delivery.mailer else { return Ok(()) };
        let mut state = self.delivery.outsiders.lock().await;
        let round = match state.round.take() {
            Some(round) => Some(round),
            None => self.begin_round(&mut state.wanted).await?,
        };
        let Some(mut round) = round else { return Ok(()) };
        if self.clock().now() < round.next {
            state.round = Some(round);
            return Ok(());
        }
        let sent = self.go_on(&mut round, mailer, stopping).await;
        // Who refuses mail for good is not mailed again, whatever else happened; a server that takes none at all says nothing of addresses.
        if round.sent > 0 {
            let refused = std::mem::take(&mut round.refused);
            self.abuse_contacts_refused(&refused).await?;
        }
        sent?;
        let now = self.clock().now();
        if !round.left.is_empty() && now < round.until.plus(GIVE_UP) {
            state.round = Some(round);
            return Ok(());
        }
        if !round.left.is_empty() || round.over > 0 {
            tracing::warn!(contacts = round.left.len(), findings = round.over, "abuse contacts were not told today: not reached, or too many");
        }
        self.delivery.file.set_marks(&[(TOLD_TO, round.until.micros()), (UNTIL, 0), (PLACE, NOWHERE), (ENDED, now.micros())]).await?;
        Ok(())
    }

    /// Gathers what is to be sent, where it is time and the findings are there.
    async fn begin_round(self: &Arc<Self>, wanted: &mut Option<(Seq, Timestamp)>) -> Result<Option<Round>, HubError> {
        let (now, file) = (self.clock().now(), &self.delivery.file);
        let Some(told) = file.mark(TOLD_TO).await?.map(Timestamp::from_micros) else {
            // It begins with what comes after it was switched on.
            file.set_marks(&[(TOLD_TO, now.minus(SETTLED).micros()), (ENDED, now.micros())]).await?;
            return Ok(None);
        };
        let begun = file.mark(UNTIL).await?.filter(|until| *until > 0).map(Timestamp::from_micros);
        if begun.is_none() {
            let ended = file.mark(ENDED).await?.map_or(told, Timestamp::from_micros);
            if now < next_due(&daily(), told.plus(SETTLED).max(ended), &self.delivery.zone, &self.delivery.holidays) {
                return Ok(None);
            }
        }
        let (place, since) = *wanted.get_or_insert_with(|| (self.store().views.position(), now));
        if self.store().owners.position() < place {
            return Ok(None);
        }
        *wanted = None;
        let (until, done) = match begun {
            Some(until) => (until, file.mark(PLACE).await?.unwrap_or(NOWHERE)),
            None => {
                let until = since.minus(SETTLED);
                file.set_marks(&[(UNTIL, until.micros()), (PLACE, NOWHERE)]).await?;
                (until, NOWHERE)
            }
        };
        let mut round = Round::new(until);
        self.gather_for_outsiders(&mut round, told).await?;
        round.left.retain(|place, _| *place > done);
        Ok(Some(round))
    }

    /// Adds what was told after a moment.
    async fn gather_for_outsiders(self: &Arc<Self>, round: &mut Round, told: Timestamp) -> Result<(), HubError> {
        let stands_in: Vec<OrgNo> = {
            let directory = self.directory().snapshot();
            let all = directory.organisations().filter(|organisation| organisation.kind == OrgKind::Authority || organisation.number == OrgNo::HUB);
            all.map(|organisation| organisation.number).collect()
        };
        let refused: HashSet<Text> = self.abuse.refused();
        let never: &[String] = self.options.mail.as_ref().map(|mail| mail.abuse_never.as_slice()).unwrap_or_default();
        let until = round.until;
        for owner in stands_in {
            let mut after = told;
            loop {
                let hub = Arc::clone(self);
                let looked = self.delivery.background.run(move || hub.findings_for_outsiders(owner, after, until)).await;
                let (found, more) = looked.map_err(|error| HubError::Internal(Box::new(error)))?;
                for (address, finding) in found {
                    if !refused.contains(&address) && !is_unwanted(&address, never) {
                        round.add(self.outsiders_place(&address), address, finding);
                    }
                }
                let Some(last) = more else { break };
                after = last;
            }
        }
        Ok(())
    }

    /// Some of the findings in which one stands in for an owner, told after a moment, each with whom it is to be told; and after which moment there are
    /// more.
    fn findings_for_outsiders(&self, owner: OrgNo, after: Timestamp, until: Timestamp) -> (Vec<(Text, u128)>, Option<Timestamp>) {
        let mut ids: Vec<u128> = Vec::new();
        let (mut looked, mut last, mut more) = (0_usize, after, false);
        self.store().owners.told_since(owner, after, |at, finding| {
            if at > until || (looked >= AT_ONCE && at != last) {
                more = at <= until;
                return ControlFlow::Break(());
            }
            (looked, last) = (looked + 1, at);
            if finding.fallback && !finding.is_far() && !finding.is_guarded() {
                ids.push(finding.id());
            }
            ControlFlow::Continue(())
        });
        let mut found = Vec::new();
        for ids in ids.chunks(AT_ONCE) {
            let views = self.findings_of_nobody(ids);
            found.extend(views.iter().filter_map(|view| Some((self.outsider_of(view)?, view.id.0.as_u128()))));
        }
        (found, more.then_some(last))
    }

    /// Whom to tell of a finding.
    fn outsider_of(&self, view: &FindingView) -> Option<Text> {
        let (kind, value) = (view.kind?, view.value.as_ref()?);
        self.abuse_contacts_of(kind, value).into_iter().next().map(|contact| contact.address)
    }

    /// What of findings an address is told now.
    fn told_to_outsider(&self, ids: &[u128], address: &Text) -> Vec<Value> {
        let views = self.findings_of_nobody(ids);
        views.iter().filter(|view| self.outsider_of(view).as_ref() == Some(address)).filter_map(told).collect()
    }

    /// Sends what is left, until the server takes nothing, or the hub stops.
    async fn go_on(self: &Arc<Self>, round: &mut Round, mailer: &Mailer, stopping: &watch::Receiver<bool>) -> Result<(), HubError> {
        while let Some(place) = round.following() {
            let Some(bundle) = round.left.get(&place) else { return Ok(()) };
            if *stopping.borrow() {
                return Ok(());
            }
            let (hub, ids, address) = (Arc::clone(self), bundle.findings.clone(), bundle.address.clone());
            let told = self.delivery.background.run(move || hub.told_to_outsider(&ids, &address)).await;
            let findings = told.map_err(|error| HubError::Internal(Box::new(error)))?;
            let is_empty = findings.is_empty();
            let outcome = if is_empty {
                Ok(())
            } else {
                let recipient = Recipient { address: bundle.address.to_string(), openpgp: None };
                let sent = mailer.send(&self.outsiders_message(bundle, findings, round.until), &recipient).await;
                if sent.is_ok() {
                    metrics::counter!("bongsu_abuse_mails_total", "outcome" => "sent").increment(1);
                }
                sent
            };
            round.tried = place;
            match outcome {
                Ok(()) => round.sent += u32::from(!is_empty),
                Err(SendError::Never(said)) if round.sent > 0 || round.refused.len() < MAX_REFUSED_FIRST => {
                    // It may be the mail's fault, too: then somebody looks at the log.
                    metrics::counter!("bongsu_abuse_mails_total", "outcome" => "refused").increment(1);
                    tracing::warn!(error = %said, "an abuse contact refuses mail; it gets none until the table has another one");
                    round.refused.extend(round.left.get(&place).map(|bundle| bundle.address.clone()));
                }
                Err(SendError::Later(said) | SendError::Refused(said) | SendError::Never(said)) => {
                    round.failures = round.failures.saturating_add(1);
                    let wait = rhythm::backoff(round.failures, u64::from(round.failures)).unwrap_or(LATER);
                    round.next = self.clock().now().plus(wait.min(LATER));
                    tracing::warn!(error = %said, "a digest to an abuse contact was not taken; tried again");
                    return Ok(());
                }
            }
            round.failures = 0;
            round.left.remove(&place);
            self.delivery.file.set_marks(&[(PLACE, round.done())]).await?;
        }
        Ok(())
    }

    fn outsiders_message(&self, bundle: &Bundle, findings: Vec<Value>, made: Timestamp) -> Message {
        Message {
            id: uuid::Builder::from_random_bytes(self.outsiders_hash(b"abuse mail", &bundle.address, made.micros())).into_uuid().to_string(),
            lane: Lane::Ordinary,
            realm: self.options.realm.clone(),
            subscription: ABUSE_LIST.to_owned(),
            name: "네트워크 보안 알림 / network report".to_owned(),
            organisation: String::new(),
            language: Language::Ko,
            made,
            events: Vec::new(),
            findings,
            withdrawn: Vec::new(),
            left_out: bundle.left_out,
            notice: None,
        }
    }

    /// Where an address stands in the order of a round: nothing is told by it, and no address need be kept.
    fn outsiders_place(&self, address: &str) -> i64 {
        let hash = self.outsiders_hash(b"abuse place", address, 0);
        i64::from_le_bytes(hash.first_chunk().copied().unwrap_or_default()) & i64::MAX
    }

    fn outsiders_hash(&self, what: &[u8], address: &str, number: i64) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_keyed(&self.delivery.secret);
        hasher.update(what);
        hasher.update(&number.to_le_bytes());
        hasher.update(address.as_bytes());
        hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default()
    }
}

/// The rhythm of rounds.
fn daily() -> Rhythm {
    Rhythm::Digest { times: AT.parse::<ClockTime>().into_iter().collect(), business_days: false }
}

/// Whether an address, or the domain behind its `@`, is one of those that want no mail.
fn is_unwanted(address: &str, never: &[String]) -> bool {
    let host = address.rsplit_once('@').map_or("", |(_, host)| host);
    never.iter().any(|one| one.eq_ignore_ascii_case(address) || one.eq_ignore_ascii_case(host))
}

/// What goes out of a finding.
fn told(view: &FindingView) -> Option<Value> {
    let Value::Object(all) = serde_json::to_value(view).ok()? else { return None };
    Some(Value::Object(all.into_iter().filter(|(name, _)| TOLD.contains(&name.as_str())).collect()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod unit {
    use super::*;

    #[test]
    fn a_round_is_bounded_passes_over_who_is_not_reached_and_goes_on_after_what_is_done() {
        let mut round = Round::new(Timestamp::from_seconds(1));
        for finding in 0..MAX_THINGS as u128 + 5 {
            round.add(7, Text::from("a@a.example"), finding);
        }
        round.add(9, Text::from("b@b.example"), 1);
        assert_eq!((round.left[&7].findings.len(), round.left[&7].left_out, round.over), (MAX_THINGS, 5, 0));
        assert_eq!((round.following(), round.done()), (Some(7), 6));
        round.tried = 7;
        assert_eq!(round.following(), Some(9));
        round.left.remove(&9);
        round.tried = 9;
        assert_eq!((round.following(), round.done()), (Some(7), 6), "what was not sent is not done");
        round.left.remove(&7);
        assert_eq!((round.following(), round.done()), (None, i64::MAX));
        for place in 0..=MAX_ADDRESSES as i64 {
            round.add(place, Text::from("c@c.example"), 1);
        }
        assert_eq!((round.left.len(), round.over), (MAX_ADDRESSES, 1));
    }

    #[test]
    fn rounds_are_daily_and_who_wants_no_mail_gets_none() {
        assert!(matches!(daily(), Rhythm::Digest { times, business_days: false } if times.len() == 1));
        let never = ["abuse@one.example".to_owned(), "Quiet.example".to_owned()];
        assert!(is_unwanted("Abuse@one.example", &never) && is_unwanted("any@quiet.example", &never));
        assert!(!is_unwanted("noc@one.example", &never) && !is_unwanted("a@not-quiet.example", &never) && !is_unwanted("a@b.example", &[]));
    }
}
