//! Removes from an event what a reader may not see.
//!
//! Invariant: withheld means absent from every field; an event left without a value is not shown at all.

use crate::Sight;
use model::{Event, Origin, Role, Text};

/// Removes hidden parts in place. Returns false where nothing that may be shown is left; the event must then be treated as hidden.
pub fn redact(event: &mut Event, sight: Sight) -> bool {
    match sight {
        // Erasure can take an event's last value, its reporter's too.
        Sight::Own => return !event.observables.is_empty(),
        Sight::Hidden | Sight::OwnFinding => return false,
        Sight::Whole => {
            if event.origin == Origin::Honeypot {
                let removed = remove_other_side(event, |role| role == Role::Attacker);
                remove_copies(event, &removed);
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
/// Gives the texts that were removed.
fn remove_other_side(event: &mut Event, keep: impl Fn(Role) -> bool) -> Vec<Text> {
    let mut removed: Vec<Text> = Vec::new();
    let mut address = false;
    event.observables.retain(|observable| {
        let kept = keep(observable.role);
        if !kept {
            address |= observable.kind.is_address();
            removed.push(observable.value.clone());
        }
        kept
    });
    if address {
        // They describe the removed address as much as any that is left.
        event.port = None;
    }
    if let Some(details) = event.details.as_deref_mut() {
        if address {
            details.source_asn = None;
        }
        removed.extend(details.dst_ip.take());
        if let Some(target) = details.target.as_mut() {
            removed.extend(target.ip.take());
            target.asn = None;
        }
        if details.target == Some(model::Target::default()) {
            details.target = None;
        }
    }
    removed
}

/// Removes the sender's own fields where they repeat what was removed, and the original text, which holds all of it.
fn remove_copies(event: &mut Event, removed: &[Text]) {
    let Some(details) = event.details.as_deref_mut() else { return };
    details.original = None;
    if details.extra.as_ref().is_some_and(|extra| removed.iter().any(|text| repeats(extra, text))) {
        details.extra = None;
    }
}

/// Whether a text holds another, ignoring case.
fn repeats(text: &str, other: &str) -> bool {
    text.to_lowercase().contains(&other.to_lowercase())
}
