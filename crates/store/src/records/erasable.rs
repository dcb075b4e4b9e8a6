//! What a record holds of a person: beside its content, in no history, so that it can be destroyed without a trace.
//!
//! Flow: [`super::Writer`] seals it with a fresh salt → the row keeps both → content and history keep a hash of it under that salt.
//! Invariant: the salt goes with what it hides: the hash proves what a record holds while it holds it, and tells nothing once it is gone.

use model::Text;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The part of a record that may have to be destroyed one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasable {
    /// A person's value in canonical form.
    pub value: Text,
    /// What was said of it.
    #[serde(default)]
    pub note: Option<Text>,
}

/// As the row keeps it, and its hash for the content.
pub(super) struct Sealed {
    pub(super) kept: String,
    pub(super) hash: String,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    erasable: Erasable,
    /// Absent in rows of before there were salts; their contents have no hash.
    #[serde(default)]
    salt: String,
}

/// The field of a content that holds the hash.
#[derive(Deserialize)]
struct Mark {
    sealed: Option<String>,
}

impl Erasable {
    /// Seals it under a salt of its own.
    pub(super) fn seal(self) -> Result<Sealed, serde_json::Error> {
        let kept = Kept { erasable: self, salt: Uuid::new_v4().simple().to_string() };
        Ok(Sealed { hash: kept.hash()?, kept: serde_json::to_string(&kept)? })
    }

    /// What a row keeps.
    pub(super) fn read(kept: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(kept).map(|Kept { erasable, .. }| erasable)
    }
}

impl Kept {
    fn hash(&self) -> Result<String, serde_json::Error> {
        let salt = blake3::hash(self.salt.as_bytes());
        Ok(blake3::keyed_hash(salt.as_bytes(), &serde_json::to_vec(&self.erasable)?).to_hex().to_string())
    }
}

/// A content with the hash in it; a content is a JSON object with fields of its own.
pub(super) fn marked(content: &str, hash: &str) -> String {
    let open = content.strip_suffix('}').unwrap_or(content);
    format!("{open},\"sealed\":\"{hash}\"}}")
}

/// Whether what a row keeps is what its content has the hash of.
pub(super) fn fits(content: &str, kept: Option<&str>) -> bool {
    let Ok(Mark { sealed: Some(hash) }) = serde_json::from_str(content) else { return true };
    kept.and_then(|kept| serde_json::from_str::<Kept>(kept).ok()?.hash().ok()).is_some_and(|found| found == hash)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_content_fits_what_was_sealed_and_nothing_else() {
        let erasable = Erasable { value: Text::from("lee@household.kr"), note: None };
        let (one, two) = (erasable.clone().seal().unwrap(), erasable.clone().seal().unwrap());
        assert_ne!(one.hash, two.hash, "who knows the value cannot make the hash without the salt");
        let content = marked(r#"{"state":"open"}"#, &one.hash);
        assert_eq!(content, format!(r#"{{"state":"open","sealed":"{}"}}"#, one.hash));
        assert_eq!(Erasable::read(&one.kept).unwrap(), erasable);
        assert!(fits(&content, Some(&one.kept)));
        assert!(!fits(&content, Some(&two.kept)) && !fits(&content, Some(r#"{"value":"other"}"#)) && !fits(&content, None));
        assert!(fits(r#"{"state":"open"}"#, Some(r#"{"value":"of before","note":null}"#)) && fits(r#"{"state":"open"}"#, None));
    }
}
