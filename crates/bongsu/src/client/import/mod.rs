//! `import`: moving in, from a MISP, from an n6, or from another hub's directory.
//!
//! Flow: `misp`, `n6` or `directory` reads what there is into one [`directory::Directory`] → `matching` tells who is there already → [`apply`] writes
//! what the hub lacks → [`Report`].
//! Invariant: done twice it changes nothing the second time; nothing that is there already is overwritten; whatever is not taken is named with a
//! reason; keys are written to a file of the caller's own and nowhere else.
//! Not here: events, which `submit` and the sources bring; who may do it (the hub decides: it takes a coordinator's key).

mod apply;
mod countries;
pub mod directory;
mod matching;
mod misp;
mod n6;

use super::Api;
use crate::cli::{ImportCommand, ImportOptions};
use crate::{Exit, output};
use anyhow::{Context, anyhow, bail};
use directory::{Directory, Entry};
use matching::By;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use crate::cli::External;

/// Bytes of a file that is read.
const LARGEST_FILE: u64 = 256 << 20;
/// Files of a folder.
const MAX_FILES: usize = 100;
/// Things not taken that are shown; the report's file holds all.
const SHOWN: usize = 50;
/// Characters of a group's id at the most.
const MAX_SLUG: usize = 48;
/// How long the other side may stay silent.
const SILENCE: Duration = Duration::from_secs(120);

/// What is chosen where the other system does not say.
#[derive(Debug, Clone)]
pub struct Choices {
    /// What organisations are.
    pub kind: String,
    /// Their line.
    pub constituency: String,
    /// What becomes of organisations that a MISP knows only by what they published.
    pub external: External,
    /// Whether domains that restrict accounts are registered.
    pub domains: bool,
}

impl Default for Choices {
    fn default() -> Self {
        Self { kind: "company".to_owned(), constituency: "private".to_owned(), external: External::Skip, domains: false }
    }
}

/// What was done, and what not.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// How many of each.
    done: BTreeMap<String, u64>,
    /// What was not taken.
    left: Vec<Left>,
    /// What was taken for an organisation of the hub's without an earlier run having noted it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    matched: Vec<Matched>,
    /// The hub's organisation for each reference of the other system; read again by the next run, so that a new name makes no new organisation.
    organisations: BTreeMap<String, String>,
}

/// An organisation that was taken for one of the hub's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matched {
    /// Its name there.
    pub name: String,
    /// Its reference there.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The hub's.
    pub organisation: String,
    /// By what it was told: `id`, `own` or `name`.
    pub by: String,
}

/// Something that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// What kind of thing.
    pub what: String,
    /// Which one.
    pub name: String,
    /// Why.
    pub reason: String,
    /// Whether the hub refused it; else there is no place for it.
    #[serde(default)]
    pub refused: bool,
}

impl Report {
    /// Notes something that has no place in the hub.
    pub fn leave(&mut self, what: &str, name: &str, reason: &str) {
        self.left.push(Left { what: what.to_owned(), name: name.to_owned(), reason: reason.to_owned(), refused: false });
    }

    /// Notes something that the hub refused.
    pub fn refuse(&mut self, what: &str, name: &str, reason: &str) {
        self.left.push(Left { what: what.to_owned(), name: name.to_owned(), reason: reason.to_owned(), refused: true });
    }

    /// Notes what an organisation was taken for, so that somebody may look at it.
    pub fn matched(&mut self, entry: &Entry, id: &str, by: By) {
        if by != By::Report {
            let (name, reference) = (entry.name.clone(), entry.reference.clone());
            self.matched.push(Matched { name, reference, organisation: id.to_owned(), by: by.word().to_owned() });
        }
    }

    /// Counts something.
    pub fn count(&mut self, what: &str) {
        *self.done.entry(what.to_owned()).or_default() += 1;
    }

    /// What was not taken.
    #[cfg(test)]
    pub fn left(&self) -> impl Iterator<Item = &Left> {
        self.left.iter()
    }
}

