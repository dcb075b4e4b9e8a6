//! A MISP feed as a folder: what the hub has under `/feeds/misp/`, file by file, for a web server or a MISP that reads folders.
//!
//! Flow: `manifest.json` → each event that is new or changed → `hashes.csv` → the manifest → events that the manifest no longer names are removed.
//! Invariant: the manifest is written after all that it names and before anything is removed, so that at any moment what it names is there.
//! Not here: what is in the feed (the hub decides it).

use super::products::wait;
use super::unfinished;
use crate::cli::ExportArguments;
use crate::client::Api;
use crate::{Exit, output};
use anyhow::{Context, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

const MANIFEST: &str = "manifest.json";
const HASHES: &str = "hashes.csv";
/// How often it is begun anew where the feed changes meanwhile.
const TRIES: u32 = 5;

/// The events of a feed by their UUIDs, with what the manifest says of each.
type Manifest = BTreeMap<String, Value>;

/// Fetches the feed.
pub fn run(api: &Api, arguments: &ExportArguments) -> anyhow::Result<Exit> {
    let folder = arguments.out.as_path();
    if folder == Path::new("-") {
        bail!("a MISP feed is a folder of files: name one with --out");
    }
    if !crate::client::query::parameters(&arguments.filter).is_empty() || arguments.min_confidence.is_some() || arguments.max_age_days.is_some() {
        bail!("a MISP feed is taken whole: it has no filter but --tlp");
    }
    let tlp: Vec<(&str, String)> = arguments.tlp.map(|tlp| ("tlp", tlp.as_str().to_owned())).into_iter().collect();
    std::fs::create_dir_all(folder).with_context(|| format!("--out {}", folder.display()))?;
    let fetch = |name: &str| -> anyhow::Result<Option<Vec<u8>>> {
        let path = format!("/feeds/misp/{name}");
        wait(|| {
            let answer = api.get(&path, &tlp)?;
            Ok(match answer.status {
                200 => Ok(Some(answer.body)),
                404 => Ok(None),
                _ => Err(answer),
            })
        })
    };
    for _ in 0..TRIES {
        if let Some(done) = mirror(folder, fetch)? {
            output::note(&format!(
                "{} events in {}: {} fetched, {} removed, the others as they were",
                done.events,
                folder.display(),
                done.fetched,
                done.removed
            ));
            return Ok(Exit::Done);
        }
    }
    bail!("the feed changed while it was read, {TRIES} times; try again")
}

/// What was done.
#[derive(Debug, PartialEq, Eq)]
struct Done {
    events: usize,
    fetched: usize,
    removed: usize,
}

/// Makes the folder what the feed is; `None` where an event went away meanwhile.
fn mirror(folder: &Path, fetch: impl Fn(&str) -> anyhow::Result<Option<Vec<u8>>>) -> anyhow::Result<Option<Done>> {
    let there = |name: &str| fetch(name)?.with_context(|| format!("the hub has no /feeds/misp/{name}"));
    let bytes = there(MANIFEST)?;
    let manifest: Manifest = serde_json::from_slice(&bytes).context("the hub's manifest is not what this command reads")?;
    if let Some(strange) = manifest.keys().find(|name| !is_uuid(name)) {
        bail!("the manifest names an event {:?}, which is no UUID", output::shorten(strange, 60));
    }
    let before = known(folder);
    let mut fetched = 0;
    for (uuid, about) in &manifest {
        let name = format!("{uuid}.json");
        if before.get(uuid) == Some(about) && folder.join(&name).is_file() {
            continue;
        }
        let Some(event) = fetch(&name)? else { return Ok(None) };
        replace(folder, &name, &event)?;
        fetched += 1;
    }
    replace(folder, HASHES, &there(HASHES)?)?;
    replace(folder, MANIFEST, &bytes)?;
    let mut removed = 0;
    for uuid in before.keys().filter(|uuid| !manifest.contains_key(*uuid)) {
        let path = folder.join(format!("{uuid}.json"));
        match std::fs::remove_file(&path) {
            Ok(()) => removed += 1,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    }
    Ok(Some(Done { events: manifest.len(), fetched, removed }))
}

/// What the folder's own manifest names; nothing where there is none or it cannot be read, and then everything is fetched.
fn known(folder: &Path) -> Manifest {
    let text = std::fs::read(folder.join(MANIFEST)).unwrap_or_default();
    let mut known: Manifest = serde_json::from_slice(&text).unwrap_or_default();
    known.retain(|name, _| is_uuid(name));
    known
}

fn replace(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(name);
    let unfinished = unfinished(&path);
    let written = File::create(&unfinished).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &path)
    });
    written.with_context(|| path.display().to_string())
}

