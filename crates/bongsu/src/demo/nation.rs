//! A generated nation: its organisations, and the events they report.
//!
//! Flow: [`Nation::generate`] → organisations and campaigns → [`Nation::events`]: everyday noise, on which each campaign surges from sector
//! to sector; every event is an NDJSON line of one organisation.
//! Invariant: pure. The seed alone decides organisations, campaigns and values; only the times of events depend on when the demo starts.
//! Not here: sending anything (`demo`).

use super::campaign::{self, Campaign};
use super::names;
use super::random::Random;
use model::{Constituency, OrgKind, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Companies.
pub const COMPANIES: usize = 260;
/// Public agencies.
pub const AGENCIES: usize = 40;
/// Authorities, one for each constituency.
pub const AUTHORITIES: usize = 3;
/// Partner CERTs abroad.
pub const PARTNERS: usize = 10;
/// The nation that nobody has been to.
const COUNTRY: &str = "Haedan";
/// Its code, and those of the partners' countries: from the block that ISO 3166 leaves to its users.
const CODES: [&str; 11] = ["XA", "XB", "XC", "XD", "XE", "XF", "XG", "XH", "XI", "XJ", "XM"];
const SECTORS: [&str; 11] = hub::members::DEFAULT_SECTORS;
const FAMILIES: usize = 60;

/// What the pools of values are told apart by.
#[derive(Debug, Clone, Copy)]
enum Pool {
    Scanners = 1,
    Crackers = 2,
    Hosts = 3,
    Files = 4,
    Servers = 5,
    Families = 6,
    Spammers = 7,
}

/// One organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, unique in the nation.
    pub name: String,
    /// What it is.
    pub kind: OrgKind,
    /// Its line; partners have none.
    pub constituency: Option<Constituency>,
    /// Its sector; partners and authorities have none.
    pub sector: Option<&'static str>,
    /// Country code.
    pub country: &'static str,
    /// The first three octets of its addresses.
    network: [u8; 3],
}

/// A nation.
#[derive(Debug)]
pub struct Nation {
    seed: u64,
    /// Authorities (private, public, defence), agencies, companies, partners, in this order.
    pub members: Vec<Member>,
    /// Campaigns, in order of their start.
    pub campaigns: Vec<Campaign>,
    /// Places of the members of each sector.
    by_sector: BTreeMap<&'static str, Vec<usize>>,
    /// Places of all members, the busiest reporter first.
    busiest: Vec<usize>,
}

/// How the number of events moves with the campaigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The rate is that of everyday noise; campaigns come on top.
    Surging,
    /// The rate is that of all events; campaigns take a larger part of them.
    Even,
}

/// One event of one member.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Place of the member.
    pub member: usize,
    /// Seconds after the demo's start; negative in the history.
    pub at: f64,
    /// The event, with a line end.
    pub json: String,
}

impl Nation {
    /// The nation of a seed.
    pub fn generate(seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let mut members = Vec::with_capacity(COMPANIES + AGENCIES + AUTHORITIES + PARTNERS);
        let mut taken = BTreeSet::new();
        let lines = [(Constituency::Private, "Private Sector"), (Constituency::Public, "Public Sector"), (Constituency::Defence, "Defence")];
        for (constituency, line) in lines {
            let name = format!("{COUNTRY} {line} Cyber Authority");
            members.push(member(&mut random, name, OrgKind::Authority, Some(constituency), None, CODES[0]));
        }
        for place in 0..AGENCIES {
            let name = names::agency(&mut random, COUNTRY, place);
            let constituency = if place % 8 == 7 { Constituency::Defence } else { Constituency::Public };
            members.push(member(&mut random, name, OrgKind::Agency, Some(constituency), Some("government"), CODES[0]));
        }
        for place in 0..COMPANIES {
            let sector = SECTORS.get(place % SECTORS.len()).copied().unwrap_or("logistics");
            let name = fresh(&mut taken, || {
                let syllables = 2 + random.below(2);
                format!("{} {}", names::word(&mut random, syllables), random.pick(names::trades(sector), "Works"))
            });
            members.push(member(&mut random, name, OrgKind::Company, Some(Constituency::Private), Some(sector), CODES[0]));
        }
        for place in 0..PARTNERS {
            let name = fresh(&mut taken, || format!("CERT {}", names::word(&mut random, 3)));
            let code = CODES.get(1 + place).copied().unwrap_or("XM");
            members.push(member(&mut random, name, OrgKind::Partner, None, None, code));
        }
        let mut by_sector: BTreeMap<&'static str, Vec<usize>> = BTreeMap::new();
        for (place, member) in members.iter().enumerate() {
            if let Some(sector) = member.sector {
                by_sector.entry(sector).or_default().push(place);
            }
        }
        let mut busiest: Vec<usize> = (0..members.len()).collect();
        for last in (1..busiest.len()).rev() {
            busiest.swap(last, random.below(last + 1));
        }
        Self { seed, members, campaigns: campaign::all(seed, &SECTORS), by_sector, busiest }
    }

