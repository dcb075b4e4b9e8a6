//! Real public data through the front door: every file of the shared folder by `bongsu submit`, twice.
//!
//! The folder is `../shared/data` beside the project or what `BONGSU_SHARED_DATA` names; where it is absent the test says so and skips.
//! Prints a table of taken, merged and refused per file, which is also the one in `docs/benchmarks.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::{Counts, Hub, counts, said};

/// Two million lines pass in far less, even unoptimised on a busy machine.
const WITHIN: Duration = Duration::from_secs(240);

#[test]
fn every_shared_file_goes_through_submit_and_a_second_run_within_the_day_accepts_nothing() {
    let Some(folder) = support::shared_data() else {
        println!("skipped: no shared data folder (BONGSU_SHARED_DATA)");
        return;
    };
    let hub = Hub::start();
    let organisation = hub.organisation("Collector", "company", "private", "telecom");
    let key = hub.key(&organisation, "reporter");
    let mut files: Vec<PathBuf> = ["ioc", "stix", "misp"].iter().flat_map(|part| below(&folder.join(part))).collect();
    files.sort();
    assert!(files.len() > 100, "only {} files", files.len());
    println!("| File | Taken | Merged | Refused | Taken again |\n|---|---:|---:|---:|---:|");
    let mut wrong = Vec::new();
    for file in &files {
        let name = file.strip_prefix(&folder).unwrap().display().to_string();
        let first = submit(&hub, &key, file, &mut wrong);
        let second = submit(&hub, &key, file, &mut wrong);
        println!("| {name} | {} | {} | {} | {} |", first.accepted, first.merged, first.refused, second.accepted);
        if second.accepted > 0 {
            wrong.push(format!("{name}: a second run accepts {}", second.accepted));
        }
    }
    assert_eq!(hub.stranger().get("/readyz").status, 200);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn submit(hub: &Hub, key: &str, file: &Path, wrong: &mut Vec<String>) -> Counts {
    let refused = hub.scratch().join("refused.txt");
    let _ = std::fs::remove_file(&refused);
    let began = Instant::now();
    let output = hub.command(key, &["submit", "--refused", refused.to_str().unwrap(), file.to_str().unwrap()], None);
    let said = said(&output);
    if !matches!(output.status.code(), Some(0 | 3)) || began.elapsed() > WITHIN {
        wrong.push(format!("{}: {} after {:?}: {said}", file.display(), output.status, began.elapsed()));
        return Counts::default();
    }
    let counts = counts(&output);
    let named = std::fs::metadata(&refused).map_or(0, |about| about.len());
    if (counts.refused > 0) != (named > 0) || (counts.refused > 0) != (output.status.code() == Some(3)) {
        wrong.push(format!("{}: {} refused, {named} bytes of refused lines, {}", file.display(), counts.refused, output.status));
    }
    counts
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(below(&path)) } else { found.push(path) }
    }
    found
}
