//! `submit`: events from files and standard input to the hub.
//!
//! Flow: each file → its sources (`input`) → format → requests (`chunks`), each with a key from a running hash of the input → `sender` →
//! counts per source, the receipts, and each refused line as `file:line: reason`.
//! Invariant: run again, or taken up after a break, the same input under the same options makes the same requests with the same keys.
//! Not here: what makes a line good (`formats`, on the hub's side).

use super::Api;
use super::chunks::{Chunk, Chunks, is_cut, whole};
use super::input::{Source, visit};
use super::sender::{Counts, Failure, Sender, Told};
use crate::cli::{InputFormat, SubmitArguments};
use crate::{Exit, output};
use anyhow::Context;
use formats::Format;
use hub::clock::Clock;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

/// Refused lines shown where no file takes them, and warnings shown.
const SHOWN: u64 = 10;
/// Receipts named at the most; of more only the first and the last.
const NAMED_RECEIPTS: usize = 8;
/// Hexadecimal digits of an idempotency key: 128 bits.
const KEY_DIGITS: usize = 32;

/// Runs `submit`.
pub fn run(arguments: &SubmitArguments) -> anyhow::Result<Exit> {
    let api = Api::new(&arguments.connection)?;
    // Asked before anything is sent: a hub that refuses a large body half-way looks like a broken connection.
    if let Ok(answer) = api.get("/api/v1/status", &[])
        && answer.status == 401
    {
        return Err(answer.problem());
    }
    let files = if arguments.files.is_empty() { vec![PathBuf::from("-")] } else { arguments.files.clone() };
    let progress = progress(&files);
    let mut run = Run {
        arguments,
        sender: Sender::new(&api, parameters(arguments), arguments.dry_run),
        day: Clock::system().now().utc_day(),
        refused: Refused::new(arguments.refused.as_deref())?,
        done: Vec::new(),
        told: Told::default(),
        warnings: Vec::new(),
        sent: false,
        failed: false,
        progress: progress.clone(),
    };
    let mut stopped = Ok(());
    for file in &files {
        let read = visit(file, &progress, &mut |mut source| run.source(&mut source));
        match read {
            Ok(()) => {}
            Err(error) if error.downcast_ref::<Stop>().is_some() => {
                stopped = Err(error);
                break;
            }
            Err(error) => run.fail(&format!("{error:#}")),
        }
    }
    progress.finish_and_clear();
    run.refused.close()?;
    let exit = run.report()?;
    stopped.map(|()| exit)
}

/// Marks an error after which nothing else would go through either.
#[derive(Debug)]
struct Stop;

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped")
    }
}

struct Run<'a> {
    arguments: &'a SubmitArguments,
    sender: Sender<'a>,
    /// Taken once, so that a run over midnight keeps its keys.
    day: i64,
    refused: Refused,
    done: Vec<(String, Counts)>,
    /// Defaults that stood in, of all requests.
    told: Told,
    /// Warnings shown.
    warnings: Vec<String>,
    /// Whether there was anything to send.
    sent: bool,
    failed: bool,
    progress: ProgressBar,
}