    /// The campaign that is strongest at a time.
    pub fn strongest(&self, at: f64) -> Option<&Campaign> {
        self.campaigns.iter().max_by(|one, other| one.total(at).total_cmp(&other.total(at)))
    }

    /// Events between two moments (seconds after `start`), in order of time, at so many a second.
    pub fn events(self: &Arc<Self>, start: Timestamp, from: f64, to: f64, rate: f64, pace: Pace) -> Events {
        let purpose = match pace {
            Pace::Surging => 2,
            Pace::Even => 3,
        };
        Events { nation: Arc::clone(self), random: Random::new(self.seed, purpose), start, at: from, to, rate, pace, number: 0 }
    }

    /// The random stream of one place of a pool: the same value whenever the place is drawn.
    fn pool(&self, pool: Pool, place: usize) -> Random {
        Random::new(self.seed, ((pool as u64) << 40) | place as u64)
    }

    fn address(&self, pool: Pool, place: usize) -> String {
        names::dotted(names::address(&mut self.pool(pool, place)))
    }

    fn host(&self, place: usize) -> String {
        names::domain(&mut self.pool(Pool::Hosts, place))
    }

    fn family(&self, place: usize) -> String {
        names::word(&mut self.pool(Pool::Families, place), 2)
    }
}

fn member(random: &mut Random, name: String, kind: OrgKind, constituency: Option<Constituency>, sector: Option<&'static str>, country: &'static str) -> Member {
    let [a, b, c, _] = names::address(random);
    Member { name, kind, constituency, sector, country, network: [a, b, c] }
}

/// A name that was not taken before.
fn fresh(taken: &mut BTreeSet<String>, mut make: impl FnMut() -> String) -> String {
    loop {
        let name = make();
        if taken.insert(name.to_ascii_lowercase()) {
            return name;
        }
    }
}

/// The events of a stretch of time.
#[derive(Debug)]
pub struct Events {
    nation: Arc<Nation>,
    random: Random,
    start: Timestamp,
    at: f64,
    to: f64,
    rate: f64,
    pace: Pace,
    number: u64,
}

impl Iterator for Events {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let nation = Arc::clone(&self.nation);
        let felt: Vec<(&Campaign, f64)> =
            nation.campaigns.iter().filter(|campaign| campaign.is_felt(self.at)).map(|campaign| (campaign, campaign.total(self.at))).collect();
        let surge: f64 = felt.iter().map(|(_, strength)| strength).sum();
        let rate = match self.pace {
            Pace::Surging => self.rate * (1.0 + surge),
            Pace::Even => self.rate,
        };
        if rate <= 0.0 {
            return None;
        }
        self.at += self.random.waiting() / rate;
        if self.at >= self.to {
            return None;
        }
        self.number += 1;
        let mut drawn = self.random.fraction() * (1.0 + surge) - 1.0;
        for (campaign, strength) in felt {
            if drawn < 0.0 {
                break;
            }
            drawn -= strength;
            if drawn < 0.0 {
                return Some(self.of_campaign(&nation, campaign, strength));
            }
        }
        Some(self.everyday(&nation))
    }
}

impl Events {
    /// An event of a campaign, reported from a sector that its wave has reached.
    fn of_campaign(&mut self, nation: &Nation, campaign: &Campaign, strength: f64) -> Line {
        let mut drawn = self.random.fraction() * strength;
        let mut reached = campaign.sectors.first().copied().unwrap_or("government");
        for (place, &sector) in campaign.sectors.iter().enumerate() {
            drawn -= campaign.strength(place, self.at);
            if drawn <= 0.0 {
                reached = sector;
                break;
            }
        }
        let members = nation.by_sector.get(reached).map(Vec::as_slice).unwrap_or_default();
        let reporter = members.get(self.random.zipf(members.len())).copied().unwrap_or(0);
        let random = &mut self.random;
        let of = |random: &mut Random, values: &[String]| values.get(random.zipf(values.len())).cloned().unwrap_or_default();
        let mut event = match random.below(100) {
            0..25 => {
                let page = of(random, &campaign.pages);
                Draft::new("phishing", vec![json!(page)]).with("origin", json!("manual"))
            }
            25..45 => Draft::new("c2-server", vec![json!(of(random, &campaign.servers))]).with("port", json!(443)),
            45..55 => Draft::new("c2-server", vec![json!(of(random, &campaign.domains))]),
            55..75 => Draft::new("malware-distribution", vec![json!(of(random, &campaign.files)), json!(of(random, &campaign.pages))]),
            _ => {
                let victim = victim(nation, random, reporter);
                Draft::new("infected-system", vec![json!({ "type": "ipv4", "value": victim, "role": "victim" })])
                    .with("dst_ip", json!(of(random, &campaign.servers)))
                    .with("dst_port", json!(443))
                    .with("protocol", json!("tcp"))
            }
        };
        event.set("malware", json!(campaign.malware));
        event.set("technique", json!(campaign.techniques));
        event.set("confidence", json!(60 + random.below(41)));
        event.set("severity", json!(if random.percent(30) { "critical" } else { "high" }));
        // What others need to defend themselves is shared widely.
        event.set("tlp", json!(if random.percent(75) { "green" } else { "amber" }));
        self.line(nation, reporter, event)
    }

