//! Facts of the records store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::ledger::Victim;
use crate::views::Keys;
use model::ids::{ClaimId, ErasureId};
use model::{KeyRole, ObservableType, OrgId, OrgKind, OrgNo, Pap, Standing, StandingBy, Text, Tlp};
use serde_json::json;
use uuid::Uuid;

fn organisation(number: u32, name: &str) -> Organisation {
    Organisation {
        id: OrgId(Uuid::now_v7()),
        number: OrgNo(number),
        name: name.to_owned(),
        kind: OrgKind::Company,
        constituency: None,
        sector: Some(Text::from("energy")),
        country: None,
        groups: Vec::new(),
        standing: Standing::Full,
        standing_since: None,
        standing_reason: None,
        standing_review: None,
        standing_by: StandingBy::Rule,
        standing_rule: true,
        acts_for: Vec::new(),
        agreement: None,
        licence: None,
        default_tlp: Tlp::Amber,
        default_pap: Pap::Green,
        named: false,
        quota_per_day: None,
        version: 1,
        created: Timestamp::from_seconds(10),
        updated: Timestamp::from_seconds(10),
    }
}

fn change(seconds: i64) -> Change<'static> {
    Change { actor_key: None, actor_org: None, at: Timestamp::from_seconds(seconds), action: "test", reason: "because" }
}

fn key_of(owner: &Organisation) -> Key {
    Key {
        id: KeyId(Uuid::now_v7()),
        organisation: owner.id,
        role: KeyRole::Analyst,
        hash: "00".repeat(32),
        expires: None,
        revoked_at: None,
        valid_until: None,
        allow: Vec::new(),
        red: false,
        holder: Some("Kim Minjun".to_owned()),
        version: 1,
        created: Timestamp::from_seconds(10),
    }
}

fn victim() -> Victim {
    Victim::new(&Keys::new([7; 32]), ObservableType::Domain, "erase-me-wholly.example")
}

/// Files that hold the victim's value.
fn holding(folder: &tempfile::TempDir) -> Vec<std::path::PathBuf> {
    let paths = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| std::fs::read(path).unwrap().to_ascii_lowercase().windows(15).any(|window| window == b"erase-me-wholly")).collect()
}

async fn open() -> (tempfile::TempDir, Records) {
    let folder = tempfile::tempdir().unwrap();
    let records = Records::open(&folder.path().join("records.sqlite")).await.unwrap();
    (folder, records)
}

async fn with_one(records: &Records) -> Organisation {
    let first = organisation(1, "First");
    let mut writer = records.write().await.unwrap();
    writer.insert(&first, &change(10), &[json!({"control": "organisation"})]).await.unwrap();
    writer.commit().await.unwrap();
    first
}

#[tokio::test]
async fn a_record_comes_back_as_it_was_written_also_after_reopening() {
    let (folder, records) = open().await;
    let first = with_one(&records).await;
    assert_eq!(records.get::<Organisation>(&first.id.to_string()).await.unwrap(), Some(first.clone()));
    records.close().await;
    let records = Records::open(&folder.path().join("records.sqlite")).await.unwrap();
    assert_eq!(records.all::<Organisation>().await.unwrap(), vec![first]);
}

#[tokio::test]
async fn a_lost_update_is_refused_with_the_current_version() {
    let (_folder, records) = open().await;
    let mut first = with_one(&records).await;
    first.name = "Renamed".to_owned();
    let mut writer = records.write().await.unwrap();
    assert_eq!(writer.update(&first, 1, &change(11), &[]).await.unwrap(), 2);
    writer.commit().await.unwrap();

    first.name = "Lost".to_owned();
    let mut writer = records.write().await.unwrap();
    let refused = writer.update(&first, 1, &change(12), &[]).await.unwrap_err();
    assert!(matches!(refused, RecordsError::Stale { given: 1, current: 2, .. }), "{refused:?}");
    drop(writer);
    let kept = records.get::<Organisation>(&first.id.to_string()).await.unwrap().unwrap();
    assert_eq!((kept.name.as_str(), kept.version, kept.updated), ("Renamed", 2, Timestamp::from_seconds(11)));
}

