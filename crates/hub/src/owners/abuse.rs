//! Whom to tell of what belongs to no member: a table of abuse contacts by range, AS number and domain, imported by the coordinator.
//!
//! Flow: [`Hub::import_abuse_contacts`] → records → the same in memory → [`Hub::abuse_contacts`] for everything or for what matches a value, and
//! [`Hub::abuse_contacts_of`] for those who carry findings to people outside.
//! Invariant: memory holds what the records hold, with an address; nobody outside the authorities sees an address.
//! Not here: contacts of members (`members::contacts`), sending mail (`delivery::outsiders`).

use crate::members::{MAX_PAGE, invalid};
use crate::{Actor, Hub, HubError};
use hashbrown::HashSet;
use model::canonical::canonical;
use model::{KeyRole, ObservableType, Text, Timestamp};
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use store::ledger::Victim;
use store::records::{AbuseContact, Change, NetworkKind, Records};
use store::views::owners::Table;

/// Rows of one import at the most.
pub const MAX_IMPORT: usize = 1_000;
/// Contacts at the most.
pub const MAX_CONTACTS: usize = 500_000;
/// Characters of the words on where a table is from.
const MAX_SOURCE: usize = 200;
/// Rows that are named as wrong.
const MAX_NAMED: usize = 100;

/// One row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAbuseContact {
    /// An address, range, AS number or domain.
    pub value: String,
    /// The mail address; `None` takes the row's contact away.
    pub address: Option<String>,
}

/// A row that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowError {
    /// Its place in the request, from 1 on.
    pub line: u64,
    /// What is wrong.
    pub reason: String,
}

/// What became of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImportOutcome {
    /// Contacts that were not there before.
    pub added: u64,
    /// Contacts with another address than before.
    pub changed: u64,
    /// Contacts that were there.
    pub unchanged: u64,
    /// Contacts taken away.
    pub removed: u64,
    /// Rows that were not taken.
    pub refused: u64,
    /// Which and why, the first of them.
    pub errors: Vec<RowError>,
}

/// A contact for those who may know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AbuseContactView {
    /// `cidr`, `asn` or `domain`.
    pub kind: NetworkKind,
    /// The place.
    pub value: Text,
    /// The mail address.
    pub address: Text,
    /// Where it is from.
    pub source: Text,
    /// When it was changed last.
    pub updated: Timestamp,
    /// When a mail server refused mail to the address for good; then it is sent none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Timestamp>,
}

/// A place in order: the word of its kind, and its value.
type Place = (&'static str, Text);

/// Every contact with an address, ready to be asked.
struct Asked {
    table: Table<u32>,
    rows: Vec<AbuseContactView>,
}

/// The table in memory.
#[derive(Default)]
pub(crate) struct AbuseContacts {
    rows: RwLock<BTreeMap<Place, AbuseContactView>>,
    /// Made when it is asked for, for a whole table is imported in many requests.
    asked: Mutex<Option<Arc<Asked>>>,
    /// Held from before records are written until memory has the same: what was written last is what is remembered.
    order: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for AbuseContacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AbuseContacts").field("rows", &self.rows.read().len()).finish_non_exhaustive()
    }
}

impl AbuseContacts {
    /// All that the records hold.
    pub(crate) async fn load(records: &Records) -> Result<Self, HubError> {
        let contacts = Self::default();
        contacts.reload(records).await?;
        Ok(contacts)
    }

    /// Destroys the victim's address in the records and in memory.
    pub(crate) async fn erase(&self, records: &Records, victim: &Victim, change: &Change<'_>) -> Result<(), HubError> {
        let _order = self.order.lock().await;
        if records.erase_addresses::<AbuseContact>(victim, change).await? > 0 {
            self.reload(records).await?;
        }
        Ok(())
    }

    /// Reads the records again; the caller holds `order`, or is alone.
    async fn reload(&self, records: &Records) -> Result<(), HubError> {
        let all: Vec<AbuseContact> = records.all().await?;
        *self.rows.write() = all.into_iter().filter_map(view).map(|row| (place(&row), row)).collect();
        *self.asked.lock() = None;
        Ok(())
    }

