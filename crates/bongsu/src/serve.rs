//! `serve`: opens a hub, listens, and stops without losing what it has taken.
//!
//! Flow: configuration → log → [`Door`] → [`open`] → [`until_stopped`]: announce, serve, drain on SIGTERM or SIGINT → `Hub::close`.
//! Invariant: a stop takes under 20 seconds: at most [`DRAIN`] for requests under way and [`CLOSE`] for the hub.
//! Not here: routes (`web`), readiness (`/readyz` says when the views have caught up).

mod connection;

use crate::cli::ServeArguments;
use crate::config::{Config, Log, LogFormat, Mail, load, unknown_variables};
use crate::{Exit, output};
use anyhow::{Context, anyhow};
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use connection::Patient;
use hub::delivery::holidays;
use hub::delivery::mail::MailOptions;
use hub::{Hub, HubOptions};
use hyper_util::rt::TokioTimer;
use std::io::{ErrorKind, IsTerminal};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// How long requests under way may take after a stop is asked for.
const DRAIN: Duration = Duration::from_secs(12);
/// How long the hub may take to write what it holds.
const CLOSE: Duration = Duration::from_secs(6);
/// Bytes of a password's file at the most.
const LARGEST_PASSWORD: u64 = 4_096;
/// How often the counters are tidied.
const UPKEEP: Duration = Duration::from_secs(5);
/// How long threads that still run may hold the process.
const LINGER: Duration = Duration::from_secs(1);
/// How long a connection is kept for the next request, and how long the head of that one may take; the first one's is [`connection`]'s.
const NEXT_HEAD: Duration = Duration::from_secs(75);
/// How often the other side of an HTTP/2 connection is asked whether it is there, and how long it may take to say so.
const PING: Duration = Duration::from_secs(30);

/// Runs `serve`.
pub fn run(arguments: &ServeArguments) -> anyhow::Result<Exit> {
    let config = load(arguments)?;
    start_log(&config.log)?;
    for name in unknown_variables() {
        tracing::warn!(variable = name, "unknown variable, not used");
    }
    block_on(async {
        let first_start = !config.data.join("coordinator.key").exists();
        let mut door = Door::new(config.listen)?;
        let Some(hub) = door.unless_stopped(Box::pin(open(&config))).await? else { return Ok(()) };
        let announce = |address: &str| {
            output::note(&format!("bongsu {} serves {}", env!("CARGO_PKG_VERSION"), config.data.display()));
            if first_start {
                output::note(&format!("the coordinator's key is in {}", config.data.join("coordinator.key").display()));
            }
            // On standard output and alone: scripts wait for this line and read the port from it.
            let _ = output::line(&format!("listening on {address}"));
        };
        until_stopped(&config, hub, door, announce, || {}).await
    })?;
    Ok(Exit::Done)
}

/// Runs a future on a new runtime and leaves no thread behind for longer than [`LINGER`].
pub fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let result = runtime.block_on(future);
    runtime.shutdown_timeout(LINGER);
    result
}

