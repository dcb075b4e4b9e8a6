//! Verification: every frame's checksums and chain, and whether the views say what the ledger says.
//!
//! Flow: walk the ledger → read the log of indicators → open the views as a start would → make them anew in a folder of their own → compare row by row.
//! Invariant: nothing is changed but an unfinished write at the ledger's end, which opening cuts. An erasure that a crash cut short is no
//! damage: frames that were rewritten are whole by their own checksums, and the views are behind for its value alone. Nor is an expiry: what is left
//! of an expired frame is held against its own checksum, the frame's place in the chain as that of any other.

use crate::ledger::{Body, Control, Kind, Ledger, columns};
use crate::views::indicators;
use crate::views::strings::Class;
use crate::views::tallies::Tally;
use crate::views::{Row, Views, checkpoint, remains};
use crate::{Options, Store, StoreError};
use model::{Seq, Text};
use std::collections::BTreeMap;
use std::path::Path;

/// Differences named for one view at the most.
const MAX_NAMED: usize = 20;

/// What verification found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Damage and differences, in words; empty where all is well.
    pub problems: Vec<String>,
    /// What is to be known and is no damage, in words.
    pub notes: Vec<String>,
    /// Frames checked.
    pub blocks: u64,
    /// Rows of events in them.
    pub events: u64,
}

/// Verifies a store that nobody has open. `scratch` is an empty folder for the views made anew; `unfinished` are the keys of values whose
/// erasure is confirmed and not done: the ledger may be rid of them already.
///
/// # Errors
/// [`StoreError`] where files cannot be read at all.
pub async fn verify(options: &Options, scratch: &Path, unfinished: &[u128]) -> Result<Report, StoreError> {
    let mut report = Report::default();
    report.notes.extend(unfinished.iter().map(|_| "an erasure is unfinished; it will be finished at the next start".to_owned()));
    check_ledger(&options.folder, &mut report)?;
    if !report.problems.is_empty() {
        return Ok(report);
    }
    let indicators = options.folder.join(indicators::FOLDER);
    let checked = tokio::task::spawn_blocking(move || indicators::check(&indicators)).await.map_err(|_| StoreError::Stopped)?;
    report.problems.extend(checked?);
    // A folder that is named is opened for comparison alone: nothing that follows the views is written.
    let views_folder = Some(options.views_folder.clone().unwrap_or_else(|| options.folder.join("views")));
    let kept = open(Options { views_folder, ..options.clone() }).await?;
    let fresh = open(Options { views_folder: Some(scratch.to_owned()), ..options.clone() }).await?;
    let compared = compare(&kept.views, &fresh.views, unfinished, &mut report);
    kept.close().await;
    fresh.close().await;
    compared?;
    Ok(report)
}

async fn open(options: Options) -> Result<std::sync::Arc<Store>, StoreError> {
    let opened = tokio::task::spawn_blocking(move || Store::open(&options)).await;
    opened.map_err(|_| StoreError::Stopped)?.map(|(store, _)| store)
}

