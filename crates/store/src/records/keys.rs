//! Keys as records. Only the hash of a secret is kept; the secret itself is a uniform 256-bit value, so a plain fast hash is enough.

use super::{Parts, Record, Records, RecordsError};
use model::{KeyId, KeyRole, OrgId, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use std::collections::HashMap;

/// A key of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub organisation: OrgId,
    /// What it may do.
    pub role: KeyRole,
    /// BLAKE3 of the secret, 64 hexadecimal digits.
    pub hash: String,
    /// After which it no longer holds.
    pub expires: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Set by rotation: until when it holds beside its successor.
    pub valid_until: Option<Timestamp>,
    /// Address ranges it may be used from; empty: from anywhere.
    pub allow: Vec<String>,
    /// Whether it is a person's flagged for red.
    pub red: bool,
    /// The person who holds it: a name or a staff number. What takes two people asks for two of them.
    #[serde(default)]
    pub holder: Option<String>,
    /// Version, starting at 1.
    #[serde(skip)]
    pub version: u64,
    /// When it was made.
    #[serde(skip)]
    pub created: Timestamp,
}

impl Record for Key {
    const KIND: &'static str = "key";

    fn id(&self) -> String {
        self.id.to_string()
    }

    fn content(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn from_parts(parts: Parts) -> Result<Self, serde_json::Error> {
        let key: Self = serde_json::from_str(&parts.content)?;
        Ok(Self { version: parts.version, created: parts.created, ..key })
    }

    fn owner(&self) -> Option<String> {
        Some(self.organisation.to_string())
    }

    fn state(&self) -> &'static str {
        if self.revoked_at.is_some() { "revoked" } else { "active" }
    }

    fn unique_name(&self) -> Option<String> {
        Some(self.hash.clone())
    }
}

impl Records {
    /// Writes when keys were used last; an earlier time than the one known changes nothing.
    pub async fn touch_keys(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), RecordsError> {
        if uses.is_empty() {
            return Ok(());
        }
        let mut writer = self.write().await?;
        for (key, at) in uses {
            sqlx::query(
                "INSERT INTO key_use (key_id, last_used) VALUES ($1, $2)
                 ON CONFLICT (key_id) DO UPDATE SET last_used = excluded.last_used WHERE excluded.last_used > key_use.last_used",
            )
            .bind(key.to_string())
            .bind(at.micros())
            .execute(writer.connection())
            .await?;
        }
        writer.commit().await
    }
}

/// When each key was used last, as far as written.
pub(super) async fn last_used(connection: &mut SqliteConnection) -> Result<HashMap<KeyId, Timestamp>, RecordsError> {
    let rows: Vec<(String, i64)> = sqlx::query_as("SELECT key_id, last_used FROM key_use").fetch_all(connection).await?;
    Ok(rows.into_iter().filter_map(|(key, at)| Some((key.parse().ok()?, Timestamp::from_micros(at)))).collect())
}
