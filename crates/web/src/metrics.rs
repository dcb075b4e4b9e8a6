//! Counters for Prometheus, and the page that shows them.
//!
//! Not here: what the hub and the store count about themselves; they write into the same recorder.

use crate::problem::Problem;
use crate::reply::{self, Reply};
use crate::{AppState, auth};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use model::KeyRole;
use std::sync::OnceLock;

const REQUESTS: &str = "bongsu_http_requests_total";
const SECONDS: &str = "bongsu_http_request_seconds";
/// Upper bounds in seconds: the goals for lookups (1 ms), submissions (50 ms), searches (200 ms) and pauses (250 ms) are among them.
const BOUNDS: [f64; 13] = [0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.25, 1.0, 10.0];
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Installs the process's recorder; a second call gives the first one's handle.
///
/// Whoever runs the server calls [`PrometheusHandle::run_upkeep`] every few seconds, or histograms grow between two reads of the page.
pub fn install() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(new_recorder).clone()
}

fn new_recorder() -> PrometheusHandle {
    let builder = PrometheusBuilder::new();
    let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BOUNDS).unwrap_or_default();
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if ::metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another recorder of metrics is installed already; /metrics stays empty");
    }
    ::metrics::describe_counter!(REQUESTS, "requests answered");
    ::metrics::describe_histogram!(SECONDS, "time to the head of the answer");
    handle
}

/// Counts one request.
pub(crate) fn count(method: &'static str, path: &str, status: StatusCode, seconds: f64) {
    let path = path.to_owned();
    ::metrics::counter!(REQUESTS, "method" => method, "path" => path.clone(), "status" => status.as_str().to_owned()).increment(1);
    ::metrics::histogram!(SECONDS, "method" => method, "path" => path).record(seconds);
}

/// `GET /metrics`: for this machine without a key, else for the coordinator and auditors.
pub(crate) async fn page(State(state): State<AppState>, request: Request) -> Reply {
    if !auth::from_this_machine(request.headers(), request.extensions()) {
        let actor = auth::authenticate(&state, request.headers(), request.extensions(), auth::BEARER)?;
        if !matches!(actor.role, KeyRole::Coordinator | KeyRole::Auditor) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "only the coordinator and auditors read the counters"));
        }
    }
    Ok(reply::typed(StatusCode::OK, PROMETHEUS_TEXT, state.metrics.render().into_bytes()))
}
