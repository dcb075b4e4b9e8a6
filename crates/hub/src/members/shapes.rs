//! Shapes of organisations at the doors: what one is added with, what may change of it, how it and its history are shown.

use model::{Agreement, Constituency, OrgId, OrgKind, Organisation, Pap, Redistribution, Standing, Text, Timestamp, Tlp};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// What an organisation is added with.
#[derive(Debug, Clone, Deserialize)]
pub struct NewOrganisation {
    /// Its name, unique whatever the case.
    pub name: String,
    /// What it is.
    pub kind: OrgKind,
    /// Its line; ignored for a partner, optional for a vendor.
    #[serde(default)]
    pub constituency: Option<Constituency>,
    /// Its sector; ignored for a partner.
    #[serde(default)]
    pub sector: Option<Text>,
    /// Two-letter country code.
    #[serde(default)]
    pub country: Option<Text>,
}

/// What becomes of an optional field: absent keeps it, `null` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// As it is.
    #[default]
    Keep,
    /// Without a value.
    Clear,
    /// With this value.
    Set(T),
}

impl<T> Patch<T> {
    fn apply(self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<T>::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

/// What is to change of an organisation; a field that is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OrganisationPatch {
    /// Its name.
    pub name: Option<String>,
    /// What it is.
    pub kind: Option<OrgKind>,
    /// Its line.
    pub constituency: Patch<Constituency>,
    /// Its sector.
    pub sector: Patch<Text>,
    /// Its country.
    pub country: Patch<Text>,
    /// The groups it belongs to.
    pub groups: Option<Vec<Text>>,
    /// Its standing, as an operator's decision that stands for half a year.
    pub standing: Option<Standing>,
    /// Whether the rule of contribution applies to it.
    pub standing_rule: Option<bool>,
    /// Organisations it may act for.
    pub acts_for: Option<Vec<OrgId>>,
    /// A partner's agreement.
    pub agreement: Patch<Agreement>,
    /// How widely what it reports may be passed on.
    pub licence: Patch<Redistribution>,
    /// Default marking of its events.
    pub default_tlp: Option<Tlp>,
    /// Default permissible actions of its events.
    pub default_pap: Option<Pap>,
    /// Whether it is shown as reporter by default.
    pub named: Option<bool>,
    /// Events per day it may send.
    pub quota_per_day: Patch<u64>,
}

impl OrganisationPatch {
    /// Whether it holds only what a member's administrator may set.
    pub(super) fn is_members_own(&self) -> bool {
        let own = Self { default_tlp: self.default_tlp, default_pap: self.default_pap, named: self.named, ..Self::default() };
        *self == own
    }

    /// Writes what it holds but the standing, which is a decision with a date.
    pub(super) fn apply(self, organisation: &mut Organisation) {
        if let Some(name) = self.name {
            organisation.name = name;
        }
        if let Some(kind) = self.kind {
            organisation.kind = kind;
        }
        self.constituency.apply(&mut organisation.constituency);
        self.sector.apply(&mut organisation.sector);
        self.country.apply(&mut organisation.country);
        self.agreement.apply(&mut organisation.agreement);
        self.licence.apply(&mut organisation.licence);
        self.quota_per_day.apply(&mut organisation.quota_per_day);
        if let Some(groups) = self.groups {
            organisation.groups = groups;
        }
        if let Some(acts_for) = self.acts_for {
            organisation.acts_for = acts_for;
        }
        organisation.standing_rule = self.standing_rule.unwrap_or(organisation.standing_rule);
        organisation.default_tlp = self.default_tlp.unwrap_or(organisation.default_tlp);
        organisation.default_pap = self.default_pap.unwrap_or(organisation.default_pap);
        organisation.named = self.named.unwrap_or(organisation.named);
    }
}

/// An organisation for those who may know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrganisationView {
    /// All its fields; it names only those organisations it acts for that the reader may know of.
    #[serde(flatten)]
    pub organisation: Organisation,
    /// Organisations that act for it, as far as the reader may know of them.
    pub acted_for_by: Vec<OrgId>,
}

/// One change of an organisation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HistoryRow {
    /// Version after the change.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// Id of the key that acted; `None`: the hub itself.
    pub key: Option<String>,
    /// Id of its organisation.
    pub organisation: Option<String>,
    /// What was done.
    pub action: String,
    /// Why.
    pub reason: String,
    /// Content after the change.
    pub content: Value,
    /// Hash over this row and the one before in the chain.
    pub hash: String,
}
