//! Outbound requests: the only way the hub calls the outside.
//!
//! Flow: a caller makes an [`Ask`] → [`Outbound::ask`] judges scheme and address (`guard`), connects to exactly the address that was judged, and
//! reads a bounded [`Answer`] (`client`). Through a proxy the address is judged here and resolved there again.
//! Invariant: no request reaches an internal address that the operator did not allow, be it named, disguised, resolved to or redirected to; an
//! answer is bounded in bytes after decompression and in time.
//! Not here: what is asked and why (`sources`, `delivery`), whose secrets go with it.

mod client;
mod guard;

pub use client::Outbound;

use ipnet::IpNet;
use std::path::PathBuf;
use std::time::Duration;

/// Settings: `[outbound]` in the configuration.
#[derive(Debug, Clone, Default)]
pub struct OutboundOptions {
    /// Internal ranges that sources and partners may be called in all the same.
    pub allow: Vec<IpNet>,
    /// Internal ranges that members' webhooks may be in; `allow` says nothing of them.
    pub webhooks_allow: Vec<IpNet>,
    /// A PEM file of certificates that are trusted beside the public roots.
    pub ca: Option<PathBuf>,
    /// The proxy that makes the connections, `http://…`.
    pub proxy: Option<String>,
    /// Whether names that the hub cannot resolve are left to the proxy.
    pub proxy_resolves: bool,
}

impl OutboundOptions {
    /// The same for what members choose the address of: another list of what may be called inside.
    #[must_use]
    pub fn for_webhooks(&self) -> Self {
        Self { allow: self.webhooks_allow.clone(), ..self.clone() }
    }
}

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Its method.
    pub method: Verb,
    /// Where to.
    pub url: url::Url,
    /// Its headers. To another origin that it is redirected to only harmless ones go.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// Bytes of the answer after decompression at the most.
    pub max_answer: usize,
    /// Time for all of it, redirects and the answer's body too.
    pub timeout: Duration,
    /// Redirects that are followed at the most; 0: none, and the redirect itself is the answer.
    pub redirects: u8,
}

/// A method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Sends.
    Post,
    /// Deletes.
    Delete,
}

/// An answer of any status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case; what is no text is left out.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of a name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer. Safe to log and to show: no secret, no body; an address appears without its query.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// An internal address, or a scheme that is not called.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// No connection, or it broke.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("timed out")]
    TimedOut,
    /// The answer is larger than this.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The other side's certificate is not trusted, or TLS failed.
    #[error("TLS: {0}")]
    Tls(String),
    /// The request or the answer is none.
    #[error("{0}")]
    Invalid(String),
}
