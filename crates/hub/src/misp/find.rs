//! Where a name leads a caller.
//!
//! Flow: a name → [`Hub::misp_find`], [`Hub::misp_find_part`]: own first, then what is visible, by [`Hub::misp_ranks`].
//! Invariant: what the caller does not see is not found; nobody takes the place of what is here already.
//! Not here: who sees what ([`super::access`]), how it is shown ([`super::show`]).

use super::fields::uuid_of;
use crate::{Actor, Hub, HubError};
use hashbrown::{HashMap, HashSet};
use model::OrgNo;
use serde::Deserialize;
use serde_json::Value;
use store::misp::{Condition, Head, MAX_READ, Name, Part, Place, RowQuery};

/// Where an event stands among those of one name: smaller first.
pub(super) type Rank = (bool, i64, bool, i64);

/// The name in a path: a number or a UUID.
pub(super) fn name_of(text: &str) -> Result<Name, HubError> {
    if let Some(uuid) = uuid_of(text) {
        return Ok(Name::Uuid(uuid));
    }
    text.parse().map(Name::Id).map_err(|_| HubError::NotFound)
}

impl Hub {
    /// The event that a name leads the caller to: its own one, else the first that it sees.
    pub(super) async fn misp_find(&self, actor: &Actor, name: &Name, sync: bool) -> Result<Head, HubError> {
        let heads = self.misp_events().named(name).await?;
        self.first_seen_by(actor, heads, sync).ok_or(HubError::NotFound)
    }

    /// Of several events of one name, the one that is meant.
    pub(super) fn first_seen_by(&self, actor: &Actor, heads: Vec<Head>, sync: bool) -> Option<Head> {
        let reading = self.misp_reading(actor, sync);
        let mut seen: Vec<Head> = heads.into_iter().filter(|head| !head.deleted && reading.event(head).sees_event()).collect();
        if seen.len() > 1 {
            let ranks = self.misp_ranks(seen.iter(), actor.organisation.number);
            seen.sort_by_key(|head| ranks.get(&head.id).copied());
        }
        seen.into_iter().next()
    }

    /// Where each of several of one name stands: one's own first; else those that came earlier. Where one is passed on and whoever made it, by the UUID
    /// of its `Orgc`, has one here, too, that goes before it: nobody else's does, so that nobody takes the place of what is here already.
    pub(super) fn misp_ranks<'h>(&self, heads: impl Iterator<Item = &'h Head> + Clone, own: OrgNo) -> HashMap<i64, Rank> {
        let directory = self.directory().snapshot();
        ranks(heads, own, |number| directory.organisation(number).map(|organisation| organisation.id.0.to_string()))
    }

    /// The attribute, object or report that a name leads the caller to, with its event.
    pub(super) async fn misp_find_part(&self, actor: &Actor, part: Part, name: &Name, sync: bool) -> Result<(Head, Place), HubError> {
        let own = actor.organisation.number;
        let mut found: Vec<(Head, Place)> = Vec::new();
        for place in self.misp_events().places(part, name, own).await? {
            let Some(head) = self.first_seen_by(actor, self.misp_events().named(&Name::Id(place.event)).await?, sync) else { continue };
            let query = RowQuery { ids: Condition { any: vec![place.id], none: Vec::new() }, ..RowQuery::default() };
            let is_seen = match part {
                Part::Attribute => !self.misp_visible(actor, &head, query).await?.is_empty(),
                Part::Report => self.misp_report_of(actor, &head, place.id, sync)?.is_some(),
                Part::Event | Part::Object => true,
            };
            if is_seen {
                // One's own are the first, and nothing goes before them.
                if head.org == own {
                    return Ok((head, place));
                }
                found.push((head, place));
            }
        }
        if found.len() > 1 {
            let ranks = self.misp_ranks(found.iter().map(|(head, _)| head), own);
            found.sort_by_key(|(head, place)| (ranks.get(&head.id).copied(), place.id));
        }
        found.into_iter().next().ok_or(HubError::NotFound)
    }

    /// The attributes of an event that meet a condition and that the caller sees.
    pub(super) async fn misp_visible(&self, actor: &Actor, head: &Head, query: RowQuery) -> Result<HashSet<i64>, HubError> {
        let mut query = RowQuery { limit: MAX_READ, ..query };
        query.events.ids = Condition { any: vec![head.id], none: Vec::new() };
        let mut visible = HashSet::new();
        loop {
            let rows = self.misp_events().rows(&query).await?;
            let reading = self.misp_reading(actor, false);
            visible.extend(rows.iter().filter(|found| reading.attribute(head, found)).map(|found| found.id));
            match rows.last().filter(|_| rows.len() >= MAX_READ) {
                Some(last) => query.after = (last.event, last.id),
                None => return Ok(visible),
            }
        }
    }
}

