//! A mail as bytes: headers, text, attachments, and all of it encrypted where the recipient has a key.
//!
//! Invariant: what an attempt sends is 7-bit ASCII, so that every server takes it; headers are written by a builder that knows no raw line, of
//! texts without control characters; Message-ID and Date are the message's own.
//! Source: RFC 5322, RFC 2045 to 2049, RFC 2919 (List-Id), RFC 3834 (Auto-Submitted), RFC 3156 (PGP/MIME). The subject inside the encrypted part
//! is shown by readers that know protected headers.

use super::super::message::{Lane, Message};
use super::super::render::{self, Letter};
use super::super::{openpgp, webhook::SendError};
use super::{Recipient, address};
use jiff::tz::TimeZone;
use lettre::Address;
use lettre::message::header::{ContentDisposition, ContentTransferEncoding, ContentType, HeaderName, HeaderValue, Subject};
use lettre::message::{Attachment, Body, Mailbox, MultiPart, SinglePart};
use model::Timestamp;
use std::time::{Duration, SystemTime};

/// A mail ready to be handed over.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) bytes: Vec<u8>,
}

/// Writes a message as mail for one recipient.
///
/// # Errors
/// [`SendError::Never`] where the address or the key is no good.
pub(super) fn compose(message: &Message, recipient: &Recipient, from: &Mailbox, link: Option<&str>, zone: &TimeZone) -> Result<Mail, SendError> {
    let to = address(&recipient.address).map_err(SendError::Never)?;
    let letter = render::letter(message, link, zone);
    let content = content(message, &letter);
    let (subject, body) = match &recipient.openpgp {
        Some(key) => (&letter.neutral_subject, encrypted(content, &letter, key, message.made)?),
        None => (&letter.subject, content),
    };
    let place = format!("{}.{}", token(&message.realm), from.email.domain());
    let mut builder = lettre::Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to.clone()))
        .date(date(message.made))
        .message_id(Some(format!("<{}@{place}>", token(&message.id))))
        .subject(subject.clone())
        .raw_header(header(HeaderName::new_from_ascii_str("List-Id"), format!("<{}.{place}>", token(&message.subscription))))
        .raw_header(header(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
        .raw_header(header(HeaderName::new_from_ascii_str("X-Bongsu-TLP"), letter.tlp.as_str().to_ascii_uppercase()));
    if message.is_to_outsider() {
        // RFC 2369: an answer that asks for no more.
        builder = builder.raw_header(header(HeaderName::new_from_ascii_str("List-Unsubscribe"), format!("<mailto:{}?subject=STOP>", from.email)));
    }
    if message.lane == Lane::Warning && message.notice.is_none() {
        builder = builder.raw_header(header(HeaderName::new_from_ascii_str("Importance"), "high".to_owned()));
    }
    let mail = builder.multipart(body).map_err(|error| SendError::Never(format!("the mail cannot be written: {error}")))?;
    Ok(Mail { from: from.email.clone(), to, bytes: mail.formatted() })
}

/// Text and, unless the hub itself speaks, everything as data.
fn content(message: &Message, letter: &Letter) -> MultiPart {
    let mixed = MultiPart::mixed().singlepart(SinglePart::plain(letter.text.clone()));
    if message.notice.is_some() {
        return mixed;
    }
    let name = format!("bongsu-{}", token(&message.id));
    mixed.singlepart(attachment(format!("{name}.csv"), "text/csv; charset=utf-8; header=present", render::csv(message))).singlepart(attachment(
        format!("{name}.ndjson"),
        "application/x-ndjson",
        render::ndjson(message),
    ))
}

fn attachment(name: String, kind: &str, bytes: Vec<u8>) -> SinglePart {
    // Base64 whatever it holds: no server on the way breaks a line of it.
    let body = Body::new_with_encoding(bytes, ContentTransferEncoding::Base64).unwrap_or_else(Body::new);
    Attachment::new(name).body(body, content_type(kind))
}

fn content_type(text: &str) -> ContentType {
    ContentType::parse(text).unwrap_or(ContentType::TEXT_PLAIN)
}

/// Puts a content into an encrypted part.
fn encrypted(mut content: MultiPart, letter: &Letter, key: &str, made: Timestamp) -> Result<MultiPart, SendError> {
    let bad = |reason: String| SendError::Never(format!("the recipient's OpenPGP key cannot be used: {reason}"));
    let expires = openpgp::check(key).map_err(bad)?.expires;
    if let Some(expires) = expires.filter(|expires| *expires <= made) {
        return Err(bad(format!("it expired at {expires}")));
    }
    let kind = format!("multipart/mixed; boundary=\"{}\"; protected-headers=\"v1\"", content.boundary());
    content.headers_mut().set(content_type(&kind));
    content.headers_mut().set(Subject::from(letter.subject.clone()));
    let sealed = openpgp::encrypt(key, &content.formatted()).map_err(bad)?;
    let version = SinglePart::builder().header(content_type("application/pgp-encrypted")).body("Version: 1\n".to_owned());
    let data = SinglePart::builder()
        .header(content_type("application/octet-stream; name=\"encrypted.asc\""))
        .header(ContentDisposition::inline_with_name("encrypted.asc"))
        .body(sealed);
    Ok(MultiPart::encrypted("application/pgp-encrypted".to_owned()).singlepart(version).singlepart(data))
}

fn header(name: HeaderName, value: String) -> HeaderValue {
    HeaderValue::new(name, value)
}

/// A moment as the builder takes it: whole seconds between 1970 and 9999.
fn date(made: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(made.seconds()).unwrap_or(0).min(253_402_300_799))
}

/// A text as part of an id in a header: letters, digits, hyphens and underscores.
fn token(text: &str) -> String {
    let kept = |character: char| if character.is_ascii_alphanumeric() || matches!(character, '-' | '_') { character } else { '-' };
    text.chars().take(128).map(kept).collect()
}