#[tokio::test]
async fn a_dropped_writer_leaves_nothing_and_frees_the_next() {
    let (_folder, records) = open().await;
    let mut writer = records.write().await.unwrap();
    writer.insert(&organisation(1, "Gone"), &change(10), &[json!({})]).await.unwrap();
    drop(writer);
    assert!(records.all::<Organisation>().await.unwrap().is_empty());
    assert!(records.outbox_pending(10).await.unwrap().is_empty());
    with_one(&records).await;
    assert_eq!(records.verify_history().await.unwrap(), None);
}

#[tokio::test]
async fn names_are_unique_whatever_their_case() {
    let (_folder, records) = open().await;
    with_one(&records).await;
    let mut writer = records.write().await.unwrap();
    let refused = writer.insert(&organisation(2, "FIRST"), &change(11), &[]).await.unwrap_err();
    assert!(matches!(refused, RecordsError::Taken), "{refused:?}");
}

#[tokio::test]
async fn numbers_start_at_one_beside_the_hub() {
    let (_folder, records) = open().await;
    let mut writer = records.write().await.unwrap();
    assert_eq!(writer.next_number::<Organisation>().await.unwrap(), 1);
    assert!(writer.ensure_hub(&organisation(0, "Hub"), &change(1), &[]).await.unwrap());
    assert!(!writer.ensure_hub(&organisation(0, "Hub again"), &change(1), &[]).await.unwrap());
    assert_eq!(writer.next_number::<Organisation>().await.unwrap(), 1);
    writer.insert(&organisation(1, "First"), &change(2), &[]).await.unwrap();
    assert_eq!(writer.next_number::<Organisation>().await.unwrap(), 2);
}

#[tokio::test]
async fn the_chain_holds_until_a_history_row_is_changed() {
    let (_folder, records) = open().await;
    let mut first = with_one(&records).await;
    for version in 1..5 {
        first.named = !first.named;
        let mut writer = records.write().await.unwrap();
        writer.update(&first, version, &change(20), &[]).await.unwrap();
        writer.commit().await.unwrap();
    }
    assert_eq!(records.verify_history().await.unwrap(), None);
    sqlx::query("UPDATE history SET reason = 'another' WHERE position = 3").execute(&records.file.writes).await.unwrap();
    let found = records.verify_history().await.unwrap().unwrap();
    assert_eq!((found.position, found.reason), (Some(3), BreakReason::Changed));
    assert_eq!(found.record_id, first.id.to_string());
}

#[tokio::test]
async fn a_missing_history_row_and_a_record_changed_by_hand_are_found() {
    let (_folder, records) = open().await;
    let mut first = with_one(&records).await;
    for version in 1..4 {
        first.named = !first.named;
        let mut writer = records.write().await.unwrap();
        writer.update(&first, version, &change(20), &[]).await.unwrap();
        writer.commit().await.unwrap();
    }
    sqlx::query("UPDATE record SET content = replace(content, 'First', 'Other')").execute(&records.file.writes).await.unwrap();
    let found = records.verify_history().await.unwrap().unwrap();
    assert_eq!((found.position, found.reason), (None, BreakReason::RecordDiffers));
    sqlx::query("DELETE FROM history WHERE position = 2").execute(&records.file.writes).await.unwrap();
    let found = records.verify_history().await.unwrap().unwrap();
    assert_eq!((found.position, found.reason), (Some(3), BreakReason::Gap));
}

#[tokio::test]
async fn the_outbox_keeps_order_and_never_reuses_an_id() {
    let (_folder, records) = open().await;
    let mut first = with_one(&records).await;
    let pending = records.outbox_pending(10).await.unwrap();
    assert_eq!(pending.len(), 1);
    records.outbox_done(pending[0].id).await.unwrap();
    assert!(records.outbox_pending(10).await.unwrap().is_empty());
    first.named = true;
    let mut writer = records.write().await.unwrap();
    writer.update(&first, 1, &change(30), &[json!({"n": 1}), json!({"n": 2})]).await.unwrap();
    writer.commit().await.unwrap();
    let next = records.outbox_pending(10).await.unwrap();
    assert_eq!(next.iter().map(|row| row.payload.as_str()).collect::<Vec<_>>(), ["{\"n\":1}", "{\"n\":2}"]);
    assert!(next[0].id > pending[0].id && next[1].id > next[0].id);
}

