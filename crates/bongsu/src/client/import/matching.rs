//! Which of the hub's organisations an imported one is, decided for all of them before anything is written.
//!
//! Flow: [`decide`] → by the reference that an earlier run noted → by the id, where both systems have the same one → as the hub's own → by the name; each
//! for all organisations before the next.
//! Invariant: two organisations of the other system never become one of the hub's; what an earlier run noted is taken by no other sign; a name decides
//! only where one organisation on each side bears it.
//! Not here: what is written then ([`super::apply`]).

use super::directory::{Directory, Entry};
use std::collections::BTreeMap;

/// What may be done where a name does not decide.
const REMEDY: &str = "rename one of them, or note which is meant under \"organisations\" in the file of --report";

/// What an imported organisation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The hub's organisation of this id, and by what it was told.
    Is(By, String),
    /// None of the hub's.
    New,
    /// It cannot be told, and why: it is not touched.
    Doubtful(String),
}

/// By what an organisation was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// An earlier run noted it.
    Report,
    /// The other system has it under the same id.
    Id,
    /// Each of both is the one that runs its hub.
    Own,
    /// Both have this name, and nobody else has.
    Name,
}

impl By {
    /// The word in the report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Id => "id",
            Self::Own => "own",
            Self::Name => "name",
        }
    }
}

/// Tells of each organisation of a directory, in its order, which of those `present` it is; `noted` is what earlier runs found out, by reference.
pub fn decide(directory: &Directory, present: &BTreeMap<String, Entry>, noted: &BTreeMap<String, String>) -> Vec<Match> {
    let by_id: BTreeMap<String, &str> = present.keys().filter_map(|id| Some((digits(id)?, id.as_str()))).collect();
    let own = present.values().find(|known| known.own).map(|known| known.reference.as_str());
    let mut by_name: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (id, known) in present {
        by_name.entry(plain(&known.name)).or_default().push(id.as_str());
    }
    // What is surer comes first, for all of them: a weaker sign takes nothing from whom it belongs to by a stronger one, in whatever order they come.
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    let mut decided: Vec<Option<Match>> = vec![None; directory.organisations.len()];
    for by in [By::Report, By::Id, By::Own] {
        for (entry, decision) in directory.organisations.iter().zip(&mut decided).filter(|(_, decision)| decision.is_none()) {
            let told = match by {
                By::Report => noted.get(&entry.reference).map(String::as_str).filter(|id| !entry.reference.is_empty() && present.contains_key(*id)),
                By::Id => digits(&entry.reference).and_then(|digits| by_id.get(&digits).copied()),
                By::Own => own.filter(|_| entry.own),
                By::Name => None,
            };
            let Some(id) = told else { continue };
            if let Some(other) = taken.get(id) {
                *decision = Some(Match::Doubtful(format!("the hub's {id} stands for {other:?} already; {REMEDY}")));
                continue;
            }
            taken.insert(id.to_owned(), entry.name.as_str());
            *decision = Some(Match::Is(by, id.to_owned()));
        }
    }
    let mut bearers: BTreeMap<String, usize> = BTreeMap::new();
    for (entry, _) in directory.organisations.iter().zip(&decided).filter(|(_, decision)| decision.is_none()) {
        *bearers.entry(plain(&entry.name)).or_default() += 1;
    }
    let by_its_name = |entry: &Entry| {
        let name = plain(&entry.name);
        let candidates = by_name.get(&name).map(Vec::as_slice).unwrap_or_default();
        match (bearers.get(&name).copied().unwrap_or_default(), candidates) {
            (count @ 2.., _) => Match::Doubtful(format!("{count} organisations there have this name; {REMEDY}")),
            (_, []) => Match::New,
            (_, [id]) => match taken.get(*id) {
                Some(other) => Match::Doubtful(format!("the hub's organisation of this name, {id}, stands for {other:?}; {REMEDY}")),
                None => Match::Is(By::Name, (*id).to_owned()),
            },
            (_, [_, ..]) => Match::Doubtful(format!("several of the hub's organisations have this name; {REMEDY}")),
        }
    };
    decided.into_iter().zip(&directory.organisations).map(|(decision, entry)| decision.unwrap_or_else(|| by_its_name(entry))).collect()
}

/// A name as it is compared.
fn plain(name: &str) -> String {
    name.trim().to_lowercase()
}

