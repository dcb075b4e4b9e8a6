//! Mail: a maildir, or a folder of `.eml` files, of which the attachments of known senders are taken.
//!
//! Flow: files that were not read before → the sender is one of `senders` → attachments whose names are wanted → unpacked, and Shadowserver's
//! reports converted → bodies.
//! Invariant: messages stay where they are; each is read once, by its name, size and time, and once by its content wherever it lies. The sender is
//! what the message says: who may write into the folder is for the mail server to decide.
//! Not here: fetching mail from a server, mail that the hub sends (`delivery::mail`).

use super::{Body, Collected, Context, MAX_BODIES, MAX_BYTES, SourceError, fetch, shadowserver};
use bytes::Bytes;
use formats::{Format, Refusal};
use mail_parser::{Address, Message, MessageParser, MimeHeaders, PartType};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Messages of a folder.
const MAX_MESSAGES: usize = 20_000;
/// Contents that are remembered.
const MAX_CONTENTS: usize = 20_000;
/// Bytes of a message.
const MAX_MESSAGE: u64 = 64 << 20;
/// Messages of a run.
const A_RUN: usize = 500;
/// Messages inside messages that are opened, as when one is forwarded.
const MAX_DEPTH: u32 = 3;
/// Endings of the attachments that are taken where no names are configured.
const TAKEN: [&str; 10] = [".csv", ".csv.gz", ".json", ".json.gz", ".ndjson", ".ndjson.gz", ".txt", ".txt.gz", ".stix", ".zst"];

/// What is remembered between runs.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    /// Messages that lie in the folder and were read: hash of name, size and time.
    files: BTreeSet<u64>,
    /// Contents that were read, oldest first.
    contents: Vec<u64>,
}

/// One message's file.
#[derive(Debug)]
struct File {
    path: PathBuf,
    name: String,
    stamp: u64,
    size: u64,
    changed: u64,
}

/// What a message brings.
#[derive(Debug, Default)]
struct Read {
    /// Unpacked.
    attachments: Vec<(String, Bytes)>,
    /// Bytes of them together.
    bytes: usize,
    refused: Vec<(String, Refusal)>,
}

/// Brings the attachments of messages that were not read before.
pub(super) async fn collect(context: &Context<'_>) -> Result<Collected, SourceError> {
    let folder = context.source.path.clone().ok_or_else(|| SourceError::Content("path: expected a maildir or a folder of .eml files".to_owned()))?;
    if context.source.senders.is_empty() {
        return Err(SourceError::Content("senders: expected at least one address or @domain whose mail is taken".to_owned()));
    }
    let known: State = serde_json::from_value(context.state.clone()).unwrap_or_default();
    let (senders, wanted) = (context.source.senders.clone(), context.source.files.clone());
    let (read, state, more) = fetch::on_thread(move || read_folder(&folder, known, &senders, &wanted)).await?;
    let mut collected = Collected { more, refused: read.refused, ..Collected::default() };
    for (name, plain) in read.attachments {
        match shadowserver::converted(&name, &plain) {
            Some(Ok((body, refused))) => {
                collected.refused.extend(refused.into_iter().map(|refusal| (name.clone(), refusal)));
                collected.bodies.push(body);
            }
            Some(Err(_)) | None => collected.bodies.push(Body::new(name.clone(), format_of(&name), plain)),
        }
    }
    collected.unchanged = collected.bodies.is_empty() && collected.refused.is_empty() && !more;
    collected.state = serde_json::to_value(&state).map_err(|error| SourceError::Content(error.to_string()))?;
    Ok(collected)
}

/// Whether a name is one of those that are wanted; every one where none are named. `*` stands for anything, case does not matter.
pub(super) fn is_wanted(patterns: &[String], name: &str) -> bool {
    let name = name.to_lowercase();
    patterns.is_empty() || patterns.iter().any(|pattern| fits(&pattern.to_lowercase(), &name))
}

/// Whether a name fits a pattern, part by part between the stars.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = left.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.ends_with(last)
}