/// Runs `import`.
pub fn run(command: &ImportCommand) -> anyhow::Result<Exit> {
    let mut report = Report::default();
    let (directory, options) = match command {
        ImportCommand::Misp { from, misp_key_file, misp_ca, insecure, external, domains, options } => {
            let choices = Choices { external: *external, domains: *domains, ..choices(options) };
            let found = misp(from, misp_key_file.as_deref(), misp_ca.as_deref(), *insecure)?;
            (found.directory(&choices, &mut report), options)
        }
        ImportCommand::N6 { file, options } => {
            let directory = n6::read(&read(file)?, &choices(options), &mut report).with_context(|| file.display().to_string())?;
            (directory, options)
        }
        ImportCommand::Directory { file, options } => (Directory::read(&read(file)?).with_context(|| file.display().to_string())?, options),
    };
    if let Some(path) = options.report.as_deref().filter(|path| path.exists()) {
        let before: Report = serde_json::from_slice(&read(path)?).with_context(|| format!("--report {}: no report of an import before", path.display()))?;
        report.organisations = before.organisations;
    }
    let api = Api::new(&options.connection)?;
    let result = apply::apply(&api, &directory, options, &mut report);
    // What was done is told even where it broke.
    finish(&report, options)?;
    result?;
    Ok(if report.left.iter().any(|left| left.refused) { Exit::Refused } else { Exit::Done })
}

fn choices(options: &ImportOptions) -> Choices {
    Choices { kind: options.kind.as_str().to_owned(), constituency: options.constituency.as_str().to_owned(), ..Choices::default() }
}

/// Asks a MISP, or reads its answers from files or the files of a folder.
fn misp(from: &[String], key_file: Option<&Path>, ca: Option<&Path>, insecure: bool) -> anyhow::Result<misp::Found> {
    if let [url] = from
        && (url.starts_with("https://") || url.starts_with("http://"))
    {
        if let Some(host) = in_the_clear(url)? {
            if !insecure {
                bail!(
                    "refusing to send the MISP's key to {host} over plain http, where anyone on the way can read it; give an https:// address, or --insecure to send it all the same"
                );
            }
            output::note(&format!("warning: the MISP's key goes to {host} over plain http; anyone on the way can read it. Change it afterwards"));
        }
        let key = match key_file {
            Some(path) => super::read_key(path)?,
            None => std::env::var("MISP_KEY").map_err(|_| anyhow!("no key of the MISP: set MISP_KEY or give --misp-key-file"))?,
        };
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("bongsu/", env!("CARGO_PKG_VERSION")))
            .timeout_per_read(Some(SILENCE));
        if let Some(path) = ca {
            config = config.tls_config(ureq::tls::TlsConfig::builder().root_certs(super::roots(path)?).build());
        }
        return misp::fetch(url, key.trim(), &config.build().new_agent());
    }
    let mut found = misp::Found::default();
    for path in files(from)? {
        found.take(&read(&path)?).with_context(|| path.display().to_string())?;
    }
    Ok(found)
}

/// The host that an address leads to without TLS and beyond this machine; `None` where what is sent cannot be read on the way.
fn in_the_clear(url: &str) -> anyhow::Result<Option<String>> {
    let uri: ureq::http::Uri = url.parse().with_context(|| format!("{}: no address", output::shorten(url, 80)))?;
    let host = uri.host().with_context(|| format!("{}: an address without a host", output::shorten(url, 80)))?;
    let is_here = hub::delivery::mail::is_this_machine(host.trim_start_matches('[').trim_end_matches(']'));
    Ok((uri.scheme_str() != Some("https") && !is_here).then(|| host.to_owned()))
}

/// The files themselves, and the JSON files of folders.
fn files(from: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for name in from {
        let path = PathBuf::from(name);
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        let entries = std::fs::read_dir(&path).with_context(|| path.display().to_string())?;
        let mut inside = Vec::new();
        for entry in entries {
            let path = entry.with_context(|| name.clone())?.path();
            if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json")) {
                inside.push(path);
            }
        }
        inside.sort_unstable();
        files.append(&mut inside);
    }
    match files.len() {
        0 => bail!("no file to read: expected the address of a MISP, files, or a folder of .json files"),
        1..=MAX_FILES => Ok(files),
        _ => bail!("more than {MAX_FILES} files"),
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)).with_context(|| path.display().to_string())?;
    if bytes.len() as u64 > LARGEST_FILE {
        bail!("{}: larger than {LARGEST_FILE} bytes", path.display());
    }
    Ok(bytes)
}

