//! Refusals as problem documents (RFC 9457).
//!
//! Flow: a use case's [`HubError`], or a door's own refusal, becomes a [`Problem`], which is an answer.
//! Invariant: every answer of 400 and above is `application/problem+json`, but where a door says the same in another form (TAXII, MISP, pages for browsers);
//! what broke inside is logged here, once, and not told.

use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use hub::HubError;
use hub::answers::Outcome;
use serde_json::{Map, Value, json};

/// The media type of every refusal.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A refusal in the words of RFC 9457.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    /// Fragment of the documentation page that explains this type of problem; `None`: the status says it all.
    kind: Option<&'static str>,
    detail: String,
    errors: Vec<Value>,
    extra: Map<String, Value>,
    /// Seconds.
    retry_after: Option<u32>,
    allow: Option<&'static str>,
}

impl Problem {
    /// A problem that its status and one sentence explain.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, kind: None, detail: detail.into(), errors: Vec::new(), extra: Map::new(), retry_after: None, allow: None }
    }

    /// Nothing is there, or nothing the caller may know of.
    pub fn not_found() -> Self {
        Self::from(HubError::NotFound)
    }

    /// The caller's key is missing or not valid.
    pub fn unauthenticated() -> Self {
        Self::from(HubError::Unauthenticated)
    }

    /// A parameter of the request is wrong.
    pub fn parameter(name: &str, reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "a parameter is wrong").error(name, reason)
    }

    /// A field of the body is wrong; `pointer` is a JSON pointer.
    pub fn field(pointer: &str, reason: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "a field of the body is wrong").error(pointer, reason)
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// What happened, in a sentence.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// What is wrong, one by one.
    pub(crate) fn errors(&self) -> &[Value] {
        &self.errors
    }

    /// Seconds after which to try again.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        self.retry_after
    }

    /// The path is there, but not with this method.
    pub fn method_not_allowed(allow: Option<&'static str>) -> Self {
        let mut problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method");
        problem.allow = allow;
        problem
    }

    /// Names one more thing that is wrong.
    #[must_use]
    pub fn error(mut self, pointer: &str, reason: impl Into<String>) -> Self {
        let reason: String = reason.into();
        self.errors.push(json!({ "pointer": pointer, "reason": reason }));
        self
    }

    /// Names the part of a submission that was kept although the rest was refused; without one nothing changes.
    #[must_use]
    pub fn keeping(mut self, kept: &Outcome) -> Self {
        let (Some(receipt), Some(first), Some(last)) = (&kept.receipt, kept.first_seq, kept.last_seq) else { return self };
        self.detail.push_str("; what came before was kept, under the receipt named here");
        self.with("receipt", receipt.as_str())
            .with("first_seq", first.0)
            .with("last_seq", last.0)
            .with("accepted", kept.accepted)
            .with("merged", kept.merged)
            .with("refused", kept.refused)
    }

    fn typed(mut self, kind: &'static str) -> Self {
        self.kind = Some(kind);
        self
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    fn retry(mut self, seconds: u64) -> Self {
        self.retry_after = Some(u32::try_from(seconds.max(1)).unwrap_or(u32::MAX));
        self
    }

    fn document(self) -> Vec<u8> {
        let mut document = self.extra;
        document.insert("type".to_owned(), self.kind.map_or_else(|| json!("about:blank"), |kind| json!(format!("/api/docs#{kind}"))));
        document.insert("title".to_owned(), json!(self.status.canonical_reason().unwrap_or("Error")));
        document.insert("status".to_owned(), json!(self.status.as_u16()));
        document.insert("detail".to_owned(), json!(self.detail));
        if !self.errors.is_empty() {
            document.insert("errors".to_owned(), Value::Array(self.errors));
        }
        Value::Object(document).to_string().into_bytes()
    }
}

impl From<HubError> for Problem {
    fn from(error: HubError) -> Self {
        let said = error.to_string();
        match error {
            HubError::Unauthenticated => Self::new(StatusCode::UNAUTHORIZED, said),
            HubError::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, said),
            HubError::NotFound => Self::new(StatusCode::NOT_FOUND, "it does not exist, or you may not know of it"),
            HubError::Invalid { pointer, reason } if pointer.is_empty() || pointer.starts_with('/') => Self::field(&pointer, reason),
            HubError::Invalid { pointer, reason } => Self::parameter(&pointer, reason),
            HubError::Conflict { current, .. } => Self::new(StatusCode::CONFLICT, said).typed("stale-version").with("current", current),
            HubError::IllegalStep { legal, .. } => Self::new(StatusCode::CONFLICT, said).typed("illegal-step").with("legal", words(&legal)),
            HubError::TooLarge { limit, unit } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, said).typed("too-large").with("limit", limit).with("unit", unit),
            HubError::NothingUsable { outcome } => Self::nothing_usable(said, &outcome),
            HubError::BadBody(_) => Self::new(StatusCode::BAD_REQUEST, said),
            HubError::Quota { retry_after } | HubError::TooSoon { retry_after } => Self::new(StatusCode::TOO_MANY_REQUESTS, said).retry(retry_after),
            HubError::Overloaded { retry_after } => Self::new(StatusCode::SERVICE_UNAVAILABLE, said).retry(retry_after),
            HubError::DiskFull => Self::new(StatusCode::INSUFFICIENT_STORAGE, said),
            HubError::ReadOnly => Self::new(StatusCode::SERVICE_UNAVAILABLE, said).retry(READ_ONLY_RETRY),
            HubError::Partly { error, outcome } => Self::from(*error).keeping(&outcome),
            HubError::Replaced { by } => {
                Self::new(StatusCode::GONE, format!("a corrected event stands in its place: {by}")).typed("replaced").with("seq", by.0)
            }
            HubError::Internal(source) => {
                tracing::error!(error = %causes(source.as_ref()), "request failed inside");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "something broke inside; the hub's log has more")
            }
        }
    }
}

