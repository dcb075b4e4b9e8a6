//! Information-sharing groups: records of the coordinator, and whether their members let each other see who reported.
//!
//! Invariant: a group is known to whoever may know one of its members, and names those members only; without a record a group permits nothing.
//! Invariant: leave to name is read when answering, so it holds for what was sent to the group before, too; giving it needs a reason.
//! Not here: what leave shows to whom (`policy`), who belongs to a group (`organisations`).

use super::{HistoryRow, Members, coordinator_only, invalid, may_know, reason_text, taken};
use crate::directory::Snapshot;
use crate::{Actor, HubError};
use model::{KeyRole, OrgId, Text, Timestamp};
use serde::Serialize;
use store::records::{Group, MAX_NAME};

/// Groups of a realm at the most.
const MAX_GROUPS: usize = 1_000;
/// Characters of a group's id at the most.
const MAX_ID: usize = 64;

/// What a group is added with.
#[derive(Debug, Clone)]
pub struct NewGroup {
    /// The id that audiences name it by.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// Whether reporters are named inside it.
    pub named: bool,
    /// Why; needed to let reporters be named.
    pub reason: String,
}

/// What is to change of a group; a field that is absent stays as it is.
#[derive(Debug, Clone, Default)]
pub struct GroupPatch {
    /// Its name for people.
    pub title: Option<String>,
    /// Whether reporters are named inside it.
    pub named: Option<bool>,
}

/// A group for those who may know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupView {
    /// The id that audiences name it by.
    pub id: Text,
    /// Its name for people.
    pub title: String,
    /// Whether reporters are named inside it.
    pub named: bool,
    /// Its members that the reader may know.
    pub members: Vec<OrgId>,
    /// Version, starting at 1.
    pub version: u64,
    /// When it was added.
    pub created: Timestamp,
    /// When it was changed last.
    pub updated: Timestamp,
}

impl Members {
    /// The groups the actor may know, by id.
    pub fn list_groups(&self, actor: &Actor) -> Vec<GroupView> {
        let snapshot = self.directory.snapshot();
        snapshot.groups().filter_map(|group| view(actor, group, &snapshot)).collect()
    }

    /// One group.
    pub fn show_group(&self, actor: &Actor, id: &str) -> Result<GroupView, HubError> {
        let snapshot = self.directory.snapshot();
        snapshot.group(id).and_then(|group| view(actor, group, &snapshot)).ok_or(HubError::NotFound)
    }

    /// Adds a group. Organisations may have named it before.
    pub async fn add_group(&self, actor: &Actor, new: NewGroup) -> Result<GroupView, HubError> {
        coordinator_only(actor)?;
        let reason = reason_text("/reason", &new.reason, new.named)?;
        let change = self.noted(actor, "add", reason);
        let id = self.group_id("/id", &new.id)?;
        let group = Group { id, title: tidy_title(&new.title)?, named: new.named, version: 1, created: change.at, updated: change.at };
        let mut writer = self.records.write().await?;
        if writer.all::<Group>().await?.len() >= MAX_GROUPS {
            return Err(HubError::TooLarge { limit: MAX_GROUPS as u64, unit: "groups" });
        }
        writer.insert(&group, &change, &[]).await.map_err(|error| taken(error, "/id", "another group has this id"))?;
        self.commit(writer).await?;
        self.show_group(actor, &group.id)
    }

    /// Changes a group that the caller read at `version`.
    pub async fn change_group(&self, actor: &Actor, id: &str, version: u64, patch: GroupPatch, reason: &str) -> Result<GroupView, HubError> {
        self.show_group(actor, id)?;
        let mut writer = self.records.write().await?;
        let mut group: Group = writer.get(&Group::record_id(id)).await?.ok_or(HubError::NotFound)?;
        if group.version != version {
            return Err(HubError::Conflict { given: version, current: group.version });
        }
        coordinator_only(actor)?;
        let gives_leave = patch.named == Some(true) && !group.named;
        let reason = reason_text("/reason", reason, gives_leave)?;
        if let Some(title) = patch.title {
            group.title = tidy_title(&title)?;
        }
        group.named = patch.named.unwrap_or(group.named);
        let change = self.noted(actor, "change", reason);
        writer.update(&group, version, &change, &[]).await?;
        self.commit(writer).await?;
        self.show_group(actor, id)
    }

    /// Every change of a group, newest first.
    pub async fn group_history(&self, actor: &Actor, id: &str) -> Result<Vec<HistoryRow>, HubError> {
        self.show_group(actor, id)?;
        match actor.role {
            KeyRole::Coordinator | KeyRole::Auditor => self.rows_of(&Group::record_id(id)).await,
            KeyRole::Authority | KeyRole::MemberAdmin | KeyRole::Analyst | KeyRole::Reporter | KeyRole::Reader => {
                Err(HubError::Forbidden("the history of a group is for the coordinator and auditors"))
            }
        }
    }

    /// A group's id in its one form. Audiences name organisations, sectors and groups alike; a group must not pass for one of the others.
    pub(super) fn group_id(&self, pointer: &str, text: &str) -> Result<Text, HubError> {
        let id = Text::from(text.trim().to_lowercase());
        let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if id.is_empty() || id.len() > MAX_ID || !plain || id.starts_with("org_") || id == policy::distribution::MEMBERS || self.sectors().contains(&id) {
            return Err(invalid(pointer, "a group's id has letters, digits and -_. and is neither an organisation's id nor a sector"));
        }
        Ok(id)
    }
}

fn tidy_title(title: &str) -> Result<String, HubError> {
    let title = title.trim();
    let length = title.chars().count();
    if length == 0 || length > MAX_NAME || title.chars().any(char::is_control) {
        return Err(invalid("/title", format!("a title has 1 to {MAX_NAME} characters and no control characters")));
    }
    Ok(title.to_owned())
}

/// A group as the actor may see it; `None` where it may not know that it exists.
fn view(actor: &Actor, group: &Group, snapshot: &Snapshot) -> Option<GroupView> {
    let members: Vec<OrgId> = snapshot
        .organisations()
        .filter(|organisation| organisation.groups.contains(&group.id) && may_know(actor, organisation))
        .map(|organisation| organisation.id)
        .collect();
    let oversees = matches!(actor.role, KeyRole::Coordinator | KeyRole::Auditor);
    (oversees || !members.is_empty()).then(|| GroupView {
        id: group.id.clone(),
        title: group.title.clone(),
        named: group.named,
        members,
        version: group.version,
        created: group.created,
        updated: group.updated,
    })
}