fn finish(report: &Report, options: &ImportOptions) -> anyhow::Result<()> {
    for (what, count) in &report.done {
        output::note(&format!("{count:>8} {what}"));
    }
    for matched in report.matched.iter().take(SHOWN) {
        let Matched { name, reference, organisation, by } = matched;
        output::note(&format!("by its {by} taken for {organisation}: {} ({})", output::shorten(name, 80), output::shorten(reference, 80)));
    }
    if report.matched.len() > SHOWN {
        output::note(&format!("… and {} more", report.matched.len() - SHOWN));
    }
    for left in report.left.iter().take(SHOWN) {
        let verb = if left.refused { "refused" } else { "left out" };
        output::note(&format!("{verb}: {} {}: {}", left.what, output::shorten(&left.name, 80), output::shorten(&left.reason, 300)));
    }
    if report.left.len() > SHOWN {
        let rest = report.left.len() - SHOWN;
        let where_to = if options.report.is_some() { "; the report has all of them" } else { "; --report FILE has all of them" };
        output::note(&format!("… and {rest} more{where_to}"));
    }
    if let Some(path) = &options.report {
        let text = serde_json::to_string_pretty(report)?;
        write_private(path, text.as_bytes()).with_context(|| format!("--report {}", path.display()))?;
    }
    Ok(())
}

/// Writes a file that only its owner can read, in the place of an earlier one once it is whole.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    let unfinished = path.with_file_name(name);
    let mut file = std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

/// An id for a group of this name: letters, digits and hyphens; of a name without any, one of the UUID.
pub fn slug(title: &str, uuid: &str) -> String {
    let mut slug = String::new();
    for character in title.chars() {
        if slug.len() >= MAX_SLUG {
            break;
        }
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-').to_owned();
    // An id of a group is neither one of an organisation nor a word for a sector.
    let telling = slug.chars().filter(char::is_ascii_alphanumeric).count() >= 2 && !slug.starts_with("org_") && !SECTORS.contains(&slug.as_str());
    if telling {
        return slug;
    }
    let digits: String = uuid.chars().filter(char::is_ascii_alphanumeric).take(12).map(|character| character.to_ascii_lowercase()).collect();
    let rest = if digits.is_empty() { format!("{:08x}", fnv(title.as_bytes())) } else { digits };
    if slug.is_empty() { format!("group-{rest}") } else { format!("{slug}-{rest}") }
}

/// The usual sectors, which no group's id may be.
const SECTORS: [&str; 11] =
    ["electronics", "transport", "finance", "water", "energy", "health", "telecom", "government", "nuclear", "broadcasting", "logistics"];

/// A short hash that is the same in every release.
///
/// Source: Fowler, Noll, Vo: FNV-1a, 32 bits.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_id_follows_from_its_name_and_is_always_one() {
        assert_eq!(slug("Banks & friends", "x"), "banks-friends");
        assert_eq!(slug("Finance", "aaaa0000-0000"), "finance-aaaa00000000");
        assert_eq!(slug("은행", "AAAA0000-0000"), "group-aaaa00000000");
        assert_eq!(slug("은행", ""), slug("은행", ""));
        assert_ne!(slug("은행", ""), slug("병원", ""));
        assert!(slug(&"x".repeat(200), "").len() <= MAX_SLUG);
    }

    #[test]
    fn a_key_goes_in_the_clear_to_this_machine_alone() {
        for closed in ["https://misp.example/x", "http://localhost:8080", "http://127.0.0.1", "http://[::1]:80/", "https://192.0.2.1"] {
            assert_eq!(in_the_clear(closed).unwrap(), None, "{closed}");
        }
        for (open, host) in [
            ("http://misp.example", "misp.example"),
            ("http://192.0.2.1:80/x", "192.0.2.1"),
            ("http://localhost@misp.example/", "misp.example"),
            ("http://127.0.0.1.misp.example/", "127.0.0.1.misp.example"),
            ("http://localhost.misp.example", "localhost.misp.example"),
        ] {
            assert_eq!(in_the_clear(open).unwrap().as_deref(), Some(host), "{open}");
        }
        let refused = misp(&["http://misp.example".to_owned()], None, None, false).unwrap_err().to_string();
        assert!(refused.contains("--insecure") && refused.contains("misp.example"), "{refused}");
    }

    #[test]
    fn a_report_is_read_back() {
        let mut report = Report::default();
        report.leave("user", "x", "blocked");
        report.count("organisations added");
        report.organisations.insert("a".to_owned(), "org_1".to_owned());
        let read: Report = serde_json::from_slice(&serde_json::to_vec(&report).unwrap()).unwrap();
        assert_eq!((read.left, read.organisations, read.done), (report.left, report.organisations, report.done));
    }

    #[test]
    fn a_private_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_private(&path, b"{}").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
