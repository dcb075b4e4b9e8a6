//! What a MISP client asks of an instance beside events: itself, organisations, sharing groups, warning lists.
//!
//! Invariant: an organisation is shown to whom `members` shows it; a group to its members.
//! Numbers follow from ids, for MISP's clients want numbers and the hub's own names are none.
//! Not here: tags ([`super::tags`]).

use super::fields::{Fields, set, text_of};
use super::{MAX_VALUES, reads};
use crate::directory::Snapshot;
use crate::{Actor, Hub, HubError};
use model::detect::detect;
use model::{KeyRole, OrgId, OrgNo, Organisation, Text};
use serde_json::{Value, json};
use uuid::Uuid;

/// What the ids of sharing groups are made in.
const GROUPS: Uuid = Uuid::from_u128(0x7b1d_3f52_90c4_4a1e_8d5b_2f60_c9e7_a134);

/// An audience as a sharing group.
#[derive(Debug, Clone)]
pub(super) struct Audience {
    /// The id that the hub's audiences name it by.
    pub id: Text,
    pub title: String,
    pub uuid: Uuid,
    pub number: i64,
}

impl Audience {
    fn new(id: &Text, title: String) -> Self {
        Self { id: id.clone(), title, uuid: Uuid::new_v5(&GROUPS, id.as_bytes()), number: number_of(id, 31) }
    }
}

/// The audiences that an organisation has a part in: its groups and its sector; all groups for the hub's own.
pub(super) fn audiences(organisation: &Organisation, directory: &Snapshot) -> Vec<Audience> {
    let mut all: Vec<Audience> = directory
        .groups()
        .filter(|group| organisation.number == OrgNo::HUB || organisation.groups.contains(&group.id))
        .map(|group| Audience::new(&group.id, group.title.clone()))
        .collect();
    // A group that no record names is one all the same.
    for id in &organisation.groups {
        if !all.iter().any(|known| known.id == *id) {
            all.push(Audience::new(id, id.to_string()));
        }
    }
    all.extend(organisation.sector.iter().map(|sector| Audience::new(sector, format!("Sector: {sector}"))));
    all
}

/// A number of so many bits that follows from a name; never 0.
fn number_of(name: &str, bits: u32) -> i64 {
    let hash = blake3::hash(name.as_bytes());
    let number = hash.as_bytes().iter().take(8).fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte)) >> (64 - bits);
    i64::try_from(number.max(1)).unwrap_or(1)
}

/// The number of a tag.
pub(super) fn tag_number(name: &str) -> i64 {
    number_of(&name.to_lowercase(), 48)
}

/// The number of an organisation: MISP's begin with 1.
pub(super) fn organisation_number(number: OrgNo) -> i64 {
    i64::from(number.0) + 1
}

/// The organisation of a number of MISP's.
pub(super) fn organisation_of(number: i64) -> Option<OrgNo> {
    number.checked_sub(1).and_then(|number| u32::try_from(number).ok()).map(OrgNo)
}

impl Hub {
    /// The version that is answered, and what the caller may do.
    pub fn misp_version(&self, actor: &Actor) -> Value {
        let writes = may_write(actor);
        json!({
            "version": super::VERSION,
            "pymisp_recommended_version": super::VERSION,
            "perm_sync": writes,
            "perm_sighting": writes,
            "perm_galaxy_editor": false,
            "perm_analyst_data": false,
            "request_encoding": [],
            "filter_sightings": true,
            "uuid": self.stix_identity().to_string(),
            "hub": format!("Bongsu {}", env!("CARGO_PKG_VERSION")),
        })
    }

    /// The caller as a user of MISP's.
    ///
    /// # Errors
    /// [`HubError::NotFound`] for anyone else.
    pub fn misp_user(&self, actor: &Actor, name: &str) -> Result<Value, HubError> {
        let number = number_of(&actor.key.to_string(), 31).to_string();
        if name != "me" && name != number {
            return Err(HubError::NotFound);
        }
        let writes = may_write(actor);
        let organisation = organisation_number(actor.organisation.number).to_string();
        Ok(json!({
            "User": {
                "id": number,
                "org_id": organisation,
                "email": format!("{}@{}.bongsu", actor.key, self.realm()),
                "autoalert": false,
                "contactalert": false,
                "disabled": false,
                "role_id": (actor.role.number() + 1).to_string(),
                "server_id": "0",
                "change_pw": false,
                "termsaccepted": true,
                "nids_sid": "0",
            },
            "Role": {
                "id": (actor.role.number() + 1).to_string(),
                "name": actor.role.as_str(),
                "perm_add": writes || actor.role == KeyRole::Reporter,
                "perm_modify": writes,
                "perm_modify_org": writes,
                "perm_publish": writes,
                "perm_delegate": false,
                "perm_sync": writes,
                "perm_admin": false,
                "perm_audit": false,
                "perm_auth": true,
                "perm_site_admin": false,
                "perm_regexp_access": false,
                "perm_tagger": writes,
                "perm_template": false,
                "perm_sharing_group": false,
                "perm_tag_editor": false,
                "perm_sighting": writes,
                "perm_object_template": false,
                "perm_galaxy_editor": false,
                "perm_warninglist": false,
                "default_role": false,
                "restricted_to_site_admin": false,
            },
            "Organisation": self.misp_organisation_json(&actor.organisation),
            "UserSetting": {},
        }))
    }

