//! Tags: those that something carries which the caller sees, and those that mean something to the hub.
//!
//! Flow: rows of tags in order of their names → which of them the caller sees ([`Seen`]) → each name that stands on something ([`Scan`]) → a list, all of it
//! or a page.
//! Invariant: a tag is shown where something that carries it is seen; none that is seen is left out, however many there are.

use super::MAX_VALUES;
use super::access::Reading;
use super::answer::{self, MispAnswer, MispMedia, Out};
use super::document::tag;
use super::fields::{Fields, flag, set, text, unwrapped, wrong};
use super::people::{may_write, tag_number};
use super::search::{Page, ROOM};
use super::show::Wait;
use crate::{Actor, Hub, HubError};
use formats::misp::feed::{category_tag, tlp_tag};
use hashbrown::HashMap;
use model::{Category, Pap, Tlp};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use store::misp::{Condition, EventQuery, Found, Head, MAX_READ, RowQuery};

/// Heads and rows that are remembered at the most.
const MAX_REMEMBERED: usize = 200_000;
/// Events read at once, each with fields of up to 1 MiB that are let go at once.
const MAX_HEADS: usize = 16;

/// Which tags are wanted.
enum Like {
    Any,
    /// Of a name, in lower case, in which `%` stands for anything; or strictly that name.
    Name(String, bool),
    /// Of this name, in lower case, or of this number.
    One(String, Option<i64>),
}

impl Like {
    /// Whether a name in lower case is wanted.
    fn is(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Name(wanted, strict) => is_like(name, wanted, *strict),
            Self::One(wanted, number) => name == wanted || number.is_some_and(|number| tag_number(name) == number),
        }
    }

    /// What every wanted name begins with.
    fn beginning(&self) -> &str {
        match self {
            Self::Name(wanted, true) => wanted.trim_matches('%'),
            Self::Name(wanted, false) if !wanted.starts_with('%') => wanted.trim_end_matches('%'),
            Self::One(wanted, None) => wanted,
            Self::Any | Self::Name(..) | Self::One(..) => "",
        }
    }
}

/// Tags in order of their names in lower case, as far as the caller sees what carries them.
struct Scan {
    hub: Arc<Hub>,
    actor: Actor,
    sync: bool,
    like: Like,
    /// The last row that was read.
    place: (String, i64, i64),
    /// Rows that come next, each with whether it is wanted and seen.
    rows: VecDeque<(String, bool)>,
    is_over: bool,
    memory: Seen,
}

/// A list of tags that is being written.
struct Listing {
    scan: Scan,
    /// Those of ours that are wanted, in order of their names in lower case.
    standing: VecDeque<String>,
    page: Page,
    /// A list alone, each tag in its wrapper.
    is_search: bool,
}

impl Hub {
    /// Tags that the caller can see on something, and those of the markings and categories; those whose name is like what is asked for.
    ///
    /// # Errors
    /// What the store says.
    pub async fn misp_tags(self: &Arc<Self>, actor: &Actor, given: &Fields, is_search: bool, sync: bool) -> Result<MispAnswer, HubError> {
        let name = text(given, if is_search { "tagname" } else { "searchall" }).map(|name| name.to_lowercase());
        let like = name.map_or(Like::Any, |name| Like::Name(name, flag(given, "strict_tagname") == Some(true)));
        let mut standing: Vec<String> = standing_tags().into_iter().filter(|name| like.is(&name.to_lowercase())).collect();
        standing.sort_by_key(|name| name.to_lowercase());
        let listing = Listing { scan: Scan::new(self, actor, like, sync), standing: standing.into(), page: Page::asked(given), is_search };
        let answer = answer::begin(self, actor.organisation.number, MispMedia::Json, Wait::Refused, move |out| listing.run(out)).await?;
        Ok(MispAnswer { count: None, ..answer })
    }

    /// A tag as it will be: nothing is kept of it, for a tag is there by being used.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for roles that do not tag, [`HubError::Invalid`] for what is no tag.
    pub fn misp_new_tag(&self, actor: &Actor, body: Value) -> Result<Value, HubError> {
        if !may_write(actor) {
            return Err(HubError::Forbidden("this role may not do this"));
        }
        let fields = unwrapped(body, "Tag").ok_or_else(|| wrong("Tag", "the body must be a tag"))?;
        let name = text(&fields, "name").ok_or_else(|| wrong("name", "a tag has a name"))?;
        Ok(json!({ "Tag": tag(&name, false, &fields)? }))
    }