/// The digits of a UUID or of an organisation's id, which is made of one; `None` for any other reference.
fn digits(reference: &str) -> Option<String> {
    let digits: String = reference.trim().trim_start_matches("org_").chars().filter(|character| *character != '-').collect();
    let is_id = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| digits.to_ascii_lowercase())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    const ONE: &str = "org_0190a5b8a1b27000800000000000abcd";
    const TWO: &str = "org_0190a5b8a1b27000800000000000abce";

    fn entry(reference: &str, name: &str) -> Entry {
        Entry { reference: reference.to_owned(), name: name.to_owned(), ..Entry::default() }
    }

    /// What becomes of entries (reference, name) where the hub has `present` and a report says `noted`.
    fn decided(entries: &[(&str, &str)], present: &[(&str, &str)], noted: &[(&str, &str)]) -> Vec<Match> {
        let directory = Directory { organisations: entries.iter().map(|(reference, name)| entry(reference, name)).collect(), ..Directory::new() };
        let present = present.iter().map(|(id, name)| ((*id).to_owned(), entry(id, name))).collect();
        let noted = noted.iter().map(|(reference, id)| ((*reference).to_owned(), (*id).to_owned())).collect();
        decide(&directory, &present, &noted)
    }

    fn is(by: By, id: &str) -> Match {
        Match::Is(by, id.to_owned())
    }

    #[test]
    fn what_was_noted_comes_before_the_id_and_the_id_before_the_name() {
        let hub = [(ONE, "Bank"), (TWO, "Shop")];
        assert_eq!(decided(&[("u1", " bank ")], &hub, &[]), [is(By::Name, ONE)]);
        assert_eq!(decided(&[("u1", "Bank")], &hub, &[("u1", TWO)]), [is(By::Report, TWO)]);
        // An organisation that a MISP got from this hub has the same UUID there.
        assert_eq!(decided(&[("0190A5B8-A1B2-7000-8000-00000000ABCE", "Bank")], &hub, &[]), [is(By::Id, TWO)]);
        assert_eq!(decided(&[(TWO, "renamed")], &hub, &[]), [is(By::Id, TWO)]);
        assert_eq!(decided(&[("u9", "Nobody")], &hub, &[]), [Match::New]);
        // What a report notes and the hub no longer has says nothing.
        assert_eq!(decided(&[("u1", "Bank")], &hub, &[("u1", "org_gone")]), [is(By::Name, ONE)]);
        assert_eq!(decided(&[("", "Nobody")], &hub, &[("", ONE)]), [Match::New]);
    }

    #[test]
    fn two_of_one_name_never_become_one() {
        let doubtful = |decided: &[Match]| decided.iter().map(|found| matches!(found, Match::Doubtful(_))).collect::<Vec<_>>();
        // Both there, with the hub's or without.
        assert_eq!(doubtful(&decided(&[("u1", "Bank"), ("u2", "bank")], &[(ONE, "Bank")], &[])), [true, true]);
        assert_eq!(doubtful(&decided(&[("u1", "Bank"), ("u2", "bank")], &[], &[])), [true, true]);
        // The hub's one is known to be another, whichever comes first.
        assert_eq!(decided(&[("u2", "Bank"), ("u1", "Bank")], &[(ONE, "Bank")], &[("u1", ONE)])[1], is(By::Report, ONE));
        assert_eq!(doubtful(&decided(&[("u2", "Bank"), ("u1", "Bank")], &[(ONE, "Bank")], &[("u1", ONE)])), [true, false]);
        // Several of the hub's.
        assert_eq!(doubtful(&decided(&[("u1", "Bank")], &[(ONE, "Bank"), (TWO, "BANK")], &[])), [true]);
        // Two references noted for one.
        assert_eq!(doubtful(&decided(&[("u1", "A"), ("u2", "B")], &[(ONE, "Bank")], &[("u1", ONE), ("u2", ONE)])), [false, true]);
        // Noted for another system's reference: it is the same organisation under a name of its own there.
        assert_eq!(decided(&[("n6", "Bank")], &[(ONE, "Bank")], &[("u1", ONE)]), [is(By::Name, ONE)]);
    }

    #[test]
    fn what_was_noted_is_taken_by_no_other_sign_whichever_comes_first() {
        // Somebody there has the UUID of the hub's organisation that was noted for another one.
        let same_id = "0190a5b8-a1b2-7000-8000-00000000abcd";
        for entries in [[(same_id, "Copy"), ("u1", "Bank")], [("u1", "Bank"), (same_id, "Copy")]] {
            let decided = decided(&entries, &[(ONE, "Bank"), (TWO, "Shop")], &[("u1", ONE)]);
            let of = |reference: &str| entries.iter().zip(&decided).find(|(entry, _)| entry.0 == reference).map(|(_, found)| found.clone()).unwrap();
            assert_eq!(of("u1"), is(By::Report, ONE));
            assert!(matches!(of(same_id), Match::Doubtful(_)));
        }
        // Nor does who runs the other hub stand for this hub's own, where that was noted for somebody else.
        let directory = Directory { organisations: vec![Entry { own: true, ..entry("org_x", "Elsewhere") }, entry("u1", "Here")], ..Directory::new() };
        let present = BTreeMap::from([(ONE.to_owned(), Entry { own: true, ..entry(ONE, "Here") })]);
        let decided = decide(&directory, &present, &BTreeMap::from([("u1".to_owned(), ONE.to_owned())]));
        assert!(matches!(decided[0], Match::Doubtful(_)));
        assert_eq!(decided[1], is(By::Report, ONE));
    }

    #[test]
    fn who_runs_the_other_hub_is_who_runs_this_one() {
        let own = |reference: &str, name: &str| Entry { own: true, ..entry(reference, name) };
        let directory = Directory { organisations: vec![own("org_x", "Elsewhere"), entry("org_y", "Here")], ..Directory::new() };
        let present = BTreeMap::from([(ONE.to_owned(), own(ONE, "Here"))]);
        let decided = decide(&directory, &present, &BTreeMap::new());
        assert_eq!(decided[0], is(By::Own, ONE));
        assert!(matches!(decided[1], Match::Doubtful(_)));
    }
}