/// Starts the log on standard error.
pub fn start_log(log: &Log) -> anyhow::Result<()> {
    let filter =
        EnvFilter::try_new(&log.level).with_context(|| format!("log.level = {:?}: expected a level or directives such as info,hub=debug", log.level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().try_init(),
    }
    .map_err(|error| anyhow!(error).context("starting the log"))
}

/// Opens the hub of a configuration.
pub async fn open(config: &Config) -> anyhow::Result<Arc<Hub>> {
    let parse_threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let options = HubOptions {
        data: config.data.clone(),
        realm: config.realm.clone(),
        zone: config.zone.clone(),
        memory: config.memory.0,
        parse_threads,
        max_body: config.limits.max_body.0,
        max_events: config.limits.max_events,
        retention: config.retention_days.map(|days| Duration::from_secs(u64::from(days) * 86_400)),
        warning_lists: config.warning_lists.clone(),
        sectors: config.sectors.iter().map(|sector| sector.as_str().into()).collect(),
        national: config.national.options()?,
        dns: config.dns.options()?,
        mail: config.mail.as_ref().map(mail_options).transpose()?,
        holidays: holidays::parse(config.delivery.holidays.iter().map(String::as_str)).map_err(|reason| anyhow!("delivery.holidays: {reason}"))?,
        outbound: config.outbound.options(),
        sources: config.sources.clone(),
        clock: hub::clock::Clock::system(),
    };
    Hub::open(options).await.with_context(|| format!("opening the hub in {}", config.data.display()))
}

/// How mail is sent, with the password from its file.
fn mail_options(mail: &Mail) -> anyhow::Result<MailOptions> {
    let password = mail.password_file.as_deref().map(read_password).transpose()?;
    Ok(MailOptions {
        host: mail.host.clone(),
        port: mail.port(),
        tls: mail.tls,
        ca: mail.ca.clone(),
        user: mail.user.clone(),
        password,
        from: mail.from.clone(),
        link: mail.link.clone(),
        abuse_contacts: mail.abuse_contacts,
        abuse_never: mail.abuse_never.clone(),
    })
}

/// A password from a file that holds nothing else.
fn read_password(path: &Path) -> anyhow::Result<String> {
    let wrong = || format!("mail.password_file = {}", path.display());
    let length = std::fs::metadata(path).with_context(wrong)?.len();
    if length > LARGEST_PASSWORD {
        return Err(anyhow!("{}: larger than {LARGEST_PASSWORD} bytes", wrong()));
    }
    let text = std::fs::read_to_string(path).with_context(wrong)?;
    let password = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if password.is_empty() {
        return Err(anyhow!("{}: expected a password in it", wrong()));
    }
    Ok(password.to_owned())
}

/// The address and the signals of a hub that is not open yet: an address that is taken is told before any work is done, and a stop that is
/// asked for while the hub opens is heard.
pub struct Door {
    listener: TcpListener,
    stop: Stop,
}

impl Door {
    /// Takes the address; who connects waits until the hub serves.
    pub fn new(listen: SocketAddr) -> anyhow::Result<Self> {
        let stop = Stop::new()?;
        let listener = TcpListener::bind(listen).map_err(|error| {
            let hint = if error.kind() == ErrorKind::AddrInUse { "; choose another with --listen" } else { "" };
            anyhow!("listening on {listen}: {error}{hint}")
        })?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, stop })
    }

    /// Does some work to its end; `None` where a stop is asked for before, which leaves the work where it is.
    pub async fn unless_stopped<T>(&mut self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<Option<T>> {
        tokio::select! {
            biased;
            done = work => done.map(Some),
            () = self.stop.asked() => Ok(None),
        }
    }
}

/// Serves a hub until SIGTERM or SIGINT, then drains and closes it. `announce` is called with the address once it serves, `stopping` when it
/// is to stop.
pub async fn until_stopped(config: &Config, hub: Arc<Hub>, door: Door, announce: impl FnOnce(&str), stopping: impl FnOnce()) -> anyhow::Result<()> {
    let Door { listener, mut stop } = door;
    let address = listener.local_addr()?;
    let scheme = if config.tls.is_some() { "https" } else { "http" };

    let handle = Handle::new();
    let metrics = web::metrics::install();
    let upkeep = metrics.clone();
    let upkeep = tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    // Checked with the configuration.
    let proxies = config.trusted_proxies.iter().filter_map(|range| hub::directory::parse_range(range)).collect();
    let state = web::AppState::new(Arc::clone(&hub), metrics, proxies, env!("CARGO_PKG_VERSION"), config.tls.is_some());
    let service = web::router(state).into_make_service_with_connect_info::<SocketAddr>();
    let mut server = axum_server::from_tcp(listener)?.handle(handle.clone());
    bound_waiting(&mut server, NEXT_HEAD);
    let tls = identity(config).await?;
    let mut serving = tokio::spawn(async move {
        match tls {
            Some(tls) => server.acceptor(Patient(RustlsAcceptor::new(tls).acceptor(NoDelayAcceptor::new()))).serve(service).await,
            None => server.acceptor(Patient(NoDelayAcceptor::new())).serve(service).await,
        }
    });
    announce(&format!("{scheme}://{address}"));

    let ended = tokio::select! {
        ended = &mut serving => Some(ended),
        () = stop.asked() => None,
    };
    upkeep.abort();
    stopping();
    if let Some(ended) = ended {
        close(&hub).await;
        return ended.context("the server's task broke")?.context("the server stopped");
    }
    tracing::info!("stopping: no new connections, requests under way may finish");
    hub.stop_streams();
    handle.graceful_shutdown(Some(DRAIN));
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stop.asked() => {
            tracing::warn!("asked to stop twice: dropping requests under way");
            handle.shutdown();
            serving.await
        }
    };
    close(&hub).await;
    ended.context("the server's task broke")?.context("the server stopped")
}

