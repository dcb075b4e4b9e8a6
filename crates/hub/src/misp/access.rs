//! Who sees a contributed event and the attributes in it: worked out once when it is written, asked of `policy` whenever it is read.
//!
//! Flow: writing: [`Owner`] → [`Access`], kept with the event. Reading: every door → [`Hub::misp_reading`] → [`Reading::event`], [`Reading::attribute`].
//! Invariant: the stricter of distribution and marking wins; what is in an event is at least as strict as it, and both are asked. A draft leaves the hub
//! by no door: nothing else of this room makes a view of its own, so that none can forget it (a test looks).
//! Not here: the rule ([`policy::distribution`], [`policy::sight`]).

use super::fields::{Fields, number, text};
use super::people;
use crate::directory::Snapshot;
use crate::sharing::view::View;
use crate::{Actor, Hub};
use formats::Defaults;
use formats::misp::judge::{Judged, Surroundings};
use model::{Category, Organisation, Text, Tlp};
use policy::Sight;
use policy::distribution::{Distribution, MEMBERS, audience, floor, of_draft, within};
use serde_json::Value;
use store::misp::{Found, Head};

/// Who may receive something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Access {
    pub tlp: Tlp,
    /// Ids that it is narrowed to, by its own distribution.
    pub audience: Vec<Text>,
}

/// What decides about everything of one organisation's.
pub(super) struct Owner<'a> {
    organisation: &'a Organisation,
    directory: &'a Snapshot,
    id: Text,
}

impl<'a> Owner<'a> {
    pub(super) fn new(organisation: &'a Organisation, directory: &'a Snapshot) -> Self {
        Self { organisation, directory, id: Text::from(organisation.id.to_string()) }
    }

    /// Of an event.
    pub(super) fn event(&self, head: &Fields, surroundings: &Surroundings, defaults: &Defaults) -> Access {
        self.given(&self.distribution(head, "1"), surroundings.tlp(defaults))
    }

    /// Of an attribute in an event, and perhaps in an object.
    pub(super) fn attribute(&self, attribute: &Fields, object: Option<&Fields>, event: &Access, judged: &Judged) -> Access {
        let of_object = object.map_or(Distribution::Inherit, |object| self.distribution(object, "5"));
        let own = self.distribution(attribute, "5");
        let tlp = event.tlp.max(judged.tlp).max(floor(&of_object)).max(floor(&own));
        let audience = within(&audience(&of_object, tlp, &self.id), &audience(&own, tlp, &self.id), &self.id);
        Access { tlp, audience }
    }

    /// One list of ids for an attribute in its event, as the hub's own events have.
    pub(super) fn whole(&self, event: &Access, attribute: &Access) -> Vec<Text> {
        let both = within(&event.audience, &attribute.audience, &self.id);
        // Red reaches named persons of an audience alone; that many members are none.
        if attribute.tlp == Tlp::Red && both.iter().any(|id| id == MEMBERS) { vec![self.id.clone()] } else { both }
    }

    fn given(&self, distribution: &Distribution, tlp: Tlp) -> Access {
        let tlp = tlp.max(floor(distribution));
        Access { tlp, audience: audience(distribution, tlp, &self.id) }
    }

    fn distribution(&self, fields: &Fields, usual: &str) -> Distribution {
        match text(fields, "distribution").as_deref().unwrap_or(usual) {
            "0" => Distribution::Organisation,
            "2" => Distribution::Connected,
            "3" => Distribution::All,
            "4" => Distribution::Group(self.group(fields)),
            "5" => Distribution::Inherit,
            // What cannot be read goes no further than the hub.
            _ => Distribution::Community,
        }
    }

    /// Whom a sharing group names here. One that is unknown by its number and UUID is known by the organisations in it, if they are members.
    fn group(&self, fields: &Fields) -> Vec<Text> {
        let group = fields.get("SharingGroup").and_then(Value::as_object);
        let uuid = group.and_then(|group| text(group, "uuid"));
        let known = people::audiences(self.organisation, self.directory);
        if let Some(uuid) = uuid {
            if let Some(found) = known.iter().find(|found| found.uuid.to_string() == uuid) {
                return vec![found.id.clone()];
            }
        } else if let Some(wanted) = number(fields, "sharing_group_id").filter(|wanted| *wanted != 0) {
            let mut found = known.iter().filter(|found| found.number == wanted);
            return match (found.next(), found.next()) {
                (Some(found), None) => vec![found.id.clone()],
                _ => Vec::new(),
            };
        }
        let listed = group.and_then(|group| group.get("SharingGroupOrg")).and_then(Value::as_array).into_iter().flatten();
        let uuids: Vec<String> = listed.filter_map(|entry| entry.pointer("/Organisation/uuid").and_then(Value::as_str)).map(str::to_lowercase).collect();
        let members = self.directory.organisations().filter(|organisation| uuids.contains(&organisation.id.0.to_string()));
        members.map(|organisation| Text::from(organisation.id.to_string())).collect()
    }
}

/// What a caller reads of contributed events.
pub(super) struct Reading<'r> {
    view: View<'r>,
    /// Whether it is an instance that pulls.
    instance: bool,
}

impl Hub {
    /// What a caller reads, as of now.
    pub(super) fn misp_reading<'r>(&self, actor: &'r Actor, instance: bool) -> Reading<'r> {
        Reading { view: View { reader: &actor.reader, directory: self.directory().snapshot() }, instance }
    }
}

impl Reading<'_> {
    /// What the reader sees of a contributed event.
    pub(super) fn event(&self, head: &Head) -> Sight {
        self.sight(head, head.tlp, &head.audience, head.test)
    }

    /// Whether the reader sees an attribute of an event that it sees.
    pub(super) fn attribute(&self, head: &Head, found: &Found) -> bool {
        let sight = self.sight(head, found.tlp.max(head.tlp), &found.audience, found.test);
        sight.sees_event() && (!found.victim || sight.sees_victims())
    }

    fn sight(&self, head: &Head, tlp: Tlp, audience: &[Text], test: bool) -> Sight {
        // Whether it shows its name is each member's own setting, as of now.
        let named = self.view.directory.organisation(head.org).is_some_and(|organisation| organisation.named);
        let sight = self.view.sight(head.org, tlp, audience, (if test { Category::Test } else { Category::Other }, None), named);
        of_draft(sight, self.view.reader, head.published, self.instance)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::path::Path;

    /// The files of a folder and of those in it.
    fn sources(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else {
                into.push(path);
            }
        }
    }

    #[test]
    fn no_other_file_of_this_room_decides_on_sight() {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/misp"), &mut files);
        assert!(files.len() > 10);
        for file in files.iter().filter(|file| !file.ends_with("access.rs")) {
            let text = std::fs::read_to_string(file).unwrap();
            for word in ["sharing::view", "View {", "policy::sight", "audience_ids"] {
                assert!(!text.contains(word), "{} decides by {word} on its own", file.display());
            }
        }
    }
}