    /// One tag, by its number or name.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where the caller sees it on nothing.
    pub async fn misp_tag(self: &Arc<Self>, actor: &Actor, name: &str, sync: bool) -> Result<Value, HubError> {
        let like = Like::One(name.to_lowercase(), name.parse().ok());
        let standing = standing_tags().into_iter().find(|own| like.is(&own.to_lowercase()));
        let _room = self.misp_room(ROOM).await?;
        let mut scan = Scan::new(self, actor, like, sync);
        match (scan.find().await?, standing) {
            (Some(found), standing) => {
                let count = scan.count(&found).await?;
                counted(&standing.unwrap_or(found), count)
            }
            (None, Some(standing)) => counted(&standing, 0),
            (None, None) => Err(HubError::NotFound),
        }
    }
}

impl Scan {
    fn new(hub: &Arc<Hub>, actor: &Actor, like: Like, sync: bool) -> Self {
        // Before everything that has the name.
        let place = (like.beginning().to_owned(), -1, -1);
        let is_over = !actor.reader.reads_events();
        Self { hub: Arc::clone(hub), actor: actor.clone(), sync, like, place, rows: VecDeque::new(), is_over, memory: Seen::default() }
    }

    /// Reads on where everything that was read is used; false where there is nothing more.
    async fn filled(&mut self) -> Result<bool, HubError> {
        while self.rows.is_empty() && !self.is_over {
            self.actor = self.hub.misp_again(&self.actor)?;
            let tags = self.hub.misp_events().tags(Some(&self.place)).await?;
            let beginning = self.like.beginning();
            self.is_over = tags.len() < MAX_READ || tags.last().is_some_and(|(name, ..)| !name.starts_with(beginning));
            let wanted: Vec<&(String, i64, i64)> = tags.iter().filter(|(name, ..)| self.like.is(name)).collect();
            self.memory.learn(&self.hub, &wanted).await?;
            if let Some(last) = tags.last() {
                self.place = last.clone();
            }
            let reading = self.hub.misp_reading(&self.actor, self.sync);
            self.rows = tags
                .into_iter()
                .map(|(name, event, attribute)| {
                    let seen = self.like.is(&name) && self.memory.sees(&reading, event, attribute);
                    (name, seen)
                })
                .collect();
        }
        Ok(!self.rows.is_empty())
    }

    /// The next name that is wanted and stands on something that the caller sees.
    async fn find(&mut self) -> Result<Option<String>, HubError> {
        while self.filled().await? {
            let Some((name, seen)) = self.rows.front() else { break };
            if *seen {
                return Ok(Some(name.clone()));
            }
            if self.like.is(name) {
                self.rows.pop_front();
            } else {
                let name = name.clone();
                self.pass(&name);
            }
        }
        Ok(None)
    }

    /// On how much of what the caller sees a name stands that was found.
    async fn count(&mut self, name: &str) -> Result<u64, HubError> {
        let mut count = 0;
        while self.filled().await? {
            let Some((_, seen)) = self.rows.front().filter(|(next, _)| next == name) else { break };
            count += u64::from(*seen);
            self.rows.pop_front();
        }
        Ok(count)
    }

    /// Passes over what is left of a name, without reading it.
    fn pass(&mut self, name: &str) {
        while self.rows.front().is_some_and(|(next, _)| next == name) {
            self.rows.pop_front();
        }
        if self.rows.is_empty() {
            self.place = (name.to_owned(), i64::MAX, i64::MAX);
        }
    }
}

impl Listing {
    async fn run(mut self, mut out: Out) -> Result<Out, HubError> {
        let _room = self.scan.hub.misp_room(ROOM).await?;
        let (opening, closing) = if self.is_search { ("[", "]") } else { ("{\"Tag\":[", "]}") };
        out.write(opening.as_bytes());
        while self.page.left > 0 {
            let found = self.scan.find().await?;
            let own = self.standing.front().map(|name| name.to_lowercase()).filter(|own| found.as_ref().is_none_or(|found| own <= found));
            let is_found = own.is_none() || own == found;
            let written = if own.is_some() { self.standing.pop_front() } else { found.clone() };
            let Some(name) = written else { break };
            if self.page.skip > 0 {
                self.page.skip -= 1;
                if let Some(found) = found.filter(|_| is_found) {
                    self.scan.pass(&found);
                }
                continue;
            }
            self.page.left -= 1;
            let count = match found.filter(|_| is_found) {
                Some(found) => self.scan.count(&found).await?,
                None => 0,
            };
            let tag = counted(&name, count)?;
            let entry = if self.is_search { json!({ "Tag": tag }) } else { tag };
            out.entry(entry.to_string().as_bytes());
            out.pass_on().await?;
        }
        out.write(closing.as_bytes());
        Ok(out)
    }
}

