//! A message by mail: one mail for each message and recipient, handed to the configured server over SMTP.
//!
//! Flow: [`Mailer::send`] → `compose` writes the mail → a connection that waits, or a new one with TLS and login → sender, recipient, text.
//! Invariant: nothing is sent before TLS is up, but to this very machine; a connection is used again only after a mail went through it whole, for
//! one given up half-way answers the question before. The Message-ID is the message's at every attempt: where an answer is lost, the mail may
//! come twice, and whoever gets it can tell.
//! Source: RFC 5321 (replies), RFC 3207 (STARTTLS), RFC 8314 (TLS from the start), RFC 4954 (login).
//! Not here: when to try again (`rhythm`, the queue), the words (`render`).

mod compose;

use super::message::Message;
use super::render::plain;
pub use super::webhook::SendError;
use crate::HubError;
use compose::{Mail, compose};
use jiff::tz::TimeZone;
use lettre::Address;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands;
use lettre::transport::smtp::extension::ClientId;
use parking_lot::Mutex;
use serde::Deserialize;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// How long one mail may take in all.
const SEND_WITHIN: Duration = Duration::from_secs(120);
/// How long a server may take to say that it is still there, or to take leave.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// Connections that wait for the next mail, at the most.
const MAX_IDLE: usize = 4;
/// How long one waits; servers close them after some minutes.
const IDLE_FOR: Duration = Duration::from_secs(60);
/// Bytes of a file of certificates at the most.
const MAX_CA: u64 = 1 << 20;
/// Characters kept of what a server says.
const MAX_REASON: usize = 300;

/// How the connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// Begins plain and goes over to TLS; a server that does not offer it gets nothing.
    #[default]
    StartTls,
    /// TLS from the start.
    Implicit,
    /// None; for a server on this machine alone.
    None,
}

/// How mail is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct MailOptions {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: MailTls,
    /// PEM file of authorities that are trusted beside the public ones.
    pub ca: Option<PathBuf>,
    /// Name to log in with.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// The sender: an address, with a name or without.
    pub from: String,
    /// The hub's address, for people.
    pub link: Option<String>,
    /// Whether abuse contacts of those who are no members are told what is wrong in their networks.
    pub abuse_contacts: bool,
    /// Addresses, and domains of addresses, that are not told.
    pub abuse_never: Vec<String>,
}

impl std::fmt::Debug for MailOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the password.
        f.debug_struct("MailOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// Who gets a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The address.
    pub address: String,
    /// Armoured public key; with one the mail is encrypted.
    pub openpgp: Option<String>,
}

/// Sends mail through one server.
pub struct Mailer {
    host: String,
    port: u16,
    protection: Protection,
    credentials: Option<Credentials>,
    from: Mailbox,
    link: Option<String>,
    zone: TimeZone,
    /// Connections through which a mail went, the newest last.
    idle: Mutex<Vec<Idle>>,
}

