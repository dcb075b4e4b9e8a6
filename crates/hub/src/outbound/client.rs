//! The client: one hop after another, each judged before it is made.
//!
//! Flow: [`Outbound::ask`] → [`Outbound::hop`] per redirect → [`read`] the body up to its bound.
//! Invariant: the library follows no redirect and resolves no name by itself; headers of the caller's stay with the origin they were meant for.
//! Not here: which addresses may be called (`guard`).

use super::guard::{Checked, Closed, Guard};
use super::{Answer, Ask, OutboundError, OutboundOptions, Verb};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, ClientBuilder, Method, Proxy, Response, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a connection is kept for a next request.
const IDLE: Duration = Duration::from_secs(30);
/// Connections kept for one host.
const IDLE_PER_HOST: usize = 4;
/// How we call ourselves.
const USER_AGENT: &str = concat!("bongsu/", env!("CARGO_PKG_VERSION"));
/// Room that is made for an answer before its length is known by reading.
const FIRST_ROOM: usize = 1 << 20;
/// Headers that another origin may see.
const HARMLESS: [&str; 5] = ["accept", "accept-language", "content-type", "if-none-match", "if-modified-since"];

/// Calls the outside; cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbound {
    guard: Arc<Guard>,
    /// Over TLS.
    secure: Client,
    /// In the clear, to allowed addresses alone.
    plain: Client,
}

impl Outbound {
    /// Prepares it.
    ///
    /// # Errors
    /// [`OutboundError::Tls`] for a `ca` that holds no certificates, [`OutboundError::Invalid`] for a proxy that is none.
    pub fn new(options: &OutboundOptions) -> Result<Self, OutboundError> {
        let guard = Arc::new(Guard { allow: options.allow.clone(), by_proxy: options.proxy.is_some(), proxy_resolves: options.proxy_resolves });
        let tls = tls(options.ca.as_deref())?;
        let build = |plain: bool| {
            let builder = builder(tls.clone(), options.proxy.as_deref())?;
            builder.https_only(!plain).dns_resolver(Checked { guard: guard.clone(), plain }).build().map_err(|error| told(&error))
        };
        Ok(Self { secure: build(false)?, plain: build(true)?, guard })
    }

    /// Judges scheme, literal address and name of a URL, without resolving or asking anything; what passes may be refused when it is called.
    ///
    /// # Errors
    /// [`OutboundError::Forbidden`] for what is never called, [`OutboundError::Invalid`] for a user, a password or no host in it.
    pub fn check(&self, url: &url::Url) -> Result<(), OutboundError> {
        self.guard.check_url(url)
    }

    /// Makes a request and reads its answer, whatever its status.
    ///
    /// # Errors
    /// [`OutboundError`] where there is no whole answer.
    pub async fn ask(&self, ask: Ask) -> Result<Answer, OutboundError> {
        let limit = ask.timeout;
        tokio::time::timeout(limit, self.follow(ask)).await.map_err(|_| OutboundError::TimedOut)?
    }

    async fn follow(&self, ask: Ask) -> Result<Answer, OutboundError> {
        let Ask { mut method, mut url, headers, mut body, max_answer, redirects, timeout: _ } = ask;
        let mut headers = header_map(&headers)?;
        let mut left = redirects;
        loop {
            let response = self.hop(method, &url, &headers, &body).await?;
            let Some(next) = next_of(&url, &response).filter(|_| redirects > 0) else { return read(response, max_answer).await };
            let next = next?;
            left = left.checked_sub(1).ok_or_else(|| OutboundError::Invalid(format!("more than {redirects} redirects")))?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(OutboundError::Forbidden("a redirect from https to http".to_owned()));
            }
            if next.origin() != url.origin() {
                // The caller's keys are for the one it named.
                headers = headers.into_iter().filter_map(|(name, value)| Some((name?, value))).filter(|(name, _)| HARMLESS.contains(&name.as_str())).collect();
            }
            if method != Verb::Get && !matches!(response.status().as_u16(), 307 | 308) {
                (method, body) = (Verb::Get, Vec::new());
            }
            url = next;
        }
    }

    /// One request to one address.
    async fn hop(&self, method: Verb, url: &Url, headers: &HeaderMap, body: &[u8]) -> Result<Response, OutboundError> {
        self.guard.check_url(url)?;
        self.guard.check_for_proxy(url).await?;
        let client = if url.scheme() == "https" { &self.secure } else { &self.plain };
        let method = match method {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Delete => Method::DELETE,
        };
        let mut request = client.request(method, url.clone()).headers(headers.clone());
        if !body.is_empty() {
            request = request.body(body.to_vec());
        }
        request.send().await.map_err(|error| told(&error))
    }
}

