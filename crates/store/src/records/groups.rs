//! Information-sharing groups, as records. Who belongs to one is said by each organisation's own list of groups.

use super::{Parts, Record};
use model::{Text, Timestamp};
use serde::{Deserialize, Serialize};

/// A group of organisations that share among themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The id that audiences and organisations name it by.
    pub id: Text,
    /// Its name for people.
    pub title: String,
    /// Whether its members let each other see who reported what was sent to the group alone.
    pub named: bool,
    /// Version, starting at 1.
    #[serde(skip)]
    pub version: u64,
    /// When it was added.
    #[serde(skip)]
    pub created: Timestamp,
    /// When it was changed last.
    #[serde(skip)]
    pub updated: Timestamp,
}

impl Group {
    /// The id of the record of a group: ids of records are one list, and a group's own id is its members' choice.
    pub fn record_id(id: &str) -> String {
        format!("grp:{id}")
    }
}

impl Record for Group {
    const KIND: &'static str = "group";

    fn id(&self) -> String {
        Self::record_id(&self.id)
    }

    fn content(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn from_parts(parts: Parts) -> Result<Self, serde_json::Error> {
        let group: Self = serde_json::from_str(&parts.content)?;
        Ok(Self { version: parts.version, created: parts.created, updated: parts.updated, ..group })
    }
}