enum Protection {
    StartTls(TlsParameters),
    Implicit(TlsParameters),
    None,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Mailer {
    /// A mailer of these settings; connects when there is a mail. Times are told in UTC.
    ///
    /// # Errors
    /// [`HubError::Invalid`] with the key that is wrong.
    pub fn new(options: &MailOptions) -> Result<Self, HubError> {
        let from = sender(&options.from).map_err(|reason| invalid("mail.from", reason))?;
        if options.host.is_empty() {
            return Err(invalid("mail.host", "expected the name or address of a mail server".to_owned()));
        }
        let protection = match options.tls {
            MailTls::StartTls => Protection::StartTls(tls(&options.host, options.ca.as_deref())?),
            MailTls::Implicit => Protection::Implicit(tls(&options.host, options.ca.as_deref())?),
            MailTls::None if is_this_machine(&options.host) => Protection::None,
            MailTls::None => return Err(invalid("mail.tls", "none is for a server on this machine alone (127.0.0.1, ::1, localhost)".to_owned())),
        };
        let credentials = match (&options.user, &options.password) {
            (Some(user), Some(password)) => Some(Credentials::new(user.clone(), password.clone())),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(invalid("mail.user", "a user needs a password, and a password a user".to_owned())),
        };
        let link = options.link.clone().map(|link| link.trim_end_matches('/').to_owned());
        Ok(Self { host: options.host.clone(), port: options.port, protection, credentials, from, link, zone: TimeZone::UTC, idle: Mutex::default() })
    }

    /// The same, with times told in a zone.
    #[must_use]
    pub fn in_zone(mut self, zone: TimeZone) -> Self {
        self.zone = zone;
        self
    }

    /// Sends a message to one recipient; done when the server has taken it over.
    ///
    /// # Errors
    /// [`SendError`]: `Never` for an address or a mail that the server refuses for good, `Later` for everything else.
    pub async fn send(&self, message: &Message, to: &Recipient) -> Result<(), SendError> {
        // Writing and encrypting a large mail keeps a thread busy for a while: not one that serves connections.
        let (message, to, from, link, zone) = (message.clone(), to.clone(), self.from.clone(), self.link.clone(), self.zone.clone());
        let mail = tokio::task::spawn_blocking(move || compose(&message, &to, &from, link.as_deref(), &zone)).await;
        let mail = mail.map_err(|broken| SendError::Later(format!("the mail was not written: {broken}")))??;
        match tokio::time::timeout(SEND_WITHIN, self.hand_over(&mail)).await {
            Ok(outcome) => outcome,
            // What was under way is dropped with its connection.
            Err(_) => Err(SendError::Later(format!("the mail server {} did not take the mail within {} s", self.host, SEND_WITHIN.as_secs()))),
        }
    }

    async fn hand_over(&self, mail: &Mail) -> Result<(), SendError> {
        let mut connection = self.connection().await?;
        match converse(&mut connection, mail).await {
            Ok(()) => {
                self.keep(connection);
                Ok(())
            }
            Err(error) => {
                // Taking leave must not turn what is known into silence.
                let _ = tokio::time::timeout(CLOSE_WITHIN, connection.abort()).await;
                Err(error)
            }
        }
    }

    /// A connection that waits and still answers, else a new one.
    async fn connection(&self) -> Result<AsyncSmtpConnection, SendError> {
        while let Some(Idle { mut connection, since }) = self.waiting() {
            // One that is old or silent is dropped, which closes it.
            if since.elapsed() < IDLE_FOR && tokio::time::timeout(CLOSE_WITHIN, connection.test_connected()).await == Ok(true) {
                return Ok(connection);
            }
        }
        self.connect().await
    }

    fn waiting(&self) -> Option<Idle> {
        self.idle.lock().pop()
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock();
        if idle.len() < MAX_IDLE && !connection.has_broken() {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }

    /// Whatever goes wrong before the sender is named is the server's or the configuration's fault, never the mail's.
    async fn connect(&self) -> Result<AsyncSmtpConnection, SendError> {
        let failed = |what: &str, error: &lettre::transport::smtp::Error| SendError::Later(format!("mail server {}: {what}: {}", self.host, reason(error)));
        let hello = ClientId::Domain(self.from.email.domain().to_owned());
        let from_the_start = match &self.protection {
            Protection::Implicit(parameters) => Some(parameters.clone()),
            Protection::StartTls(_) | Protection::None => None,
        };
        let server = (self.host.as_str(), self.port);
        let mut connection = AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT_WITHIN), &hello, from_the_start, None)
            .await
            .map_err(|error| failed("connecting", &error))?;
        if let Protection::StartTls(parameters) = &self.protection {
            connection.starttls(parameters.clone(), &hello).await.map_err(|error| failed("STARTTLS", &error))?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await.map_err(|error| failed("login", &error))?;
        }
        Ok(connection)
    }
}

/// Where in the conversation a server refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Sender,
    Recipient,
    Text,
}

