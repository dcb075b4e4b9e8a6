//! The small words of an event in one number.
//!
//! Invariant: unpacking gives what was packed; a number of a later release gives `None`.

use model::{Event, Notify, Origin, Pap, Tlp};

/// The small words of an event in one number: origin 4 bits, TLP 3, PAP 2, then one bit each.
pub(super) fn pack(event: &Event) -> u64 {
    u64::from(event.origin.number())
        | u64::from(event.tlp.number()) << 4
        | u64::from(event.pap.number()) << 7
        | u64::from(event.named) << 9
        | u64::from(event.timeless) << 10
        | u64::from(event.notify_owner.number()) << 11
        | u64::from(event.details.is_some()) << 12
}

/// The small words of an event, unpacked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    /// What saw it.
    pub origin: Origin,
    /// Who may receive it.
    pub tlp: Tlp,
    /// What recipients may do.
    pub pap: Pap,
    /// Whether the reporter may be shown.
    pub named: bool,
    /// Whether it came without a time of its own.
    pub timeless: bool,
    /// When owners are told.
    pub notify_owner: Notify,
    /// Whether it has rare fields.
    pub has_details: bool,
}

impl Words {
    /// Unpacks them; `None` where one is out of range.
    pub(super) fn unpack(words: u64) -> Option<Self> {
        Some(Self {
            origin: Origin::from_number((words & 15) as u8)?,
            tlp: Tlp::from_number((words >> 4 & 7) as u8)?,
            pap: Pap::from_number((words >> 7 & 3) as u8)?,
            named: words >> 9 & 1 == 1,
            timeless: words >> 10 & 1 == 1,
            notify_owner: Notify::from_number((words >> 11 & 1) as u8)?,
            has_details: words >> 12 & 1 == 1,
        })
    }
}
