//! The table, the events and the clock.
//!
//! Flow: [`registrations`] → the hub's [`Table`] → [`events`] of each kind → [`measure`].
//! Invariant: the same numbers every time; half of the events concern somebody, so that neither hits nor misses are left out; what is found is counted,
//! so that nothing is optimised away.

use super::super::{Arguments, Goal, header, row};
use model::concern::concerns;
use model::{Category, Event, Observable, ObservableType, OrgNo, Role, Text, Timestamp};
use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;
use store::records::NetworkKind;
use store::views::owners::{Owner, Table};

/// Registered IPv4 prefixes.
const PREFIXES_V4: u32 = 700_000;
/// Registered IPv6 prefixes.
const PREFIXES_V6: u32 = 300_000;
/// Registered domains.
const DOMAINS: u32 = 100_000;
/// Registered AS numbers, and as many places on the web.
const OTHERS: u32 = 20_000;
/// Different events of a kind; they are asked over and over.
const DIFFERENT: usize = 200_000;
/// Organisations that the registrations belong to.
const OWNERS: u64 = 5_000;
/// The goal.
const GOAL: f64 = 1_000.0;

/// What the mixture is made of, of a hundred.
const MIXTURE: [(Kind, u64); 4] = [(Kind::V4, 65), (Kind::V6, 10), (Kind::Domain, 15), (Kind::Url, 10)];

/// What an event is about.
#[derive(Debug, Clone, Copy)]
enum Kind {
    V4,
    V6,
    Domain,
    Url,
}

/// A small generator of repeatable randomness (SplitMix64).
///
/// Source: Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014.
struct Random(u64);

impl Random {
    const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    const fn below(&mut self, limit: u64) -> u64 {
        self.number() % limit
    }
}

/// Runs the bench.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut random = Random(1);
    let registrations = registrations(&mut random);
    let began = Instant::now();
    let table = Table::new(registrations.iter().map(|(kind, value, owner)| (*kind, value.as_str(), *owner)));
    let made = began.elapsed();
    anyhow::ensure!(table.registrations() == registrations.len(), "a registration cannot be read");
    header();
    row("owners", "registrations", table.registrations() as f64, "", Goal::None);
    row("owners", "table made", made.as_secs_f64(), "s", Goal::None);
    for (name, kind) in [("IPv4", Kind::V4), ("IPv6", Kind::V6), ("domain", Kind::Domain), ("URL", Kind::Url)] {
        let events: Vec<Event> = (0..DIFFERENT).map(|_| event(kind, &registrations, &mut random)).collect();
        measure(name, &table, &events, arguments.events / 4);
    }
    let mixed: Vec<Event> = (0..DIFFERENT).map(|_| event(mixture(&mut random), &registrations, &mut random)).collect();
    measure("mixture", &table, &mixed, arguments.events);
    Ok(())
}

/// Asks for the owners of `count` events and prints what one cost.
fn measure(name: &str, table: &Table, events: &[Event], count: u64) {
    let (mut asked, mut concerned, mut found) = (0_u64, 0_u64, 0_u64);
    let began = Instant::now();
    while asked < count.max(1) {
        for event in events {
            let before = found;
            concerns(event, |concern| {
                table.owners(concern.kind, &concern.value, &mut |owner| found += u64::from(black_box(owner).organisation.0 > 0));
                if let Some(asn) = concern.asn {
                    table.asn(asn, &mut |owner| found += u64::from(black_box(owner).organisation.0 > 0));
                }
            });
            concerned += u64::from(found > before);
        }
        asked += events.len() as u64;
    }
    let nanoseconds = began.elapsed().as_nanos() as f64 / asked as f64;
    row("owners", &format!("{name}: an event routed"), nanoseconds, "ns", Goal::AtMost(GOAL));
    row("owners", &format!("{name}: events that concern somebody"), concerned as f64 * 100.0 / asked as f64, "%", Goal::None);
}

fn mixture(random: &mut Random) -> Kind {
    let mut place = random.below(100);
    for (kind, share) in MIXTURE {
        if place < share {
            return kind;
        }
        place -= share;
    }
    Kind::V4
}

