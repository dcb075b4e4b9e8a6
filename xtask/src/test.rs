//! `cargo xtask test`: installs what the tests need and runs all of them.
//!
//! Flow: the programs that load our products, from Debian → the workspace's tests → its documentation tests → a property-based tester of the API,
//! clients and a mail server, from PyPI, against the real binary.
//! Invariant: says what it installs and where (the cache, never the system, but for Python itself and Debian's packages as root); a step that
//! cannot run is named.
//! Not here: the tests themselves (`tests/`, `tests/python/` and beside the code), fuzzing and checks of style (`.ci/run`).

use anyhow::{Context, anyhow, bail};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the hub under test may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// Runs every test; fails with the first step that does.
pub fn run() -> anyhow::Result<()> {
    step("consumers of the products", || {
        consumers();
        Ok(())
    })?;
    step("tests of the workspace", workspace_tests)?;
    step("documentation tests", || succeed(cargo().args(["test", "--workspace", "--doc"])))?;
    step("the API against its OpenAPI document", || against_clients("api.py"))?;
    step("TAXII against its clients", || against_clients("taxii.py"))?;
    step("TAXII beside the reference server", || against_clients("medallion.py"))?;
    step("STIX of the shared data against its validator", against_validator)?;
    step("IntelMQ, unchanged, both ways", || against_clients("with_intelmq.py"))?;
    step("mail and webhooks against receivers that fail", against_receivers)?;
    step("MISP against PyMISP", || against_clients("misp.py"))?;
    step("PyMISP's own live tests", || against_clients("misp_live.py"))?;
    println!("all tests passed");
    Ok(())
}

fn step(name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    println!("== {name}");
    let began = Instant::now();
    work().with_context(|| name.to_owned())?;
    println!("== {name}: {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// Programs that `tests/products.rs` gives the products to, what unpacks the shared data for `stix_all.py`, and Debian's packages that hold them.
const CONSUMERS: [(&str, &str); 4] = [("named-checkzone", "bind9-utils"), ("nft", "nftables"), ("suricata", "suricata"), ("zstd", "zstd")];

/// Installs the consumers that are missing, where that is possible. Without them their tests say that they are passed over.
fn consumers() {
    let is_there = |program: &str| quiet(Command::new("sh").arg("-c").arg(format!("command -v {program}")));
    let packages: Vec<&str> = CONSUMERS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return println!("all are there");
    }
    if !root_with_apt() {
        return println!("SKIPPED: {} would be installed with apt-get as root; their tests are passed over", packages.join(", "));
    }
    println!("installing {} with apt-get", packages.join(", "));
    if let Err(error) = succeed(Command::new("apt-get").args(["update", "--quiet=2"])) {
        println!("{error:#}; trying with what is known");
    }
    // One by one: not every release of Debian has all of them.
    for package in packages {
        let install = ["install", "--yes", "--quiet=2", "--no-install-recommends", package];
        if let Err(error) = succeed(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(install)) {
            println!("SKIPPED: {package} cannot be installed ({error:#}); its test is passed over");
        }
    }
}

fn workspace_tests() -> anyhow::Result<()> {
    // nextest runs each test in a process of its own and names the slow ones; without it the plain runner does the same work.
    let nextest = cargo().args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if nextest {
        return succeed(cargo().args(["nextest", "run", "--workspace", "--no-fail-fast"]));
    }
    println!("cargo-nextest is not installed: using cargo test");
    succeed(cargo().args(["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"]))
}

/// Names and values of environment variables.
type Variables = Vec<(&'static str, String)>;

/// A script of `tests/python` against a hub of its own.
fn against_clients(script: &str) -> anyhow::Result<()> {
    against(script, &[], &[])
}

/// Lines of each shared file that `stix_all.py` sends unless BONGSU_STIX_LIMIT names others (0: all): two minutes on two cores.
const STIX_LINES: &str = "5";

/// `stix_all.py` against a hub of its own, with a part of the shared data.
fn against_validator() -> anyhow::Result<()> {
    let lines = std::env::var("BONGSU_STIX_LIMIT").unwrap_or_else(|_| STIX_LINES.to_owned());
    against("stix_all.py", &[], &[("BONGSU_STIX_LIMIT", lines)])
}

/// `mail.py` against a hub that sends its mail to the script.
fn against_receivers() -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("a folder for the mail server's certificate")?;
    let (of_hub, of_script) = mail_settings(folder.path())?;
    against("mail.py", &of_hub, &of_script)
}

/// What the hub and the script are told of the mail server that the script is: with a password, and with TLS where there is openssl.
fn mail_settings(folder: &Path) -> anyhow::Result<(Variables, Variables)> {
    // Free now; the script takes it before the hub has anything to send.
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).context("a port for the mail server")?.port();
    let (user, password) = ("bongsu", "only for this test");
    let file = |name: &str| folder.join(name).to_string_lossy().into_owned();
    std::fs::write(folder.join("password"), format!("{password}\n")).context("the mail server's password")?;
    let mut of_hub = vec![
        ("BONGSU_MAIL_HOST", "127.0.0.1".to_owned()),
        ("BONGSU_MAIL_PORT", port.to_string()),
        ("BONGSU_MAIL_USER", user.to_owned()),
        ("BONGSU_MAIL_PASSWORD_FILE", file("password")),
        ("BONGSU_MAIL_FROM", "CERT <alert@cert.example>".to_owned()),
        ("BONGSU_MAIL_LINK", "https://hub.cert.example".to_owned()),
        // The receivers are on this machine.
        ("BONGSU_OUTBOUND_WEBHOOKS_ALLOW", "127.0.0.0/8".to_owned()),
    ];
    let mut of_script = vec![("MAIL_PORT", port.to_string()), ("MAIL_USER", user.to_owned()), ("MAIL_PASSWORD", password.to_owned())];
    if quiet(Command::new("openssl").arg("version")) {
        certificate(folder)?;
        of_hub.extend([("BONGSU_MAIL_TLS", "starttls".to_owned()), ("BONGSU_MAIL_CA", file("ca.pem"))]);
        of_script.extend([("MAIL_CERTIFICATE", file("server.pem")), ("MAIL_CERTIFICATE_KEY", file("server.key"))]);
    } else {
        println!("openssl is not there: the mail server has no TLS, so that STARTTLS is not tested");
        of_hub.push(("BONGSU_MAIL_TLS", "none".to_owned()));
    }
    Ok((of_hub, of_script))
}