fn format_of(name: &str) -> Option<Format> {
    let name = name.to_lowercase();
    let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
    name.ends_with(".csv").then_some(Format::Csv)
}

fn read_folder(folder: &Path, known: State, senders: &[String], wanted: &[String]) -> Result<(Read, State, bool), SourceError> {
    let mut files = list(folder)?;
    files.sort_unstable_by(|one, other| (one.changed, &one.name).cmp(&(other.changed, &other.name)));
    let mut state = State { files: BTreeSet::new(), contents: known.contents };
    let mut contents: BTreeSet<u64> = state.contents.iter().copied().collect();
    let (mut read, mut count, mut bytes, mut more) = (Read::default(), 0, 0, false);
    for file in files {
        if known.files.contains(&file.stamp) {
            state.files.insert(file.stamp);
            continue;
        }
        let is_full = count >= A_RUN || read.attachments.len() >= MAX_BODIES / 2 || bytes.max(read.bytes) > MAX_BYTES / 4;
        if is_full {
            more = true;
            continue;
        }
        if file.size > MAX_MESSAGE {
            read.refuse(&file.name, &format!("the message is larger than {MAX_MESSAGE} bytes"));
            state.files.insert(file.stamp);
            continue;
        }
        let message = match std::fs::read(&file.path) {
            Ok(message) => message,
            // Another program moves mails between its folders while we read.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(SourceError::File { what: file.path.display().to_string(), error }),
        };
        count += 1;
        bytes += message.len();
        state.files.insert(file.stamp);
        let content = fingerprint(&message);
        if contents.insert(content) {
            state.contents.push(content);
            read_message(&file.name, &message, senders, wanted, &mut read);
        }
    }
    let surplus = state.contents.len().saturating_sub(MAX_CONTENTS);
    state.contents.drain(..surplus);
    Ok((read, state, more))
}

/// The messages of a maildir's `new` and `cur`, or the `.eml` files of a folder.
fn list(folder: &Path) -> Result<Vec<File>, SourceError> {
    let is_maildir = folder.join("new").is_dir() && folder.join("cur").is_dir();
    let places = if is_maildir { vec![folder.join("new"), folder.join("cur")] } else { vec![folder.to_owned()] };
    let mut files = Vec::new();
    for place in places {
        let failed = |error| SourceError::File { what: place.display().to_string(), error };
        for entry in std::fs::read_dir(&place).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_message = !name.starts_with('.') && (is_maildir || name.to_lowercase().ends_with(".eml"));
            if !is_message || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            let Ok(metadata) = entry.metadata() else { continue };
            let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default().as_micros() as u64;
            // What stands after the colon are marks such as "seen", which change.
            let base = name.split(":2,").next().unwrap_or(&name).to_owned();
            let stamp = fingerprint(format!("{base}\0{}\0{changed}", metadata.len()).as_bytes());
            files.push(File { path: entry.path(), name: base, stamp, size: metadata.len(), changed });
            if files.len() > MAX_MESSAGES {
                return Err(SourceError::Content(format!("more than {MAX_MESSAGES} messages; move those away that were read")));
            }
        }
    }
    Ok(files)
}

fn read_message(name: &str, bytes: &[u8], senders: &[String], wanted: &[String], read: &mut Read) {
    let Some(message) = MessageParser::default().parse(bytes) else { return read.refuse(name, "no mail message") };
    let from = senders_of(&message);
    let [from] = from.as_slice() else { return read.refuse(name, "the message does not say one sender") };
    if !is_allowed(from, senders) {
        return read.refuse(name, "the sender is not one of those whose mail is taken");
    }
    let before = (read.attachments.len(), read.refused.len());
    attachments(&message, wanted, 0, read);
    if (read.attachments.len(), read.refused.len()) == before {
        read.refuse(name, "the message has no attachment of a name that is taken");
    }
}

/// The addresses of a message's `From`, in lower case.
fn senders_of(message: &Message<'_>) -> Vec<String> {
    let addresses: Vec<&mail_parser::Addr<'_>> = match message.from() {
        Some(Address::List(list)) => list.iter().collect(),
        Some(Address::Group(groups)) => groups.iter().flat_map(|group| group.addresses.iter()).collect(),
        None => Vec::new(),
    };
    addresses.into_iter().filter_map(|address| address.address.as_deref()).map(|address| address.trim().to_lowercase()).collect()
}

