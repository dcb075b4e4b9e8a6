//! Products: indicators in the shapes that firewalls, resolvers, sensors and people load.
//!
//! Flow: `hub::products` chooses the entries, in order of type and value, and calls [`body`]; [`head`] goes before it.
//! Invariant: pure. The body is a function of the entries alone, so that two bodies are the same bytes exactly when they say the same; what
//! changes each time (when, how many, until when) is in the head. A value enters only a product that takes its type, and as itself: a URL
//! gives neither its domain nor its address.
//! Not here: which entries may leave (`policy::leave`), STIX (`crate::stix`), HTTP (`web::feeds`). The table is in `docs/products.md`.

mod rpz;
mod rules;
mod sets;
mod text;
mod zeek;

use model::{Category, ObservableType, Pap, Text, Timestamp, Tlp};

/// What can be fetched under `/feeds/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Product {
    /// One value per line; of one type, or of every type whose values tell it by themselves.
    List(Option<ObservableType>),
    /// One row per indicator with all that is known of it.
    Csv,
    /// A STIX 2.1 bundle.
    Stix,
    /// Rules of Suricata that alert.
    SuricataRules,
    /// A data set of Suricata, of one type.
    Dataset(ObservableType),
    /// Rules of Snort 3 that alert.
    SnortRules,
    /// A file for Zeek's intelligence framework.
    ZeekIntel,
    /// A response policy zone.
    RpzZone,
    /// A hosts file.
    Hosts,
    /// Names for Squid's `dstdomain`.
    SquidDomains,
    /// Addresses for Squid's `dst`.
    SquidAddresses,
    /// A table file of pf.
    PfTable,
    /// Sets of nftables.
    NftSets,
}

/// What consumers do with a product by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Consumption {
    /// Blocks; lists without a marking per entry count here.
    Blocking,
    /// Watches.
    Detecting,
    /// Reads; each entry carries its marking.
    Informing,
}

/// One indicator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry<'a> {
    /// Type of the value.
    pub kind: ObservableType,
    /// Canonical.
    pub value: &'a str,
    /// Of its newest event.
    pub category: Category,
    /// Malware it belongs to.
    pub malware: Option<&'a str>,
    /// Its marking.
    pub tlp: Tlp,
    /// What may be done with it.
    pub pap: Pap,
    /// 0 to 100, today.
    pub confidence: u8,
    /// First seen.
    pub first_seen: Timestamp,
    /// Last seen.
    pub last_seen: Timestamp,
    /// Until when it holds; `None`: its content does not age.
    pub valid_until: Option<Timestamp>,
    /// Sectors it was seen in.
    pub sectors: &'a [Text],
}

/// What a product says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Heading<'a> {
    /// Name of the realm.
    pub realm: &'a str,
    /// The product and its filters, as asked for.
    pub name: &'a str,
    /// The strictest marking in it.
    pub tlp: Tlp,
    /// When it was made.
    pub generated: Timestamp,
    /// From when on a copy is no longer to be used.
    pub expires: Timestamp,
    /// How many entries it has.
    pub entries: usize,
    /// Its version, for `?since=`.
    pub version: &'a str,
}

/// The use that the marking grants, in words.
pub fn licence(tlp: Tlp) -> &'static str {
    match tlp {
        Tlp::Clear => "may be passed on without limit, with its source named",
        Tlp::Green => "for members of the hub and partners of the community; not for the public",
        Tlp::Amber => "for the receiving organisation and those of its clients who need it",
        Tlp::AmberStrict | Tlp::Red => "for the receiving organisation alone",
    }
}

/// Types that have a list and may have a rule.
const DATASETS: &[ObservableType] = &[
    ObservableType::Ipv4,
    ObservableType::Ipv6,
    ObservableType::Domain,
    ObservableType::Md5,
    ObservableType::Sha256,
    ObservableType::UserAgent,
    ObservableType::Ja3,
];

/// Products of a name of their own.
const NAMED: &[(&str, Product)] = &[
    ("list.txt", Product::List(None)),
    ("csv", Product::Csv),
    ("stix", Product::Stix),
    ("suricata.rules", Product::SuricataRules),
    ("snort.rules", Product::SnortRules),
    ("zeek.intel", Product::ZeekIntel),
    ("rpz.zone", Product::RpzZone),
    ("hosts", Product::Hosts),
    ("squid.acl", Product::SquidDomains),
    ("squid-ip.acl", Product::SquidAddresses),
    ("pf.table", Product::PfTable),
    ("nft", Product::NftSets),
];

impl Product {
    /// The product of this name; `None` for a name that none has.
    pub fn parse(name: &str) -> Option<Self> {
        if let Some((_, product)) = NAMED.iter().find(|(own, _)| *own == name) {
            return Some(*product);
        }
        let kind = |word: &str| ObservableType::ALL.iter().copied().find(|kind| kind.as_str() == word);
        if let Some(word) = name.strip_suffix(".txt") {
            return kind(word).map(|kind| Self::List(Some(kind)));
        }
        let word = name.strip_prefix("suricata-")?.strip_suffix(".lst")?;
        kind(word).filter(|kind| DATASETS.contains(kind)).map(Self::Dataset)
    }

    /// Its name.
    pub fn name(self) -> String {
        match self {
            Self::List(Some(kind)) => format!("{kind}.txt"),
            Self::Dataset(kind) => format!("suricata-{kind}.lst"),
            other => NAMED.iter().find(|(_, product)| *product == other).map_or_else(String::new, |(name, _)| (*name).to_owned()),
        }
    }