fn builder(tls: ClientConfig, proxy: Option<&str>) -> Result<ClientBuilder, OutboundError> {
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .referer(false)
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .no_proxy();
    let Some(proxy) = proxy else { return Ok(builder) };
    let proxy = Proxy::all(proxy).map_err(|_| OutboundError::Invalid("outbound.proxy: expected http://host:port".to_owned()))?;
    Ok(builder.proxy(proxy))
}

/// TLS that trusts the public roots and the operator's own.
fn tls(ca: Option<&Path>) -> Result<ClientConfig, OutboundError> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(path) = ca {
        let broken = |error: &dyn std::fmt::Display| OutboundError::Tls(format!("outbound.ca = {}: {error}", path.display()));
        let mut found = 0;
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| broken(&error))? {
            roots.add(certificate.map_err(|error| broken(&error))?).map_err(|error| broken(&error))?;
            found += 1;
        }
        if found == 0 {
            return Err(broken(&"expected certificates in PEM"));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| OutboundError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, OutboundError> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| OutboundError::Invalid("a header's name that HTTP does not allow".to_owned()))?;
        // The value may be a secret: it is not told.
        let value = HeaderValue::from_str(value).map_err(|_| OutboundError::Invalid(format!("header {name}: a value that HTTP does not allow")))?;
        map.append(name, value);
    }
    Ok(map)
}

/// Where an answer sends us on to; `None` where it does not.
fn next_of(url: &Url, response: &Response) -> Option<Result<Url, OutboundError>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(LOCATION)?;
    let next = location.to_str().ok().and_then(|location| url.join(location).ok());
    Some(next.ok_or_else(|| OutboundError::Invalid("a redirect to what is no address".to_owned())))
}

/// Reads an answer to its end or its bound, whichever comes first.
async fn read(mut response: Response, max: usize) -> Result<Answer, OutboundError> {
    let stated = response.content_length().unwrap_or(0);
    if stated > max as u64 {
        return Err(OutboundError::TooLarge(max));
    }
    let status = response.status().as_u16();
    let headers = response.headers().iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))).collect();
    // What is stated is believed no further than this.
    let mut body = Vec::with_capacity(FIRST_ROOM.min(usize::try_from(stated).unwrap_or(0)));
    while let Some(piece) = response.chunk().await.map_err(|error| told(&error))? {
        // Counted after decompression.
        if body.len() + piece.len() > max {
            return Err(OutboundError::TooLarge(max));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer { status, headers, body })
}

