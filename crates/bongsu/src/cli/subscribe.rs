//! Commands on subscriptions, and the flags of `inbox`.
//!
//! Flow: clap fills these → `client::subscribe` sends them.
//! Invariant: what a script needs of an addition, the id, is printed alone on standard output unless `--json` is given.
//! Not here: what is delivered to whom (the hub decides).

use super::words::clock_time;
use super::{Connection, FilterArguments};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What a subscription tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// Events of others.
    Events,
    /// What is wrong in one's own networks.
    Findings,
}

/// Languages of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MessageLanguage {
    /// Korean.
    Ko,
    /// English.
    En,
}

/// Where a subscription sends; exactly one.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct To {
    /// Keep messages in the organisation's inbox (see `bongsu inbox`): one as soon as something matches; --at gathers them instead.
    #[arg(long)]
    pub inbox: bool,
    /// Send mail; an address that is not the organisation's verified contact is confirmed by a code first.
    #[arg(long, value_name = "ADDRESS")]
    pub mail: Option<String>,
    /// Post to an HTTPS receiver; its secret is shown once.
    #[arg(long, value_name = "URL")]
    pub webhook: Option<String>,
}

/// Flags of `subscribe add`.
#[derive(Debug, Args)]
pub struct AddArguments {
    /// A name for people.
    pub name: String,
    /// What to be told of.
    #[arg(long, value_enum, default_value_t = Subject::Events)]
    pub about: Subject,
    /// Where to.
    #[command(flatten)]
    pub to: To,
    /// File with the reader's armoured OpenPGP key; mail is encrypted then.
    #[arg(long, value_name = "FILE", requires = "mail", conflicts_with_all = ["inbox", "webhook"])]
    pub openpgp: Option<PathBuf>,
    /// Gather until these times of day, such as 09:00,17:00; without it messages go at once.
    #[arg(long, value_name = "HH:MM", value_delimiter = ',', value_parser = clock_time)]
    pub at: Vec<String>,
    /// Neither on weekends nor on holidays.
    #[arg(long, requires = "at")]
    pub business_days: bool,
    /// Findings of a category at times of their own: `infected-system=at-once` or `vulnerable-system=09:00,17:00`.
    #[arg(long, value_name = "CATEGORY=WHEN")]
    pub category_at: Vec<String>,
    /// Language of the messages.
    #[arg(long, value_enum, default_value_t = MessageLanguage::Ko)]
    pub language: MessageLanguage,
    /// What is wanted; without a condition everything.
    #[command(flatten)]
    pub filter: FilterArguments,
    /// Print the whole answer as JSON.
    #[arg(long)]
    pub json: bool,
    /// How the hub is reached.
    #[command(flatten)]
    pub connection: Connection,
}

/// Flags of what is done with one subscription.
#[derive(Debug, Args)]
pub struct OneArguments {
    /// Its id, or its name where no other has it.
    #[arg(value_name = "ID|NAME")]
    pub id: String,
    /// The answer as JSON.
    #[arg(long)]
    pub json: bool,
    /// How the hub is reached.
    #[command(flatten)]
    pub connection: Connection,
}

/// Commands on subscriptions.
#[derive(Debug, Subcommand)]
pub enum SubscribeCommand {
    /// Ask to be told of something; prints the subscription's id alone.
    Add(Box<AddArguments>),
    /// List subscriptions, with how sending goes.
    List {
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
    /// Show one subscription.
    Show(OneArguments),
    /// Let what matches wait.
    Pause(OneArguments),
    /// Send again, after a pause or after the receiver was given up.
    Resume(OneArguments),
    /// End a subscription with all that waits for it.
    Remove(OneArguments),
    /// Send a message that says nothing but that it is a test; prints the message's id alone.
    Test(OneArguments),
    /// Replace a webhook's secret; prints the new one alone, once.
    RotateSecret(OneArguments),
    /// Give back the code that was sent to the mail address; without one, have another one sent.
    Confirm {
        /// The subscription's id, or its name where no other has it.
        #[arg(value_name = "ID|NAME")]
        id: String,
        /// The code.
        code: Option<String>,
        /// The answer as JSON.
        #[arg(long)]
        json: bool,
        /// How the hub is reached.
        #[command(flatten)]
        connection: Connection,
    },
}

/// Flags of `inbox`.
#[derive(Debug, Args)]
pub struct InboxArguments {
    /// Show this message whole and note that it was read; without one all are listed.
    #[arg(value_name = "MESSAGE")]
    pub id: Option<String>,
    /// Only what nobody has read.
    #[arg(long)]
    pub unread: bool,
    /// Messages at the most.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: u64,
    /// One JSON message per line.
    #[arg(long)]
    pub json: bool,
    /// How the hub is reached.
    #[command(flatten)]
    pub connection: Connection,
}
