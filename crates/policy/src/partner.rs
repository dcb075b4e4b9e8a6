//! What an agreement with a partner covers, and what the partner may send under it.
//!
//! Flow: [`crate::sight()`] asks [`covers`] for an item; `store` asks it for what enters the partner's collection; `hub::intake` asks
//! [`outside`] for what the partner sends.
//! Invariant: a stricter agreement ([`is_within`]) never covers more; without one clear and green are covered, and red never is.
//! Invariant: categories and sectors narrow what lies above green alone. Clear and green are what a partner has without an agreement, so that one
//! that is about phishing takes nothing of them away; only `max_tlp` does.
//! Not here: who reported it, audiences and licences (`crate::sight()`), which are asked beside.

use model::agreement::{Agreement, Sends};
use model::{Category, Tlp};

/// The strictest marking that is covered, of some categories and sectors at least. `None` is a partner without an agreement.
pub fn reach(agreement: Option<&Agreement>) -> Tlp {
    match agreement {
        None => Tlp::Green,
        Some(agreement) if agreement.strict && agreement.max_tlp >= Tlp::Amber => Tlp::AmberStrict,
        Some(agreement) => agreement.max_tlp.min(Tlp::Amber),
    }
}

/// Whether an item of this marking, category and sector is covered. `None` is a partner without an agreement.
pub fn covers(agreement: Option<&Agreement>, tlp: Tlp, category: Category, sector: Option<&str>) -> bool {
    if tlp > reach(agreement) {
        return false;
    }
    let Some(agreement) = agreement.filter(|_| tlp > Tlp::Green) else { return true };
    let of_category = agreement.categories.is_empty() || agreement.categories.contains(&category);
    let of_sector = agreement.sectors.is_empty() || sector.is_some_and(|sector| agreement.sectors.iter().any(|covered| covered.eq_ignore_ascii_case(sector)));
    of_category && of_sector
}

/// Whether one agreement covers nothing and names nobody that the other does not. `None` is none.
pub fn is_within(narrow: Option<&Agreement>, wide: Option<&Agreement>) -> bool {
    let names = |agreement: Option<&Agreement>| agreement.is_some_and(|agreement| agreement.names);
    (names(wide) || !names(narrow)) && is_within_up_to(narrow, wide, Tlp::Red)
}

/// Whether one agreement covers nothing up to a marking that the other does not. `None` is none.
pub fn is_within_up_to(narrow: Option<&Agreement>, wide: Option<&Agreement>, tlp: Tlp) -> bool {
    let most = reach(narrow).min(tlp);
    if most > reach(wide) {
        return false;
    }
    // Up to green nothing else decides.
    if most <= Tlp::Green {
        return true;
    }
    let (Some(narrow), Some(wide)) = (narrow, wide) else { return false };
    let categories = part(&narrow.categories, &wide.categories, |one, other| one == other);
    categories && part(&narrow.sectors, &wide.sectors, |one, other| one.eq_ignore_ascii_case(other))
}

/// Whether a list in which nothing means all is a part of another.
fn part<T>(narrow: &[T], wide: &[T], same: impl Fn(&T, &T) -> bool) -> bool {
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|one| wide.iter().any(|other| same(one, other))))
}

