//! `demo`: a hub on generated data, with events flowing in.
//!
//! Flow: open a hub on a fresh folder → add the nation's members, each with a reporter's key → agree with a partner → send fourteen days of
//! history through the same intake as any sender's → listen → keep events flowing until stopped.
//! Invariant: nothing is written behind the use cases' back, so contribution, standing and policy are real.
//! Not here: what the nation is (`nation`), serving (`serve`).

mod campaign;
mod names;
mod nation;
mod partner;
mod random;

use crate::cli::DemoArguments;
use crate::config::{Config, Log, LogFormat, Size};
use crate::{Exit, output, serve};
use anyhow::{Context, bail};
use hub::intake::{Encoding, Options};
use hub::members::{NewKey, NewOrganisation};
use hub::{Actor, Hub};
use model::{KeyRole, OrgId, OrgKind, Timestamp};
use nation::{Line, Nation, Pace};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Everyday events a second in the history; campaigns come on top.
const HISTORY_RATE: f64 = 0.01;
/// What the partner's key is called: whose it is, and its role.
const PARTNER: &str = "partner (analyst)";
/// Batches that are sent at the same time.
const SENDERS: usize = 32;
/// The history is sent in pieces of this many seconds.
const PIECE: f64 = 2.0 * 86_400.0;
/// Live events are sent this often.
const TICK: Duration = Duration::from_millis(500);
/// Memory for the demo's views.
const MEMORY: Size = Size(512 << 20);
/// Events gathered for one tick at the most; a machine that falls behind leaves the rest out.
const MOST_A_TICK: usize = 100_000;

/// Runs `demo`.
pub fn run(arguments: &DemoArguments) -> anyhow::Result<Exit> {
    let mut temporary = None;
    let data = match &arguments.data {
        Some(data) if data.join("coordinator.key").exists() => bail!("{} holds a hub already; the demo wants a new folder", data.display()),
        Some(data) => data.clone(),
        None => {
            let folder = tempfile::Builder::new().prefix("bongsu-demo-").tempdir().context("making a temporary folder")?;
            temporary.insert(folder).path().join("data")
        }
    };
    let config = configuration(arguments, data);
    config.check()?;
    serve::start_log(&config.log)?;
    let result = serve::block_on(async { Box::pin(demo(arguments, &config)).await });
    // The folder goes when everything that writes to it has ended.
    drop(temporary);
    result.map(|()| Exit::Done)
}

fn configuration(arguments: &DemoArguments, data: PathBuf) -> Config {
    let mut config = Config {
        data,
        listen: arguments.listen,
        plain_http: arguments.plain_http,
        memory: MEMORY,
        log: Log { format: LogFormat::Text, level: "warn".to_owned() },
        ..Config::default()
    };
    if jiff::tz::TimeZone::get(&config.zone).is_err() {
        // A machine without a time zone database can show everything all the same.
        "UTC".clone_into(&mut config.zone);
    }
    config
}

async fn demo(arguments: &DemoArguments, config: &Config) -> anyhow::Result<()> {
    let mut door = serve::Door::new(config.listen)?;
    let Some(hub) = door.unless_stopped(Box::pin(serve::open(config))).await? else { return Ok(()) };
    let nation = Arc::new(Nation::generate(arguments.seed));
    let start = hub.clock().now();
    let (members, keys) = match door.unless_stopped(fill(&hub, &nation, &config.data, start)).await {
        Ok(Some(filled)) => filled,
        unfinished => {
            // What writes to the folder ends before the folder goes.
            serve::close(&hub).await;
            return unfinished.map(|_| ());
        }
    };
    let flowing = tokio::spawn(flow(Arc::clone(&hub), Arc::clone(&members), Arc::clone(&nation), start, arguments.rate));
    let announce = |address: &str| {
        // Nobody may be reading any more; the demo runs on.
        let _ = introduce(&nation, &keys, config, address, arguments.rate);
    };
    serve::until_stopped(config, hub, door, announce, || flowing.abort()).await
}