    /// Organisations that the caller may know, the hub's own first.
    pub fn misp_organisations(&self, actor: &Actor, search: Option<&str>) -> Result<Value, HubError> {
        let wanted = search.map(|search| search.trim_matches('%').to_lowercase());
        let mut all = Vec::new();
        if wanted.as_ref().is_none_or(|wanted| self.misp_hub_name().to_lowercase().contains(wanted)) {
            all.push(json!({ "Organisation": self.misp_hub_json() }));
        }
        let mut cursor: Option<String> = None;
        loop {
            let (page, next) = self.members().list(actor, crate::members::MAX_PAGE, cursor.as_deref())?;
            for view in page.iter().filter(|view| wanted.as_ref().is_none_or(|wanted| view.organisation.name.to_lowercase().contains(wanted))) {
                all.push(json!({ "Organisation": self.misp_organisation_json(&view.organisation) }));
            }
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(Value::Array(all)),
            }
        }
    }

    /// One organisation, by its number or UUID.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where the caller may not know it.
    pub fn misp_organisation(&self, actor: &Actor, name: &str) -> Result<Value, HubError> {
        if name.eq_ignore_ascii_case(&self.stix_identity().to_string()) {
            return Ok(json!({ "Organisation": self.misp_hub_json() }));
        }
        let id = match Uuid::try_parse(name) {
            Ok(uuid) => OrgId(uuid),
            Err(_) => {
                let number = name.parse().ok().and_then(organisation_of).ok_or(HubError::NotFound)?;
                self.directory().organisation(number).ok_or(HubError::NotFound)?.id
            }
        };
        let view = self.members().show(actor, id)?;
        Ok(json!({ "Organisation": self.misp_organisation_json(&view.organisation) }))
    }

    /// An organisation in MISP's form.
    pub(super) fn misp_organisation_json(&self, organisation: &Organisation) -> Value {
        json!({
            "id": organisation_number(organisation.number).to_string(),
            "name": organisation.name,
            "uuid": organisation.id.0.to_string(),
            "type": organisation.kind.as_str(),
            "nationality": organisation.country.as_deref().unwrap_or_default(),
            "sector": organisation.sector.as_deref().unwrap_or_default(),
            "local": true,
        })
    }

    /// The hub itself, which stands for those who do not show their names.
    pub(super) fn misp_hub_json(&self) -> Value {
        json!({ "id": "0", "name": self.misp_hub_name(), "uuid": self.stix_identity().to_string(), "local": true })
    }

    /// The hub's name as that of a creator of events.
    pub(super) fn misp_hub_name(&self) -> String {
        format!("Bongsu {}", self.realm())
    }

    /// Sharing groups that the caller has a part in.
    pub fn misp_groups(&self, actor: &Actor) -> Value {
        let directory = self.directory().snapshot();
        let groups: Vec<Value> = audiences(&actor.organisation, &directory).iter().map(|audience| self.group_json(audience)).collect();
        json!({ "response": groups })
    }

    /// One sharing group, by its number or UUID.
    ///
    /// # Errors
    /// [`HubError::NotFound`] where the caller has no part in it.
    pub fn misp_group(&self, actor: &Actor, name: &str) -> Result<Value, HubError> {
        let directory = self.directory().snapshot();
        let all = audiences(&actor.organisation, &directory);
        let found = all.iter().find(|audience| audience.number.to_string() == name || audience.uuid.to_string() == name.to_lowercase());
        found.map(|audience| self.group_json(audience)).ok_or(HubError::NotFound)
    }

    fn group_json(&self, audience: &Audience) -> Value {
        json!({
            "SharingGroup": {
                "id": audience.number.to_string(),
                "uuid": audience.uuid.to_string(),
                "name": audience.title,
                "description": audience.id,
                "releasability": "its members at this hub",
                "active": true,
                "local": true,
                "roaming": false,
                "organisation_uuid": self.stix_identity().to_string(),
            },
            "Organisation": self.misp_hub_json(),
            "SharingGroupOrg": [],
            "SharingGroupServer": [],
        })
    }

    /// Which warning lists hold each of some values.
    ///
    /// # Errors
    /// [`HubError::TooLarge`] for more than [`MAX_VALUES`].
    pub fn misp_warning_lists(&self, actor: &Actor, values: &Value) -> Result<Value, HubError> {
        reads(actor)?;
        let given: Vec<String> = match values {
            Value::Array(list) => list.iter().filter_map(text_of).collect(),
            Value::Object(fields) => match fields.get("value").or_else(|| fields.get("values")) {
                Some(Value::Array(list)) => list.iter().filter_map(text_of).collect(),
                Some(one) => text_of(one).into_iter().collect(),
                None => Vec::new(),
            },
            one => text_of(one).into_iter().collect(),
        };
        if given.len() > MAX_VALUES {
            return Err(HubError::TooLarge { limit: MAX_VALUES as u64, unit: "values" });
        }
        let mut found = Fields::new();
        for value in given {
            let Some((kind, canonical)) = detect(&value) else { continue };
            let lists: Vec<Value> = self
                .warning_lists
                .hits(kind, &canonical)
                .iter()
                .map(|name| json!({ "id": number_of(name, 31).to_string(), "name": name, "matched": canonical }))
                .collect();
            if !lists.is_empty() {
                set(&mut found, &value, lists);
            }
        }
        Ok(Value::Object(found))
    }
}

/// Whether the caller's role changes what is contributed.
pub(super) fn may_write(actor: &Actor) -> bool {
    match actor.role {
        KeyRole::Coordinator | KeyRole::Authority | KeyRole::MemberAdmin | KeyRole::Analyst => true,
        KeyRole::Reporter | KeyRole::Reader | KeyRole::Auditor => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_from_names_and_fit_where_they_go() {
        assert_eq!(tag_number("TLP:green"), tag_number("tlp:green"));
        assert!((1..1 << 31).contains(&number_of("grp-banks", 31)) && tag_number("x") < 1 << 48);
        assert_eq!(organisation_of(organisation_number(OrgNo(7))), Some(OrgNo(7)));
        assert_eq!(organisation_of(0), None);
    }
}