    fn set(&self, changed: Vec<AbuseContact>) {
        let mut rows = self.rows.write();
        for contact in changed {
            let place = (contact.kind.as_str(), contact.value.clone());
            match view(contact) {
                Some(row) => rows.insert(place, row),
                None => rows.remove(&place),
            };
        }
        // Who makes it anew holds the other lock first.
        drop(rows);
        *self.asked.lock() = None;
    }

    fn len(&self) -> usize {
        self.rows.read().len()
    }

    /// The addresses to which a mail server refused mail for good, at whatever place.
    pub(crate) fn refused(&self) -> HashSet<Text> {
        self.rows.read().values().filter(|row| row.refused.is_some()).map(|row| row.address.clone()).collect()
    }

    /// A place of each of these addresses.
    fn places_of(&self, addresses: &[Text]) -> Vec<(NetworkKind, Text)> {
        let mut wanted: HashSet<&Text> = addresses.iter().collect();
        self.rows.read().values().filter(|row| wanted.remove(&row.address)).map(|row| (row.kind, row.value.clone())).collect()
    }

    /// Up to `limit` after a place, in order.
    fn page(&self, after: Option<&Place>, limit: usize) -> Vec<AbuseContactView> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
        self.rows.read().range((from, Bound::Unbounded)).take(limit).map(|(_, row)| row.clone()).collect()
    }

    /// Those that match a value, the innermost first; `asns` announce its addresses.
    fn of(&self, kind: ObservableType, value: &str, asns: &[u32]) -> Vec<AbuseContactView> {
        let asked = self.asked();
        let mut found: Vec<u32> = Vec::new();
        let mut give = |entry: u32| {
            if !found.contains(&entry) {
                found.push(entry);
            }
        };
        asked.table.owners(kind, value, &mut give);
        asns.iter().for_each(|asn| asked.table.asn(*asn, &mut give));
        found.into_iter().filter_map(|entry| asked.rows.get(entry as usize).cloned()).collect()
    }

    fn asked(&self) -> Arc<Asked> {
        let mut asked = self.asked.lock();
        if let Some(asked) = asked.as_ref() {
            return Arc::clone(asked);
        }
        let rows: Vec<AbuseContactView> = self.rows.read().values().cloned().collect();
        let table = Table::new(rows.iter().zip(0_u32..).map(|(row, entry)| (row.kind, row.value.as_str(), entry)));
        let made = Arc::new(Asked { table, rows });
        *asked = Some(Arc::clone(&made));
        made
    }
}

