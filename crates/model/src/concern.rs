//! Which values of an event concern the owner of the network they lie in.
//!
//! Flow: the view of findings matches each [`Concern`] with the registrations; `policy` builds a finding's content of the same ones.
//! Invariant: a honeypot's own address and the far side of a sinkhole or honeypot concern nobody but who runs it.
//! Not here: who owns what (`store::views::owners`), what an owner sees (`policy::finding`).

use crate::{Category, Event, ObservableType, Origin, Role};
use std::borrow::Cow;

/// One value of an event that its owner may have to be told of, with what describes it and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern<'a> {
    /// What kind of value.
    pub kind: ObservableType,
    /// The canonical form.
    pub value: Cow<'a, str>,
    /// The port, where it is certain to be this value's.
    pub port: Option<u16>,
    /// The AS number that the reporter says it lies in.
    pub asn: Option<u32>,
    /// Whether it is one of the event's observables; else it is the far side, the target or an AS number.
    pub observable: bool,
}

/// Gives every value of the event that can lie in somebody's network. A value that plays two parts is given twice.
pub fn concerns<'a>(event: &'a Event, mut give: impl FnMut(Concern<'a>)) {
    let honeypot = event.origin == Origin::Honeypot;
    // What stands on the far side belongs to who runs the instrument.
    let own_far_side = honeypot || event.origin == Origin::Sinkhole;
    let details = event.details.as_deref();
    let count = |pick: fn(ObservableType) -> bool| event.observables.iter().filter(|observable| pick(observable.kind)).count();
    let one_address = count(is_one_address) == 1;
    let one_endpoint = count(is_endpoint) == 1;
    let mut source_asn = details.and_then(|details| details.source_asn);
    for observable in &event.observables {
        if !can_be_owned(observable.kind) || (honeypot && observable.role != Role::Attacker) {
            continue;
        }
        let describes = one_address && is_one_address(observable.kind) && is_source(event.category, observable.role);
        give(Concern {
            kind: observable.kind,
            value: Cow::Borrowed(observable.value.as_str()),
            port: event.port.filter(|_| one_endpoint && is_endpoint(observable.kind)),
            asn: if describes { source_asn.take() } else { None },
            observable: true,
        });
    }
    if let Some(asn) = source_asn {
        give(of_asn(asn));
    }
    let Some(details) = details.filter(|_| !own_far_side) else { return };
    if let Some(address) = &details.dst_ip {
        give(Concern { kind: kind_of(address), value: Cow::Borrowed(address.as_str()), port: details.dst_port, asn: None, observable: false });
    }
    let Some(target) = &details.target else { return };
    match &target.ip {
        Some(address) => give(Concern { kind: kind_of(address), value: Cow::Borrowed(address.as_str()), port: None, asn: target.asn, observable: false }),
        None => target.asn.into_iter().for_each(|asn| give(of_asn(asn))),
    }
}

/// Whether a value of this type lies in a network, a domain or below an address of the web.
pub const fn can_be_owned(kind: ObservableType) -> bool {
    is_endpoint(kind) || matches!(kind, ObservableType::Email | ObservableType::Asn)
}

const fn is_endpoint(kind: ObservableType) -> bool {
    is_one_address(kind) || matches!(kind, ObservableType::Cidr | ObservableType::Domain | ObservableType::Url)
}

const fn is_one_address(kind: ObservableType) -> bool {
    matches!(kind, ObservableType::Ipv4 | ObservableType::Ipv6)
}

/// Whether the event's source is this value: who attacks is, who is flooded is not, and an infected or open system is where it was seen.
fn is_source(category: Category, role: Role) -> bool {
    role == Role::Attacker || !matches!(category, Category::Dos | Category::Ddos)
}

fn of_asn(asn: u32) -> Concern<'static> {
    Concern { kind: ObservableType::Asn, value: Cow::Owned(asn.to_string()), port: None, asn: None, observable: false }
}

fn kind_of(address: &str) -> ObservableType {
    if address.contains(':') { ObservableType::Ipv6 } else { ObservableType::Ipv4 }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::event::Target;
    use crate::{Observable, Text, Timestamp};

    fn observable(kind: ObservableType, role: Role, value: &str) -> Observable {
        Observable { kind, role, detect: true, reserved: false, value: Text::from(value) }
    }

    fn given(event: &Event) -> Vec<(String, Option<u16>, Option<u32>)> {
        let mut given = Vec::new();
        concerns(event, |concern| given.push((concern.value.into_owned(), concern.port, concern.asn)));
        given
    }

    fn flow() -> Event {
        let mut event = Event::new(Timestamp::from_seconds(1), Category::Scanner, observable(ObservableType::Ipv4, Role::Attacker, "198.51.100.7"));
        event.port = Some(4_444);
        let details = event.details_mut();
        details.source_asn = Some(4_766);
        details.dst_ip = Some(Text::from("2001:db8::1"));
        details.dst_port = Some(22);
        details.target = Some(Target { ip: None, asn: Some(9_318), sector: None });
        event
    }

    #[test]
    fn source_far_side_and_target_concern_their_owners_each_with_its_own_port() {
        let expected = [("198.51.100.7", Some(4_444), Some(4_766)), ("2001:db8::1", Some(22), None), ("9318", None, None)];
        assert_eq!(given(&flow()), expected.map(|(value, port, asn)| (value.to_owned(), port, asn)));
    }

    #[test]
    fn what_a_port_or_an_as_number_describes_is_not_guessed() {
        let mut event = flow();
        event.observables.push(observable(ObservableType::Ipv4, Role::Attacker, "198.51.100.8"));
        let given = given(&event);
        assert_eq!(given[0], ("198.51.100.7".to_owned(), None, None));
        assert_eq!(given[2], ("4766".to_owned(), None, None), "the AS number alone is told to its owner");
    }

    #[test]
    fn the_address_of_a_honeypot_and_of_a_sinkhole_concerns_nobody() {
        let mut event = flow();
        event.observables.push(observable(ObservableType::Ipv4, Role::Victim, "198.51.100.9"));
        event.origin = Origin::Honeypot;
        assert_eq!(given(&event).iter().map(|concern| concern.0.as_str()).collect::<Vec<_>>(), ["198.51.100.7", "4766"]);
        event.origin = Origin::Sinkhole;
        assert!(!given(&event).iter().any(|concern| concern.0 == "2001:db8::1"));
    }

    #[test]
    fn the_source_of_a_flood_is_not_its_victims_network() {
        let mut event = Event::new(Timestamp::from_seconds(1), Category::Ddos, observable(ObservableType::Ipv4, Role::Victim, "198.51.100.7"));
        event.details_mut().source_asn = Some(4_766);
        assert_eq!(given(&event), [("198.51.100.7".to_owned(), None, None), ("4766".to_owned(), None, None)]);
    }
}
