//! A message by webhook: one signed `POST`, answered by its status.
//!
//! Flow: [`send`] writes the body → signs id, time and body → asks through [`Outbound`], which calls no internal address → [`outcome`] of the status.
//! Invariant: id and body of a message are the same at every attempt, so that a receiver knows what it has; no redirect is followed.
//! Source: Standard Webhooks 1.0 (headers, signature, payload).
//! Not here: when to try again (`rhythm`, the queue), which secret (the subscription's).

use super::message::Message;
use super::rhythm;
use crate::outbound::{Ask, Outbound, OutboundError, Verb};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use model::Timestamp;
use serde::Serialize;
use sha2::Sha256;
use std::time::Duration;
use url::Url;

/// How long a receiver has to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Bytes of an answer that are read; its status alone counts.
const MAX_ANSWER: usize = 64 << 10;
/// The type of every payload.
const PAYLOAD_TYPE: &str = "bongsu.delivery";
/// Names the program to the receiver.
const USER_AGENT: &str = concat!("bongsu/", env!("CARGO_PKG_VERSION"));

/// Why a message was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It may go well later: nobody answered, or the other side asks for time.
    #[error("{0}")]
    Later(String),
    /// It was refused in a way that may be mended on the other side; tried again, but given up sooner.
    #[error("{0}")]
    Refused(String),
    /// It will not go well: parked at once.
    #[error("{0}")]
    Never(String),
}

impl SendError {
    /// How long to wait before attempt `attempt + 1`; `None`: park. `attempt` counts those made, this one too; `jitter` is any number.
    pub fn wait(&self, attempt: u32, jitter: u64) -> Option<Duration> {
        match self {
            Self::Later(_) => rhythm::backoff(attempt, jitter),
            Self::Refused(_) if attempt >= rhythm::REFUSED_ATTEMPTS => None,
            Self::Refused(_) => rhythm::backoff(attempt, jitter),
            Self::Never(_) => None,
        }
    }
}

/// Posts a message. `secret` is the subscription's, `now` the time of this attempt.
///
/// # Errors
/// [`SendError`], by what the receiver answered.
pub async fn send(outbound: &Outbound, url: &Url, secret: &[u8], message: &Message, now: Timestamp) -> Result<(), SendError> {
    let body = body(message)?;
    let moment = now.seconds();
    let headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("user-agent".to_owned(), USER_AGENT.to_owned()),
        ("webhook-id".to_owned(), message.id.clone()),
        ("webhook-timestamp".to_owned(), moment.to_string()),
        ("webhook-signature".to_owned(), signature(secret, &message.id, moment, &body)),
    ];
    let ask = Ask { method: Verb::Post, url: url.clone(), headers, body, max_answer: MAX_ANSWER, timeout: ANSWER_WITHIN, redirects: 0 };
    match outbound.ask(ask).await {
        Ok(answer) => outcome(answer.status),
        Err(error) => Err(failure(&error)),
    }
}

/// The payload of a message: the same bytes at every attempt.
#[derive(Serialize)]
struct Payload<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Timestamp,
    data: &'a Message,
}

fn body(message: &Message) -> Result<Vec<u8>, SendError> {
    let payload = Payload { kind: PAYLOAD_TYPE, timestamp: message.made, data: message };
    serde_json::to_vec(&payload).map_err(|error| SendError::Never(format!("the message cannot be written as JSON: {error}")))
}

/// The signature header: version and Base64 of the keyed hash over id, time and body.
fn signature(secret: &[u8], id: &str, moment: i64, body: &[u8]) -> String {
    // Any length of key is allowed by the construction, so that the other branch is never taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(moment.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// What a status means.
fn outcome(status: u16) -> Result<(), SendError> {
    match status {
        200..=299 => Ok(()),
        410 => Err(SendError::Never("the receiver answered 410: it is gone".to_owned())),
        408 | 425 | 429 | 500..=599 => Err(SendError::Later(format!("the receiver answered {status}"))),
        300..=399 => Err(SendError::Refused(format!("the receiver answered {status}; redirects are not followed"))),
        _ => Err(SendError::Refused(format!("the receiver answered {status}"))),
    }
}

fn failure(error: &OutboundError) -> SendError {
    match error {
        OutboundError::Forbidden(_) => SendError::Never(error.to_string()),
        OutboundError::Invalid(_) => SendError::Refused(error.to_string()),
        OutboundError::Unreachable(_) | OutboundError::TimedOut | OutboundError::TooLarge(_) | OutboundError::Tls(_) => SendError::Later(error.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::super::message::{Lane, Language};
    use super::*;

    fn message() -> Message {
        Message {
            id: "0190f1d2-0000-7000-8000-000000000001".to_owned(),
            lane: Lane::Ordinary,
            realm: "main".to_owned(),
            subscription: "sub_1".to_owned(),
            name: "night".to_owned(),
            organisation: "Bank".to_owned(),
            language: Language::Ko,
            made: Timestamp::from_seconds(1_767_225_600),
            events: vec![serde_json::json!({"seq": 7, "tlp": "green"})],
            findings: Vec::new(),
            withdrawn: vec![serde_json::json!({"seq": 3, "at": "2026-01-01T00:00:00Z"})],
            left_out: 2,
            notice: None,
        }
    }

    #[test]
    fn the_signature_is_the_one_that_the_standard_gives_as_its_example() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn another_id_time_body_or_secret_is_another_signature() {
        let plain = signature(b"secret", "a", 1, b"{}");
        for other in [
            signature(b"secrets", "a", 1, b"{}"),
            signature(b"secret", "b", 1, b"{}"),
            signature(b"secret", "a", 2, b"{}"),
            signature(b"secret", "a", 1, b"[]"),
        ] {
            assert_ne!(plain, other);
        }
    }

    #[test]
    fn the_body_is_the_same_at_every_attempt_and_holds_the_whole_message() {
        let bytes = body(&message()).unwrap();
        assert_eq!(bytes, body(&message()).unwrap());
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["type"], "bongsu.delivery");
        assert_eq!(value["timestamp"], "2026-01-01T00:00:00Z");
        let data: Message = serde_json::from_value(value["data"].clone()).unwrap();
        assert_eq!(data, message());
    }

    #[test]
    fn a_status_means_what_the_documentation_says() {
        for status in [200, 202, 204, 299] {
            assert_eq!(outcome(status), Ok(()));
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert!(matches!(outcome(status), Err(SendError::Later(_))), "{status}");
        }
        for status in [301, 302, 307, 400, 401, 403, 404, 413, 422, 600, 999] {
            assert!(matches!(outcome(status), Err(SendError::Refused(_))), "{status}");
        }
        assert!(matches!(outcome(410), Err(SendError::Never(_))));
    }

    #[test]
    fn a_refusal_is_parked_sooner_than_silence_and_a_dead_end_at_once() {
        let attempts = |error: &SendError| (1..1_000).take_while(|attempt| error.wait(*attempt, 0).is_some()).count();
        let (later, refused) = (attempts(&SendError::Later(String::new())), attempts(&SendError::Refused(String::new())));
        assert!(refused > 3 && later > refused, "{later} {refused}");
        assert_eq!(attempts(&SendError::Never(String::new())), 0);
    }

    #[test]
    fn an_internal_address_is_parked_and_silence_is_tried_again() {
        assert!(matches!(failure(&OutboundError::Forbidden("10.0.0.1".to_owned())), SendError::Never(_)));
        assert!(matches!(failure(&OutboundError::TimedOut), SendError::Later(_)));
        assert!(matches!(failure(&OutboundError::Unreachable("refused".to_owned())), SendError::Later(_)));
    }
}
