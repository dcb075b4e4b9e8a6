//! Identifiers: UUIDv7 behind a prefix that names what they belong to, and the small numbers used in bulk.
//!
//! Invariant: an id parses only with its own prefix, so that a key's id can never be taken for an organisation's.
//! Not here: making random ids (the caller passes the UUID).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Why a text is not an id of the kind expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_…")]
pub struct IdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The text before the underscore.
            pub const PREFIX: &'static str = $prefix;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.as_simple())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|rest| rest.len() == 32)
                    .and_then(|rest| Uuid::try_parse(rest).ok())
                    .map(Self)
                    .ok_or(IdError { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

prefixed_id!(
    /// An organisation.
    OrgId, "org");
prefixed_id!(
    /// A key of an organisation.
    KeyId, "key");
prefixed_id!(
    /// What a sender gets for a batch. Carries the place of the batch's first event in the ledger and a nonce.
    ReceiptId, "rcp");
prefixed_id!(
    /// A claim that a value is a false positive, waiting for an analyst.
    ClaimId, "clm");
prefixed_id!(
    /// A registered network, domain or AS number.
    NetworkId, "net");
prefixed_id!(
    /// What is wrong in somebody's network: made of the owner, the value's key and the category.
    FindingId, "fnd");
prefixed_id!(
    /// Where an organisation is told of abuse.
    ContactId, "cnt");
prefixed_id!(
    /// Whom to tell of what belongs to no member: made of the place.
    AbuseContactId, "abu");
prefixed_id!(
    /// The destruction of a value, asked for by one person and confirmed by another.
    ErasureId, "ers");
prefixed_id!(
    /// What a member asked to be told of, and how.
    SubscriptionId, "sub");

/// An organisation's small number: given in order of creation, never reused, and kept in ledger blocks instead of the id.
/// Number 0 is the hub itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrgNo(pub u32);

impl OrgNo {
    /// The hub itself.
    pub const HUB: Self = Self(0);
}

impl fmt::Display for OrgNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_parses_only_with_its_own_prefix() {
        let id = OrgId(Uuid::from_u128(7));
        assert_eq!(id.to_string().parse::<OrgId>(), Ok(id));
        assert!(id.to_string().parse::<KeyId>().is_err());
        assert!("org_".parse::<OrgId>().is_err());
        assert!("org_0000000000000000000000000000000g".parse::<OrgId>().is_err());
    }
}
