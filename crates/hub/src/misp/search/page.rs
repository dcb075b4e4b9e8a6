//! Pages of what is found.

use super::wanted::Of;
use crate::misp::MAX_FOUND;
use crate::misp::fields::{Fields, number};
use crate::misp::filter::Search;

/// How much of what is found lies before the page, and how much is left of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::misp) struct Page {
    pub skip: usize,
    pub left: usize,
}

impl Page {
    /// Everything.
    pub(in crate::misp) const ALL: Self = Self { skip: 0, left: usize::MAX };

    /// What a list asks for that has no other filters: all of it, or so many with `limit`, or [`MAX_FOUND`] with `page` alone.
    pub(in crate::misp) fn asked(given: &Fields) -> Self {
        let positive = |name: &str| number(given, name).and_then(|asked| usize::try_from(asked).ok()).filter(|asked| *asked > 0);
        match (positive("limit"), positive("page")) {
            (None, None) => Self::ALL,
            (limit, page) => {
                let limit = limit.unwrap_or(MAX_FOUND);
                Self { skip: page.unwrap_or(1).saturating_sub(1).saturating_mul(limit), left: limit }
            }
        }
    }

    /// What a search asks for.
    pub(super) fn of(search: &Search) -> Self {
        let Some(limit) = search.limit else { return Self::ALL };
        Self { skip: search.page.saturating_sub(1).saturating_mul(limit), left: limit }
    }

    /// What of some events is on the page. An event without parts counts as one.
    pub(super) fn cut(&mut self, events: Vec<Of>) -> Vec<Of> {
        let mut kept = Vec::new();
        for (event, mut parts) in events {
            if self.left == 0 {
                break;
            }
            let count = parts.len().max(1);
            let passed = self.skip.min(count);
            self.skip -= passed;
            if passed == count {
                continue;
            }
            parts.drain(..passed.min(parts.len()));
            parts.truncate(self.left);
            self.left -= parts.len().max(1);
            kept.push((event, parts));
        }
        kept
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_cut_out_of_slices_without_a_gap_or_a_double() {
        let events = || vec![(1, vec![11, 12, 13]), (2, vec![21]), (3, vec![31, 32])];
        for size in 1..=7 {
            let mut all: Vec<i64> = Vec::new();
            for number in 0..7 {
                let mut page = Page { skip: number * size, left: size };
                // In two slices, as they may come.
                let mut slices = events();
                let second = slices.split_off(2);
                let given: Vec<Of> = page.cut(slices).into_iter().chain(page.cut(second)).collect();
                assert!(given.iter().all(|(_, parts)| !parts.is_empty()) && given.iter().map(|(_, parts)| parts.len()).sum::<usize>() <= size);
                all.extend(given.into_iter().flat_map(|(_, parts)| parts));
            }
            assert_eq!(all, [11, 12, 13, 21, 31, 32], "{size}");
        }
        let whole = || vec![(1, Vec::new()), (2, Vec::new()), (3, Vec::new())];
        assert_eq!(Page { skip: 1, left: 1 }.cut(whole()), [(2, Vec::new())]);
        let mut all = Page::ALL;
        assert_eq!(all.cut(whole()).len(), 3);
    }

    #[test]
    fn a_list_is_given_whole_unless_a_page_of_it_is_asked_for() {
        for (given, expected) in [
            (serde_json::json!({}), Page::ALL),
            (serde_json::json!({ "limit": "20" }), Page { skip: 0, left: 20 }),
            (serde_json::json!({ "limit": 20, "page": "3" }), Page { skip: 40, left: 20 }),
            (serde_json::json!({ "page": 2 }), Page { skip: MAX_FOUND, left: MAX_FOUND }),
            (serde_json::json!({ "limit": 0, "page": -1 }), Page::ALL),
        ] {
            assert_eq!(Page::asked(given.as_object().unwrap()), expected, "{given}");
        }
    }
}