    /// An event of everyday noise.
    fn everyday(&mut self, nation: &Nation) -> Line {
        let reporter = nation.busiest.get(self.random.zipf(nation.busiest.len())).copied().unwrap_or(0);
        let random = &mut self.random;
        let mut event = match random.below(100) {
            0..24 => Draft::new("scanner", vec![json!(nation.address(Pool::Scanners, random.zipf(30_000)))])
                .with("dst_port", json!([22, 23, 80, 443, 445, 3389, 5060, 8080].get(random.zipf(8)).copied().unwrap_or(23)))
                .with("count", json!(1 + random.zipf(500)))
                .with("origin", json!(random.pick(&["sensor", "darknet", "honeypot", "sensor"], "sensor"))),
            24..38 => Draft::new("brute-force", vec![json!(nation.address(Pool::Crackers, random.zipf(8_000)))])
                .with("dst_port", json!([22, 3389, 25, 21].get(random.zipf(4)).copied().unwrap_or(22)))
                .with("count", json!(1 + random.zipf(2_000))),
            38..52 => {
                let place = random.zipf(6_000);
                let host = nation.host(place);
                Draft::new("phishing", vec![json!(names::url(&mut nation.pool(Pool::Hosts, place + random.zipf(4)), &host)), json!(host)])
            }
            52..59 => {
                let place = random.zipf(5_000);
                let file = names::hash(&mut nation.pool(Pool::Files, place), 64);
                let host = nation.host(random.zipf(6_000));
                Draft::new("malware-distribution", vec![json!(file), json!(names::url(&mut nation.pool(Pool::Files, place), &host))])
                    .with("malware", json!(nation.family(place % FAMILIES)))
            }
            59..64 => {
                let place = random.zipf(1_500);
                Draft::new("c2-server", vec![json!(nation.address(Pool::Servers, place))])
                    .with("malware", json!(nation.family(place % FAMILIES)))
                    .with("port", json!(443))
            }
            64..80 => {
                let place = random.zipf(1_500);
                let victim = victim(nation, random, reporter);
                Draft::new("infected-system", vec![json!({ "type": "ipv4", "value": victim, "role": "victim" })])
                    .with("malware", json!(nation.family(place % FAMILIES)))
                    .with("dst_ip", json!(nation.address(Pool::Servers, place)))
                    .with("origin", json!(if random.percent(40) { "sinkhole" } else { "sensor" }))
            }
            80..85 => Draft::new("spam", vec![json!(nation.address(Pool::Spammers, random.zipf(20_000)))]).with("count", json!(1 + random.zipf(100))),
            85..90 => Draft::new("ids-alert", vec![json!(nation.address(Pool::Crackers, random.zipf(8_000)))])
                .with("origin", json!("ids"))
                .with("technique", json!([random.pick(&["T1110", "T1046", "T1595.002"], "T1046")])),
            90..94 => {
                let victim = victim(nation, random, reporter);
                Draft::new("vulnerable-system", vec![json!(victim)]).with("cve", json!([cve(random)]))
            }
            94..97 => Draft::new("exploit", vec![json!(nation.address(Pool::Crackers, random.zipf(8_000)))])
                .with("origin", json!("waf"))
                .with("cve", json!([cve(random)])),
            97..99 => {
                let victim = victim(nation, random, reporter);
                Draft::new("ddos", vec![json!(victim)]).with("protocol", json!("udp")).with("severity", json!("high"))
            }
            _ => {
                let address = format!("{}@{}", names::word(random, 2).to_ascii_lowercase(), nation.host(random.zipf(6_000)));
                Draft::new("data-leak", vec![json!({ "type": "email", "value": address, "role": "victim" })]).with("note", json!("found in a published dump"))
            }
        };
        if random.percent(50) {
            event.set("confidence", json!(30 + random.below(71)));
        }
        match random.below(100) {
            0..10 => event.set("tlp", json!("clear")),
            10..40 => event.set("tlp", json!("green")),
            40..45 => event.set("tlp", json!("amber+strict")),
            // The member's default.
            _ => {}
        }
        self.line(nation, reporter, event)
    }