/// How openssl makes an authority and a certificate of a server on this machine.
const OPENSSL: &str = "[req]
distinguished_name = name
prompt = no
[name]
CN = Authority of a test
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
";

/// Makes `ca.pem`, `server.pem` and `server.key` in a folder.
fn certificate(folder: &Path) -> anyhow::Result<()> {
    std::fs::write(folder.join("openssl.cnf"), OPENSSL).context("settings of openssl")?;
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-config", "openssl.cnf"];
    let steps: [Vec<&str>; 3] = [
        [&["req", "-x509", "-days", "2", "-extensions", "authority", "-keyout", "ca.key", "-out", "ca.pem"][..], &key[..]].concat(),
        [&["req", "-new", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"][..], &key[..]].concat(),
        "x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile openssl.cnf -extensions server -out server.pem"
            .split(' ')
            .collect(),
    ];
    for arguments in steps {
        succeed(Command::new("openssl").args(arguments).current_dir(folder).stderr(Stdio::null()))?;
    }
    Ok(())
}

/// A script of `tests/python` against a hub of its own, both with settings.
fn against(script: &str, of_hub: &[(&str, String)], of_script: &[(&str, String)]) -> anyhow::Result<()> {
    let (root, target) = folders()?;
    let Some(python) = python(&root, &target)? else {
        println!("SKIPPED: python3 with venv is not there and cannot be installed without root; install python3-venv to run this step");
        return Ok(());
    };
    // The profile in which the tests have built it already.
    succeed(cargo().args(["build", "--profile", "test", "--package", "bongsu"]))?;
    let hub = Server::start(&target.join("debug").join("bongsu"), of_hub)?;
    // The tester keeps what it found in its working folder.
    let folder = tempfile::tempdir().context("a folder for the tester")?;
    let mut command = Command::new(python);
    command.arg(root.join("tests/python").join(script)).arg(&hub.url).env("BONGSU_KEY", &hub.key).current_dir(folder.path());
    succeed(command.envs(of_script.iter().map(|(name, value)| (*name, value))))
}

/// The interpreter of an environment that holds the requirements; made once and kept in the cache. `None`: there is no Python.
fn python(root: &Path, target: &Path) -> anyhow::Result<Option<PathBuf>> {
    let environment = std::env::var_os("BONGSU_CACHE").map_or_else(|| target.join("test-tools"), PathBuf::from).join("python");
    let (interpreter, marker) = (environment.join("bin/python"), environment.join("installed.txt"));
    let requirements = root.join("tests/python/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).context("tests/python/requirements.txt")?;
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(Some(interpreter));
    }
    if !python_with_venv() && !install_python()? {
        return Ok(None);
    }
    println!("installing tests/python/requirements.txt from PyPI into {}", environment.display());
    succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    succeed(Command::new(&interpreter).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&requirements))?;
    std::fs::write(&marker, wanted).context("marking the environment as complete")?;
    Ok(Some(interpreter))
}

fn python_with_venv() -> bool {
    quiet(Command::new("python3").args(["-c", "import venv, ensurepip"]))
}

/// Installs Python with the system's package manager, where that is possible. False: it is not.
fn install_python() -> anyhow::Result<bool> {
    if !root_with_apt() {
        return Ok(false);
    }
    println!("installing python3 and python3-venv with apt-get");
    succeed(Command::new("apt-get").args(["update", "--quiet=2"]))?;
    succeed(Command::new("apt-get").args(["install", "--yes", "--quiet=2", "--no-install-recommends", "python3", "python3-venv"]))?;
    Ok(python_with_venv())
}

/// Whether Debian's packages can be installed.
fn root_with_apt() -> bool {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    root && quiet(Command::new("apt-get").arg("--version"))
}

/// A hub on a fresh folder and a free port; ends with this value.
struct Server {
    child: Child,
    url: String,
    key: String,
    data: tempfile::TempDir,
}

impl Server {
    fn start(binary: &Path, settings: &[(&str, String)]) -> anyhow::Result<Self> {
        let data = tempfile::tempdir().context("a folder for the hub")?;
        let mut child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path().join("data"))
            .envs(settings.iter().map(|(name, value)| (*name, value)))
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let mut line = String::new();
        let stdout = child.stdout.take();
        // From here on the child ends with this value, whatever happens.
        let mut server = Self { child, url: String::new(), key: String::new(), data };
        let mut output = BufReader::new(stdout.context("its output")?);
        while server.url.is_empty() {
            line.clear();
            if output.read_line(&mut line).context("reading its address")? == 0 {
                bail!("serve ended without saying where it listens");
            }
            line.trim().strip_prefix("listening on ").unwrap_or_default().clone_into(&mut server.url);
        }
        server.wait()?;
        let key = server.data.path().join("data/coordinator.key");
        let secret = std::fs::read_to_string(&key).with_context(|| key.display().to_string())?;
        secret.trim().clone_into(&mut server.key);
        Ok(server)
    }

    fn wait(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        while ureq::get(format!("{}/readyz", self.url)).call().is_err() {
            if began.elapsed() > READY_WITHIN {
                bail!("the hub is not ready within {READY_WITHIN:?}");
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The workspace's root and its target folder.
fn folders() -> anyhow::Result<(PathBuf, PathBuf)> {
    let output = cargo().args(["metadata", "--no-deps", "--format-version", "1"]).stderr(Stdio::inherit()).output().context("cargo metadata")?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let folder = |name: &str| metadata.get(name).and_then(serde_json::Value::as_str).map(PathBuf::from).ok_or_else(|| anyhow!("cargo metadata has no {name}"));
    Ok((folder("workspace_root")?, folder("target_directory")?))
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    if let Ok(root) = crate::generated::root() {
        command.current_dir(root);
    }
    command
}

fn quiet(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("running {}", command.get_program().display()))?;
    if !status.success() {
        let arguments: Vec<String> = command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
        bail!("{} {}: {status}", command.get_program().to_string_lossy(), arguments.join(" "));
    }
    Ok(())
}