/// Registrations as a nation's members and its neighbours may have them: half of the IPv4 prefixes lie in sixteen of the 256 largest ranges.
fn registrations(random: &mut Random) -> Vec<(NetworkKind, String, Owner)> {
    let mut made = Vec::with_capacity((PREFIXES_V4 + PREFIXES_V6 + DOMAINS + 2 * OTHERS) as usize);
    let owner = |random: &mut Random| Owner { organisation: OrgNo(1 + random.below(OWNERS) as u32), protected: false, fallback: false };
    for number in 0..PREFIXES_V4 {
        let length = 16 + random.below(13) as u32;
        let first = if number % 2 == 0 { 1 + random.below(220) } else { 112 + random.below(16) };
        let address = (first as u32) << 24 | (random.number() as u32 & 0x00FF_FFFF);
        let network = Ipv4Addr::from(address & !(u32::MAX >> length));
        made.push((NetworkKind::Cidr, format!("{network}/{length}"), owner(random)));
    }
    for _ in 0..PREFIXES_V6 {
        let length = 32 + random.below(17) as u32;
        let first: u128 = if random.below(2) == 0 { 0x2001 } else { 0x2400 };
        let address = first << 112 | (u128::from(random.number()) << 48 & !(0xFFFF << 112));
        let network = Ipv6Addr::from(address & !(u128::MAX >> length));
        made.push((NetworkKind::Cidr, format!("{network}/{length}"), owner(random)));
    }
    for number in 0..DOMAINS {
        let name = if number % 4 == 0 { format!("unit{number}.group{}.co.kr", number % 9_973) } else { format!("member-number-{number}.kr") };
        made.push((NetworkKind::Domain, name, owner(random)));
    }
    for number in 0..OTHERS {
        made.push((NetworkKind::Asn, (64_512 + number).to_string(), owner(random)));
        made.push((NetworkKind::Url, format!("https://host{number}.example/area/{}", number % 17), owner(random)));
    }
    made
}

fn event(kind: Kind, registrations: &[(NetworkKind, String, Owner)], random: &mut Random) -> Event {
    let hit = random.below(2) == 0;
    let (kind, value) = match kind {
        Kind::V4 => {
            let base = if hit { address(pick(registrations, 0, PREFIXES_V4, random)).parse::<Ipv4Addr>().map_or(0, u32::from) } else { random.number() as u32 };
            (ObservableType::Ipv4, Ipv4Addr::from(base | random.below(16) as u32).to_string())
        }
        Kind::V6 => {
            let base = if hit {
                address(pick(registrations, PREFIXES_V4, PREFIXES_V6, random)).parse::<Ipv6Addr>().map_or(0, u128::from)
            } else {
                0x2001_u128 << 112 | u128::from(random.number()) << 40
            };
            (ObservableType::Ipv6, Ipv6Addr::from(base | u128::from(random.below(1 << 20))).to_string())
        }
        Kind::Domain => (ObservableType::Domain, host(hit, registrations, random)),
        Kind::Url => {
            let host = host(hit, registrations, random);
            (ObservableType::Url, format!("https://{host}/area/{}/page/{}?q=1", random.below(17), random.below(1_000)))
        }
    };
    let observable = Observable { kind, role: Role::Attacker, detect: true, reserved: false, value: Text::from(value) };
    let mut event = Event::new(Timestamp::from_seconds(1_800_000_000), Category::InfectedSystem, observable);
    // What a flow carries beside the address.
    if random.below(4) == 0 {
        event.details_mut().source_asn = Some(random.below(100_000) as u32);
    }
    event
}

fn host(hit: bool, registrations: &[(NetworkKind, String, Owner)], random: &mut Random) -> String {
    if hit {
        format!("www.{}", pick(registrations, PREFIXES_V4 + PREFIXES_V6, DOMAINS, random))
    } else {
        format!("a{}.b{}.somewhere.example", random.below(1_000_000), random.below(1_000))
    }
}

/// One of the registered values from a place on.
fn pick<'a>(registrations: &'a [(NetworkKind, String, Owner)], from: u32, count: u32, random: &mut Random) -> &'a str {
    let place = u64::from(from) + random.below(u64::from(count));
    registrations.get(place as usize).map_or("", |(_, value, _)| value.as_str())
}

/// The address of a prefix.
fn address(prefix: &str) -> &str {
    prefix.split_once('/').map_or(prefix, |(address, _)| address)
}