/// What decides on the rank of an event: whether it is passed on, and whose it is then.
#[derive(Deserialize)]
struct Made {
    #[serde(rename = "Orgc")]
    creator: Option<Value>,
}

impl Made {
    /// The UUID of who made an event that is passed on; `None`: its contributor made it.
    fn elsewhere(head: &Head) -> Option<String> {
        let creator = serde_json::from_str::<Self>(&head.json).ok()?.creator?;
        Some(creator.get("uuid").and_then(Value::as_str).unwrap_or_default().to_lowercase())
    }
}

/// As [`Hub::misp_ranks`], with the UUIDs of organisations.
fn ranks<'h>(heads: impl Iterator<Item = &'h Head> + Clone, own: OrgNo, uuid_of: impl Fn(OrgNo) -> Option<String>) -> HashMap<i64, Rank> {
    let creators: HashMap<i64, Option<String>> = heads.clone().map(|head| (head.id, Made::elsewhere(head))).collect();
    // The first event that passes on what an organisation made.
    let mut passed_on: HashMap<&str, i64> = HashMap::new();
    for (id, creator) in &creators {
        if let Some(creator) = creator.as_deref() {
            let first = passed_on.entry(creator).or_insert(*id);
            *first = (*first).min(*id);
        }
    }
    heads
        .map(|head| {
            let is_passed_on = creators.get(&head.id).is_some_and(Option::is_some);
            let made_by = if is_passed_on { None } else { uuid_of(head.org) };
            let before = made_by.and_then(|uuid| passed_on.get(uuid.as_str()).copied()).unwrap_or(head.id);
            (head.id, (head.org != own, before.min(head.id), is_passed_on, head.id))
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_is_a_number_or_a_uuid() {
        assert_eq!(name_of("7").unwrap(), Name::Id(7));
        assert!(matches!(name_of("AB2B6E28-fda5-4282-bf60-22b81de77851").unwrap(), Name::Uuid(uuid) if uuid.starts_with("ab2b")));
        assert!(matches!(name_of("x"), Err(HubError::NotFound)));
    }

    #[test]
    fn an_event_goes_before_one_that_is_passed_on_only_where_that_names_its_organisation() {
        let uuid_of = |number: OrgNo| Some(format!("uuid-{}", number.0));
        let head = |id: i64, org: u32, creator: Option<&str>| Head {
            id,
            org: OrgNo(org),
            uuid: "u".to_owned(),
            published: true,
            deleted: false,
            tlp: model::Tlp::Green,
            audience: Vec::new(),
            test: false,
            timestamp: 0,
            published_at: 0,
            date: String::new(),
            attributes: 0,
            generation: 1,
            json: creator.map_or_else(|| "{}".to_owned(), |uuid| json!({ "info": "x", "Orgc": { "uuid": uuid } }).to_string()),
        };
        let order = |own: u32, mut heads: Vec<Head>| -> Vec<i64> {
            let ranks = ranks(heads.iter(), OrgNo(own), uuid_of);
            heads.sort_by_key(|head| ranks.get(&head.id).copied());
            heads.iter().map(|head| head.id).collect()
        };
        // Of 7's event, which 1 passes on, 7's own copy goes first, and not what 3 made later under its UUID.
        let heads = || vec![head(10, 1, Some("uuid-7")), head(11, 3, None), head(12, 7, None), head(13, 4, Some("elsewhere"))];
        assert_eq!(order(9, heads()), [12, 10, 11, 13]);
        assert_eq!(order(3, heads()), [11, 12, 10, 13], "one's own goes first");
        assert_eq!(order(9, vec![head(1, 3, None), head(2, 4, None), head(3, 5, Some("elsewhere"))]), [1, 2, 3]);
        assert_eq!(order(9, vec![head(1, 5, Some("elsewhere")), head(2, 3, None)]), [1, 2]);
    }
}
