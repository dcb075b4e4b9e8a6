//! `pull` and `sources`: has the hub collect its sources now, and shows how they are doing.
//!
//! Flow: `pull` asks for a run of each source, one after another, and where a run takes long looks again until it has ended.
//! Invariant: the hub itself collects; nothing of a source comes by here but figures, and of a dry run a few samples.

use super::Api;
use super::lookup::plain;
use crate::cli::{PullArguments, SourcesArguments};
use crate::{Exit, output};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;
use ureq::http::Method;

/// How often a run that takes long is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// What the table of sources shows.
const COLUMNS: [&str; 8] = ["name", "kind", "enabled", "last_success", "next_run", "listed", "held", "alarms"];
/// What the table of runs shows.
const RUN_COLUMNS: [&str; 8] = ["started", "result", "entries", "taken", "merged", "refused", "delisted", "alarms"];

/// Runs `sources`.
pub fn sources(arguments: &SourcesArguments) -> anyhow::Result<Exit> {
    let api = Api::new(&arguments.connection)?;
    let mut out = output::standard();
    let answer = match &arguments.name {
        Some(name) => api.get(&path(name)?, &[])?,
        None => api.get("/api/v1/sources", &[])?,
    };
    if arguments.json {
        writeln!(out, "{}", answer.raw()?)?;
        out.flush()?;
        return Ok(Exit::Done);
    }
    let answer = answer.json()?;
    let all: Vec<&Value> = match &arguments.name {
        Some(_) => vec![&answer],
        None => items(&answer, "sources").collect(),
    };
    if all.is_empty() {
        output::note("no sources: the hub's configuration names none under [[sources]]");
    }
    let rows: Vec<Vec<String>> = all.iter().map(|source| row(source, &COLUMNS)).collect();
    output::table(&mut out, &COLUMNS.map(title), &rows)?;
    for source in &all {
        for (kind, alarm) in source.get("alarms").and_then(Value::as_object).into_iter().flatten() {
            writeln!(out, "{}: {kind} since {}: {}", plain(source.get("name")), plain(alarm.get("since")), plain(alarm.get("text")))?;
        }
    }
    if arguments.name.is_some() {
        let runs: Vec<Vec<String>> = items(&answer, "runs").map(|run| row(run, &RUN_COLUMNS)).collect();
        if runs.is_empty() {
            out.flush()?;
            output::note("no runs yet");
        } else {
            writeln!(out)?;
        }
        output::table(&mut out, &RUN_COLUMNS, &runs)?;
        if let Some(error) = items(&answer, "runs").next().and_then(|run| run.get("error")) {
            writeln!(out, "\nthe last run broke: {}", plain(Some(error)))?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// Runs `pull`.
pub fn pull(arguments: &PullArguments) -> anyhow::Result<Exit> {
    let api = Api::new(&arguments.connection)?;
    let names = if arguments.names.is_empty() { enabled(&api)? } else { arguments.names.clone() };
    if names.is_empty() {
        output::note("the hub has no sources that are enabled");
    }
    let mut worst = Exit::Done;
    for name in &names {
        let run = one(&api, name, arguments)?;
        if arguments.json {
            let mut told = run.clone();
            if let Value::Object(fields) = &mut told {
                fields.insert("source".to_owned(), json!(name));
            }
            output::line(&told.to_string())?;
        } else {
            tell(name, &run)?;
        }
        worst = match (run.get("result").and_then(Value::as_str), worst) {
            (Some("failed"), _) | (_, Exit::Failed) => Exit::Failed,
            (Some("held"), _) | (_, Exit::Refused) => Exit::Refused,
            (_, Exit::Done) => Exit::Done,
        };
    }
    Ok(worst)
}

fn enabled(api: &Api) -> anyhow::Result<Vec<String>> {
    let answer = api.get("/api/v1/sources", &[])?.json()?;
    let some = items(&answer, "sources").filter(|source| source.get("enabled") == Some(&Value::Bool(true)));
    Ok(some.map(|source| plain(source.get("name"))).collect())
}

/// One run to its end.
fn one(api: &Api, name: &str, arguments: &PullArguments) -> anyhow::Result<Value> {
    let path = path(name)?;
    let (step, body) = if arguments.accept { ("accept", json!({})) } else { ("run", json!({ "dry_run": arguments.dry_run })) };
    let answer = api.send_json(Method::POST, &format!("{path}/{step}"), &body)?.json().with_context(|| name.to_owned())?;
    if answer.get("finished") == Some(&Value::Bool(true)) {
        return answer.get("run").cloned().context("the hub's answer holds no run");
    }
    output::note(&format!("{name}: still being collected"));
    loop {
        std::thread::sleep(LOOK);
        let source = api.get(&path, &[])?.json()?;
        if source.get("running") == Some(&Value::Bool(true)) {
            continue;
        }
        let run = if arguments.dry_run { source.get("tried") } else { source.get("runs").and_then(|runs| runs.get(0)) };
        return run.cloned().with_context(|| format!("{name}: the run has left no trace; see the hub's log"));
    }
}

/// A run for people.
fn tell(name: &str, run: &Value) -> anyhow::Result<()> {
    let figure = |field: &str| plain(run.get(field));
    output::line(&format!(
        "{name}: {}: {} entries, {} taken, {} merged, {} refused, {} delisted",
        figure("result"),
        figure("entries"),
        figure("taken"),
        figure("merged"),
        figure("refused"),
        figure("delisted")
    ))?;
    for (kind, text) in run.get("alarms").and_then(Value::as_object).into_iter().flatten() {
        output::line(&format!("  {kind}: {}", plain(Some(text))))?;
    }
    for refusal in items(run, "refusals") {
        output::line(&format!("  refused: {} line {}: {}", plain(refusal.get("file")), plain(refusal.get("line")), plain(refusal.get("reason"))))?;
    }
    for sample in items(run, "samples") {
        output::line(&format!("  {sample}"))?;
    }
    if let Some(error) = run.get("error") {
        output::complain(&format!("{name}: {}", plain(Some(error))));
    }
    Ok(())
}

/// The path of a source; its name is checked, so that it cannot lead elsewhere.
fn path(name: &str) -> anyhow::Result<String> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        bail!("{name}: expected the name of a source, as `bongsu sources` lists them");
    }
    Ok(format!("/api/v1/sources/{name}"))
}

fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn row(value: &Value, columns: &[&str]) -> Vec<String> {
    let cell = |column: &&str| match value.get(*column) {
        Some(Value::Object(fields)) => fields.keys().cloned().collect::<Vec<_>>().join(", "),
        other => plain(other),
    };
    columns.iter().map(cell).collect()
}

fn title(column: &'static str) -> &'static str {
    match column {
        "last_success" => "last success",
        "next_run" => "next run",
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_elsewhere() {
        assert_eq!(path("urlhaus-1").unwrap(), "/api/v1/sources/urlhaus-1");
        for name in ["", "../events", "a/b", "A", "a?x"] {
            assert!(path(name).is_err(), "{name}");
        }
    }

    #[test]
    fn alarms_are_told_by_their_names() {
        let source = json!({ "name": "a", "held": true, "alarms": { "jump": { "since": "x", "text": "y" }, "silent": {} } });
        assert_eq!(row(&source, &["name", "held", "alarms", "listed"]), ["a", "true", "jump, silent", ""]);
    }
}