impl Hub {
    /// Takes rows of a table of contacts in; each place has one contact, the last one said. `source` says where the table is from.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for anybody but the coordinator, [`HubError::TooLarge`] past [`MAX_IMPORT`] rows or [`MAX_CONTACTS`] contacts.
    pub async fn import_abuse_contacts(&self, actor: &Actor, rows: Vec<NewAbuseContact>, source: &str) -> Result<ImportOutcome, HubError> {
        if !actor.is_coordinator() {
            return Err(HubError::Forbidden("only the coordinator may do this"));
        }
        if rows.len() > MAX_IMPORT {
            return Err(HubError::TooLarge { limit: MAX_IMPORT as u64, unit: "rows" });
        }
        let source = source.trim();
        if source.chars().count() > MAX_SOURCE {
            return Err(invalid("/source", format!("longer than {MAX_SOURCE} characters")));
        }
        // Counting, writing and remembering are one step: of two imports at once the one that writes last is remembered last.
        let _order = self.abuse.order.lock().await;
        if self.abuse.len() + rows.len() > MAX_CONTACTS {
            return Err(HubError::TooLarge { limit: MAX_CONTACTS as u64, unit: "contacts" });
        }
        let mut outcome = ImportOutcome::default();
        let change = Change { actor_key: Some(actor.key), actor_org: Some(actor.organisation.id), at: self.clock().now(), action: "import", reason: "" };
        let mut writer = self.records().write().await?;
        let mut written = Vec::new();
        for (row, line) in rows.into_iter().zip(1..) {
            let (kind, value, address) = match tidy(&row) {
                Ok(row) => row,
                Err(reason) => {
                    outcome.refused += 1;
                    if outcome.errors.len() < MAX_NAMED {
                        outcome.errors.push(RowError { line, reason });
                    }
                    continue;
                }
            };
            let id = AbuseContact::id_of(kind, &value);
            let before: Option<AbuseContact> = writer.get(&id.to_string()).await?;
            let had = before.as_ref().and_then(|before| before.address.clone());
            // Who refused mail is asked again where the table names it again.
            let refused = before.as_ref().is_some_and(|before| before.refused.is_some());
            if had == address && !refused {
                outcome.unchanged += 1;
                continue;
            }
            match (&had, &address) {
                (_, None) => outcome.removed += 1,
                (Some(_), Some(_)) => outcome.changed += 1,
                (None, Some(_)) => outcome.added += 1,
            }
            let version = before.as_ref().map_or(0, |before| before.version);
            let contact = AbuseContact { id, kind, value, address, source: Text::from(source), refused: None, version: version + 1, updated: change.at };
            match before {
                Some(_) => writer.update(&contact, version, &change, &[]).await.map(drop)?,
                None => writer.insert(&contact, &change, &[]).await?,
            }
            written.push(contact);
        }
        writer.commit().await?;
        self.abuse.set(written);
        Ok(outcome)
    }