#[tokio::test]
async fn last_use_only_moves_forward_and_has_no_history() {
    let (_folder, records) = open().await;
    let first = with_one(&records).await;
    let key = key_of(&first);
    let mut writer = records.write().await.unwrap();
    writer.insert(&key, &change(11), &[]).await.unwrap();
    writer.commit().await.unwrap();
    records.touch_keys(&[(key.id, Timestamp::from_seconds(50))]).await.unwrap();
    records.touch_keys(&[(key.id, Timestamp::from_seconds(40))]).await.unwrap();
    let rows = records.directory_rows().await.unwrap();
    assert_eq!(rows.last_used.get(&key.id), Some(&Timestamp::from_seconds(50)));
    assert_eq!((rows.keys, rows.position), (vec![Key { created: Timestamp::from_seconds(11), ..key.clone() }], 2));
    assert_eq!(records.history(&key.id.to_string()).await.unwrap().len(), 1);
}

fn claim_of(claimant: &Organisation, value: &str, note: &str) -> Claim {
    Claim {
        id: ClaimId(Uuid::now_v7()),
        kind: ObservableType::Domain,
        value: Some(Text::from(value)),
        note: Some(Text::from(note)),
        claimant: claimant.id,
        senders: vec![OrgNo(1)],
        red: false,
        state: ClaimState::Open,
        due: Timestamp::from_seconds(99),
        decided: None,
        reason: None,
        version: 1,
        created: Timestamp::from_seconds(12),
    }
}