/// Whether a name is a UUID, and so no way out of the folder.
fn is_uuid(name: &str) -> bool {
    name.len() == 36 && name.bytes().enumerate().all(|(place, byte)| if matches!(place, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::cell::RefCell;

    const ONE: &str = "00000000-0000-4000-8000-000000000001";
    const TWO: &str = "00000000-0000-4000-8000-000000000002";

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_folder_follows_the_feed_and_fetches_what_is_new_or_changed_alone() {
        let folder = tempfile::tempdir().unwrap();
        let feed: RefCell<BTreeMap<String, Vec<u8>>> = RefCell::default();
        let asked: RefCell<Vec<String>> = RefCell::default();
        let give = |events: &[(&str, u64)]| {
            let manifest: BTreeMap<&str, Value> = events.iter().map(|(uuid, timestamp)| (*uuid, json!({ "timestamp": timestamp }))).collect();
            let mut feed = feed.borrow_mut();
            feed.clear();
            feed.insert(MANIFEST.to_owned(), serde_json::to_vec(&manifest).unwrap());
            feed.insert(HASHES.to_owned(), format!("{} hashes", events.len()).into_bytes());
            feed.extend(events.iter().map(|(uuid, timestamp)| (format!("{uuid}.json"), timestamp.to_string().into_bytes())));
        };
        let mirror = || {
            asked.borrow_mut().clear();
            mirror(folder.path(), |name| {
                asked.borrow_mut().push(name.to_owned());
                Ok(feed.borrow().get(name).cloned())
            })
        };
        let (one, two) = (format!("{ONE}.json"), format!("{TWO}.json"));

        give(&[(ONE, 1), (TWO, 1)]);
        assert_eq!(mirror().unwrap(), Some(Done { events: 2, fetched: 2, removed: 0 }));
        assert_eq!(files(folder.path()), [one.clone(), two.clone(), HASHES.to_owned(), MANIFEST.to_owned()]);
        assert_eq!(mirror().unwrap(), Some(Done { events: 2, fetched: 0, removed: 0 }));
        assert_eq!(*asked.borrow(), [MANIFEST, HASHES]);

        give(&[(TWO, 2)]);
        assert_eq!(mirror().unwrap(), Some(Done { events: 1, fetched: 1, removed: 1 }));
        assert_eq!(files(folder.path()), [two.clone(), HASHES.to_owned(), MANIFEST.to_owned()]);
        assert_eq!(std::fs::read(folder.path().join(&two)).unwrap(), b"2");
        assert_eq!(std::fs::read(folder.path().join(HASHES)).unwrap(), b"1 hashes");

        // An event that goes away while the feed is read leaves the folder's manifest as it was.
        give(&[(ONE, 3), (TWO, 3)]);
        feed.borrow_mut().remove(&two);
        assert_eq!(mirror().unwrap(), None);
        assert!(std::fs::read_to_string(folder.path().join(MANIFEST)).unwrap().contains("\"timestamp\":2"));

        std::fs::remove_file(folder.path().join(&one)).unwrap();
        give(&[(ONE, 3), (TWO, 2)]);
        assert_eq!(mirror().unwrap(), Some(Done { events: 2, fetched: 1, removed: 0 }), "a file that is gone is fetched again");
    }

    #[test]
    fn a_manifest_names_no_file_outside_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["../../etc/passwd", "", "00000000-0000-4000-8000-00000000000/", "00000000a0000-4000-8000-000000000001"] {
            let manifest = serde_json::to_vec(&json!({ name: {} })).unwrap();
            let error = mirror(folder.path(), |asked| Ok((asked == MANIFEST).then(|| manifest.clone()))).unwrap_err();
            assert!(error.to_string().contains("no UUID"), "{error}");
        }
        assert!(mirror(folder.path(), |_| Ok(None)).unwrap_err().to_string().contains("/feeds/misp/manifest.json"));
        assert!(files(folder.path()).is_empty());
    }
}
