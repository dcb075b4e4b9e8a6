//! Claims that a value is a false positive: from a reader to the sender and to an analyst's queue, anonymous both ways, under a clock.
//!
//! Invariant: no view of a claim names the claimant or a sender; the queue, the claimant and a sender see what their part needs.
//! One claim alone changes nothing: only an upheld one is told to the ledger.

use super::{MAX_PAGE, Members, illegal, invalid, reason_text};
use crate::directory::Snapshot;
use crate::{Actor, HubError};
use model::canonical::canonical;
use model::ids::ClaimId;
use model::{KeyRole, ObservableType, OrgNo, Text, Timestamp};
use serde::Serialize;
use serde_json::json;
use std::time::Duration;
use store::records::{Claim, ClaimState};

/// How long the analysts have to decide.
pub const CLAIM_CLOCK: Duration = Duration::from_secs(72 * 3_600);
/// Open claims of one organisation at the most.
const MAX_OPEN: usize = 1_000;
/// Senders noted on a claim at the most.
const MAX_SENDERS: usize = 1_000;
/// Claims read at a time.
const SCAN_PAGE: u32 = 500;

/// What the caller knows of the events that a claim is about.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Who sent the value, as far as the claimant may see their events; they are shown the claim.
    pub senders: Vec<OrgNo>,
    /// Whether the claimant knows the value from red events alone; then only keys flagged for red see the claim.
    pub red: bool,
}

/// Why the caller sees a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimPart {
    /// As an analyst who may decide it.
    Queue,
    /// As who made it.
    Claimant,
    /// As who sent the value.
    Sender,
}

/// A claim as its reader may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClaimView {
    /// Its id.
    pub id: ClaimId,
    /// Why the caller sees it.
    pub part: ClaimPart,
    /// Type of the value.
    #[serde(rename = "type")]
    pub kind: ObservableType,
    /// The value; absent once erased.
    pub value: Option<Text>,
    /// The claimant's words; never for a sender, for they may tell who wrote them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Text>,
    /// What became of it.
    pub state: ClaimState,
    /// When it was opened.
    pub opened: Timestamp,
    /// Until when it is to be decided.
    pub due: Timestamp,
    /// Whether it is open past that.
    pub overdue: bool,
    /// When it was decided.
    pub decided: Option<Timestamp>,
    /// Why it was decided so.
    pub reason: Option<Text>,
}

impl Members {
    /// Opens a claim; the same organisation's open claim about the same value is given instead of a second one.
    pub async fn open_claim(&self, actor: &Actor, kind: ObservableType, value: &str, note: Option<&str>, due: Timestamp) -> Result<ClaimView, HubError> {
        self.open_claim_about(actor, kind, value, note, due, About::default()).await
    }

    /// As [`Members::open_claim`], with what the caller knows of the events.
    pub async fn open_claim_about(
        &self,
        actor: &Actor,
        kind: ObservableType,
        value: &str,
        note: Option<&str>,
        due: Timestamp,
        about: About,
    ) -> Result<ClaimView, HubError> {
        match actor.role {
            KeyRole::Coordinator | KeyRole::Authority | KeyRole::MemberAdmin | KeyRole::Analyst => {}
            KeyRole::Reporter | KeyRole::Reader | KeyRole::Auditor => return Err(HubError::Forbidden("this key's role may not dispute values")),
        }
        let value = canonical(kind, value).map_err(|error| invalid("/value", error.to_string()))?;
        let note = reason_text("/note", note.unwrap_or_default(), false)?;
        let change = self.noted(actor, "open", "");
        let About { mut senders, red } = about;
        senders.sort_unstable();
        senders.dedup();
        senders.truncate(MAX_SENDERS);
        let claim = Claim {
            id: ClaimId(self.clock.uuid()),
            kind,
            value: Some(value),
            note: (!note.is_empty()).then(|| Text::from(note)),
            claimant: actor.organisation.id,
            senders,
            red,
            state: ClaimState::Open,
            due,
            decided: None,
            reason: None,
            version: 1,
            created: change.at,
        };
        let mut writer = self.records.write().await?;
        let own: Vec<Claim> = writer.owned(&actor.organisation.id.to_string()).await?;
        let open: Vec<&Claim> = own.iter().filter(|other| other.state == ClaimState::Open).collect();
        if let Some(same) = open.iter().find(|other| other.kind == kind && other.value == claim.value && other.red == red) {
            return Ok(view(same, ClaimPart::Claimant, change.at));
        }
        if open.len() >= MAX_OPEN {
            return Err(HubError::TooLarge { limit: MAX_OPEN as u64, unit: "open claims" });
        }
        writer.insert(&claim, &change, &[]).await?;
        self.commit(writer).await?;
        Ok(view(&claim, ClaimPart::Claimant, change.at))
    }

