//! Whose message is sent next: a turn for every organisation, and no more at a time than one receiver should have.
//!
//! Flow: what is due of a lane, with whose it is and where it goes → [`Turns::choose`] → it is on its way until [`Turns::end`].
//! Invariant: pure of clock and file. No organisation and no host has more on its way at a time than its bounds; the last places of a lane are kept for
//! organisations that have nothing on their way, so that slow receivers of a few never take all of it. Among organisations the one with the least on
//! its way is first, then the one whose last turn lies back the longest; within one what waits for the longest. The lanes know nothing of each other.
//! Not here: attempts (`sending`), in which order messages are made (`queue`).

use super::message::Lane;
use hashbrown::HashMap;
use model::{OrgId, Text};
use store::records::Channel;

/// Organisations whose last turn is known at the most; past it all begin alike again.
const MAX_KNOWN: usize = 10_000;

/// How much of a lane may be on its way at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    /// In all.
    all: usize,
    /// Of one organisation.
    organisation: usize,
    /// To one host that a webhook names.
    host: usize,
    /// To the mail server, which is the hub's own.
    mail: usize,
    /// Kept for organisations that have nothing on their way.
    spare: usize,
}

/// The bounds of a lane. Each message may hold some megabytes.
const fn bounds(lane: Lane) -> Bounds {
    match lane {
        Lane::Warning => Bounds { all: 8, organisation: 2, host: 4, mail: 6, spare: 2 },
        Lane::Ordinary => Bounds { all: 16, organisation: 4, host: 4, mail: 10, spare: 4 },
    }
}

/// Where a message goes, as far as it matters to others that go there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Receiver {
    /// An inbox, which is the hub's own.
    Inbox,
    /// The mail server.
    Mail,
    /// The host and port of a webhook.
    Host(Text),
}

impl Receiver {
    /// That of a channel.
    pub(super) fn of(channel: &Channel) -> Self {
        match channel {
            Channel::Inbox => Self::Inbox,
            Channel::Mail { .. } => Self::Mail,
            Channel::Webhook { url, .. } => {
                let parsed = url.as_deref().and_then(|url| url::Url::parse(url).ok());
                let place = parsed.as_ref().and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
                Self::Host(Text::from(place.unwrap_or_default()))
            }
        }
    }
}

/// Whose a message is, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flight {
    pub(super) organisation: OrgId,
    pub(super) receiver: Receiver,
}

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// By the number of the message.
    flights: HashMap<i64, (Lane, Flight)>,
    /// The last turn of each organisation in each lane.
    last: HashMap<(Lane, OrgId), u64>,
    turn: u64,
}

impl Turns {
    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// The numbers of the messages on their way.
    pub(super) fn numbers(&self) -> Vec<i64> {
        self.flights.keys().copied().collect()
    }

    /// Whether there is room for anything of a lane.
    pub(super) fn has_room(&self, lane: Lane) -> bool {
        self.load(lane).all < bounds(lane).all
    }

    /// Takes from what waits, the longest first, what sets out now. Each is on its way from then on.
    pub(super) fn choose<M>(&mut self, lane: Lane, waiting: Vec<(i64, Flight, M)>) -> Vec<(i64, M)> {
        let mut chosen = Vec::new();
        let mut waiting: Vec<Option<(i64, Flight, M)>> = waiting.into_iter().map(Some).collect();
        loop {
            let load = self.load(lane);
            let next = waiting
                .iter_mut()
                .filter_map(|place| {
                    let (number, flight, _) = place.as_ref()?;
                    if self.flights.contains_key(number) || !load.may_begin(lane, flight.organisation, &flight.receiver) {
                        return None;
                    }
                    let last = self.last.get(&(lane, flight.organisation)).copied().unwrap_or_default();
                    let order = (load.of(flight.organisation), last);
                    Some((order, place))
                })
                // The first of those that are alike, which waits for the longest.
                .min_by_key(|(order, _)| *order);
            let Some((number, flight, message)) = next.and_then(|(_, place)| place.take()) else { return chosen };
            if self.last.len() >= MAX_KNOWN {
                self.last.clear();
            }
            self.turn += 1;
            self.last.insert((lane, flight.organisation), self.turn);
            self.flights.insert(number, (lane, flight));
            chosen.push((number, message));
        }
    }

    /// A message is no longer on its way.
    pub(super) fn end(&mut self, number: i64) {
        self.flights.remove(&number);
    }

    /// What is on its way in a lane.
    pub(super) fn load(&self, lane: Lane) -> Load {
        let mut load = Load::default();
        for (_, flight) in self.flights.values().filter(|(of, _)| *of == lane) {
            load.all += 1;
            *load.organisations.entry(flight.organisation).or_default() += 1;
            *load.receivers.entry(flight.receiver.clone()).or_default() += 1;
        }
        load
    }
}

/// How much of a lane is on its way, for whom and where to.
#[derive(Debug, Default)]
pub(super) struct Load {
    all: usize,
    organisations: HashMap<OrgId, usize>,
    receivers: HashMap<Receiver, usize>,
}

