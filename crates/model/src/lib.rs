//! Words of the domain: ids, time, observables, events, categories, markings, organisations.
//!
//! Flow: everything else speaks in these types; input is parsed into them at the edge and cannot be wrong after.
//! Invariant: pure. No clock, randomness, async or I/O; time is an argument.
//! Not here: who may see an event (`policy`), bytes on the wire (`formats`), how anything is kept (`store`).

pub mod agreement;
pub mod canonical;
pub mod category;
pub mod concern;
pub mod confidence;
pub mod detect;
pub mod event;
pub mod filter;
pub mod finding;
pub mod ids;
pub mod letters;
pub mod lifetime;
pub mod marking;
pub mod observable;
pub mod organisation;
pub mod seq;
pub mod time;

/// Short text that is kept inline up to 24 bytes.
pub type Text = compact_str::CompactString;

pub use agreement::{Agreement, Redistribution};
pub use category::Category;
pub use event::{Details, Event, Notify, Origin, Severity, Target};
pub use filter::Filter;
pub use finding::{FindingState, FindingStep};
pub use ids::{KeyId, OrgId, OrgNo, ReceiptId};
pub use marking::{Pap, Tlp};
pub use observable::{Observable, ObservableType, Role};
pub use organisation::{Constituency, KeyRole, OrgKind, Organisation, Standing, StandingBy};
pub use seq::Seq;
pub use time::Timestamp;
