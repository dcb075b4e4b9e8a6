//! Invented names: companies, agencies, countries, malware, domains, addresses, hashes.
//!
//! Invariant: names are put together from syllables, so they belong to nobody; addresses are global unicast outside of every reserved
//! range and of the well-known public services.

use super::random::Random;
use std::fmt::Write;

const ONSETS: [&str; 18] = ["b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "tr"];
const VOWELS: [&str; 9] = ["a", "e", "i", "o", "u", "ae", "ia", "eo", "ou"];
const CODAS: [&str; 8] = ["", "", "", "n", "r", "l", "s", "m"];
const TOPICS: [&str; 20] = [
    "Coastal Safety",
    "Water Quality",
    "Land Registry",
    "Rail Inspection",
    "Public Archives",
    "Food Standards",
    "Weather Services",
    "Forest Protection",
    "Patent Affairs",
    "Customs Control",
    "Labour Statistics",
    "Border Health",
    "Road Traffic",
    "Mine Safety",
    "Postal Oversight",
    "School Inspection",
    "Housing Support",
    "Grid Oversight",
    "Port Control",
    "Civil Aviation",
];
const BODIES: [&str; 4] = ["Office of", "Agency for", "Institute of", "Administration of"];
const LURES: [&str; 8] = ["login", "secure", "account", "verify", "update", "parcel", "refund", "mail"];
const ENDINGS: [&str; 7] = ["com", "net", "kr", "xyz", "top", "info", "org"];
/// First octets that hold reserved ranges or the best-known public services.
const AVOIDED: [u8; 16] = [0, 1, 4, 8, 9, 10, 100, 127, 149, 169, 172, 192, 198, 199, 203, 208];

/// A word of so many syllables, capitalised.
pub fn word(random: &mut Random, syllables: usize) -> String {
    let mut text = String::new();
    for _ in 0..syllables {
        text.push_str(random.pick(&ONSETS, "b"));
        text.push_str(random.pick(&VOWELS, "a"));
        text.push_str(random.pick(&CODAS, ""));
    }
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// What companies of a sector call themselves.
pub fn trades(sector: &str) -> &'static [&'static str] {
    match sector {
        "electronics" => &["Semiconductor", "Displays", "Instruments", "Circuits"],
        "transport" => &["Rail", "Airways", "Coaches", "Mobility"],
        "finance" => &["Bank", "Insurance", "Securities", "Payments"],
        "water" => &["Waterworks", "Desalination", "Reservoirs"],
        "energy" => &["Power", "Gas", "Grid", "Solar"],
        "health" => &["Hospital", "Clinics", "Pharma", "Diagnostics"],
        "telecom" => &["Telecom", "Broadband", "Mobile", "Hosting"],
        "government" => &["Public Services", "Registry Systems", "Civic Software"],
        "nuclear" => &["Nuclear Fuel", "Reactor Services", "Isotopes"],
        "broadcasting" => &["Television", "Radio", "Media"],
        _ => &["Logistics", "Shipping", "Parcels", "Warehouses"],
    }
}

/// A public body that no country has.
pub fn agency(random: &mut Random, country: &str, place: usize) -> String {
    let topic = TOPICS.get(place % TOPICS.len()).copied().unwrap_or("Records");
    // Two bodies a topic at the most: each takes its own kind.
    let kind = random.below(2) + 2 * (place / TOPICS.len() % 2);
    format!("{country} {} {topic}", BODIES.get(kind).copied().unwrap_or("Office of"))
}

/// An address: global unicast, the same for the same number.
pub fn address(random: &mut Random) -> [u8; 4] {
    loop {
        let [a, b, c, d, ..] = random.next().to_be_bytes();
        if a < 224 && !AVOIDED.contains(&a) && d != 0 && d != 255 {
            return [a, b, c, d];
        }
    }
}

/// An address as text.
pub fn dotted([a, b, c, d]: [u8; 4]) -> String {
    format!("{a}.{b}.{c}.{d}")
}

/// A domain name that looks thrown away.
pub fn domain(random: &mut Random) -> String {
    let name = word(random, 3).to_ascii_lowercase();
    let ending = random.pick(&ENDINGS, "com");
    if random.percent(40) {
        format!("{}-{name}{}.{ending}", random.pick(&LURES, "login"), random.below(90) + 10)
    } else {
        format!("{name}{}.{ending}", random.below(900) + 100)
    }
}

/// A URL on a host.
pub fn url(random: &mut Random, host: &str) -> String {
    let page = random.pick(&["index.php", "signin", "doc/view", "pay/confirm", "a/b.js", "session"], "index.php");
    format!("https://{host}/{}/{page}", word(random, 1).to_ascii_lowercase())
}

/// So many hexadecimal digits.
pub fn hash(random: &mut Random, digits: usize) -> String {
    let mut text = String::with_capacity(digits + 16);
    while text.len() < digits {
        // Writing into a String does not fail.
        let _ = write!(text, "{:016x}", random.next());
    }
    text.truncate(digits);
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_reserved() {
        let mut random = Random::new(3, 9);
        for _ in 0..20_000 {
            let address = std::net::Ipv4Addr::from(address(&mut random));
            assert!(
                !address.is_private() && !address.is_loopback() && !address.is_link_local() && !address.is_multicast() && !address.is_documentation(),
                "{address}"
            );
        }
    }

    #[test]
    fn agencies_are_told_apart() {
        let mut random = Random::new(3, 9);
        let names: std::collections::BTreeSet<String> = (0..40).map(|place| agency(&mut random, "Haedan", place)).collect();
        assert_eq!(names.len(), 40);
    }

    #[test]
    fn a_hash_has_its_digits() {
        assert_eq!(hash(&mut Random::new(1, 1), 64).len(), 64);
        assert_eq!(hash(&mut Random::new(1, 1), 32).len(), 32);
    }
}
