//! Commands on organisations and their keys, with their flags.
//!
//! Flow: clap fills these → `client::members` sends them.
//! Invariant: what a script needs of an addition, an id or a key, is printed alone unless `--json` is given.
//! Not here: who may do it (the hub decides).

use super::Connection;
use super::words::{constituency, deadline, key_role, org_kind, seconds, tlp};
use clap::Subcommand;

/// Commands on organisations.
#[derive(Debug, Subcommand)]
pub enum OrgCommand {
    /// Add an organisation; prints its id alone.
    Add {
        /// Its name.
        name: String,
        /// What it is: company, agency, authority, cert, vendor, partner.
        #[arg(long, value_parser = org_kind)]
        kind: model::OrgKind,
        /// Its line: private, public, defence. Ignored for a partner.
        #[arg(long, value_parser = constituency)]
        constituency: Option<model::Constituency>,
        /// Its sector.
        #[arg(long)]
        sector: Option<String>,
        /// Two-letter country code.
        #[arg(long, value_name = "CC")]
        country: Option<String>,
        /// Print the whole answer as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// List organisations.
    List {
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// Show one organisation.
    Show {
        /// Its id, or its name where no other has it. Without one the key's own is shown.
        #[arg(value_name = "ORG|NAME")]
        id: Option<String>,
        /// The answer as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// Show, set or end the agreement with a partner. What is set takes the place of what was agreed before; without a flag it is shown.
    Agreement {
        /// The partner's id, or its name where no other has it. Without one the key's own organisation's is shown, which must be a partner.
        #[arg(value_name = "ORG|NAME")]
        id: Option<String>,
        /// The strictest marking that the partner sees: clear, green, amber, amber+strict.
        #[arg(long, value_name = "TLP", value_parser = tlp, conflicts_with = "end", requires = "id")]
        max_tlp: Option<model::Tlp>,
        /// Amber+strict is covered, too.
        #[arg(long, requires = "max_tlp")]
        strict: bool,
        /// What events above green must be of; anything where not given.
        #[arg(long, value_name = "CATEGORY", value_delimiter = ',', requires = "max_tlp")]
        categories: Vec<String>,
        /// Which sectors events above green must name; any or none where not given.
        #[arg(long, value_name = "SECTOR", value_delimiter = ',', requires = "max_tlp")]
        sectors: Vec<String>,
        /// The names of reporters pass who permit it anyway.
        #[arg(long, requires = "max_tlp")]
        names: bool,
        /// Until when it holds: a date, a time, or a length such as `365d` from now.
        #[arg(long, value_name = "DATE", value_parser = deadline, requires = "max_tlp")]
        expires: Option<model::Timestamp>,
        /// The strictest marking of what the partner sends; any where not given.
        #[arg(long, value_name = "TLP", value_parser = tlp, requires = "max_tlp")]
        sends_max_tlp: Option<model::Tlp>,
        /// What the partner's events may be of; anything where not given.
        #[arg(long, value_name = "CATEGORY", value_delimiter = ',', requires = "max_tlp")]
        sends_categories: Vec<String>,
        /// End it: clear and green are left to the partner.
        #[arg(long, requires = "id")]
        end: bool,
        /// Why; kept in the history.
        #[arg(long, default_value = "changed from the command line")]
        reason: String,
        /// The answer as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// Change fields of an organisation.
    Set {
        /// Its id.
        id: String,
        /// Changes, for example `named=true`, `sector=finance` or `groups=["grp-banks"]`; values are JSON, or plain text.
        #[arg(required = true, value_name = "FIELD=VALUE")]
        changes: Vec<String>,
        /// Why; kept in the history.
        #[arg(long, default_value = "changed from the command line")]
        reason: String,
        /// The answer as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
}

/// Commands on keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key; prints it alone, once.
    Add {
        /// The organisation's id.
        org: String,
        /// What it may do: coordinator, authority, member-admin, analyst, reporter, reader, auditor.
        #[arg(long, value_parser = key_role)]
        role: model::KeyRole,
        /// Until when it is valid: a date, a time, or a length such as `90d` from now.
        #[arg(long, value_name = "DATE", value_parser = deadline)]
        expires: Option<model::Timestamp>,
        /// Ranges it may be used from.
        #[arg(long, value_name = "CIDR", value_delimiter = ',')]
        allow: Vec<String>,
        /// It is a person's, cleared for red.
        #[arg(long)]
        red: bool,
        /// The person who holds it: a name or a staff number. Erasures take keys of two persons.
        #[arg(long, value_name = "NAME")]
        holder: Option<String>,
        /// Print the whole answer as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// List an organisation's keys.
    List {
        /// The organisation's id, or its name where no other has it. Without one the key's own organisation's are listed.
        #[arg(value_name = "ORG|NAME")]
        org: Option<String>,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// Replace a key; the old one stays valid for the overlap. Prints the new key alone, once.
    Rotate {
        /// The organisation's id.
        org: String,
        /// The key's id.
        key: String,
        /// How long the old key stays valid, for example `24h`; the hub's default where not given.
        #[arg(long, value_parser = seconds)]
        overlap: Option<u64>,
        /// Print the whole answer as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// End a key at once.
    Revoke {
        /// The organisation's id.
        org: String,
        /// The key's id.
        key: String,
        /// Why; kept in the history.
        #[arg(long, default_value = "revoked from the command line")]
        reason: String,
        /// The answer as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
}