/// Adds the members, the events of the last fourteen days, and a key for each role.
async fn fill(hub: &Arc<Hub>, nation: &Arc<Nation>, data: &Path, start: Timestamp) -> anyhow::Result<(Arc<Members>, Vec<RoleKey>)> {
    let began = Instant::now();
    let members = Arc::new(settle(hub, nation, data).await?);
    output::note(&format!("{} organisations added after {:.1} s", nation.members.len(), began.elapsed().as_secs_f64()));
    partner::agree(hub, nation, &members, start).await?;

    let mut sent = 0;
    let mut history = nation.events(start, -campaign::HISTORY, 0.0, HISTORY_RATE, Pace::Surging).peekable();
    let mut until = PIECE - campaign::HISTORY;
    while history.peek().is_some() {
        let mut lines = Vec::new();
        while let Some(line) = history.next_if(|line| line.at < until) {
            lines.push(line);
        }
        sent += send(hub, &members, lines).await;
        until += PIECE;
    }
    output::note(&format!("{sent} events of the last fourteen days taken after {:.1} s", began.elapsed().as_secs_f64()));
    partner::share(hub, nation, &members, start).await?;
    let keys = role_keys(hub, nation, &members).await?;
    Ok((members, keys))
}

/// The members as senders: the secret of a reporter's key each.
struct Members {
    coordinator: String,
    senders: Vec<(OrgId, String)>,
}

fn here() -> IpAddr {
    IpAddr::V4(Ipv4Addr::LOCALHOST)
}

/// Adds the nation's organisations and a reporter's key for each.
async fn settle(hub: &Arc<Hub>, nation: &Nation, data: &Path) -> anyhow::Result<Members> {
    let file = data.join("coordinator.key");
    let coordinator = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?.trim().to_owned();
    let actor = hub.authenticate(&coordinator, here()).context("the coordinator's key")?;
    let mut senders = Vec::with_capacity(nation.members.len());
    for member in &nation.members {
        let new = NewOrganisation {
            name: member.name.clone(),
            kind: member.kind,
            constituency: member.constituency,
            sector: member.sector.map(Into::into),
            country: Some(member.country.into()),
        };
        let organisation = hub.members().add(&actor, new).await.with_context(|| format!("adding {}", member.name))?;
        let secret = add_key(hub, &actor, organisation.id, KeyRole::Reporter).await?;
        senders.push((organisation.id, secret));
    }
    Ok(Members { coordinator, senders })
}

async fn add_key(hub: &Arc<Hub>, actor: &Actor, organisation: OrgId, role: KeyRole) -> anyhow::Result<String> {
    let new = NewKey { role, expires: None, allow: Vec::new(), red: false, holder: None };
    let (_, secret) = hub.members().add_key(actor, organisation, new).await.with_context(|| format!("adding a key of role {role}"))?;
    Ok(secret)
}

/// Sends lines as their members, a batch each; gives the number taken.
async fn send(hub: &Arc<Hub>, members: &Arc<Members>, lines: Vec<Line>) -> u64 {
    let mut batches: BTreeMap<usize, String> = BTreeMap::new();
    for line in lines {
        batches.entry(line.member).or_default().push_str(&line.json);
    }
    let turns = Arc::new(Semaphore::new(SENDERS));
    let mut tasks = JoinSet::new();
    for (member, body) in batches {
        let (hub, members, turns) = (Arc::clone(hub), Arc::clone(members), Arc::clone(&turns));
        tasks.spawn(async move {
            let _turn = turns.acquire_owned().await;
            match submit(&hub, &members, member, body).await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(error = %format!("{error:#}"), "a batch of the demo was not taken");
                    0
                }
            }
        });
    }
    let mut sent = 0;
    while let Some(accepted) = tasks.join_next().await {
        sent += accepted.unwrap_or(0);
    }
    sent
}

async fn submit(hub: &Arc<Hub>, members: &Members, member: usize, body: String) -> anyhow::Result<u64> {
    let (_, secret) = members.senders.get(member).context("an unknown member")?;
    let actor = hub.authenticate(secret, here())?;
    let options = Options {
        format: Some(formats::Format::Ndjson),
        encoding: Encoding::Identity,
        idempotency_key: None,
        dry_run: false,
        on_behalf_of: None,
        tlp: None,
        category: None,
        origin: None,
        role: None,
        file_name: None,
    };
    let mut session = hub.intake(&actor, options)?;
    session.push(body.into()).await?;
    let outcome = session.finish().await?;
    if let Some(error) = outcome.errors.first() {
        tracing::warn!(refused = outcome.refused, reason = error.reason, "lines of the demo were refused");
    }
    Ok(outcome.accepted)
}