#[tokio::test]
async fn erasing_leaves_no_byte_of_a_value_in_claims_about_it_and_in_notes_on_others() {
    let (folder, records) = open().await;
    let first = with_one(&records).await;
    let about = claim_of(&first, "erase-me-wholly.example", "it is ours");
    let beside = claim_of(&first, "other.example", "belongs to ERASE-ME-WHOLLY[.]example");
    let mut writer = records.write().await.unwrap();
    for claim in [&about, &beside] {
        writer.insert(claim, &change(12), &[]).await.unwrap();
    }
    writer.commit().await.unwrap();
    assert_eq!(records.all::<Claim>().await.unwrap(), vec![about.clone(), beside.clone()]);

    assert_eq!(records.erase_claims(&victim(), &change(13)).await.unwrap(), 2);
    assert_eq!(records.erase_claims(&victim(), &change(14)).await.unwrap(), 0, "there is nothing left");
    let erased = records.all::<Claim>().await.unwrap();
    assert_eq!((&erased[0].value, &erased[0].note, erased[0].state, erased[0].version), (&None, &None, ClaimState::Open, 2));
    assert_eq!((&erased[1].value, &erased[1].note), (&beside.value, &None));
    assert_eq!(records.verify_history().await.unwrap(), None);
    records.checkpoint().await.unwrap();
    records.close().await;
    assert_eq!(holding(&folder), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_value_changed_by_hand_beside_its_content_is_found() {
    let (_folder, records) = open().await;
    let first = with_one(&records).await;
    let claim = claim_of(&first, "benign.example", "ours");
    let mut writer = records.write().await.unwrap();
    writer.insert(&claim, &change(12), &[]).await.unwrap();
    writer.commit().await.unwrap();
    assert_eq!(records.verify_history().await.unwrap(), None);
    for statement in
        ["UPDATE record SET erasable = replace(erasable, 'benign', 'malign') WHERE kind = 'claim'", "UPDATE record SET erasable = NULL WHERE kind = 'claim'"]
    {
        sqlx::query(statement).execute(&records.file.writes).await.unwrap();
        let found = records.verify_history().await.unwrap().unwrap();
        assert_eq!((found.record_id, found.reason), (claim.id.to_string(), BreakReason::RecordDiffers));
    }
}

fn asked_by(asker: &Organisation) -> Erasure {
    Erasure {
        id: ErasureId(Uuid::now_v7()),
        kind: ObservableType::Domain,
        value: Some(Text::from("erase-me-wholly.example")),
        basis: Text::from("a law"),
        state: ErasureState::Requested,
        requested_by: Signatory { key: KeyId(Uuid::now_v7()), organisation: asker.id },
        confirmed_by: None,
        confirmed: None,
        ended: None,
        reason: None,
        entries: 0,
        redacted: Vec::new(),
        version: 1,
        created: Timestamp::from_seconds(12),
    }
}

#[tokio::test]
async fn an_erasure_holds_its_value_only_while_it_is_open() {
    let (folder, records) = open().await;
    let first = with_one(&records).await;
    let asked = asked_by(&first);
    let mut writer = records.write().await.unwrap();
    writer.insert(&asked, &change(12), &[]).await.unwrap();
    assert_eq!(writer.all::<Erasure>().await.unwrap(), vec![asked.clone()]);
    let done = Erasure { value: None, state: ErasureState::Done, version: 2, ..asked };
    writer.update(&done, 1, &change(13), &[]).await.unwrap();
    writer.commit().await.unwrap();
    records.checkpoint().await.unwrap();
    assert_eq!(records.get::<Erasure>(&done.id.to_string()).await.unwrap(), Some(done));
    assert_eq!(records.verify_history().await.unwrap(), None);
    assert_eq!(holding(&folder), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn reasons_that_hold_an_erased_value_lose_it_and_the_chain_holds_where_the_erasure_names_them() {
    let (folder, records) = open().await;
    let first = with_one(&records).await;
    let decided = Claim { reason: Some(Text::from("see Erase-Me-Wholly.example")), ..claim_of(&first, "other.example", "ours") };
    let worded = Change { reason: "see erase-me-wholly[.]example", ..change(12) };
    let asked = asked_by(&first);
    let mut writer = records.write().await.unwrap();
    writer.insert(&decided, &worded, &[]).await.unwrap();
    writer.insert(&asked, &change(13), &[]).await.unwrap();
    writer.commit().await.unwrap();

    let mut writer = records.write().await.unwrap();
    let redacted = writer.redact(&victim()).await.unwrap();
    assert_eq!(redacted, [2], "the row of the claim, after the organisation's");
    let done = Erasure { value: None, state: ErasureState::Done, redacted, version: 2, ..asked };
    writer.update(&done, 1, &change(14), &[]).await.unwrap();
    writer.commit().await.unwrap();
    records.checkpoint().await.unwrap();
    assert_eq!(holding(&folder), Vec::<std::path::PathBuf>::new());
    assert_eq!(records.verify_history().await.unwrap(), None);
    let row = records.history(&decided.id.to_string()).await.unwrap().remove(0);
    assert_eq!((row.reason.as_str(), row.content.contains("[erased]")), ("[erased]", true));
    assert_eq!(records.get::<Claim>(&decided.id.to_string()).await.unwrap().unwrap().reason.as_deref(), Some("[erased]"));

    // Rows that no erasure names are still checked, the erasure's own among them.
    sqlx::query("UPDATE history SET content = replace(content, '[2]', '[1,2]') WHERE kind = 'erasure'").execute(&records.file.writes).await.unwrap();
    let found = records.verify_history().await.unwrap().unwrap();
    assert_eq!((found.position, found.reason), (Some(4), BreakReason::Changed));
}

#[tokio::test]
async fn a_backup_taken_while_open_holds_everything() {
    let (folder, records) = open().await;
    let first = with_one(&records).await;
    let copy = folder.path().join("copy.sqlite");
    records.backup_to(&copy).await.unwrap();
    assert!(records.backup_to(&copy).await.is_err());
    let restored = Records::open(&copy).await.unwrap();
    assert_eq!(restored.all::<Organisation>().await.unwrap(), vec![first]);
    assert_eq!(restored.verify_history().await.unwrap(), None);
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_refused_by_name() {
    let (folder, records) = open().await;
    sqlx::query("UPDATE schema_version SET version = 7").execute(&records.file.writes).await.unwrap();
    records.close().await;
    let refused = Records::open(&folder.path().join("records.sqlite")).await.unwrap_err();
    assert_eq!(refused.to_string(), "records have schema version 7, this program knows versions up to 1; use the newer program");
}

#[tokio::test]
async fn readers_cannot_write() {
    let (_folder, records) = open().await;
    assert!(sqlx::query("DELETE FROM outbox").execute(&records.file.reads).await.is_err());
}