/// Why an event lies outside of what a partner may send; `None` where it does not. Tests are its own and always taken.
pub fn outside(sends: &Sends, tlp: Tlp, category: Category) -> Option<String> {
    if category == Category::Test {
        return None;
    }
    if let Some(most) = sends.max_tlp.filter(|most| tlp > *most) {
        return Some(format!("the agreement covers what is sent up to {most}, and this is {tlp}"));
    }
    let taken = sends.categories.is_empty() || sends.categories.contains(&category);
    (!taken).then(|| format!("the agreement does not cover sending events of category {category}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use model::Text;

    fn covered(agreement: Option<&Agreement>, category: Category, sector: Option<&str>) -> Vec<Tlp> {
        Tlp::ALL.iter().copied().filter(|tlp| covers(agreement, *tlp, category, sector)).collect()
    }

    #[test]
    fn a_marking_is_covered_as_the_agreement_says_and_red_never() {
        let strict = |max_tlp, strict| Agreement { strict, ..Agreement::up_to(max_tlp) };
        for (agreement, most) in [
            (None, Tlp::Green),
            (Some(strict(Tlp::Clear, true)), Tlp::Clear),
            (Some(strict(Tlp::Green, true)), Tlp::Green),
            (Some(strict(Tlp::Amber, false)), Tlp::Amber),
            (Some(strict(Tlp::Amber, true)), Tlp::AmberStrict),
            (Some(strict(Tlp::AmberStrict, false)), Tlp::Amber),
            (Some(Agreement::up_to(Tlp::AmberStrict)), Tlp::AmberStrict),
            (Some(Agreement::up_to(Tlp::Red)), Tlp::AmberStrict),
        ] {
            let expected: Vec<Tlp> = Tlp::ALL.iter().copied().filter(|tlp| *tlp <= most).collect();
            assert_eq!(covered(agreement.as_ref(), Category::Phishing, None), expected, "{agreement:?}");
        }
    }

    #[test]
    fn categories_and_sectors_narrow_what_lies_above_green_alone() {
        let agreement = Agreement { categories: vec![Category::Phishing], sectors: vec![Text::from("energy")], ..Agreement::up_to(Tlp::Amber) };
        let all = [Tlp::Clear, Tlp::Green, Tlp::Amber];
        assert_eq!(covered(Some(&agreement), Category::Phishing, Some("energy")), all);
        assert_eq!(covered(Some(&agreement), Category::Phishing, Some("Energy")), all);
        for (category, sector) in [(Category::Phishing, None), (Category::Phishing, Some("finance")), (Category::C2Server, Some("energy"))] {
            assert_eq!(covered(Some(&agreement), category, sector), all[..2], "{category} {sector:?}");
        }
    }

    #[test]
    fn one_agreement_lies_within_another_up_to_a_marking() {
        let part = |max_tlp| Agreement { categories: vec![Category::Phishing], ..Agreement::up_to(max_tlp) };
        let within = |narrow: &Agreement, wide: &Agreement| Tlp::ALL.iter().map(|&tlp| is_within_up_to(Some(narrow), Some(wide), tlp)).collect::<Vec<_>>();
        let (amber, strict, green) = (Agreement::up_to(Tlp::Amber), Agreement::up_to(Tlp::AmberStrict), Agreement::up_to(Tlp::Green));
        assert_eq!(within(&part(Tlp::AmberStrict), &strict), [true; 5]);
        assert_eq!(within(&part(Tlp::AmberStrict), &amber), [true, true, true, false, false]);
        assert_eq!(within(&amber, &part(Tlp::AmberStrict)), [true, true, false, false, false]);
        assert_eq!(within(&green, &part(Tlp::Amber)), [true; 5]);
        assert_eq!(within(&part(Tlp::Amber), &green), [true, true, false, false, false]);
        // Names are asked beside.
        let named = Agreement { names: true, ..amber.clone() };
        assert!(within(&named, &amber) == [true; 5] && !is_within(Some(&named), Some(&amber)) && is_within(Some(&amber), Some(&named)));
    }

    #[test]
    fn what_is_sent_outside_of_the_agreement_is_told_why() {
        let sends = Sends { max_tlp: Some(Tlp::Green), categories: vec![Category::Phishing] };
        assert_eq!(outside(&sends, Tlp::Green, Category::Phishing), None);
        assert!(outside(&sends, Tlp::Amber, Category::Phishing).unwrap().contains("up to green"));
        assert!(outside(&sends, Tlp::Clear, Category::Scanner).unwrap().contains("scanner"));
        assert_eq!(outside(&sends, Tlp::Red, Category::Test), None);
        assert_eq!(outside(&Sends::default(), Tlp::Red, Category::Scanner), None);
    }
}
