//! Keys of organisations: adding, listing, rotating with overlap, revoking; and the rules for who may give which role.
//!
//! Invariant: a secret leaves once, in the answer that makes it; only its hash is kept.

use super::{Members, coordinator_only, illegal, invalid, is_hub, may_administer, reason_text};
use crate::directory::{KeyFacts, KeyState, SECRET_PREFIX, key_state, parse_range};
use crate::{Actor, HubError};
use model::{KeyId, KeyRole, OrgId, OrgKind, Organisation, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::records::Key;
use uuid::Uuid;

/// How long an old key may hold beside its successor.
pub const MAX_OVERLAP: Duration = Duration::from_secs(30 * 86_400);
/// Ranges in a key's allow-list at the most.
const MAX_RANGES: usize = 64;
/// Holding keys of one organisation at the most.
const MAX_KEYS: usize = 1_000;
/// Bytes of a holder's name at the most.
const MAX_HOLDER: usize = 200;

/// What a key is added with.
#[derive(Debug, Clone, Deserialize)]
pub struct NewKey {
    /// What it may do.
    pub role: KeyRole,
    /// After which it no longer holds; absent: until revoked.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// Address ranges it may be used from; empty: from anywhere.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Whether it is a person's flagged for red.
    #[serde(default)]
    pub red: bool,
    /// The person who is to hold it: a name or a staff number. Needed for what takes two people.
    #[serde(default)]
    pub holder: Option<String>,
}

/// A key for those who manage it; never its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub organisation: OrgId,
    /// What it may do.
    pub role: KeyRole,
    /// Whether it holds now.
    pub state: KeyState,
    /// When it was made.
    pub created: Timestamp,
    /// After which it no longer holds.
    pub expires: Option<Timestamp>,
    /// Set by rotation: until when it holds beside its successor.
    pub valid_until: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last.
    pub last_used: Option<Timestamp>,
    /// Address ranges it may be used from; empty: from anywhere.
    pub allow: Vec<String>,
    /// Whether it is a person's flagged for red.
    pub red: bool,
    /// The person who holds it, as far as told.
    pub holder: Option<String>,
}

impl Members {
    /// Adds a key; gives its id and, this once, its secret.
    pub async fn add_key(&self, actor: &Actor, organisation: OrgId, new: NewKey) -> Result<(KeyId, String), HubError> {
        let organisation = self.known(actor, organisation)?;
        may_administer(actor, organisation.id)?;
        may_give(actor, new.role, new.red)?;
        if !role_fits(new.role, &organisation) {
            return Err(invalid("/role", "a coordinator's key belongs to the hub or a cert, an authority's to an authority; a source has none"));
        }
        let change = self.noted(actor, "add", "");
        if new.expires.is_some_and(|expires| expires <= change.at) {
            return Err(invalid("/expires", "lies in the past"));
        }
        let allow = tidy_ranges(&new.allow)?;
        let holder = tidy_holder(new.holder.as_deref().unwrap_or_default())?;
        let (key, secret) = fresh(KeyId(self.clock.uuid()), organisation.id, new.role, change.at);
        let key = Key { expires: new.expires, allow, red: new.red, holder, ..key };
        let mut writer = self.records.write().await?;
        let keys: Vec<Key> = writer.owned(&organisation.id.to_string()).await?;
        if keys.iter().filter(|key| key_state(key, change.at).holds()).count() >= MAX_KEYS {
            return Err(HubError::TooLarge { limit: MAX_KEYS as u64, unit: "keys" });
        }
        writer.insert(&key, &change, &[]).await?;
        self.commit(writer).await?;
        Ok((key.id, secret))
    }

    /// The keys of an organisation, newest first, revoked ones too.
    pub fn list_keys(&self, actor: &Actor, organisation: OrgId) -> Result<Vec<KeyView>, HubError> {
        let organisation = self.known(actor, organisation)?;
        if actor.role != KeyRole::Auditor {
            may_administer(actor, organisation.id)?;
        }
        let now = self.clock.now();
        Ok(self.directory.snapshot().keys_of(organisation.id).iter().rev().map(|facts| view(facts, now)).collect())
    }

    /// Replaces a key by one of the same role, holder, ranges and length of life; the old one holds for `overlap` longer.
    pub async fn rotate_key(&self, actor: &Actor, organisation: OrgId, key: KeyId, overlap: Duration) -> Result<(KeyId, String), HubError> {
        let organisation = self.known(actor, organisation)?;
        may_administer(actor, organisation.id)?;
        if overlap > MAX_OVERLAP {
            return Err(invalid("/overlap", "longer than 30 days"));
        }
        let change = self.noted(actor, "rotate", "");
        let mut writer = self.records.write().await?;
        let old = own_key(writer.get(&key.to_string()).await?, organisation.id)?;
        may_give(actor, old.role, old.red)?;
        match key_state(&old, change.at) {
            KeyState::Active => {}
            KeyState::Rotating => return Err(illegal("rotate", "revoke")),
            KeyState::Expired | KeyState::Revoked => return Err(illegal("rotate", "none")),
        }
        if !role_fits(old.role, &organisation) {
            return Err(invalid("/role", "the key's role no longer fits its organisation"));
        }
        let life = old.expires.map(|expires| expires.micros().saturating_sub(old.created.micros()));
        let (new, secret) = fresh(KeyId(self.clock.uuid()), organisation.id, old.role, change.at);
        let expires = life.map(|life| Timestamp::from_micros(change.at.micros().saturating_add(life)));
        let new = Key { expires, allow: old.allow.clone(), red: old.red, holder: old.holder.clone(), ..new };
        let version = old.version;
        let old = Key { valid_until: Some(change.at.plus(overlap)), ..old };
        writer.insert(&new, &change, &[]).await?;
        writer.update(&old, version, &change, &[]).await?;
        self.commit(writer).await?;
        Ok((new.id, secret))
    }