    /// The table in order of kind and place, page by page, and where the next page starts; with a value those that match it, the innermost first.
    ///
    /// # Errors
    /// [`HubError::Forbidden`] for anybody but the coordinator and authorities, [`HubError::Invalid`] for a cursor of another list or no value.
    pub fn abuse_contacts(
        &self,
        actor: &Actor,
        value: Option<&str>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<(Vec<AbuseContactView>, Option<String>), HubError> {
        if !matches!(actor.role, KeyRole::Coordinator | KeyRole::Authority) {
            return Err(HubError::Forbidden("only the coordinator and authorities see these contacts"));
        }
        let limit = limit.clamp(1, MAX_PAGE);
        if let Some(value) = value {
            let (kind, value) = kind_of(value).map_err(|reason| invalid("value", reason))?;
            let mut found = self.abuse_contacts_of(kind, &value);
            found.truncate(limit);
            return Ok((found, None));
        }
        let after = cursor.map(|cursor| parse_place(cursor).ok_or_else(|| invalid("cursor", "not a cursor of this list"))).transpose()?;
        let mut rows = self.abuse.page(after.as_ref(), limit + 1);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let cursor = rows.last().filter(|_| more).map(|last| format!("{}:{}", last.kind.as_str(), last.value));
        Ok((rows, cursor))
    }

    /// Notes that mail servers refused mail to these addresses for good, each at one of its places.
    pub(crate) async fn abuse_contacts_refused(&self, addresses: &[Text]) -> Result<(), HubError> {
        if addresses.is_empty() {
            return Ok(());
        }
        let _order = self.abuse.order.lock().await;
        let change = Change { actor_key: None, actor_org: None, at: self.clock().now(), action: "bounce", reason: "" };
        let mut writer = self.records().write().await?;
        let mut written = Vec::new();
        for (kind, value) in self.abuse.places_of(addresses) {
            let contact: Option<AbuseContact> = writer.get(&AbuseContact::id_of(kind, &value).to_string()).await?;
            let Some(contact) = contact else { continue };
            let version = contact.version;
            let contact = AbuseContact { refused: Some(change.at), version: version + 1, updated: change.at, ..contact };
            writer.update(&contact, version, &change, &[]).await?;
            written.push(contact);
        }
        writer.commit().await?;
        self.abuse.set(written);
        Ok(())
    }

    /// Whom to tell of a canonical value, the innermost place first; by the AS numbers that announce its addresses, too, as far as the nation's table
    /// knows them.
    pub fn abuse_contacts_of(&self, kind: ObservableType, value: &str) -> Vec<AbuseContactView> {
        self.abuse.of(kind, value, &self.store().owners.announced(kind, value))
    }
}

fn view(contact: AbuseContact) -> Option<AbuseContactView> {
    let AbuseContact { kind, value, address, source, updated, refused, .. } = contact;
    address.map(|address| AbuseContactView { kind, value, address, source, updated, refused })
}

fn place(row: &AbuseContactView) -> Place {
    (row.kind.as_str(), row.value.clone())
}

fn parse_place(cursor: &str) -> Option<Place> {
    let (kind, value) = cursor.split_once(':')?;
    let kind = [NetworkKind::Asn, NetworkKind::Cidr, NetworkKind::Domain].into_iter().find(|known| known.as_str() == kind)?;
    Some((kind.as_str(), Text::from(value)))
}

/// The row in canonical form.
fn tidy(row: &NewAbuseContact) -> Result<(NetworkKind, Text, Option<Text>), String> {
    let (kind, value) = kind_of(&row.value)?;
    let (kind, value) = match kind {
        ObservableType::Asn => (NetworkKind::Asn, value),
        ObservableType::Domain => (NetworkKind::Domain, value),
        // An address alone is a range of one.
        _ => (NetworkKind::Cidr, canonical(ObservableType::Cidr, &value).map_err(|error| error.to_string())?),
    };
    if kind == NetworkKind::Cidr && value.ends_with("/0") {
        return Err("all addresses are nobody's".to_owned());
    }
    let address = row.address.as_deref().map(str::trim).filter(|address| !address.is_empty());
    let address = address.map(|address| canonical(ObservableType::Email, address).map_err(|error| error.to_string())).transpose()?;
    Ok((kind, value, address))
}

/// What kind of place a text names, and its canonical form.
fn kind_of(text: &str) -> Result<(ObservableType, Text), String> {
    let text = text.trim();
    let number = text.get(..2).filter(|start| start.eq_ignore_ascii_case("as")).and_then(|_| text.get(2..)).unwrap_or(text);
    let kind = match text.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => ObservableType::Ipv4,
        Ok(IpAddr::V6(_)) => ObservableType::Ipv6,
        Err(_) if text.contains('/') => ObservableType::Cidr,
        Err(_) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => ObservableType::Asn,
        Err(_) => ObservableType::Domain,
    };
    let value = canonical(kind, text).map_err(|_| "neither an address or range, an AS number nor a domain".to_owned())?;
    Ok((kind, value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::test_support::Realm;

    fn row(value: &str, address: &str) -> NewAbuseContact {
        NewAbuseContact { value: value.to_owned(), address: (!address.is_empty()).then(|| address.to_owned()) }
    }

    fn contacts(rows: &[(&str, &str)]) -> AbuseContacts {
        let contacts = AbuseContacts::default();
        let made = rows.iter().map(|(value, address)| {
            let (kind, value, address) = tidy(&row(value, address)).unwrap();
            let id = AbuseContact::id_of(kind, &value);
            AbuseContact { id, kind, value, address, source: Text::from("test"), refused: None, version: 1, updated: Timestamp::from_seconds(1) }
        });
        contacts.set(made.collect());
        contacts
    }

    #[test]
    fn a_row_names_a_range_an_as_number_or_a_domain() {
        for (value, kind, canonical) in [
            ("1.11.7.9", NetworkKind::Cidr, "1.11.7.9/32"),
            ("1.11.7.9/16", NetworkKind::Cidr, "1.11.0.0/16"),
            ("2001:DC5::/32", NetworkKind::Cidr, "2001:dc5::/32"),
            ("AS4766", NetworkKind::Asn, "4766"),
            ("4766", NetworkKind::Asn, "4766"),
            ("Shop.Example.", NetworkKind::Domain, "shop.example"),
        ] {
            assert_eq!(tidy(&row(value, "")).unwrap(), (kind, Text::from(canonical), None), "{value}");
        }
        for value in ["", "0.0.0.0/0", "1.2.3.4/33", "no name at all"] {
            assert!(tidy(&row(value, "a@b.example")).is_err(), "{value}");
        }
        assert!(tidy(&row("shop.example", "nobody")).is_err());
        assert_eq!(tidy(&row("shop.example", "Abuse@Shop.Example")).unwrap().2.as_deref(), Some("Abuse@shop.example"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_imports_at_once_memory_holds_what_the_records_hold_and_an_erasure_empties_both() {
        let realm = Realm::open(1_767_225_600, None).await;
        let hub = Arc::clone(&realm.hub);
        let mut imports = tokio::task::JoinSet::new();
        for number in 0..24 {
            let (hub, coordinator) = (Arc::clone(&hub), realm.coordinator.clone());
            imports.spawn(async move {
                let address = format!("a{number}@b.example");
                let rows = ["1.11.0.0/16", "AS9318", "shop.example"].map(|value| row(value, &address)).to_vec();
                hub.import_abuse_contacts(&coordinator, rows, "test").await.unwrap()
            });
        }
        while let Some(done) = imports.join_next().await {
            assert_eq!(done.unwrap().refused, 0);
        }
        let held: Vec<AbuseContact> = hub.records().all().await.unwrap();
        let held: BTreeMap<Place, AbuseContactView> = held.into_iter().filter_map(view).map(|row| (place(&row), row)).collect();
        assert_eq!(hub.abuse.page(None, 10), held.into_values().collect::<Vec<_>>());
        assert_eq!(hub.abuse.len(), 3);

        let address = hub.abuse.page(None, 1)[0].address.clone();
        let victim = Victim::new(&hub.store().views.keys, ObservableType::Email, &address);
        let change = Change { actor_key: None, actor_org: None, at: Timestamp::from_seconds(1_767_225_601), action: "erase", reason: "" };
        hub.abuse.erase(hub.records(), &victim, &change).await.unwrap();
        assert_eq!(hub.abuse.len(), 0);
        let held: Vec<AbuseContact> = hub.records().all().await.unwrap();
        assert!(held.len() == 3 && held.iter().all(|contact| contact.address.is_none()));
        drop(hub);
        realm.close().await;
    }

    #[test]
    fn the_innermost_place_comes_first_and_what_was_taken_away_is_gone() {
        let rows = [("1.11.0.0/16", "isp@a.example"), ("1.11.7.0/24", "shop@b.example"), ("AS9318", "as@c.example"), ("shop.example", "web@d.example")];
        let contacts = contacts(&rows);
        let found = |contacts: &AbuseContacts, kind, value: &str, asns: &[u32]| {
            contacts.of(kind, value, asns).into_iter().map(|row| row.address.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found(&contacts, ObservableType::Ipv4, "1.11.7.9", &[9_318, 1]), ["shop@b.example", "isp@a.example", "as@c.example"]);
        assert_eq!(found(&contacts, ObservableType::Url, "https://www.shop.example/x", &[]), ["web@d.example"]);
        assert!(found(&contacts, ObservableType::Ipv4, "1.12.0.0", &[]).is_empty());
        let (kind, value, address) = tidy(&row("1.11.7.0/24", "")).unwrap();
        let id = AbuseContact::id_of(kind, &value);
        let updated = Timestamp::from_seconds(2);
        contacts.set(vec![AbuseContact { id, kind, value, address, source: Text::default(), refused: None, version: 2, updated }]);
        assert_eq!(found(&contacts, ObservableType::Ipv4, "1.11.7.9", &[]), ["isp@a.example"]);
        let pages: Vec<String> = contacts.page(None, 2).iter().map(|row| row.value.to_string()).collect();
        assert_eq!(pages, ["9318", "1.11.0.0/16"]);
        let after = parse_place("cidr:1.11.0.0/16").unwrap();
        assert_eq!(contacts.page(Some(&after), 2).iter().map(|row| row.value.to_string()).collect::<Vec<_>>(), ["shop.example"]);
        assert_eq!(parse_place("person:x"), None);
    }
}
