#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;

async fn sources() -> (tempfile::TempDir, Sources) {
    let folder = tempfile::tempdir().unwrap();
    let sources = Sources::open(&folder.path().join("sources.sqlite")).await.unwrap();
    (folder, sources)
}

fn entry(hash: u128, seq: u64) -> Entry {
    Entry { hash, seq: Seq(seq), due: Timestamp::from_seconds(7) }
}

#[tokio::test]
async fn a_run_ends_with_its_state_and_its_entries_and_both_are_there_after_the_file_is_opened_again() {
    let (folder, sources) = sources().await;
    let many: Vec<Entry> = (0..450).map(|number| entry(u128::MAX - number, number as u64)).collect();
    sources.finish("a", &Finished { state: "{}", run: Some("first"), added: &many, ..Finished::default() }).await.unwrap();
    let again = [entry(u128::MAX, 1_000)];
    let gone: Vec<u128> = (1..=300).map(|number| u128::MAX - number).collect();
    sources.finish("a", &Finished { state: "{\"n\":1}", run: Some("second"), added: &again, removed: &gone, ..Finished::default() }).await.unwrap();
    sources.save("b", "{}").await.unwrap();
    sources.close().await;

    let sources = Sources::open(&folder.path().join("sources.sqlite")).await.unwrap();
    assert_eq!(sources.states().await.unwrap(), BTreeMap::from([("a".to_owned(), "{\"n\":1}".to_owned()), ("b".to_owned(), "{}".to_owned())]));
    assert_eq!(sources.runs("a", 9).await.unwrap(), ["second", "first"]);
    assert_eq!(sources.listed().await.unwrap(), BTreeMap::from([("a".to_owned(), 150)]));
    let entries = sources.entries("a").await.unwrap();
    assert_eq!(entries.len(), 151);
    assert_eq!(entries[149..], [entry(u128::MAX, 0), entry(u128::MAX, 1_000)]);
    assert!(sources.entries("b").await.unwrap().is_empty());
    assert_eq!(sources.forget_from(Seq(1_000)).await.unwrap(), 1);
    assert_eq!(sources.entries("a").await.unwrap().len(), 150);
}

#[tokio::test]
async fn only_the_last_runs_are_kept() {
    let (_folder, sources) = sources().await;
    for number in 0..KEPT_RUNS + 5 {
        let run = number.to_string();
        sources.finish("a", &Finished { state: "{}", run: Some(&run), ..Finished::default() }).await.unwrap();
    }
    let runs = sources.runs("a", 1_000).await.unwrap();
    assert_eq!(runs.len(), KEPT_RUNS as usize);
    assert_eq!(runs[0], (KEPT_RUNS + 4).to_string());
}

#[tokio::test]
async fn an_erasure_takes_out_the_runs_that_mention_the_value() {
    let (folder, sources) = sources().await;
    for told in [r#"{"refusals":[{"reason":"lee@household.kr: no address"}]}"#, r#"{"refusals":[]}"#] {
        sources.finish("a", &Finished { state: "{}", run: Some(told), ..Finished::default() }).await.unwrap();
    }
    let victim = Victim::new(&crate::views::Keys::new([7; 32]), model::ObservableType::Email, "lee@household.kr");
    assert_eq!(sources.erase(&victim).await.unwrap(), 1);
    assert_eq!(sources.runs("a", 9).await.unwrap(), [r#"{"refusals":[]}"#]);
    sources.close().await;
    for entry in folder.path().read_dir().unwrap().flatten() {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(9).any(|window| window == b"household"), "{}", entry.path().display());
    }
}
