//! `restSearch` and the lists of events and attributes.
//!
//! Flow: filters ([`super::filter`]) → numbers of what meets them and the reader sees, slice by slice ([`wanted`]) → what is there of each event is
//! written ([`writing`], for lists [`list`]) → the answer, whole where it is small and else piece by piece as it is taken ([`super::answer`]).
//! Invariant: a filter finds nothing in what the reader does not see: not by a hidden attribute, nor by an organisation that is not shown. All that was
//! asked for is given, or the caller is told that it is not: by a refusal before the answer begins, or by an answer that breaks off and does not end.
//! What is written is what the caller may see at that moment, not when it asked: an answer may take minutes.
//! Memory is bounded: a slice, one event, and the pieces that wait to be taken.
//! Not here: how filters are read ([`super::filter`]), formats other than JSON ([`super::export`]).

mod lines;
mod list;
mod page;
mod related;
mod wanted;
mod writing;

pub use super::filter::Scope;
pub(super) use page::Page;

use super::answer::{self, MispAnswer, MispMedia};
use super::fields::Fields;
use super::filter::{Format, Search};
use super::show::Wait;
use super::{MAX_ROOM, reads};
use crate::{Actor, Hub, HubError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use writing::Writing;

/// Numbers of events asked for at once.
const AT_ONCE: usize = 500;
/// Room that a search or list takes for itself, beside that of the event it looks at.
pub(super) const ROOM: usize = 1024 * 1024;
/// How long it waits for room.
const ROOM_WAIT: Duration = Duration::from_secs(5);

impl Hub {
    /// Searches events, attributes or objects.
    ///
    /// # Errors
    /// [`HubError::Invalid`] for a format that is not given, [`HubError::TooLarge`] for too many values, and for what cannot be given in one answer;
    /// [`HubError::Overloaded`] where there is no room for it now.
    pub async fn misp_search(self: &Arc<Self>, actor: &Actor, scope: Scope, given: &Fields, sync: bool) -> Result<MispAnswer, HubError> {
        self.searched(actor, scope, given, sync, false).await
    }

    /// The list of attributes: a search without what stands around its answer.
    ///
    /// # Errors
    /// As [`Hub::misp_search`].
    pub async fn misp_attributes(self: &Arc<Self>, actor: &Actor, given: &Fields, sync: bool) -> Result<MispAnswer, HubError> {
        let mut given = given.clone();
        given.remove("returnFormat");
        self.searched(actor, Scope::Attributes, &given, sync, true).await
    }

    async fn searched(self: &Arc<Self>, actor: &Actor, scope: Scope, given: &Fields, sync: bool, bare: bool) -> Result<MispAnswer, HubError> {
        reads(actor)?;
        let mut search = Search::read(given, scope, &self.misp_moment())?;
        self.narrow(actor, &mut search, scope, sync).await?;
        let media = match search.format {
            Format::Json | Format::Stix2 => MispMedia::Json,
            Format::Csv => MispMedia::Csv,
            Format::Text | Format::Cache | Format::Suricata => MispMedia::Text,
        };
        let writing = Writing { hub: Arc::clone(self), actor: actor.clone(), search: Arc::new(search), scope, sync, bare };
        answer::begin(self, actor.organisation.number, media, Wait::Refused, move |out| writing.run(out)).await
    }

    /// The caller as it is now. An answer that is still being written breaks off where its key does not hold any more.
    pub(super) fn misp_again(&self, actor: &Actor) -> Result<Actor, HubError> {
        let actor = self.directory().again(actor, self.clock().now())?;
        reads(&actor)?;
        Ok(actor)
    }

    /// Room in memory for what is worked on: of the budget that the bodies of requests are gathered in. What would take more than one may have is
    /// worked on alone with all of that.
    pub(super) async fn misp_room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, HubError> {
        match tokio::time::timeout(ROOM_WAIT, self.taxii_room(bytes.min(MAX_ROOM))).await {
            Ok(room) => room,
            Err(_) => Err(HubError::Overloaded { retry_after: 5 }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::super::MispBody;
    use super::*;
    use crate::test_support::Realm;
    use model::OrgKind;

    #[tokio::test]
    async fn a_search_takes_room_of_the_budget_and_is_refused_where_there_is_none() {
        let realm = Realm::open(1_790_000_000, None).await;
        let (_, actor) = realm.member("A", OrgKind::Company).await;
        let free = u32::try_from(realm.hub.gathering.available_permits()).unwrap();
        let taken = Arc::clone(&realm.hub.gathering).acquire_many_owned(free).await.unwrap();
        let refused = realm.hub.misp_search(&actor, Scope::Events, &Fields::new(), false).await;
        assert!(matches!(refused, Err(HubError::Overloaded { .. })));
        drop(taken);
        for (scope, empty) in [(Scope::Events, "{\"response\":[]}"), (Scope::Attributes, "{\"response\":{\"Attribute\":[]}}")] {
            let answer = realm.hub.misp_search(&actor, scope, &Fields::new(), false).await.unwrap();
            assert_eq!(answer.count, Some(0));
            assert!(matches!(answer.body, MispBody::Whole(body) if body == empty.as_bytes()));
        }
        assert_eq!(realm.hub.gathering.available_permits(), free as usize, "what was taken is given back");
    }

    #[tokio::test]
    async fn a_search_breaks_off_where_the_callers_key_does_not_hold_any_more() {
        let realm = Realm::open(1_790_000_000, None).await;
        let (_, actor) = realm.member("A", OrgKind::Company).await;
        assert!(realm.hub.misp_search(&actor, Scope::Events, &Fields::new(), false).await.is_ok());
        // As of a key that is gone since the search began.
        let gone = Actor { key: model::KeyId(uuid::Uuid::nil()), ..actor };
        for scope in [Scope::Events, Scope::Attributes, Scope::Objects] {
            assert!(matches!(realm.hub.misp_search(&gone, scope, &Fields::new(), false).await, Err(HubError::Unauthenticated)));
        }
        assert!(matches!(realm.hub.misp_index(&gone, &Fields::new(), false).await, Err(HubError::Unauthenticated)));
    }
}