    /// Revokes a key at once.
    pub async fn revoke_key(&self, actor: &Actor, organisation: OrgId, key: KeyId, reason: &str) -> Result<(), HubError> {
        let organisation = self.known(actor, organisation)?;
        may_administer(actor, organisation.id)?;
        let reason = reason_text("/reason", reason, false)?;
        let change = self.noted(actor, "revoke", reason);
        let mut writer = self.records.write().await?;
        let old = own_key(writer.get(&key.to_string()).await?, organisation.id)?;
        if !members_own_role(old.role) {
            coordinator_only(actor)?;
        }
        if old.revoked_at.is_some() {
            return Err(illegal("revoke", "none"));
        }
        if is_hub(&organisation) && old.role == KeyRole::Coordinator && !self.directory.has_coordinator(Some(old.id), change.at) {
            return Err(HubError::Forbidden("the last coordinator's key cannot be revoked; add another first"));
        }
        let version = old.version;
        writer.update(&Key { revoked_at: Some(change.at), ..old }, version, &change, &[]).await?;
        self.commit(writer).await
    }
}

/// A key with a fresh secret: bound to no address, not flagged for red, without expiry.
pub(super) fn fresh(id: KeyId, organisation: OrgId, role: KeyRole, now: Timestamp) -> (Key, String) {
    let secret = new_secret();
    let key = Key {
        id,
        organisation,
        role,
        hash: blake3::hash(secret.as_bytes()).to_hex().to_string(),
        expires: None,
        revoked_at: None,
        valid_until: None,
        allow: Vec::new(),
        red: false,
        holder: None,
        version: 1,
        created: now,
    };
    (key, secret)
}

/// Whether an organisation of this kind may hold a key of this role.
pub(super) fn role_fits(role: KeyRole, organisation: &Organisation) -> bool {
    // What the hub collects sends and reads nothing by itself.
    if organisation.kind == OrgKind::Source {
        return false;
    }
    match role {
        KeyRole::Coordinator => is_hub(organisation) || organisation.kind == OrgKind::Cert,
        KeyRole::Authority => organisation.kind == OrgKind::Authority,
        KeyRole::MemberAdmin | KeyRole::Analyst | KeyRole::Reporter | KeyRole::Reader | KeyRole::Auditor => true,
    }
}

/// Whether a member's administrator may give this role.
fn members_own_role(role: KeyRole) -> bool {
    match role {
        KeyRole::MemberAdmin | KeyRole::Analyst | KeyRole::Reporter | KeyRole::Reader => true,
        KeyRole::Coordinator | KeyRole::Authority | KeyRole::Auditor => false,
    }
}

fn may_give(actor: &Actor, role: KeyRole, red: bool) -> Result<(), HubError> {
    if actor.is_coordinator() || (members_own_role(role) && !red) {
        Ok(())
    } else {
        Err(HubError::Forbidden("only the coordinator gives this role or the flag for red"))
    }
}

/// A secret of 256 bits in hexadecimal.
///
/// Two random UUIDs hold 244 bits from the operating system's generator; hashing them spreads these over the whole length.
fn new_secret() -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(Uuid::new_v4().as_bytes());
    hasher.update(Uuid::new_v4().as_bytes());
    format!("{SECRET_PREFIX}{}", hasher.finalize().to_hex())
}

/// The key, where it belongs to the organisation: an id of another's key tells nothing.
fn own_key(key: Option<Key>, organisation: OrgId) -> Result<Key, HubError> {
    key.filter(|key| key.organisation == organisation).ok_or(HubError::NotFound)
}

/// A holder's name with single blanks; `None` where it is empty.
fn tidy_holder(holder: &str) -> Result<Option<String>, HubError> {
    let holder = holder.split_whitespace().collect::<Vec<_>>().join(" ");
    if holder.len() > MAX_HOLDER {
        return Err(invalid("/holder", format!("longer than {MAX_HOLDER} bytes")));
    }
    if holder.chars().any(char::is_control) {
        return Err(invalid("/holder", "must not hold control characters"));
    }
    Ok((!holder.is_empty()).then_some(holder))
}

fn tidy_ranges(ranges: &[String]) -> Result<Vec<String>, HubError> {
    if ranges.len() > MAX_RANGES {
        return Err(HubError::TooLarge { limit: MAX_RANGES as u64, unit: "address ranges" });
    }
    ranges
        .iter()
        .enumerate()
        .map(|(place, range)| parse_range(range).map(|range| range.to_string()).ok_or_else(|| invalid(&format!("/allow/{place}"), "not an address range")))
        .collect()
}

fn view(facts: &KeyFacts, now: Timestamp) -> KeyView {
    let key = &facts.key;
    KeyView {
        id: key.id,
        organisation: key.organisation,
        role: key.role,
        state: key_state(key, now),
        created: key.created,
        expires: key.expires,
        valid_until: key.valid_until,
        revoked_at: key.revoked_at,
        last_used: facts.last_used(),
        allow: key.allow.clone(),
        red: key.red,
        holder: key.holder.clone(),
    }
}