/// Seconds after which a store that refuses writes is worth another try.
const READ_ONLY_RETRY: u64 = 10;

impl Problem {
    fn nothing_usable(said: String, outcome: &Outcome) -> Self {
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, said)
            .typed("nothing-usable")
            .with("accepted", outcome.accepted)
            .with("merged", outcome.merged)
            .with("refused", outcome.refused);
        if outcome.warned > 0 {
            let warnings: Vec<Value> = outcome.warnings.iter().map(|warning| json!({ "line": warning.line, "reason": warning.reason })).collect();
            problem = problem.with("warnings", warnings).with("warned", outcome.warned);
        }
        problem.errors = outcome.errors.iter().map(|error| json!({ "line": error.line, "reason": error.reason })).collect();
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after, allow) = (self.status, self.retry_after, self.allow);
        let told = self.clone();
        let mut response = (status, [(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], self.document()).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        // Doors that say it in another form find it here.
        response.extensions_mut().insert(told);
        response
    }
}

fn words(list: &str) -> Value {
    list.split(',').map(str::trim).filter(|word| !word.is_empty() && *word != "none").map(Value::from).collect()
}

fn causes(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn document(error: HubError) -> (StatusCode, Value) {
        let problem = Problem::from(error);
        (problem.status, serde_json::from_slice(&problem.document()).unwrap())
    }

    #[test]
    fn a_wrong_parameter_is_400_and_a_wrong_field_is_422() {
        let (status, body) = document(HubError::Invalid { pointer: "limit".into(), reason: "too many".into() });
        assert_eq!((status.as_u16(), &body["errors"][0]["pointer"]), (400, &json!("limit")));
        let (status, body) = document(HubError::Invalid { pointer: "/name".into(), reason: "too long".into() });
        assert_eq!((status.as_u16(), &body["errors"][0]["pointer"]), (422, &json!("/name")));
    }

    #[test]
    fn a_lost_update_names_the_current_version() {
        let (status, body) = document(HubError::Conflict { given: 1, current: 3 });
        assert_eq!((status.as_u16(), &body["current"], &body["status"]), (409, &json!(3), &json!(409)));
    }

    #[test]
    fn an_illegal_step_names_the_legal_ones() {
        let (_, body) = document(HubError::IllegalStep { step: "uphold".into(), legal: "reject, reopen".into() });
        assert_eq!(body["legal"], json!(["reject", "reopen"]));
    }

    #[test]
    fn a_request_of_which_a_part_was_kept_says_which() {
        let kept =
            Outcome { receipt: Some("rcp_1".to_owned()), first_seq: Some(model::Seq(7)), last_seq: Some(model::Seq(9)), accepted: 3, ..Outcome::default() };
        let error = HubError::Partly { error: Box::new(HubError::TooLarge { limit: 3, unit: "events a request" }), outcome: Box::new(kept) };
        let (status, body) = document(error);
        assert_eq!((status.as_u16(), &body["limit"], &body["receipt"]), (413, &json!(3), &json!("rcp_1")));
        assert_eq!((&body["first_seq"], &body["last_seq"], &body["accepted"], &body["merged"]), (&json!(7), &json!(9), &json!(3), &json!(0)));
        let nothing = Problem::from(HubError::DiskFull).keeping(&Outcome::default());
        assert!(nothing.extra.is_empty());
    }

    #[test]
    fn what_was_replaced_is_gone_and_names_what_stands_in_its_place() {
        let (status, body) = document(HubError::Replaced { by: model::Seq(12) });
        assert_eq!((status.as_u16(), &body["seq"]), (410, &json!(12)));
        assert!(body["detail"].as_str().unwrap().contains("12"));
    }

    #[test]
    fn what_broke_inside_is_not_told() {
        let (status, body) = document(HubError::Internal("secret path".into()));
        assert_eq!(status.as_u16(), 500);
        assert!(!body.to_string().contains("secret"));
    }

    #[test]
    fn a_refusal_for_want_of_a_key_says_which_scheme_is_wanted() {
        let response = Problem::unauthenticated().into_response();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(response.headers()[CONTENT_TYPE], MEDIA_TYPE);
    }
}
