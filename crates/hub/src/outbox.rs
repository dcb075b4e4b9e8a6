//! From the records' outbox into the ledger: what a view's content depends on becomes a control entry.

use model::{Agreement, ObservableType, OrgNo, Redistribution, Seq, Text, Timestamp};
use serde::Deserialize;
use store::ledger::Control;
use store::records::{NetworkKind, OutboxRow};
use store::views::Keys;

#[derive(Deserialize)]
#[serde(tag = "control", rename_all = "kebab-case")]
enum Payload {
    Dispute {
        #[serde(rename = "type")]
        kind: ObservableType,
        value: String,
        upheld: bool,
    },
    Organisation {
        id: String,
        #[serde(default)]
        version: u64,
    },
    Network {
        id: String,
        #[serde(default)]
        version: u64,
        organisation: OrgNo,
        kind: NetworkKind,
        value: Text,
        #[serde(default)]
        protected: bool,
        #[serde(default)]
        counts: bool,
    },
    Reporter {
        organisation: OrgNo,
        #[serde(default)]
        version: u64,
        partner: bool,
        #[serde(default)]
        licence: Option<Redistribution>,
    },
    Agreement {
        organisation: OrgNo,
        #[serde(default)]
        version: u64,
        #[serde(default)]
        agreement: Option<Agreement>,
        #[serde(default)]
        audience: Vec<Text>,
    },
    Release {
        finding: String,
        reporters: Vec<OrgNo>,
        by: OrgNo,
        #[serde(default)]
        before: Option<Seq>,
    },
}

/// The control entry of an outbox row; `None` for a row of an unknown kind, which is logged and passed over.
pub(crate) fn control_of(row: &OutboxRow, keys: &Keys) -> Option<Control> {
    let record = |kind: &str, id: String, version: u64, at: Timestamp| Control::Record { kind: kind.to_owned(), id, version, at };
    match serde_json::from_str(&row.payload) {
        // The ledger holds the value's key, never the value.
        Ok(Payload::Dispute { kind, value, upheld }) => Some(Control::Dispute { key: format!("{:032x}", keys.observable(kind, &value)), upheld }),
        Ok(Payload::Organisation { id, version }) => Some(record("organisation", id, version, row.created)),
        Ok(Payload::Network { id, version, organisation, kind, value, protected, counts }) => {
            Some(Control::Network { id, version, organisation, kind, value, protected, counts, at: row.created })
        }
        Ok(Payload::Reporter { organisation, version, partner, licence }) => {
            Some(Control::Reporter { organisation, version, partner, licence, at: row.created })
        }
        Ok(Payload::Agreement { organisation, version, agreement, audience }) => {
            Some(Control::Agreement { organisation, version, agreement, audience, at: row.created })
        }
        Ok(Payload::Release { finding, reporters, by, before }) => Some(Control::Release { finding, reporters, by, before }),
        Err(error) => {
            tracing::error!(id = row.id, line = error.line(), "an outbox row is of an unknown kind");
            None
        }
    }
}
