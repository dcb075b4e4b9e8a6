//! Values as senders of documents state them, turned into observables.
//!
//! Flow: [`Found`] values of a pattern, object or attribute → [`observables`] → canonical, without doubles.
//! Invariant: a value that is not of the type it is said to be is taken as what it evidently is (an address under `domain-name`, a SHA-256
//! under `MD5`), never altered.
//! Not here: canonical forms (`model::canonical`), where the values come from.

use model::canonical;
use model::{Category, Observable, ObservableType, Role, Text};
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// Most values of one event; the same as in NDJSON.
pub(crate) const MAX_OBSERVABLES: usize = 1_000;

/// What a value is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    /// An address or range of either family.
    Address,
    /// One end of a connection: an address, range, name or MAC address.
    Peer,
    /// A value of this type.
    Exactly(ObservableType),
}

impl Means {
    /// The types to try, in order. A range of one address is that address.
    fn kinds(self) -> SmallVec<[ObservableType; 5]> {
        use ObservableType as Type;
        match self {
            Self::Address => smallvec![Type::Ipv4, Type::Ipv6, Type::Cidr],
            Self::Peer => smallvec![Type::Ipv4, Type::Ipv6, Type::Cidr, Type::Mac, Type::Domain],
            Self::Exactly(kind) => smallvec![kind],
        }
    }

    /// Whether a value said to be this may turn out to be of that type.
    const fn admits(self, kind: ObservableType) -> bool {
        match self {
            Self::Address | Self::Peer => is_network(kind),
            Self::Exactly(said) => (is_network(said) && is_network(kind)) || (is_hash(said) && is_hash(kind)),
        }
    }
}

const fn is_network(kind: ObservableType) -> bool {
    use ObservableType as Type;
    matches!(kind, Type::Ipv4 | Type::Ipv6 | Type::Cidr | Type::Domain | Type::Url)
}

const fn is_hash(kind: ObservableType) -> bool {
    use ObservableType as Type;
    matches!(kind, Type::Md5 | Type::Sha1 | Type::Sha256 | Type::Sha512)
}

/// One value before it is canonical.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// What it is said to be.
    pub means: Means,
    /// The text.
    pub text: String,
    /// The role that its place gives it.
    pub role: Option<Role>,
    /// Whether its place says that it is worth detecting.
    pub detect: Option<bool>,
}

impl Found {
    /// A value whose place says nothing of role and detection.
    pub(crate) fn new(means: Means, text: impl Into<String>) -> Self {
        Self { means, text: text.into(), role: None, detect: None }
    }
}

/// What an event gives its observables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Casting {
    /// Category; decides the role where nothing else does.
    pub category: Category,
    /// The role stated for all.
    pub role: Option<Role>,
    /// Whether all are worth detecting, where stated.
    pub detect: Option<bool>,
}

/// Makes observables of values; those that are not understood are given back as reasons.
///
/// The same value twice counts once; where one of the two is a victim's, it is a victim's.
pub(crate) fn observables(found: &[Found], casting: Casting) -> (Vec<Observable>, Vec<String>) {
    let mut list: Vec<Observable> = Vec::with_capacity(found.len());
    let mut places: HashMap<(ObservableType, Text), usize> = HashMap::new();
    let mut reasons = Vec::new();
    for value in found {
        let role = |kind| value.role.or(casting.role).unwrap_or_else(|| Role::default_for(casting.category, kind));
        let observable = match observe(value.means, &value.text, role, value.detect.or(casting.detect)) {
            Ok(observable) => observable,
            Err(reason) => {
                reasons.push(reason);
                continue;
            }
        };
        if found.len() == 1 {
            list.push(observable);
            break;
        }
        match places.entry((observable.kind, observable.value.clone())) {
            Entry::Vacant(place) => {
                place.insert(list.len());
                list.push(observable);
            }
            Entry::Occupied(place) => {
                if let Some(same) = list.get_mut(*place.get()) {
                    if observable.role == Role::Victim {
                        same.role = Role::Victim;
                    }
                    same.detect |= observable.detect;
                }
            }
        }
    }
    (list, reasons)
}

/// Makes an observable of one value.
///
/// # Errors
/// Why the text is no value of the type it is said to be.
fn observe(means: Means, text: &str, role: impl Fn(ObservableType) -> Role, detect: Option<bool>) -> Result<Observable, String> {
    if means == Means::Exactly(ObservableType::Url) && is_path(text) {
        return Err("url: a path without a host".to_owned());
    }
    let mut error = None;
    for kind in means.kinds() {
        match canonical::observable(kind, text, role(kind), detect) {
            Ok(observable) => return Ok(observable),
            Err(reason) => error = error.or_else(|| Some(format!("{kind}: {reason}"))),
        }
    }
    if let Some((kind, value)) = model::detect::detect(text)
        && means.admits(kind)
        && let Ok(observable) = canonical::observable(kind, &value, role(kind), detect)
    {
        return Ok(observable);
    }
    Err(error.unwrap_or_else(|| "value is not understood".to_owned()))
}

/// Whether a text is a path alone: a URL parser would take its first part for the host.
fn is_path(text: &str) -> bool {
    let text = canonical::tidy(text);
    text.starts_with('/') && !text.starts_with("//")
}
