//! MISP's distribution in this hub's terms: whom an event or attribute is narrowed to, and how strict it is at least.
//!
//! Flow: `hub::misp` reads the level of an event, object or attribute → [`Distribution`] → [`audience`] and [`floor`], which are kept with it.
//! Invariant: the stricter of distribution and marking wins; what is inside something never reaches further than it ([`within`]). What is not
//! published does not leave the hub, whatever its distribution ([`of_draft`]).
//! Source: MISP core format, section 2.4.2.7 (distribution).

use crate::{Reader, Sight};
use model::{OrgKind, Text, Tlp};

/// The audience of every organisation of the hub but foreign partners.
pub const MEMBERS: &str = "members";

/// Whom its sender shares an item with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distribution {
    /// 0: the sender's own organisation.
    Organisation,
    /// 1: the members of the hub.
    Community,
    /// 2: and its direct partners.
    Connected,
    /// 3: everyone whom the marking admits.
    All,
    /// 4: those with one of these ids; none: no such group is known here, and nobody but the sender has it.
    Group(Vec<Text>),
    /// 5: as what it is in.
    Inherit,
}

impl Distribution {
    /// The same after one more hop between instances.
    #[must_use]
    pub fn stepped_down(self) -> Self {
        match self {
            Self::Organisation | Self::Community => Self::Organisation,
            Self::Connected => Self::Community,
            Self::All => Self::All,
            Self::Group(ids) => Self::Group(ids),
            Self::Inherit => Self::Inherit,
        }
    }

    /// MISP's number of it.
    pub const fn number(&self) -> u8 {
        match self {
            Self::Organisation => 0,
            Self::Community => 1,
            Self::Connected => 2,
            Self::All => 3,
            Self::Group(_) => 4,
            Self::Inherit => 5,
        }
    }
}

/// The ids that an item is narrowed to; empty: it is not. `own` is the id of the sender's organisation.
pub fn audience(distribution: &Distribution, tlp: Tlp, own: &Text) -> Vec<Text> {
    match distribution {
        Distribution::Organisation => vec![own.clone()],
        // Red reaches named persons of an audience alone; that many members are none.
        Distribution::Community if tlp == Tlp::Red => vec![own.clone()],
        Distribution::Community => vec![Text::from(MEMBERS)],
        Distribution::Group(ids) if ids.is_empty() => vec![own.clone()],
        Distribution::Group(ids) => ids.clone(),
        Distribution::Connected | Distribution::All | Distribution::Inherit => Vec::new(),
    }
}

/// The marking that an item has at least.
pub fn floor(distribution: &Distribution) -> Tlp {
    match distribution {
        Distribution::Organisation => Tlp::AmberStrict,
        Distribution::Group(_) => Tlp::Amber,
        // For the hub's members is not for the public.
        Distribution::Community | Distribution::Connected => Tlp::Green,
        Distribution::All | Distribution::Inherit => Tlp::Clear,
    }
}

/// One list for what is narrowed twice. Ids that are in both; where none is, nobody but the sender is known to be meant by both.
pub fn within(outer: &[Text], inner: &[Text], own: &Text) -> Vec<Text> {
    if outer.is_empty() {
        return inner.to_vec();
    }
    if inner.is_empty() {
        return outer.to_vec();
    }
    let both: Vec<Text> = outer.iter().filter(|id| inner.contains(id)).cloned().collect();
    if both.is_empty() { vec![own.clone()] } else { both }
}

/// What is left of the sight of a contributed event, and of what is in it, by whether it is published. A draft is for its contributor and for those of
/// the hub's own who see the event: it goes neither to a foreign partner, whoever's tool asks, nor to an `instance` that pulls.
pub fn of_draft(sight: Sight, reader: &Reader, published: bool, instance: bool) -> Sight {
    let leaves = instance || reader.kind == OrgKind::Partner;
    if published || sight == Sight::Own || !leaves { sight } else { Sight::Hidden }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn group(ids: &[&str]) -> Distribution {
        Distribution::Group(ids.iter().map(|id| Text::from(*id)).collect())
    }

    #[test]
    fn each_level_is_narrowed_to_those_it_names() {
        let own = Text::from("org_me");
        for (distribution, tlp, expected, strictness) in [
            (Distribution::Organisation, Tlp::Clear, &["org_me"][..], Tlp::AmberStrict),
            (Distribution::Community, Tlp::Clear, &["members"], Tlp::Green),
            (Distribution::Community, Tlp::Red, &["org_me"], Tlp::Green),
            (Distribution::Connected, Tlp::Clear, &[], Tlp::Green),
            (Distribution::All, Tlp::Clear, &[], Tlp::Clear),
            (group(&["grp_a"]), Tlp::Red, &["grp_a"], Tlp::Amber),
            (group(&[]), Tlp::Clear, &["org_me"], Tlp::Amber),
            (Distribution::Inherit, Tlp::Amber, &[], Tlp::Clear),
        ] {
            assert_eq!((audience(&distribution, tlp, &own), floor(&distribution)), (expected.iter().map(|id| Text::from(*id)).collect(), strictness));
        }
    }

    #[test]
    fn a_draft_does_not_leave_the_hub() {
        use model::{KeyRole, OrgNo, Standing};
        let reader = |kind| Reader {
            org: OrgNo(7),
            kind,
            constituency: None,
            audience_ids: Vec::new(),
            standing: Standing::Full,
            agreement: None,
            role: KeyRole::Analyst,
            red: false,
        };
        for sight in [Sight::Hidden, Sight::WithoutReporterAndVictims, Sight::WithoutVictims, Sight::Whole] {
            for kind in [OrgKind::Company, OrgKind::Agency, OrgKind::Authority, OrgKind::Cert, OrgKind::Vendor, OrgKind::Partner] {
                for instance in [false, true] {
                    assert_eq!(of_draft(sight, &reader(kind), true, instance), sight, "what is published is as visible as it was");
                    let leaves = instance || kind == OrgKind::Partner;
                    assert_eq!(of_draft(sight, &reader(kind), false, instance), if leaves { Sight::Hidden } else { sight }, "{kind:?} {instance}");
                    assert_eq!(of_draft(Sight::Own, &reader(kind), false, instance), Sight::Own, "one's own is one's own");
                }
            }
        }
    }

    #[test]
    fn a_hop_takes_one_step_and_never_widens() {
        assert_eq!(Distribution::Connected.stepped_down(), Distribution::Community);
        assert_eq!(Distribution::Community.stepped_down(), Distribution::Organisation);
        assert_eq!(group(&["g"]).stepped_down(), group(&["g"]));
        for level in [Distribution::Organisation, Distribution::Community, Distribution::Connected, Distribution::All] {
            assert!(level.clone().stepped_down().number() <= level.number());
        }
    }

    #[test]
    fn what_is_inside_reaches_nobody_whom_the_outside_does_not() {
        let (own, list) = (Text::from("me"), |ids: &[&str]| ids.iter().map(|id| Text::from(*id)).collect::<Vec<_>>());
        for (outer, inner, expected) in
            [(&[][..], &["a"][..], &["a"][..]), (&["a"], &[], &["a"]), (&["a", "b"], &["b", "c"], &["b"]), (&["a"], &["b"], &["me"]), (&[], &[], &[])]
        {
            assert_eq!(within(&list(outer), &list(inner), &own), list(expected));
        }
    }
}