    /// Every product.
    pub fn all() -> Vec<Self> {
        let lists = ObservableType::ALL.iter().map(|&kind| Self::List(Some(kind)));
        NAMED.iter().map(|(_, product)| *product).chain(lists).chain(DATASETS.iter().copied().map(Self::Dataset)).collect()
    }

    /// Its media type.
    pub const fn media(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Stix => "application/stix+json;version=2.1",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// What its consumers do with it.
    pub const fn consumption(self) -> Consumption {
        match self {
            Self::Csv | Self::Stix => Consumption::Informing,
            Self::SuricataRules | Self::SnortRules | Self::ZeekIntel => Consumption::Detecting,
            // Rules of the reader's own may drop by a data set, and nothing in one says that this is not allowed.
            Self::List(_) | Self::Dataset(_) | Self::RpzZone | Self::Hosts | Self::SquidDomains | Self::SquidAddresses | Self::PfTable | Self::NftSets => {
                Consumption::Blocking
            }
        }
    }

    /// Whether the difference since a version can be asked for.
    pub const fn has_delta(self) -> bool {
        matches!(self, Self::List(_) | Self::Csv)
    }

    /// Whether it can hold a value.
    pub fn takes(self, kind: ObservableType, value: &str) -> bool {
        use ObservableType::{Cidr, Domain, Ipv4, Ipv6};
        match self {
            Self::List(None) => tells_its_type(kind, value),
            Self::List(Some(only)) | Self::Dataset(only) => only == kind,
            Self::Csv => true,
            Self::Stix => crate::stix::write::pattern(kind, value).is_some(),
            Self::SuricataRules | Self::SnortRules => rules::takes(self, kind, value),
            Self::ZeekIntel => zeek::type_of(kind).is_some(),
            Self::RpzZone => rpz::takes(kind, value),
            Self::Hosts | Self::SquidDomains => kind == Domain,
            Self::SquidAddresses | Self::PfTable | Self::NftSets => matches!(kind, Ipv4 | Ipv6 | Cidr),
        }
    }
}

/// Whether a reader of a bare value takes it for what it is. A file's name or a user agent may be written like anything else, an address
/// that would be blocked among it.
fn tells_its_type(kind: ObservableType, value: &str) -> bool {
    !matches!(kind, ObservableType::Filename | ObservableType::UserAgent) && model::detect::detect(value).is_some_and(|(found, _)| found == kind)
}

/// The bytes before the body: marking, version, expiry. Empty where the format has no comments.
pub fn head(product: Product, heading: &Heading<'_>) -> Vec<u8> {
    let mark = match product {
        // Their readers take a comment for an entry, or have nowhere to put one; HTTP's headers say the same.
        Product::Csv | Product::Stix | Product::Dataset(_) => return Vec::new(),
        Product::RpzZone => ';',
        _ => '#',
    };
    let mut out = String::with_capacity(512);
    let lines = [
        format!("Bongsu, realm {}, product {}", heading.realm, heading.name),
        format!("tlp: {}", heading.tlp),
        format!("generated: {}", heading.generated),
        format!("expires: {}", heading.expires),
        format!("entries: {}", heading.entries),
        format!("version: {}", heading.version),
        format!("licence: {}", licence(heading.tlp)),
    ];
    for line in &lines {
        out.push(mark);
        out.push(' ');
        out.extend(line.chars().map(|character| if character.is_control() { ' ' } else { character }));
        out.push('\n');
    }
    if product == Product::RpzZone {
        rpz::head(heading, &mut out);
    }
    out.into_bytes()
}

/// The bytes of the entries, which come in order of type and value, each once, and are all of types that the product takes.
///
/// STIX is not made here and gives nothing.
pub fn body<'a>(product: Product, entries: impl Iterator<Item = Entry<'a>>) -> Vec<u8> {
    let mut out = String::new();
    match product {
        Product::List(_) | Product::SquidDomains | Product::SquidAddresses | Product::PfTable => {
            entries.for_each(|entry| text::line(&mut out, entry.value));
        }
        Product::Csv => {
            out.push_str(text::COLUMNS);
            entries.for_each(|entry| text::row(&mut out, &entry));
        }
        Product::Stix => {}
        Product::SuricataRules | Product::SnortRules => rules::write(product, entries, &mut out),
        Product::Dataset(_) => entries.for_each(|entry| sets::dataset(&mut out, &entry)),
        Product::ZeekIntel => zeek::write(entries, &mut out),
        Product::RpzZone => entries.for_each(|entry| rpz::records(&mut out, &entry)),
        Product::Hosts => entries.for_each(|entry| text::host(&mut out, entry.value)),
        Product::NftSets => sets::nft(entries, &mut out),
    }
    out.into_bytes()
}

/// One line of a difference: what came or changed, or what left.
pub fn delta_line(product: Product, entry: &Entry<'_>, there: bool, out: &mut String) {
    out.push(if there { '+' } else { '-' });
    match (product, there) {
        (Product::Csv, true) => text::row(out, entry),
        (Product::Csv, false) => {
            text::cell(out, entry.kind.as_str());
            out.push(',');
            text::cell(out, entry.value);
            out.push('\n');
        }
        _ => text::line(out, entry.value),
    }
}

#[cfg(test)]
mod tests;