/// Closes connections that wait longer for a next head than `next_head`, or of which the other side is gone.
fn bound_waiting<A>(server: &mut Server<SocketAddr, A>, next_head: Duration) {
    let protocols = server.http_builder();
    protocols.http1().timer(TokioTimer::new()).header_read_timeout(next_head);
    protocols.http2().timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PING);
}

/// Closes a hub, but not for longer than [`CLOSE`].
pub async fn close(hub: &Hub) {
    if tokio::time::timeout(CLOSE, hub.close()).await.is_err() {
        // What was acknowledged is durable all the same; the next start replays a longer tail.
        tracing::warn!("the hub did not close in time");
    }
    tracing::info!("stopped");
}

/// The TLS identity, where one is configured.
async fn identity(config: &Config) -> anyhow::Result<Option<RustlsConfig>> {
    let Some(tls) = &config.tls else { return Ok(None) };
    // Fails only where a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let identity = RustlsConfig::from_pem_file(&tls.certificate, &tls.key)
        .await
        .with_context(|| format!("tls.certificate = {}, tls.key = {}", tls.certificate.display(), tls.key.display()))?;
    Ok(Some(identity))
}

/// The signals that ask for a stop.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("listening for SIGINT")?,
        })
    }

    /// Waits for the next one.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    const LIMIT: Duration = Duration::from_millis(300);
    const ENOUGH: Duration = Duration::from_secs(20);

    async fn hub_in(data: &std::path::Path) -> Arc<Hub> {
        let options = HubOptions {
            data: data.to_owned(),
            realm: "main".to_owned(),
            zone: "Asia/Seoul".to_owned(),
            memory: 64 << 20,
            parse_threads: 1,
            max_body: 1 << 20,
            max_events: 1_000,
            retention: None,
            warning_lists: None,
            sectors: Vec::new(),
            outbound: hub::outbound::OutboundOptions::default(),
            sources: Vec::new(),
            national: None,
            dns: hub::owners::DnsOptions::default(),
            mail: None,
            holidays: std::collections::BTreeSet::new(),
            clock: hub::clock::Clock::system(),
        };
        Hub::open(options).await.unwrap()
    }

    async fn ends(mut stream: TcpStream) -> bool {
        let mut rest = Vec::new();
        // A reset is an end, too.
        timeout(ENOUGH, stream.read_to_end(&mut rest)).await.is_ok()
    }

    #[test]
    fn a_password_is_all_of_its_file_but_the_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (written, read) in [("secret", "secret"), ("secret\n", "secret"), ("secret\r\n", "secret"), (" se cret \n\n", " se cret \n")] {
            std::fs::write(file.path(), written).unwrap();
            assert_eq!(read_password(file.path()).unwrap(), read);
        }
        std::fs::write(file.path(), "\n").unwrap();
        assert!(read_password(file.path()).unwrap_err().to_string().contains("mail.password_file"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_later_head_that_stands_still_or_never_comes_ends_the_connection() {
        let folder = tempfile::tempdir().unwrap();
        let hub = hub_in(&folder.path().join("data")).await;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = axum_server::from_tcp(listener).unwrap();
        bound_waiting(&mut server, LIMIT);
        let state = web::AppState::new(Arc::clone(&hub), web::metrics::install(), Arc::from([]), "0", false);
        let serving = tokio::spawn(server.serve(web::router(state).into_make_service_with_connect_info::<SocketAddr>()));
        for next in ["GET /healthz HTTP/1.1\r\nHos", ""] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n").await.unwrap();
            let mut answer = [0; 12];
            timeout(ENOUGH, stream.read_exact(&mut answer)).await.unwrap().unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
            stream.write_all(next.as_bytes()).await.unwrap();
            assert!(ends(stream).await, "{next:?}");
        }
        serving.abort();
        hub.close().await;
    }
}