/// An error in our words. The library's own text may hold the whole address, query and all.
fn told(error: &reqwest::Error) -> OutboundError {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    let mut innermost = String::new();
    while let Some(inner) = cause {
        if let Some(closed) = inner.downcast_ref::<Closed>() {
            return OutboundError::Forbidden(closed.0.clone());
        }
        if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
            return OutboundError::Tls(tls.to_string());
        }
        // An I/O error may carry another one that it does not name as its source.
        if let Some(carried) = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            if let Some(tls) = carried.downcast_ref::<rustls::Error>() {
                return OutboundError::Tls(tls.to_string());
            }
            if let Some(closed) = carried.downcast_ref::<Closed>() {
                return OutboundError::Forbidden(closed.0.clone());
            }
        }
        innermost = inner.to_string();
        cause = inner.source();
    }
    if error.is_timeout() {
        return OutboundError::TimedOut;
    }
    if error.is_builder() {
        return OutboundError::Invalid("a request that HTTP does not allow".to_owned());
    }
    let what = match (error.is_connect(), error.is_body() || error.is_decode()) {
        (true, _) => "no connection",
        (false, true) => "the answer broke off",
        (false, false) => "the request failed",
    };
    OutboundError::Unreachable(if innermost.is_empty() { what.to_owned() } else { format!("{what}: {innermost}") })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// A server that answers each connection with what `answer` makes of its request, and what was asked.
    async fn serve(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> (u16, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                let mut piece = [0; 4096];
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    let count = stream.read(&mut piece).await.unwrap_or(0);
                    if count == 0 {
                        break;
                    }
                    request.extend_from_slice(&piece[..count]);
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let bytes = answer(&request);
                told.lock().push(request);
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
            }
        });
        (port, asked)
    }

    fn response(head: &str, body: &[u8]) -> Vec<u8> {
        let mut all = format!("HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        all.extend_from_slice(body);
        all
    }

    fn outbound(allow: &[&str]) -> Outbound {
        let allow = allow.iter().map(|range| range.parse().unwrap()).collect();
        Outbound::new(&OutboundOptions { allow, ..OutboundOptions::default() }).unwrap()
    }

    fn get(url: &str) -> Ask {
        Ask {
            method: Verb::Get,
            url: Url::parse(url).unwrap(),
            headers: vec![("Authorization".to_owned(), "secret".to_owned()), ("Accept".to_owned(), "text/plain".to_owned())],
            body: Vec::new(),
            max_answer: 1 << 20,
            timeout: Duration::from_secs(10),
            redirects: 3,
        }
    }

    const LOOPBACK: &[&str] = &["127.0.0.1/32"];

    #[tokio::test]
    async fn an_allowed_address_answers_and_any_status_is_an_answer() {
        let (port, asked) = serve(|_| response("404 Not Found\r\nETag: \"x\"", b"nothing")).await;
        let answer = outbound(LOOPBACK).ask(get(&format!("http://127.0.0.1:{port}/a?b"))).await.unwrap();
        assert_eq!((answer.status, answer.header("etag"), answer.body.as_slice()), (404, Some("\"x\""), b"nothing".as_slice()));
        assert!(asked.lock()[0].to_lowercase().contains("user-agent: bongsu/"), "{asked:?}");
    }

    #[tokio::test]
    async fn nothing_inside_is_called_by_address_or_by_name() {
        let (port, asked) = serve(|_| response("200 OK", b"")).await;
        for url in
            [format!("https://127.0.0.1:{port}/"), format!("https://localhost:{port}/"), format!("http://127.0.0.1:{port}/"), format!("https://[::1]:{port}/")]
        {
            let error = outbound(&[]).ask(get(&url)).await.unwrap_err();
            assert!(matches!(error, OutboundError::Forbidden(_)), "{url}: {error:?}");
        }
        // A name in the clear that leads to what is not allowed.
        let error = outbound(&["10.0.0.0/8"]).ask(get(&format!("http://localhost:{port}/"))).await.unwrap_err();
        assert!(matches!(error, OutboundError::Forbidden(_)), "{error:?}");
        assert!(asked.lock().is_empty());
        let answer = outbound(&["127.0.0.0/8"]).ask(get(&format!("http://localhost:{port}/"))).await.unwrap();
        assert_eq!(answer.status, 200);
    }

    #[tokio::test]
    async fn a_redirect_is_judged_again_and_takes_no_secret_along() {
        let (inner, inside) = serve(|_| response("200 OK", b"inside")).await;
        let location = format!("http://127.0.0.2:{inner}/");
        let (port, _) = serve(move |_| response(&format!("302 Found\r\nLocation: {location}"), b"")).await;
        let url = format!("http://127.0.0.1:{port}/");
        let error = outbound(LOOPBACK).ask(get(&url)).await.unwrap_err();
        assert!(matches!(error, OutboundError::Forbidden(_)), "{error:?}");
        assert!(inside.lock().is_empty());
        let none = outbound(LOOPBACK).ask(Ask { redirects: 0, ..get(&url) }).await.unwrap();
        assert_eq!(none.status, 302);

        let (other, told) = serve(|_| response("200 OK", b"moved")).await;
        let location = format!("http://127.0.0.1:{other}/new");
        let (port, _) = serve(move |_| response(&format!("302 Found\r\nLocation: {location}"), b"")).await;
        let answer = outbound(LOOPBACK).ask(get(&format!("http://127.0.0.1:{port}/"))).await.unwrap();
        assert_eq!(answer.body, b"moved");
        let asked = told.lock()[0].to_lowercase();
        assert!(asked.starts_with("get /new") && asked.contains("accept: text/plain") && !asked.contains("authorization"), "{asked}");
    }

    #[tokio::test]
    async fn redirects_end() {
        let (port, asked) = serve(|_| response("301 Moved\r\nLocation: /again", b"")).await;
        let error = outbound(LOOPBACK).ask(get(&format!("http://127.0.0.1:{port}/"))).await.unwrap_err();
        assert!(matches!(error, OutboundError::Invalid(_)), "{error:?}");
        assert_eq!(asked.lock().len(), 4);
    }

    #[tokio::test]
    async fn an_answer_is_bounded_in_bytes_also_when_it_unpacks_to_more_and_in_time() {
        let packed = {
            use std::io::Write as _;
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(&vec![b'x'; 4 << 20]).unwrap();
            encoder.finish().unwrap()
        };
        assert!(packed.len() < 1 << 16);
        let (port, _) = serve(move |_| response("200 OK\r\nContent-Encoding: gzip", &packed)).await;
        let url = format!("http://127.0.0.1:{port}/");
        let error = outbound(LOOPBACK).ask(get(&url)).await.unwrap_err();
        assert!(matches!(error, OutboundError::TooLarge(_)), "{error:?}");
        let answer = outbound(LOOPBACK).ask(Ask { max_answer: 4 << 20, ..get(&url) }).await.unwrap();
        assert_eq!(answer.body.len(), 4 << 20);

        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        let error = outbound(LOOPBACK).ask(Ask { timeout: Duration::from_millis(200), ..get(&url) }).await.unwrap_err();
        assert!(matches!(error, OutboundError::TimedOut), "{error:?}");
    }

    #[tokio::test]
    async fn a_transfer_that_breaks_off_is_no_answer() {
        let (port, _) = serve(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec()).await;
        let error = outbound(LOOPBACK).ask(get(&format!("http://127.0.0.1:{port}/"))).await.unwrap_err();
        assert!(matches!(error, OutboundError::Unreachable(_)), "{error:?}");
    }

    fn through(port: u16, proxy_resolves: bool, allow: &[&str]) -> Outbound {
        let allow = allow.iter().map(|range| range.parse().unwrap()).collect();
        Outbound::new(&OutboundOptions { allow, proxy: Some(format!("http://127.0.0.1:{port}")), proxy_resolves, ..OutboundOptions::default() }).unwrap()
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_a_name_that_cannot_be_judged_only_where_the_operator_says_so() {
        // RFC 6761 keeps this name from ever having an address.
        let unknown = "https://hook.bongsu-test.invalid/";
        let (port, asked) = serve(|_| response("502 Bad Gateway", b"")).await;
        let error = through(port, false, &[]).ask(get(unknown)).await.unwrap_err();
        assert!(matches!(&error, OutboundError::Unreachable(text) if text.contains("outbound.proxy_resolves")), "{error:?}");
        assert!(asked.lock().is_empty());
        let error = through(port, true, &[]).ask(get(unknown)).await.unwrap_err();
        assert!(matches!(error, OutboundError::Unreachable(_)), "{error:?}");
        assert!(asked.lock()[0].starts_with("CONNECT hook.bongsu-test.invalid:443"), "{asked:?}");
    }

    #[tokio::test]
    async fn a_proxy_is_never_asked_for_the_inside() {
        let (port, asked) = serve(|_| response("502 Bad Gateway", b"")).await;
        for proxy_resolves in [false, true] {
            for url in ["https://localhost/", "https://intranet/", "https://a.internal/", "https://10.0.0.1/", "https://[::1]/", "http://8.8.8.8/"] {
                let error = through(port, proxy_resolves, &[]).ask(get(url)).await.unwrap_err();
                assert!(matches!(error, OutboundError::Forbidden(_)), "{url}: {error:?}");
            }
        }
        assert!(asked.lock().is_empty());
        // What is allowed by address goes through it.
        let answer = through(port, false, LOOPBACK).ask(get("http://127.0.0.1:9/")).await.unwrap();
        assert_eq!(answer.status, 502);
    }

    #[tokio::test]
    async fn what_is_open_to_sources_is_closed_to_webhooks() {
        let (port, asked) = serve(|_| response("200 OK", b"")).await;
        let url = format!("http://127.0.0.1:{port}/");
        let options = OutboundOptions { allow: vec!["127.0.0.0/8".parse().unwrap()], ..OutboundOptions::default() };
        assert!(Outbound::new(&options).unwrap().ask(get(&url)).await.is_ok());
        assert_eq!(asked.lock().len(), 1);
        let webhooks = Outbound::new(&options.for_webhooks()).unwrap();
        assert!(matches!(webhooks.check(&Url::parse(&url).unwrap()), Err(OutboundError::Forbidden(_))));
        assert!(matches!(webhooks.ask(get(&url)).await, Err(OutboundError::Forbidden(_))));
        assert!(matches!(webhooks.ask(get(&format!("https://127.0.0.1:{port}/"))).await, Err(OutboundError::Forbidden(_))));
        assert_eq!(asked.lock().len(), 1);
        // And the other way about.
        let options = OutboundOptions { webhooks_allow: vec!["127.0.0.0/8".parse().unwrap()], ..OutboundOptions::default() };
        assert!(Outbound::new(&options.for_webhooks()).unwrap().ask(get(&url)).await.is_ok());
        assert!(matches!(Outbound::new(&options).unwrap().ask(get(&url)).await, Err(OutboundError::Forbidden(_))));
    }

    #[test]
    fn a_file_without_certificates_and_a_proxy_that_is_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "nothing").unwrap();
        assert!(matches!(Outbound::new(&OutboundOptions { ca: Some(path), ..OutboundOptions::default() }), Err(OutboundError::Tls(_))));
        assert!(matches!(Outbound::new(&OutboundOptions { proxy: Some("://".to_owned()), ..OutboundOptions::default() }), Err(OutboundError::Invalid(_))));
    }
}