async fn converse(connection: &mut AsyncSmtpConnection, mail: &Mail) -> Result<(), SendError> {
    let refused = |stage: Stage| move |error: lettre::transport::smtp::Error| refusal(stage, error.status().map(u16::from), &reason(&error));
    connection.command(commands::Mail::new(Some(mail.from.clone()), Vec::new())).await.map_err(refused(Stage::Sender))?;
    connection.command(commands::Rcpt::new(mail.to.clone(), Vec::new())).await.map_err(refused(Stage::Recipient))?;
    connection.command(commands::Data).await.map_err(refused(Stage::Text))?;
    connection.message(&mail.bytes).await.map_err(refused(Stage::Text))?;
    Ok(())
}

/// What a refusal means. A sender that is refused, a login that is asked for, a command that is not understood: the configuration's fault.
fn refusal(stage: Stage, status: Option<u16>, reason: &str) -> SendError {
    let (what, configuration) = match stage {
        Stage::Sender => ("the mail server refused the sender", true),
        Stage::Recipient => ("the mail server refused the recipient", false),
        Stage::Text => ("the mail server refused the mail", false),
    };
    match status {
        Some(503 | 521 | 530 | 534 | 535 | 538) => SendError::Later(format!("the mail server refuses the hub: {reason}")),
        Some(500..=599) if !configuration => SendError::Never(format!("{what}: {reason}")),
        Some(_) => SendError::Later(format!("{what}: {reason}")),
        None => SendError::Later(format!("the mail server broke off: {reason}")),
    }
}

/// What a server or the network said, on one line.
fn reason(error: &lettre::transport::smtp::Error) -> String {
    plain(&error.to_string(), MAX_REASON)
}

fn invalid(pointer: &str, reason: String) -> HubError {
    HubError::Invalid { pointer: pointer.to_owned(), reason }
}

/// Reads a sender: an address, with a name or without.
///
/// # Errors
/// What is wrong with it.
pub fn sender(text: &str) -> Result<Mailbox, String> {
    let mailbox: Mailbox = text.parse().map_err(|_| format!("{text:?}: expected an address such as alert@cert.example or \"CERT <alert@cert.example>\""))?;
    let name = mailbox.name.as_deref().map(|name| plain(name, 100)).filter(|name| !name.is_empty());
    Ok(Mailbox::new(name, address(mailbox.email.as_ref())?))
}

/// Reads an address. Its domain may be in any script and becomes A-labels; what is before the `@` is ASCII, for not every server on the way
/// takes anything else.
///
/// # Errors
/// What is wrong with it.
pub fn address(text: &str) -> Result<Address, String> {
    let expected = || format!("{:?} is no mail address", plain(text, 100));
    let (user, domain) = text.rsplit_once('@').ok_or_else(expected)?;
    if !user.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"' | b'\\')) {
        return Err(expected());
    }
    let Ok(url::Host::Domain(domain)) = url::Host::parse(domain) else { return Err(expected()) };
    Address::new(user, domain).map_err(|_| expected())
}

/// Whether a host can only be this machine.
pub fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// TLS that trusts the public authorities and those of a file.
fn tls(host: &str, ca: Option<&Path>) -> Result<TlsParameters, HubError> {
    let mut builder = TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::WebpkiRoots);
    if let Some(path) = ca {
        let wrong = |reason: String| invalid("mail.ca", format!("{}: {reason}", path.display()));
        let length = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
        if length > MAX_CA {
            return Err(wrong(format!("larger than {MAX_CA} bytes")));
        }
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        // A file without any would pass in silence.
        if !pem.windows(CERTIFICATE.len()).any(|window| window == CERTIFICATE) {
            return Err(wrong("expected certificates in PEM".to_owned()));
        }
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| wrong(error.to_string()))?);
    }
    builder.build().map_err(|error| invalid(if ca.is_some() { "mail.ca" } else { "mail.tls" }, error.to_string()))
}

/// How a certificate begins in PEM.
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