/// Heads and rows that were looked up, so that each is looked up once.
#[derive(Default)]
struct Seen {
    heads: HashMap<i64, Head>,
    rows: HashMap<i64, Found>,
}

impl Seen {
    async fn learn(&mut self, hub: &Hub, tags: &[&(String, i64, i64)]) -> Result<(), HubError> {
        if self.heads.len() + self.rows.len() > MAX_REMEMBERED {
            *self = Self::default();
        }
        let mut events: Vec<i64> = tags.iter().map(|(_, event, _)| *event).filter(|event| !self.heads.contains_key(event)).collect();
        let mut attributes: Vec<i64> = tags.iter().map(|(_, _, attribute)| *attribute).filter(|id| *id != 0 && !self.rows.contains_key(id)).collect();
        for list in [&mut events, &mut attributes] {
            list.sort_unstable();
            list.dedup();
        }
        for ids in events.chunks(MAX_HEADS) {
            let query = EventQuery { ids: Condition { any: ids.to_vec(), none: Vec::new() }, limit: MAX_READ, ..EventQuery::default() };
            // Who may see it stands beside its own fields, which would fill the memory.
            self.heads.extend(hub.misp_events().heads(&query).await?.into_iter().map(|head| (head.id, Head { json: String::new(), ..head })));
        }
        for ids in attributes.chunks(MAX_VALUES) {
            let query = RowQuery { ids: Condition { any: ids.to_vec(), none: Vec::new() }, deleted: Some(false), limit: MAX_READ, ..RowQuery::default() };
            self.rows.extend(hub.misp_events().rows(&query).await?.into_iter().map(|found| (found.id, found)));
        }
        Ok(())
    }

    fn sees(&self, reading: &Reading<'_>, event: i64, attribute: i64) -> bool {
        let Some(head) = self.heads.get(&event).filter(|head| reading.event(head).sees_event()) else { return false };
        attribute == 0 || self.rows.get(&attribute).is_some_and(|found| reading.attribute(head, found))
    }
}

/// Tags that mean something to the hub whether anything carries them or not.
fn standing_tags() -> Vec<String> {
    let tlp = Tlp::ALL.iter().map(|tlp| tlp_tag(*tlp));
    let pap = Pap::ALL.iter().map(|pap| format!("PAP:{}", pap.as_str().to_ascii_uppercase()));
    tlp.chain(pap).chain(Category::ALL.iter().map(|category| category_tag(*category))).collect()
}

fn is_like(name: &str, wanted: &str, strict: bool) -> bool {
    match (wanted.strip_prefix('%'), wanted.strip_suffix('%')) {
        _ if strict => name == wanted.trim_matches('%'),
        (Some(_), Some(_)) => name.contains(wanted.trim_matches('%')),
        (Some(end), None) => name.ends_with(end),
        (None, Some(beginning)) => name.starts_with(beginning),
        (None, None) => name == wanted,
    }
}

fn counted(name: &str, count: u64) -> Result<Value, HubError> {
    let mut tag = tag(name, false, &Map::new())?;
    if let Some(fields) = tag.as_object_mut() {
        set(fields, "count", count);
        set(fields, "attribute_count", 0);
        set(fields, "favourite", false);
    }
    Ok(tag)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_like_another_where_the_sign_for_anything_stands() {
        for (wanted, strict, expected) in [
            ("tlp:green", false, true),
            ("%green", false, true),
            ("tlp:%", false, true),
            ("%p:g%", false, true),
            ("green", false, false),
            ("%green%", true, false),
        ] {
            assert_eq!(is_like("tlp:green", wanted, strict), expected, "{wanted}");
        }
    }

    #[test]
    fn the_tags_of_the_hub_are_read_back_as_what_they_mean() {
        assert!(standing_tags().contains(&"rsit:malicious-code=\"c2-server\"".to_owned()) && standing_tags().contains(&"PAP:RED".to_owned()));
    }

    #[test]
    fn everything_that_is_wanted_begins_with_what_is_looked_for_first() {
        for (wanted, strict, expected) in [("tlp:green", false, "tlp:green"), ("tlp:%", false, "tlp:"), ("%green", false, ""), ("%green%", true, "green")] {
            assert_eq!(Like::Name(wanted.to_owned(), strict).beginning(), expected, "{wanted}");
        }
        assert_eq!((Like::One("tlp:green".to_owned(), None).beginning(), Like::One("7".to_owned(), Some(7)).beginning()), ("tlp:green", ""));
        assert!(Like::One("x".to_owned(), Some(tag_number("own:tag"))).is("own:tag") && !Like::One("x".to_owned(), Some(7)).is("own:tag"));
    }
}