/// Whether an address is among those allowed: itself, or its `@domain`.
fn is_allowed(from: &str, senders: &[String]) -> bool {
    let domain = from.rsplit_once('@').map(|(_, domain)| domain);
    senders.iter().map(|sender| sender.trim().to_lowercase()).any(|sender| match sender.strip_prefix('@') {
        Some(allowed) => domain == Some(allowed),
        None => sender == from,
    })
}

fn attachments(message: &Message<'_>, wanted: &[String], depth: u32, read: &mut Read) {
    for part in message.attachments() {
        if let PartType::Message(inner) = &part.body {
            if depth < MAX_DEPTH {
                attachments(inner, wanted, depth + 1, read);
            }
            continue;
        }
        let Some(file) = part.attachment_name().map(base_name).filter(|file| !file.is_empty()) else { continue };
        let lower = file.to_lowercase();
        let is_taken = if wanted.is_empty() { TAKEN.iter().any(|ending| lower.ends_with(ending)) } else { is_wanted(wanted, &file) };
        if lower.ends_with(".zip") && (wanted.is_empty() || is_taken) {
            read.refuse(&file, "a zip archive, which is not read; ask the sender for the file itself, plain or gzip");
        } else if is_taken {
            if read.attachments.len() >= MAX_BODIES {
                read.refuse(&file, "more attachments than a run takes");
                continue;
            }
            // All of a run's together: many small archives may hold more than there is memory.
            match fetch::unpack(Bytes::from(contents(&part.body)), MAX_BYTES.saturating_sub(read.bytes)) {
                Ok(plain) => {
                    read.bytes += plain.len();
                    read.attachments.push((file, plain));
                }
                // One bad attachment spoils no other.
                Err(error) => read.refuse(&file, &error.to_string()),
            }
        }
    }
}

/// An attachment's bytes; text is as the sender wrote it.
fn contents(body: &PartType<'_>) -> Vec<u8> {
    match body {
        PartType::Text(text) | PartType::Html(text) => text.as_bytes().to_vec(),
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => bytes.to_vec(),
        PartType::Message(_) | PartType::Multipart(_) => Vec::new(),
    }
}

/// The last step of a name, without what does not belong into one.
fn base_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars().filter(|character| !character.is_control()).take(200).collect::<String>().trim().to_owned()
}

impl Read {
    fn refuse(&mut self, name: &str, reason: &str) {
        self.refused.push((name.to_owned(), Refusal { line: 1, reason: reason.to_owned() }));
    }
}