impl Run<'_> {
    fn source(&mut self, source: &mut Source<'_>) -> anyhow::Result<()> {
        let mut counts = Counts::default();
        let result = self.requests(source, &mut counts);
        self.done.push((source.name.to_owned(), counts));
        match result {
            Ok(()) => Ok(()),
            Err(Failure::Input(error)) => {
                self.fail(&format!("{}: {error:#}", source.name));
                Ok(())
            }
            Err(Failure::Hub(error)) => Err(error.context(Stop).context(source.name.to_owned())),
        }
    }

    fn requests(&mut self, source: &mut Source<'_>, counts: &mut Counts) -> Result<(), Failure> {
        let format = format(self.arguments.format, source);
        let mut keys = Keys::new(self.arguments, format, self.day);
        if !is_cut(format, source.head) {
            let document = whole(source.reader).map_err(Failure::Input)?;
            return self.request(source.name, format, &document, &mut keys, counts);
        }
        let mut chunks = Chunks::new(format, source.reader);
        while let Some(chunk) = chunks.next_chunk().map_err(Failure::Input)? {
            self.request(source.name, format, &chunk, &mut keys, counts)?;
        }
        Ok(())
    }

    fn request(&mut self, name: &str, format: Format, chunk: &Chunk, keys: &mut Keys, counts: &mut Counts) -> Result<(), Failure> {
        let key = keys.next_key(chunk.own());
        if is_blank(&chunk.body) {
            return Ok(());
        }
        self.sent = true;
        let (taken, refusals, told) = self.sender.send(format, chunk, &key)?;
        counts.add(taken);
        let named = refusals.len() as u64;
        for (line, reason) in &refusals {
            self.refused.name(&self.progress, name, *line, reason).map_err(Failure::Hub)?;
        }
        if taken.refused > named {
            self.say(&format!("{name}: {} more refused entries that the hub did not name", taken.refused - named));
        }
        self.take_told(name, told);
        Ok(())
    }

    /// Shows the first warnings and keeps the rest for the end.
    fn take_told(&mut self, name: &str, told: Told) {
        self.told.warned += told.warned;
        for (line, reason) in told.warnings {
            let text = format!("{name}:{line}: warning: {}", output::shorten(&reason, 200));
            if self.warnings.contains(&text) {
                // Of a header, which every request repeats.
                self.told.warned = self.told.warned.saturating_sub(1);
            } else if (self.warnings.len() as u64) < SHOWN {
                self.say(&text);
                self.warnings.push(text);
            }
        }
        for (field, value, entries) in told.defaults {
            self.told.add_default(field, value, entries);
        }
    }

    fn fail(&mut self, text: &str) {
        self.failed = true;
        self.progress.suspend(|| output::complain(text));
    }

    fn say(&self, text: &str) {
        self.progress.suspend(|| output::note(text));
    }

    /// Writes the counts, per source where there are several, and says how the command ends.
    fn report(&self) -> anyhow::Result<Exit> {
        if self.failed && self.done.is_empty() {
            // No input could be read: the error says it all.
            return Ok(Exit::Failed);
        }
        let mut total = Counts::default();
        for (name, counts) in &self.done {
            total.add(*counts);
            if self.done.len() > 1 {
                output::line(&format!("{name}: {counts}"))?;
            }
        }
        let mark = if self.arguments.dry_run { " (dry run: nothing was kept)" } else { "" };
        output::line(&format!("{total}{mark}"))?;
        if total.merged_withdrawn > 0 {
            output::line(&format!("{} of the merged were withdrawn earlier and stay withdrawn", total.merged_withdrawn))?;
        }
        if let Some(text) = defaults(&self.told.defaults, total.accepted + total.merged) {
            output::line(&text)?;
        }
        match self.told.warned.saturating_sub(self.warnings.len() as u64) {
            0 => {}
            more => output::note(&format!("and {more} more warnings")),
        }
        if let Some(text) = receipts(&self.sender.receipts()) {
            output::line(&text)?;
        }
        if !self.sent && !self.failed {
            output::note("nothing to send: the input is empty");
        }
        Ok(match (self.failed, total.refused) {
            (true, _) => Exit::Failed,
            (false, 0) => Exit::Done,
            (false, _) => Exit::Refused,
        })
    }
}

/// The line that names the defaults that stood in, each with the number of entries unless it was all of them; none where there is none.
fn defaults(used: &[(String, String, u64)], entries: u64) -> Option<String> {
    let name = |(field, value, count): &(String, String, u64)| match *count {
        all if all >= entries => format!("{field} {value}"),
        1 => format!("{field} {value} (1 entry)"),
        some => format!("{field} {value} ({} entries)", grouped(some)),
    };
    let named: Vec<String> = used.iter().map(name).collect();
    (!named.is_empty()).then(|| format!("defaults: {}", named.join(", ")))
}

/// A number with a comma between its thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The line that names the receipts: all of a few, the first and the last of many, none where there is none.
fn receipts(all: &[String]) -> Option<String> {
    match all {
        [] => None,
        [one] => Some(format!("receipt {one}")),
        [first, .., last] if all.len() > NAMED_RECEIPTS => Some(format!("receipts {first} to {last}, {} in all", all.len())),
        few => Some(format!("receipts {}", few.join(" "))),
    }
}

/// Makes the idempotency keys of one source.
struct Keys(blake3::Hasher);

impl Keys {
    fn new(arguments: &SubmitArguments, format: Format, day: i64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("bongsu submit 1\n{format:?}\n").as_bytes());
        for (name, value) in parameters(arguments) {
            hasher.update(format!("{name}={value}\n").as_bytes());
        }
        if format == Format::List {
            // A list says what holds now: tomorrow's copy of it is a new statement.
            hasher.update(format!("day={day}\n").as_bytes());
        }
        Self(hasher)
    }

    /// The key of the request that goes on with these bytes.
    fn next_key(&mut self, own: &[u8]) -> String {
        self.0.update(own);
        let mut key = self.0.finalize().to_hex().to_string();
        key.truncate(KEY_DIGITS);
        key
    }
}

/// Where refused lines go.
struct Refused {
    file: Option<BufWriter<File>>,
    named: u64,
}

impl Refused {
    fn new(path: Option<&std::path::Path>) -> anyhow::Result<Self> {
        let file = match path {
            Some(path) => Some(BufWriter::new(File::create(path).with_context(|| format!("--refused {}", path.display()))?)),
            None => None,
        };
        Ok(Self { file, named: 0 })
    }