    fn line(&mut self, nation: &Nation, reporter: usize, mut event: Draft) -> Line {
        let time = Timestamp::from_micros(self.start.micros().saturating_add((self.at * 1e6) as i64));
        event.set("time", json!(time));
        if let Some(sector) = nation.members.get(reporter).and_then(|member| member.sector) {
            event.set("sector", json!(sector));
        }
        if self.random.percent(30) {
            event.set("id", json!(format!("{:?}-{}-{}", self.pace, nation.seed, self.number).to_ascii_lowercase()));
        }
        if self.random.percent(10) {
            event.set("named", json!(true));
        }
        let mut json = Value::Object(event.0).to_string();
        json.push('\n');
        Line { member: reporter, at: self.at, json }
    }
}

/// An event that is being put together.
struct Draft(Map<String, Value>);

impl Draft {
    fn new(category: &str, observables: Vec<Value>) -> Self {
        let mut fields = Map::new();
        fields.insert("category".to_owned(), json!(category));
        fields.insert("observables".to_owned(), Value::Array(observables));
        Self(fields)
    }

    fn with(mut self, field: &str, value: Value) -> Self {
        self.set(field, value);
        self
    }

    fn set(&mut self, field: &str, value: Value) {
        self.0.insert(field.to_owned(), value);
    }
}

/// An address of the reporter, or of another member whose traffic it sees.
fn victim(nation: &Nation, random: &mut Random, reporter: usize) -> String {
    let place = if random.percent(70) { reporter } else { random.below(nation.members.len()) };
    let [a, b, c] = nation.members.get(place).map_or([45, 0, 1], |member| member.network);
    names::dotted([a, b, c, 1 + random.zipf(250) as u8])
}

fn cve(random: &mut Random) -> String {
    format!("CVE-{}-{}", 2020 + random.below(7), 1000 + random.zipf(40_000))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        Timestamp::from_seconds(1_790_000_000)
    }

    #[test]
    fn the_nation_has_its_organisations_with_names_of_their_own() {
        let nation = Nation::generate(1);
        let count = |kind| nation.members.iter().filter(|member| member.kind == kind).count();
        assert_eq!((count(OrgKind::Company), count(OrgKind::Agency), count(OrgKind::Authority), count(OrgKind::Partner)), (260, 40, 3, 10));
        let names: BTreeSet<String> = nation.members.iter().map(|member| member.name.to_lowercase()).collect();
        assert_eq!(names.len(), nation.members.len());
        assert_eq!(nation.by_sector.len(), 11);
    }

    #[test]
    fn the_same_seed_gives_the_same_nation_and_events() {
        let lines = |seed| {
            let nation = Arc::new(Nation::generate(seed));
            (nation.members.clone(), nation.events(start(), -3600.0, 0.0, 0.1, Pace::Surging).collect::<Vec<_>>())
        };
        assert_eq!(lines(4), lines(4));
        assert_ne!(lines(4).0, lines(5).0);
    }

    #[test]
    fn events_are_in_order_and_of_the_shape_that_intake_reads() {
        let nation = Arc::new(Nation::generate(1));
        let lines: Vec<Line> = nation.events(start(), -86_400.0, 0.0, 0.05, Pace::Surging).collect();
        assert!(lines.len() > 4_000, "{}", lines.len());
        assert!(lines.windows(2).all(|pair| pair[0].at <= pair[1].at));
        for line in &lines {
            let event: Value = serde_json::from_str(&line.json).unwrap();
            assert!(line.json.ends_with('\n') && line.member < nation.members.len());
            assert!(!event["observables"].as_array().unwrap().is_empty());
            model::Category::parse(event["category"].as_str().unwrap()).unwrap();
            Timestamp::parse(event["time"].as_str().unwrap()).unwrap();
        }
    }

    #[test]
    fn an_even_pace_holds_the_rate() {
        let nation = Arc::new(Nation::generate(1));
        let count = nation.events(start(), 0.0, 100.0, 50.0, Pace::Even).count();
        assert!((4_500..5_500).contains(&count), "{count}");
    }

    #[test]
    fn the_history_has_tens_of_thousands_of_events_and_surges() {
        let nation = Arc::new(Nation::generate(1));
        let mut days = [0_u32; 14];
        for line in nation.events(start(), -campaign::HISTORY, 0.0, super::super::HISTORY_RATE, Pace::Surging) {
            days[((line.at + campaign::HISTORY) / 86_400.0) as usize % 14] += 1;
        }
        let total: u32 = days.iter().sum();
        assert!((15_000..150_000).contains(&total), "{total}");
        assert!(days.iter().max().unwrap() > &(days.iter().min().unwrap() * 2), "{days:?}");
    }
}
