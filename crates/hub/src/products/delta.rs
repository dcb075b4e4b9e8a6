//! The difference between two versions of a product.
//!
//! Flow: the log says which values changed since the older version and what they were then; all others were then what they are now. Who is
//! in one version and not in the other came or left.
//! Invariant: exact. A list to which the lines are applied is the newer list, whatever lies between: events, withdrawals, expiry, decay.
//! Where that cannot be said (other rules, too many changes) there is no difference and the whole is to be fetched.

use super::prepared::{Basis, entry, step};
use super::spared::is_spared;
use super::table::{Chosen, Claims, State, Table};
use super::{Products, Want};
use crate::Hub;
use formats::products::{Product, delta_line, licence};
use hashbrown::HashMap;
use model::{ObservableType, Text, Timestamp, Tlp};
use std::sync::Arc;
use store::views::indicators::{Indicator, MAX_VERSIONS};

/// Versions of the log between two versions of a product at the most.
const MAX_CHANGES: usize = 100_000;
/// Versions read at once.
const PAGE: usize = 4_096;
/// How often it is tried where the table moves on meanwhile.
const TRIES: usize = 3;

/// What came (`+`) and what left (`-`), one per line; what left comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delta {
    /// The strictest marking in it.
    pub tlp: Tlp,
    /// The version that it leads to.
    pub version: String,
    /// How many lines.
    pub changes: usize,
    /// Its bytes.
    pub text: String,
}

/// What a changed value was at the older version.
#[derive(Debug)]
pub(super) struct Old {
    pub(super) kind: ObservableType,
    pub(super) value: Text,
    pub(super) state: State,
    pub(super) spared: bool,
}

/// The values that changed since, and what each was; `None`: not in the collection.
pub(super) type Before = HashMap<u128, Option<Old>>;

/// The difference; `None` where the whole is to be fetched.
pub(super) fn between(products: &Products, hub: &Hub, want: &Want, since: Basis, now: Timestamp) -> std::io::Result<Option<Delta>> {
    for _ in 0..TRIES {
        let current = products.basis(want, now);
        if since.stamp != current.stamp || since.at > step(now) || since.position > current.position {
            return Ok(None);
        }
        // Before the table is looked at, for it takes files.
        let Some(changed) = changed(hub, want, since.position, current.position)? else { return Ok(None) };
        let (claims, protected) = {
            let facts = products.facts.read();
            (Arc::clone(&facts.claims), Arc::clone(&facts.protected))
        };
        let mut before = Before::with_capacity(changed.len());
        {
            let mut table = products.table.write();
            for (key, version) in changed {
                let old = version.map(|version| Old {
                    kind: version.kind,
                    state: table.compact(&version),
                    spared: is_spared(version.kind, &version.value, &protected, &hub.warning_lists),
                    value: version.value,
                });
                before.insert(key, old);
            }
        }
        let table = products.table.read();
        if since.at < table.horizon() {
            // What held then and stopped holding since may be forgotten.
            return Ok(None);
        }
        if table.position(want.collection) == current.position {
            return Ok(Some(difference(&table, want, (since, &before), current, &claims)));
        }
    }
    Ok(None)
}

/// The values that changed after one place of the log up to another, with what each was at the first; `None` where there are too many.
fn changed(hub: &Hub, want: &Want, from: Option<Timestamp>, to: Option<Timestamp>) -> std::io::Result<Option<Vec<(u128, Option<Indicator>)>>> {
    let indicators = &hub.store().indicators;
    let mut keys: Vec<u128> = Vec::new();
    let mut after = from;
    while after < to {
        let page = indicators.page(want.collection, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.added);
        keys.extend(page.iter().filter(|version| Some(version.added) <= to).map(|version| version.key));
        if keys.len() > MAX_CHANGES {
            return Ok(None);
        }
    }
    keys.sort_unstable();
    keys.dedup();
    let mut changed = Vec::with_capacity(keys.len());
    for key in keys {
        let versions = indicators.versions(want.collection, key)?;
        let whole = versions.len() < MAX_VERSIONS;
        let old = versions.into_iter().find(|version| Some(version.added) <= from);
        if old.is_none() && !whole {
            return Ok(None);
        }
        changed.push((key, old.filter(|version| !version.revoked)));
    }
    Ok(Some(changed))
}

/// Compares what a product held with what it holds.
pub(super) fn difference(table: &Table, want: &Want, (since, before): (Basis, &Before), current: Basis, claims: &Claims) -> Delta {
    let (mut left, mut came): (Vec<Chosen>, Vec<Chosen>) = (Vec::new(), Vec::new());
    for value in table.entries() {
        let state = value.state(want.collection);
        let (old, changed) = match before.get(&value.key) {
            Some(old) => (old.as_ref().map(|old| &old.state), true),
            None => (state, false),
        };
        let was = old.and_then(|old| table.choice(value, old, want, since.at, claims));
        let is = state.and_then(|state| table.choice(value, state, want, current.at, claims));
        match (was, is) {
            (Some(was), None) => left.push(was),
            (None, Some(is)) => came.push(is),
            // A row says more than its value.
            (Some(_), Some(is)) if changed && want.product == Product::Csv => came.push(is),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    // What was taken out of every collection the table no longer knows.
    for (key, old) in before {
        let Some(old) = old.as_ref().filter(|_| table.get(*key).is_none()) else { continue };
        let claims = claims.get(key).copied().unwrap_or(0);
        if let Some(confidence) = table.admits(want, (old.kind, &old.value), &old.state, old.spared, since.at, claims) {
            left.push(Chosen { key: *key, kind: old.kind, value: old.value.clone(), state: old.state, confidence });
        }
    }
    let dictionary = table.dictionary();
    let version = current.version();
    let mut text = format!("# tlp: {}\n# from: {}\n# to: {version}\n# licence: {}\n", want.tlp(), since.version(), licence(want.tlp()));
    for (lines, there) in [(&mut left, false), (&mut came, true)] {
        lines.sort_unstable_by(|a, b| (a.kind, &a.value).cmp(&(b.kind, &b.value)));
        lines.iter().for_each(|line| delta_line(want.product, &entry(line, &dictionary), there, &mut text));
    }
    Delta { tlp: want.tlp(), version, changes: left.len() + came.len(), text }
}