    /// The claims the actor has a part in, newest first, and where the next page starts.
    pub async fn claims(&self, actor: &Actor, limit: usize, cursor: Option<&str>) -> Result<(Vec<ClaimView>, Option<String>), HubError> {
        if !actor.reader.reads_events() {
            return Err(HubError::Forbidden("this key's role reads no claims"));
        }
        let cursor: Option<ClaimId> = match cursor {
            Some(cursor) => Some(cursor.parse().map_err(|_| invalid("cursor", "not a cursor of this list"))?),
            None => None,
        };
        let limit = limit.clamp(1, MAX_PAGE);
        let now = self.clock.now();
        let snapshot = self.directory.snapshot();
        let mut page: Vec<ClaimView> = Vec::new();
        let mut before = cursor.map(|cursor| cursor.to_string());
        loop {
            let claims: Vec<Claim> = self.records.page(before.as_deref(), SCAN_PAGE).await?;
            let Some(last) = claims.last() else { return Ok((page, None)) };
            before = Some(last.id.to_string());
            for claim in &claims {
                let Some(part) = part_of(actor, claim, &snapshot) else { continue };
                if page.len() == limit {
                    // The cursor is a claim the caller saw; one made of any other would tell that it exists.
                    let next = page.last().map(|last| last.id.to_string());
                    return Ok((page, next));
                }
                page.push(view(claim, part, now));
            }
        }
    }

    /// Upholds or rejects an open claim.
    pub async fn decide_claim(&self, actor: &Actor, id: ClaimId, upheld: bool, reason: &str) -> Result<ClaimView, HubError> {
        let step = if upheld { "uphold" } else { "reject" };
        let mut writer = self.records.write().await?;
        let mut claim: Claim = writer.get(&id.to_string()).await?.ok_or(HubError::NotFound)?;
        match part_of(actor, &claim, &self.directory.snapshot()) {
            Some(ClaimPart::Queue) => {}
            Some(ClaimPart::Claimant | ClaimPart::Sender) => return Err(HubError::Forbidden("only an analyst who has no part in a claim decides it")),
            None => return Err(HubError::NotFound),
        }
        claim.state = claim.state.decided(upheld).ok_or_else(|| illegal(step, "none"))?;
        let reason = reason_text("/reason", reason, true)?;
        let change = self.noted(actor, step, reason);
        claim.decided = Some(change.at);
        claim.reason = Some(Text::from(reason));
        let version = claim.version;
        claim.version = version + 1;
        let control = json!({
            "control": "dispute",
            "id": claim.id,
            "type": claim.kind,
            "value": claim.value,
            "upheld": upheld,
            "senders": claim.senders,
        });
        // A rejected claim changes nothing, not even what another upheld one changed; nor does one whose value was erased.
        let controls = if upheld && claim.value.is_some() { vec![control] } else { Vec::new() };
        writer.update(&claim, version, &change, &controls).await?;
        self.commit(writer).await?;
        Ok(view(&claim, ClaimPart::Queue, change.at))
    }
}

/// The actor's part in a claim; `None` where it may not know of it.
fn part_of(actor: &Actor, claim: &Claim, snapshot: &Snapshot) -> Option<ClaimPart> {
    if !actor.reader.reads_events() {
        return None;
    }
    let sent = claim.senders.contains(&actor.organisation.number);
    if claim.red && !actor.red && !sent {
        return None;
    }
    // Whoever has a part in a claim has it as coordinator too, and decides nothing.
    if claim.claimant == actor.organisation.id {
        return Some(ClaimPart::Claimant);
    }
    if sent {
        return Some(ClaimPart::Sender);
    }
    // Not the claimant's authority: it may know nothing of the value.
    let in_line = |number: &OrgNo| snapshot.organisation(*number).is_some_and(|sender| actor.reader.is_authority_of(sender.constituency));
    (actor.is_coordinator() || claim.senders.iter().any(in_line)).then_some(ClaimPart::Queue)
}

fn view(claim: &Claim, part: ClaimPart, now: Timestamp) -> ClaimView {
    ClaimView {
        id: claim.id,
        part,
        kind: claim.kind,
        value: claim.value.clone(),
        note: claim.note.clone().filter(|_| part != ClaimPart::Sender),
        state: claim.state,
        opened: claim.created,
        due: claim.due,
        overdue: claim.state == ClaimState::Open && now > claim.due,
        decided: claim.decided,
        reason: claim.reason.clone(),
    }
}