    fn name(&mut self, progress: &ProgressBar, name: &str, line: u64, reason: &str) -> anyhow::Result<()> {
        self.named += 1;
        match &mut self.file {
            Some(file) => writeln!(file, "{name}:{line}: {reason}").context("writing refused lines"),
            None if self.named <= SHOWN => {
                progress.suspend(|| output::note(&format!("{name}:{line}: {}", output::shorten(reason, 200))));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn close(&mut self) -> anyhow::Result<()> {
        match &mut self.file {
            Some(file) => file.flush().context("writing refused lines"),
            None if self.named > SHOWN => {
                output::note(&format!("and {} more refused lines; --refused FILE keeps them all", self.named - SHOWN));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// The parameters of every request; they also go into its key.
fn parameters(arguments: &SubmitArguments) -> Vec<(&'static str, String)> {
    let given = [
        ("tlp", arguments.tlp.map(|word| word.as_str().to_owned())),
        ("category", arguments.category.clone()),
        ("origin", arguments.origin.map(|word| word.as_str().to_owned())),
        ("role", arguments.role.map(|word| word.as_str().to_owned())),
        ("on_behalf_of", arguments.on_behalf_of.map(|id| id.to_string())),
    ];
    given.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect()
}

fn format(stated: InputFormat, source: &Source<'_>) -> Format {
    match stated {
        InputFormat::Auto => formats::detect_format(source.head, Some(source.file_name)),
        InputFormat::Ndjson if is_array(source.head) => Format::JsonArray,
        InputFormat::Ndjson => Format::Ndjson,
        InputFormat::Csv => Format::Csv,
        InputFormat::List => Format::List,
        InputFormat::Stix => Format::Stix,
        InputFormat::Misp => Format::Misp,
    }
}

fn is_array(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    head.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

fn is_blank(body: &[u8]) -> bool {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).iter().all(u8::is_ascii_whitespace)
}

/// A bar over the bytes of all files, on a terminal; nothing elsewhere.
fn progress(files: &[PathBuf]) -> ProgressBar {
    let sizes: Option<Vec<u64>> = files.iter().map(|file| std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file).map(|file| file.len())).collect();
    let bar = match sizes {
        Some(sizes) => ProgressBar::new(sizes.iter().sum()),
        None => ProgressBar::no_length(),
    };
    let template = "{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn arguments(line: &str) -> SubmitArguments {
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Submit(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_input_under_the_same_options_has_the_same_keys() {
        let plain = arguments("bongsu submit a --tlp green");
        let keys = |arguments: &SubmitArguments, format, day| {
            let mut keys = Keys::new(arguments, format, day);
            [keys.next_key(b"one\n"), keys.next_key(b"two\n"), keys.next_key(b"two\n")]
        };
        let first = keys(&plain, Format::Ndjson, 1);
        assert_eq!(first, keys(&plain, Format::Ndjson, 2));
        assert_ne!(first[1], first[2]);
        assert_ne!(first, keys(&plain, Format::Csv, 1));
        assert_ne!(first, keys(&arguments("bongsu submit a"), Format::Ndjson, 1));
        assert_ne!(keys(&plain, Format::List, 1), keys(&plain, Format::List, 2));
        assert_eq!(first[0].len(), KEY_DIGITS);
    }

    #[test]
    fn a_file_that_holds_nothing_is_blank() {
        assert!(is_blank(b"") && is_blank(b"\xef\xbb\xbf\r\n \t") && !is_blank(b"\nx"));
    }

    #[test]
    fn few_receipts_are_named_and_of_many_the_first_and_last() {
        let names = |count: usize| (1..=count).map(|number| format!("rcp_{number}")).collect::<Vec<_>>();
        assert_eq!(receipts(&[]), None);
        assert_eq!(receipts(&names(1)).unwrap(), "receipt rcp_1");
        assert_eq!(receipts(&names(2)).unwrap(), "receipts rcp_1 rcp_2");
        assert_eq!(receipts(&names(9)).unwrap(), "receipts rcp_1 to rcp_9, 9 in all");
    }

    #[test]
    fn defaults_are_named_with_their_entries_unless_they_are_all() {
        let used = |entries: &[u64]| -> Vec<(String, String, u64)> {
            let fields = [("category", "other"), ("tlp", "amber")];
            fields.iter().zip(entries).map(|((field, value), entries)| ((*field).to_owned(), (*value).to_owned(), *entries)).collect()
        };
        assert_eq!(defaults(&[], 5), None);
        assert_eq!(defaults(&used(&[1_204, 2_000]), 2_000).unwrap(), "defaults: category other (1,204 entries), tlp amber");
        assert_eq!(defaults(&used(&[1]), 2).unwrap(), "defaults: category other (1 entry)");
        assert_eq!([grouped(7), grouped(999), grouped(1_000), grouped(1_234_567)], ["7", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn an_array_is_told_from_lines() {
        assert!(is_array(b" \n[{") && !is_array(b"{\"a\":[") && !is_array(b""));
    }

    #[test]
    fn refused_lines_are_written_with_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("refused");
        let mut refused = Refused::new(Some(&path)).unwrap();
        refused.name(&ProgressBar::hidden(), "a.csv", 7, "no time").unwrap();
        refused.close().unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "a.csv:7: no time\n");
    }
}