fn check_ledger(folder: &Path, report: &mut Report) -> Result<(), StoreError> {
    let (ledger, opened) = Ledger::open(&folder.join("ledger"), checkpoint::position(&folder.join("views")))?;
    if let Some(damage) = opened.damage {
        report.problems.push(format!("the ledger is damaged in {damage}"));
    }
    let mut chain = [0; 32];
    let mut end = Seq(0);
    // Where the entries of expiry have come to, and what was emptied.
    let (mut expired, mut emptied) = (Seq(0), Seq(0));
    let mut whole = Vec::new();
    for index in 0..ledger.frames() {
        let Some(place) = ledger.place(index) else { break };
        let header = place.header;
        let name = format!("block at sequence {}", header.first_seq);
        report.blocks += 1;
        if header.previous != chain {
            report.problems.push(format!("{name}: does not follow the block before it"));
        }
        // An erasure from a control entry's words changes what its hash is of; an expired frame keeps the hash of what it held.
        let words_erased = header.rewritten && header.kind == Kind::Control;
        if !words_erased && header.chain_value() != header.chain {
            report.problems.push(format!("{name}: its chain value is wrong"));
        }
        if header.first_seq < end {
            report.problems.push(format!("{name}: sequence numbers overlap"));
        }
        chain = header.chain;
        end = header.end();
        match ledger.read_checked(&place) {
            Err(error) => report.problems.push(format!("{name}: {error}")),
            Ok(frame) if header.expired => {
                emptied = header.end();
                if remains::marks_in(&frame).is_none() {
                    report.problems.push(format!("{name}: what expiry left of it cannot be read"));
                }
            }
            Ok(frame) if header.kind == Kind::Events => {
                whole.push(header.end());
                report.events += u64::from(header.rows);
                let decoded = columns::split_filter(frame.body()).and_then(|(_, body)| {
                    Body::open(header.rows, body)?.events(frame.vault()).map(|reader| (0..header.rows as usize).all(|row| reader.event(row).is_some()))
                });
                let rows: u32 = frame.submissions().iter().map(|submission| submission.rows).sum();
                if decoded != Some(true) || rows != header.rows {
                    report.problems.push(format!("{name}: its events cannot be read"));
                }
            }
            Ok(frame) => {
                if let Ok(Control::Expire { before }) = serde_json::from_slice(frame.body()) {
                    expired = expired.max(before);
                }
            }
        }
    }
    if emptied > expired {
        report.problems.push("events were taken out of blocks without an entry that lets them expire".to_owned());
    }
    if whole.first().is_some_and(|end| *end <= expired) {
        let blocks = whole.partition_point(|end| *end <= expired);
        report.notes.push(format!("blocks of expired events that are still whole: {blocks}; the hub empties them at its next start"));
    }
    Ok(())
}

/// A row with everything that its numbers stand for.
type Resolved = (Row, Option<Class>, [Option<Text>; 4]);

fn resolve(views: &Views, rows: &[Row]) -> Vec<Resolved> {
    let strings = &views.strings;
    let mut resolved: Vec<Resolved> = rows
        .iter()
        .map(|row| {
            let class = views.class(row.class);
            let numbers = class.map_or([0; 4], |class| [class.audience, class.sector, class.malware, class.threats]);
            let texts = numbers.map(|number| strings.get(number).cloned());
            // Numbers of classes and texts may differ, what they stand for may not.
            let class = class.map(|class| Class { audience: 0, sector: 0, malware: 0, threats: 0, ..class });
            (Row { class: 0, ..*row }, class, texts)
        })
        .collect();
    resolved.sort_by_key(|(row, ..)| (row.first_seq, row.last_seq));
    resolved
}

fn compare(kept: &Views, fresh: &Views, unfinished: &[u128], report: &mut Report) -> Result<(), StoreError> {
    let mut named = 0;
    let compared = |(key, _): &(u128, Vec<Row>)| !unfinished.contains(key);
    let (mut left, mut right) = (kept.observables.scan()?.filter(compared), fresh.observables.scan()?.filter(compared));
    loop {
        let (one, two) = (left.next(), right.next());
        let same = match (&one, &two) {
            (None, None) => break,
            (Some((key, rows)), Some((other_key, other_rows))) => key == other_key && resolve(kept, rows) == resolve(fresh, other_rows),
            _ => false,
        };
        if !same {
            named += 1;
            if named <= MAX_NAMED {
                report.problems.push(format!("observables: rows of key {:032x} differ from the ledger", one.or(two).map_or(0, |(key, _)| key)));
            }
            if named > MAX_NAMED {
                break;
            }
        }
    }
    if *kept.merged.read() != *fresh.merged.read() {
        report.problems.push("merged events differ from the ledger".to_owned());
    }
    if *kept.withdrawn.read() != *fresh.withdrawn.read() {
        report.problems.push("withdrawn events differ from the ledger".to_owned());
    }
    if kept.expired_before() != fresh.expired_before() {
        report.problems.push("expired events differ from the ledger".to_owned());
    }
    if *kept.disputed.read() != *fresh.disputed.read() {
        report.problems.push("disputed values differ from the ledger".to_owned());
    }
    if tallies(kept) != tallies(fresh) {
        report.problems.push("tallies differ from the ledger".to_owned());
    }
    Ok(())
}

fn tallies(views: &Views) -> BTreeMap<(crate::views::tallies::TallyKey, Option<Text>), (u64, u64)> {
    let strings = &views.strings;
    let all = views.tallies.read();
    all.iter()
        .map(|(key, Tally { events, count })| {
            let sector = strings.get(key.sector).cloned();
            ((crate::views::tallies::TallyKey { sector: 0, ..*key }, sector), (*events, *count))
        })
        .collect()
}