impl Load {
    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.all == 0
    }

    fn of(&self, organisation: OrgId) -> usize {
        self.organisations.get(&organisation).copied().unwrap_or_default()
    }

    /// Whether one more of the lane may set out.
    pub(super) fn may_begin(&self, lane: Lane, organisation: OrgId, receiver: &Receiver) -> bool {
        let bounds = bounds(lane);
        let own = self.of(organisation);
        let there = self.receivers.get(receiver).copied().unwrap_or_default();
        let has_place = match receiver {
            Receiver::Inbox => true,
            Receiver::Mail => there < bounds.mail,
            Receiver::Host(_) => there < bounds.host,
        };
        let kept = if own == 0 { 0 } else { bounds.spare };
        has_place && own < bounds.organisation && self.all + kept < bounds.all
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn organisation(number: u128) -> OrgId {
        OrgId(Uuid::from_u128(number))
    }

    fn to(number: u128, host: &str) -> Flight {
        Flight { organisation: organisation(number), receiver: Receiver::Host(Text::from(host)) }
    }

    /// Messages that wait, the longest first: numbers from `first` on, all of one organisation and host.
    fn many(first: i64, count: i64, flight: &Flight) -> Vec<(i64, Flight, ())> {
        (first..first + count).map(|number| (number, flight.clone(), ())).collect()
    }

    fn numbers(chosen: &[(i64, ())]) -> Vec<i64> {
        chosen.iter().map(|(number, ())| *number).collect()
    }

    fn may_begin(turns: &Turns, flight: &Flight) -> bool {
        turns.load(Lane::Ordinary).may_begin(Lane::Ordinary, flight.organisation, &flight.receiver)
    }

    #[test]
    fn one_organisation_takes_a_few_places_and_all_others_have_theirs() {
        let mut turns = Turns::default();
        let mut waiting = many(0, 1_000, &to(1, "slow.example"));
        let first = turns.choose(Lane::Ordinary, waiting.clone());
        assert_eq!(numbers(&first), [0, 1, 2, 3], "in order, and no more than its bound");
        assert!(!may_begin(&turns, &to(1, "other.example")) && turns.has_room(Lane::Ordinary));
        waiting.extend((2..20).flat_map(|number| many(number as i64 * 1_000, 3, &to(number, &format!("h{number}.example")))));
        let next = numbers(&turns.choose(Lane::Ordinary, waiting));
        assert_eq!(next, (2..14).map(|number| number * 1_000).collect::<Vec<i64>>(), "one each, as far as there is room");
        assert!(!turns.has_room(Lane::Ordinary));
    }

    #[test]
    fn the_last_places_are_for_who_has_nothing_on_its_way() {
        let mut turns = Turns::default();
        let waiting: Vec<_> = (1..5).flat_map(|number| many(number as i64 * 100, 50, &to(number, &format!("h{number}.example")))).collect();
        let chosen = turns.choose(Lane::Ordinary, waiting);
        assert_eq!(chosen.len(), 12, "four organisations share what is not kept for others");
        assert!(may_begin(&turns, &to(9, "h9.example")));
    }

    #[test]
    fn a_host_has_a_few_at_a_time_whoever_subscribed_there_and_mail_has_bounds_of_its_own() {
        let mut turns = Turns::default();
        let waiting: Vec<_> = (1..30).flat_map(|number| many(number as i64 * 100, 1, &to(number, "shared.example"))).collect();
        assert_eq!(turns.choose(Lane::Ordinary, waiting).len(), 4);
        let mail = |number: u128| Flight { organisation: organisation(number), receiver: Receiver::Mail };
        let waiting: Vec<_> = (50..90).flat_map(|number| many(number as i64 * 100, 1, &mail(number))).collect();
        assert_eq!(turns.choose(Lane::Ordinary, waiting).len(), 10);
        assert!(may_begin(&turns, &to(99, "free.example")), "a slow mail server leaves room for webhooks");
    }

    #[test]
    fn who_had_a_turn_is_behind_those_who_wait_for_theirs() {
        let mut turns = Turns::default();
        let others: Vec<_> = (10..17).flat_map(|number| many(number as i64 * 1_000, 1, &to(number, &format!("h{number}.example")))).collect();
        assert_eq!(turns.choose(Lane::Warning, others).len(), 7, "one place is left");
        let mut waiting = many(0, 100, &to(1, "a.example"));
        waiting.extend(many(1_000, 2, &to(2, "b.example")));
        let mut order = Vec::new();
        for _ in 0..4 {
            let chosen = numbers(&turns.choose(Lane::Warning, waiting.clone()));
            assert_eq!(chosen.len(), 1);
            turns.end(chosen[0]);
            waiting.retain(|(number, ..)| *number != chosen[0]);
            order.push(chosen[0]);
        }
        assert_eq!(order, [0, 1_000, 1, 1_001]);
    }

    #[test]
    fn lanes_know_nothing_of_each_other_and_what_has_ended_makes_room() {
        let mut turns = Turns::default();
        let flight = to(1, "a.example");
        assert_eq!(turns.choose(Lane::Ordinary, many(0, 10, &flight)).len(), 4);
        let warnings = turns.choose(Lane::Warning, many(100, 10, &flight));
        assert_eq!(numbers(&warnings), [100, 101]);
        turns.end(100);
        assert_eq!(numbers(&turns.choose(Lane::Warning, many(100, 10, &flight))), [100], "101 is on its way still");
        for number in turns.numbers() {
            turns.end(number);
        }
        assert!(turns.is_empty());
    }
}
