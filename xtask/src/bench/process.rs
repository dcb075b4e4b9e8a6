//! A hub under test: the release binary on a folder of its own, started, killed and measured from outside.
//!
//! Invariant: nothing of it outlives the bench; the folder lies under `target/`, on a real disk, for a temporary file system would not sync.

use crate::generated::{cargo, root};
use crate::load::Connection;
use anyhow::{Context, bail};
use serde_json::json;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a hub may take to settle.
const SETTLE: Duration = Duration::from_secs(600);
/// How long a hub may take to listen and to be ready.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks at whether it is ready.
const LOOK: Duration = Duration::from_millis(10);

/// Builds the release.
pub fn build() -> anyhow::Result<()> {
    let status = cargo().args(["build", "--release", "--package", "bongsu"]).current_dir(root()?).status().context("running cargo")?;
    if !status.success() {
        bail!("the release does not build");
    }
    Ok(())
}

/// The release binary.
pub fn binary() -> anyhow::Result<PathBuf> {
    Ok(target()?.join("release").join("bongsu"))
}

/// The folder of builds, where folders of benches lie too.
pub fn target() -> anyhow::Result<PathBuf> {
    Ok(match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => root()?.join("target"),
    })
}

/// A running hub.
pub struct Hub {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// Keys of analysts, one per member.
    pub keys: Vec<String>,
    folder: TempDir,
    memory: String,
}

impl Hub {
    /// Starts a hub on a fresh folder, with so many members.
    pub fn start(memory: &str, members: usize) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(target()?).context("making a folder under target")?;
        let (child, address) = launch(&folder.path().join("data"), memory)?;
        let mut hub = Self { child, address, keys: Vec::new(), folder, memory: memory.to_owned() };
        hub.wait_ready()?;
        hub.add_members(members)?;
        Ok(hub)
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A connection with the key of a member.
    pub fn connect(&self, member: usize) -> anyhow::Result<Connection> {
        let key = self.keys.get(member % self.keys.len().max(1)).context("no members")?;
        Connection::open(self.address, key)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it without warning, where it still runs.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        if !status.success() {
            bail!("the hub is not there any more");
        }
        if !self.child.wait()?.success() {
            bail!("the hub did not stop well");
        }
        Ok(())
    }

    /// Starts it again on its folder; gives the time from the start until it is ready.
    pub fn restart(&mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        (self.child, self.address) = launch(&self.data(), &self.memory)?;
        self.wait_ready()?;
        Ok(began.elapsed())
    }

    /// Its memory: see [`memory`].
    pub fn memory(&self, field: &str) -> anyhow::Result<u64> {
        memory(&self.child.id().to_string(), field)
    }

    /// Bytes on disk under its folder.
    pub fn disk(&self) -> anyhow::Result<u64> {
        disk(&self.data())
    }

    /// Bytes on disk of one of its folders.
    pub fn disk_of(&self, folder: &str) -> anyhow::Result<u64> {
        disk(&self.data().join(folder))
    }

    /// Waits until it has caught up with what follows a load: until it hardly uses the processor.
    pub fn settle(&self) -> anyhow::Result<()> {
        const WINDOW: Duration = Duration::from_secs(2);
        let began = Instant::now();
        while began.elapsed() < SETTLE {
            let before = self.ticks()?;
            std::thread::sleep(WINDOW);
            // A hundred ticks are a second.
            if self.ticks()? - before < 10 {
                break;
            }
        }
        Ok(())
    }

    /// Time on the processor so far, in the kernel's ticks.
    fn ticks(&self) -> anyhow::Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may hold spaces; user and system time are the 14th and 15th field.
        let after_name = stat.rsplit_once(") ").context("no such process")?.1;
        Ok(after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum())
    }

    fn wait_ready(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let answer = Connection::open(self.address, "none").and_then(|mut connection| connection.get("/readyz"));
            if answer.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        bail!("the hub is not ready after {} s", PATIENCE.as_secs())
    }

    fn add_members(&mut self, members: usize) -> anyhow::Result<()> {
        let coordinator = std::fs::read_to_string(self.data().join("coordinator.key")).context("coordinator.key")?;
        let mut connection = Connection::open(self.address, coordinator.trim())?;
        let mut create = |path: &str, body: serde_json::Value, field: &str| -> anyhow::Result<String> {
            let answer = connection.post(path, "application/json", body.to_string().as_bytes())?;
            if answer.status != 201 {
                bail!("{path} answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
            }
            let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
            Ok(body.get(field).and_then(serde_json::Value::as_str).with_context(|| format!("no {field}"))?.to_owned())
        };
        for number in 0..members {
            let body = json!({ "name": format!("Member {number}"), "kind": "company", "constituency": "private", "sector": "finance" });
            let organisation = create("/api/v1/organisations", body, "id")?;
            self.keys.push(create(&format!("/api/v1/organisations/{organisation}/keys"), json!({ "role": "analyst" }), "key")?);
        }
        Ok(())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(data: &Path, memory: &str) -> anyhow::Result<(Child, SocketAddr)> {
    let mut command = Command::new(binary()?);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).env("BONGSU_MEMORY", memory).env("BONGSU_LOG_LEVEL", "warn");
    let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().context("starting the hub")?;
    let output = child.stdout.take().context("the hub's output")?;
    for line in BufReader::new(output).lines() {
        if let Some(address) = line?.strip_prefix("listening on http://") {
            return Ok((child, address.parse().context("the hub's address")?));
        }
    }
    let _ = child.kill();
    bail!("the hub ended with {}", child.wait()?)
}

/// A line of `/proc/PROCESS/status` in bytes: `VmRSS`, `RssAnon`, `VmHWM`. The process is a number or `self`.
pub fn memory(process: &str, field: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).context("no such line")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kibibytes * 1024)
}

/// Bytes on disk of all files below a folder.
pub fn disk(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { disk(&entry.path())? } else { about.blocks() * 512 };
    }
    Ok(bytes)
}
