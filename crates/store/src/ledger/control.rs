//! Control entries: deliberate acts that a view's content depends on, in the same sequence as the events.

use crate::records::NetworkKind;
use model::{Agreement, Constituency, OrgNo, Redistribution, Seq, Text, Timestamp};
use serde::{Deserialize, Serialize};

/// What the nation's address space is from some place on, and who is told of what nobody registered in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nation {
    /// Name of the table of addresses: the hash of its bytes, which lie beside the ledger (`owners/national-HASH.bin`).
    pub table: Text,
    /// Which organisation is the access provider of an AS number, by number.
    pub providers: Vec<(u32, OrgNo)>,
    /// The competent authority of each line; the hub itself where none is named.
    pub authorities: Vec<(Constituency, OrgNo)>,
}

/// One deliberate act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "control", rename_all = "kebab-case")]
pub enum Control {
    /// Events withdrawn by their sender or an authority.
    Withdraw {
        /// First and last sequence number of each run of withdrawn events.
        ranges: Vec<(Seq, Seq)>,
        /// Who withdrew them.
        by: OrgNo,
        /// Why.
        reason: String,
    },
    /// A corrected event, in the frame before this, replaces one.
    Amend {
        /// The event replaced.
        old: Seq,
        /// Nonce of the submission that holds the corrected event.
        nonce: u64,
        /// Who amended it.
        by: OrgNo,
    },
    /// A false-positive claim was decided.
    Dispute {
        /// Key of the value, hexadecimal.
        key: String,
        /// Upheld, or rejected after having been upheld.
        upheld: bool,
    },
    /// A value's entries in the vault were destroyed.
    Erase {
        /// Id of the erasure's record.
        erasure: String,
        /// Key of the value, hexadecimal.
        key: String,
        /// Legal basis.
        basis: String,
        /// Vault entries destroyed.
        entries: u64,
    },
    /// Events received longer ago than the realm keeps them are gone.
    Expire {
        /// Those with a smaller sequence number; where a frame ends.
        before: Seq,
    },
    /// A change of organisations or networks that answers depend on; the record has the content.
    Record {
        /// Kind of the record.
        kind: String,
        /// Its id.
        id: String,
        /// Its version.
        version: u64,
        /// When it was changed.
        at: Timestamp,
    },
    /// A registration was made or changed; findings are made of those that count as of each event.
    Network {
        /// Its id.
        id: String,
        /// Its version.
        version: u64,
        /// Whose it is.
        organisation: OrgNo,
        /// What is registered.
        kind: NetworkKind,
        /// The value in canonical form.
        value: Text,
        /// Whether a system in it may not be touched.
        protected: bool,
        /// Whether it counts from here on: approved and proven.
        counts: bool,
        /// When it was changed.
        at: Timestamp,
    },
    /// What of an organisation decides which collections its events enter.
    Reporter {
        /// The organisation.
        organisation: OrgNo,
        /// Version of its record.
        version: u64,
        /// Whether it is a partner, whose events are handed to no other partner.
        partner: bool,
        /// How widely its events may be passed on; absent: as their marking says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        licence: Option<Redistribution>,
        /// When it was changed.
        at: Timestamp,
    },
    /// What is agreed with a partner from here on.
    Agreement {
        /// The partner.
        organisation: OrgNo,
        /// Version of its record.
        version: u64,
        /// The agreement; absent: it has ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agreement: Option<Agreement>,
        /// Ids under which an audience can name the partner.
        #[serde(default)]
        audience: Vec<Text>,
        /// When it was changed.
        at: Timestamp,
    },
    /// The nation's address space, or who stands for it, is another from here on.
    National {
        /// `None`: none is known any more.
        nation: Option<Nation>,
        /// When it was changed.
        at: Timestamp,
    },
    /// What waited of a finding is told to its owner.
    Release {
        /// Its number, hexadecimal.
        finding: String,
        /// Whose reports are released.
        reporters: Vec<OrgNo>,
        /// Who released them.
        by: OrgNo,
        /// Place after the last event that who released them saw; absent: all before this entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Seq>,
    },
}