/// Keeps events flowing in real time.
async fn flow(hub: Arc<Hub>, members: Arc<Members>, nation: Arc<Nation>, start: Timestamp, rate: u32) {
    let seconds = |moment: Timestamp| (moment.micros() - start.micros()) as f64 / 1e6;
    let mut events = nation.events(start, seconds(hub.clock().now()), f64::INFINITY, f64::from(rate), Pace::Even).peekable();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = seconds(hub.clock().now());
        let mut lines = Vec::new();
        while let Some(line) = events.next_if(|line| line.at <= now) {
            if lines.len() < MOST_A_TICK {
                lines.push(line);
            }
        }
        if !lines.is_empty() {
            send(&hub, &members, lines).await;
        }
        if events.peek().is_none() {
            return;
        }
    }
}

/// One key per role, with whose it is.
struct RoleKey {
    role: &'static str,
    organisation: String,
    secret: String,
}

async fn role_keys(hub: &Arc<Hub>, nation: &Nation, members: &Members) -> anyhow::Result<Vec<RoleKey>> {
    let actor = hub.authenticate(&members.coordinator, here())?;
    let mut keys = vec![RoleKey { role: "coordinator", organisation: actor.organisation.name.clone(), secret: members.coordinator.clone() }];
    let first = |kind: OrgKind| nation.members.iter().position(|member| member.kind == kind);
    let wanted = [
        ("authority", KeyRole::Authority, first(OrgKind::Authority)),
        ("member-admin", KeyRole::MemberAdmin, first(OrgKind::Company)),
        ("analyst", KeyRole::Analyst, first(OrgKind::Company)),
        ("reporter", KeyRole::Reporter, first(OrgKind::Company)),
        ("reader", KeyRole::Reader, first(OrgKind::Agency)),
        (PARTNER, KeyRole::Analyst, first(OrgKind::Partner)),
    ];
    for (role, key_role, place) in wanted {
        let place = place.context("the nation lacks a kind of organisation")?;
        let (id, _) = members.senders.get(place).context("an unknown member")?;
        let organisation = nation.members.get(place).map(|member| member.name.clone()).unwrap_or_default();
        keys.push(RoleKey { role, organisation, secret: add_key(hub, &actor, *id, key_role).await? });
    }
    let secret = add_key(hub, &actor, actor.organisation.id, KeyRole::Auditor).await?;
    keys.push(RoleKey { role: "auditor", organisation: actor.organisation.name.clone(), secret });
    Ok(keys)
}

/// Says where the hub is, what opens it, and what to try.
fn introduce(nation: &Nation, keys: &[RoleKey], config: &Config, address: &str, rate: u32) -> std::io::Result<()> {
    let mut out = output::standard();
    writeln!(out, "listening on {address}\n")?;
    let rows: Vec<Vec<String>> = keys.iter().map(|key| vec![key.role.to_owned(), key.organisation.clone(), key.secret.clone()]).collect();
    output::table(&mut out, &["role", "organisation", "key"], &rows)?;
    let campaign = nation.strongest(0.0);
    let server = campaign.and_then(|campaign| campaign.servers.first()).cloned().unwrap_or_default();
    let malware = campaign.map(|campaign| campaign.malware.clone()).unwrap_or_default();
    let mut where_to = String::new();
    if address != "http://127.0.0.1:8470" {
        // An address such as 0.0.0.0 is for listening alone.
        let reachable = if config.listen.ip().is_unspecified() { address.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]") } else { address.to_owned() };
        where_to = format!("BONGSU_URL={reachable} ");
    }
    let program = program();
    let call = |role: &str| {
        let secret = keys.iter().find(|key| key.role == role).map(|key| key.secret.as_str()).unwrap_or_default();
        format!("BONGSU_KEY={secret} {where_to}{program}")
    };
    writeln!(out, "\n{rate} events a second keep flowing in. Four commands to try in another terminal, the last one as the partner:\n")?;
    let analyst = call("analyst");
    writeln!(out, "  {analyst} lookup {server}")?;
    writeln!(out, "  {analyst} search --malware {malware} --since 1d --limit 5")?;
    writeln!(out, "  {analyst} stream --limit 5")?;
    writeln!(out, "  {} org agreement", call(PARTNER))?;
    writeln!(out, "\ndata in {}\nCtrl-C ends it.", config.data.display())?;
    out.flush()
}

/// This program as the reader would call it from here.
fn program() -> String {
    let Ok(path) = std::env::current_exe() else { return "bongsu".to_owned() };
    let short = std::env::current_dir().ok().and_then(|here| path.strip_prefix(here).ok().map(|short| Path::new(".").join(short)));
    short.unwrap_or(path).display().to_string()
}
