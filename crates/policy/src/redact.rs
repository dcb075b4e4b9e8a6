//! Removes from an event what a reader may not see.
//!
//! Invariant: withheld means absent from every field; an event left without a value is not shown at all.

use crate::Sight;
use model::{Event, Origin, Role};

/// Removes hidden parts in place. Returns false where nothing that may be shown is left; the event must then be treated as hidden.
pub fn redact(event: &mut Event, sight: Sight) -> bool {
    match sight {
        // Erasure can take an event's last value, its reporter's too.
        Sight::Own => return !event.observables.is_empty(),
        Sight::Hidden | Sight::OwnFinding => return false,
        Sight::Whole => {
            if event.origin == Origin::Honeypot {
                remove_other_side(event, |role| role == Role::Attacker);
            }
            return !event.observables.is_empty();
        }
        Sight::WithoutVictims => {}
        Sight::WithoutReporterAndVictims => {
            event.named = false;
            event.id = None;
            if let Some(details) = event.details.as_deref_mut() {
                details.note = None;
            }
        }
    }
    let honeypot = event.origin == Origin::Honeypot;
    remove_other_side(event, |role| role == Role::Attacker || (role == Role::Bystander && !honeypot));
    if let Some(details) = event.details.as_deref_mut() {
        details.extra = None;
        details.original = None;
        details.audience.clear();
    }
    if event.details.as_deref().is_some_and(|details| *details == model::Details::default()) {
        event.details = None;
    }
    !event.observables.is_empty()
}

/// Removes the values whose role is not kept, and the far side of the flow: whoever was attacked, or the sinkhole or honeypot itself.
fn remove_other_side(event: &mut Event, keep: impl Fn(Role) -> bool) {
    event.observables.retain(|observable| keep(observable.role));
    if let Some(details) = event.details.as_deref_mut() {
        details.dst_ip = None;
        if let Some(target) = details.target.as_mut() {
            target.ip = None;
            target.asn = None;
        }
        if details.target == Some(model::Target::default()) {
            details.target = None;
        }
    }
}
