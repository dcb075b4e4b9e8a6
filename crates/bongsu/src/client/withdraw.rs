//! `withdraw`: takes back an event or a whole batch of one's own.
//!
//! Flow: a sequence number or a receipt → `POST /api/v1/events/withdraw` → how many events were withdrawn.
//! Not here: who may withdraw what (the hub decides); withdrawal by a filter, which takes a request over HTTP.

use super::Api;
use crate::cli::WithdrawArguments;
use crate::{Exit, output};
use anyhow::bail;
use serde_json::{Value, json};
use ureq::http::Method;

/// Runs `withdraw`.
pub fn run(arguments: &WithdrawArguments) -> anyhow::Result<Exit> {
    let body = request(&arguments.what, &arguments.reason, arguments.dry_run)?;
    let api = Api::new(&arguments.connection)?;
    let answer = api.send_json(Method::POST, "/api/v1/events/withdraw", &body)?.json()?;
    let count = answer.get("withdrawn").and_then(Value::as_u64).unwrap_or(0);
    let mark = if arguments.dry_run { " (dry run: nothing was changed)" } else { "" };
    output::line(&format!("withdrawn {count}{mark}"))?;
    Ok(Exit::Done)
}

/// The request's body: digits are a sequence number, anything else must be a receipt.
fn request(what: &str, reason: &str, dry_run: bool) -> anyhow::Result<Value> {
    if let Ok(seq) = what.parse::<u64>() {
        return Ok(json!({ "seq": seq, "reason": reason, "dry_run": dry_run }));
    }
    if what.parse::<model::ReceiptId>().is_err() {
        bail!("{what}: expected a sequence number or a receipt (rcp_…)");
    }
    Ok(json!({ "receipt": what, "reason": reason, "dry_run": dry_run }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_an_event_and_a_receipt_a_batch() {
        let receipt = "rcp_00000000000e867da54e08d8ee0548bd";
        assert_eq!(request("17", "ours", false).unwrap(), json!({ "seq": 17, "reason": "ours", "dry_run": false }));
        assert_eq!(request(receipt, "ours", true).unwrap(), json!({ "receipt": receipt, "reason": "ours", "dry_run": true }));
        assert!(request("c2.example", "ours", false).is_err());
    }
}
