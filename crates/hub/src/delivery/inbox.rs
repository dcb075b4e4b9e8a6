//! Inboxes: what an organisation reads in the hub itself, and that somebody has read it.
//!
//! Invariant: an inbox is its organisation's alone; a message in it is as it was made, and what no longer stands is told by a later one.
//! Not here: how long it is kept (`store::deliveries`).

use crate::members::{MAX_PAGE, invalid};
use crate::{Actor, Hub, HubError};
use model::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use store::deliveries::InboxRow;
use uuid::Uuid;

/// A message of an inbox.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InboxMessage {
    /// The message, with its id.
    #[serde(flatten)]
    pub message: Map<String, Value>,
    /// When somebody read it.
    pub read: Option<Timestamp>,
}

impl Hub {
    /// Messages of the inbox of the actor's organisation, newest first, and where the next page starts.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for roles that read no events, [`HubError::Invalid`] for a cursor of another list.
    pub async fn inbox(&self, actor: &Actor, unread: bool, limit: usize, cursor: Option<&str>) -> Result<(Vec<InboxMessage>, Option<String>), HubError> {
        reads(actor)?;
        let before = cursor.map(|cursor| parse_place(cursor).ok_or_else(|| invalid("cursor", "not a cursor of this list"))).transpose()?;
        let limit = limit.clamp(1, MAX_PAGE);
        let organisation = actor.organisation.id.to_string();
        let mut page = Vec::new();
        let mut last = before;
        // A few at a time: each may hold a thousand events.
        while page.len() < limit {
            let rows = self.delivery.file.inbox(&organisation, last, unread, PIECE.min(limit - page.len())).await?;
            let Some(oldest) = rows.last() else { return Ok((page, None)) };
            last = Some(oldest.number);
            let bytes: usize = rows.iter().map(|row| row.content.len()).sum();
            page.extend(rows.into_iter().filter_map(shown));
            if bytes >= MAX_BYTES {
                break;
            }
        }
        let more = !self.delivery.file.inbox(&organisation, last, unread, 1).await?.is_empty();
        Ok((page, last.filter(|_| more).map(|last| format!("{last:016x}"))))
    }

    /// Notes that somebody of the actor's organisation read a message; gives it.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where the inbox has no such message.
    pub async fn read_inbox(&self, actor: &Actor, id: &str) -> Result<InboxMessage, HubError> {
        reads(actor)?;
        let id = Uuid::try_parse(id).map_err(|_| HubError::NotFound)?.to_string();
        let row = self.delivery.file.read_inbox(&actor.organisation.id.to_string(), &id, self.clock().now()).await?;
        row.and_then(shown).ok_or(HubError::NotFound)
    }
}

/// Messages read from the file at a time.
const PIECE: usize = 20;
/// A page ends where its messages have so many bytes.
const MAX_BYTES: usize = 16 << 20;

fn reads(actor: &Actor) -> Result<(), HubError> {
    if actor.reader.reads_events() { Ok(()) } else { Err(HubError::Forbidden("this role reads no inbox")) }
}

fn shown(row: InboxRow) -> Option<InboxMessage> {
    let message = serde_json::from_slice(&row.content).inspect_err(|error| tracing::error!(%error, "a message of an inbox cannot be read")).ok()?;
    Some(InboxMessage { message, read: row.read })
}

fn parse_place(cursor: &str) -> Option<i64> {
    Some(cursor).filter(|cursor| cursor.len() == 16).and_then(|cursor| i64::from_str_radix(cursor, 16).ok()).filter(|place| *place > 0)
}