fn fingerprint(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.iter_mut().zip(blake3::hash(bytes).as_bytes()).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(first)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::super::SourceOptions;
    use super::*;
    use crate::outbound::{Outbound, OutboundOptions};
    use model::Timestamp;
    use serde_json::{Value, json};

    fn message(from: &str, file: &str, content: &str) -> String {
        format!(
            "From: {from}\r\nTo: hub@example.org\r\nSubject: report\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nsee attachment\r\n--b\r\n\
             Content-Type: text/csv; name=\"{file}\"\r\nContent-Disposition: attachment; filename=\"{file}\"\r\n\r\n{content}\r\n--b--\r\n"
        )
    }

    async fn run(source: &SourceOptions, state: &Value) -> Collected {
        let outbound = Outbound::new(&OutboundOptions::default()).unwrap();
        collect(&Context { source, outbound: &outbound, state, now: Timestamp::parse("2026-11-22T10:00:00Z").unwrap() }).await.unwrap()
    }

    #[tokio::test]
    async fn each_message_of_a_known_sender_is_taken_once_and_stays_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        for place in ["new", "cur", "tmp"] {
            std::fs::create_dir(folder.path().join(place)).unwrap();
        }
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("new/1.host", &message("Feeds <feeds@cert.example>", "list.csv", "value,category,time\n192.0.2.1,phishing,2026-11-21"));
        write("cur/2.host:2,S", &message("x@reports.example", "2026-11-22-scan_rdp-kr.csv", "timestamp,ip,port\n2026-11-21 03:00:01,192.0.2.2,3389"));
        write("cur/3.host:2,", &message("someone@else.example", "list.csv", "value\n192.0.2.3"));
        write("new/4.host", &message("feeds@cert.example", "photo.png", "x"));
        write("new/5.host", &message("feeds@cert.example", "reports.zip", "x"));
        write("tmp/6.host", &message("feeds@cert.example", "list.csv", "value\n192.0.2.4"));
        let source: SourceOptions =
            serde_json::from_value(json!({ "name": "mails", "kind": "mail", "path": folder.path(), "senders": ["feeds@cert.example", "@reports.example"] }))
                .unwrap();
        let first = run(&source, &Value::Null).await;
        let mut names: Vec<&str> = first.bodies.iter().map(|body| body.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["2026-11-22-scan_rdp-kr.csv", "list.csv"]);
        let report = first.bodies.iter().find(|body| body.is_ours).unwrap();
        assert!(String::from_utf8_lossy(&report.bytes).contains("\"report\":\"scan_rdp\""));
        assert_eq!(first.refused.len(), 3, "{:?}", first.refused);

        // Read by its owner, and delivered a second time.
        std::fs::rename(folder.path().join("new/1.host"), folder.path().join("cur/1.host:2,S")).unwrap();
        std::fs::copy(folder.path().join("cur/1.host:2,S"), folder.path().join("new/7.host")).unwrap();
        let second = run(&source, &first.state).await;
        assert!(second.bodies.is_empty() && second.unchanged, "{second:?}");
        assert!(folder.path().join("cur/2.host:2,S").exists());
    }

    #[tokio::test]
    async fn a_folder_of_files_is_read_too_and_without_senders_nothing_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.eml"), message("a@b.example", "x.txt", "192.0.2.1")).unwrap();
        std::fs::write(folder.path().join("b.txt"), "no mail").unwrap();
        let mut source: SourceOptions =
            serde_json::from_value(json!({ "name": "mails", "kind": "mail", "path": folder.path(), "senders": ["@b.example"], "files": ["X*"] })).unwrap();
        assert_eq!(run(&source, &Value::Null).await.bodies.len(), 1);
        source.senders.clear();
        let outbound = Outbound::new(&OutboundOptions::default()).unwrap();
        let context = Context { source: &source, outbound: &outbound, state: &Value::Null, now: Timestamp::from_seconds(1) };
        assert!(collect(&context).await.is_err());
    }

    #[test]
    fn attachments_of_a_run_are_bounded_together_as_they_are_unpacked() {
        let mut read = Read { bytes: MAX_BYTES - 2, ..Read::default() };
        read_message("m", message("a@b.example", "l.csv", "value").as_bytes(), &["@b.example".to_owned()], &[], &mut read);
        assert_eq!((read.attachments.len(), read.refused.len(), read.bytes), (0, 1, MAX_BYTES - 2));
    }

    #[test]
    fn patterns_are_matched_part_by_part() {
        for (pattern, name, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("report-*-kr.csv", "report-2026-kr.csv", true),
            ("a*a", "a", false),
            ("list", "list", true),
            ("*", "", true),
            ("*b*", "abc", true),
            ("*b*d", "abc", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_sender_is_one_address_and_a_domain_is_no_ending() {
        let senders = ["@cert.example".to_owned(), "One@Other.example".to_owned()];
        assert!(is_allowed("x@cert.example", &senders) && is_allowed("one@other.example", &senders));
        assert!(!is_allowed("x@evil-cert.example", &senders) && !is_allowed("x@sub.cert.example", &senders) && !is_allowed("cert.example", &senders));
        let mut read = Read::default();
        let two = message("a@cert.example, b@else.example", "l.csv", "x");
        read_message("m", two.as_bytes(), &senders, &[], &mut read);
        assert_eq!((read.attachments.len(), read.refused.len()), (0, 1));
    }
}
