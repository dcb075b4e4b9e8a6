//! Expiry: events that the hub received longer ago than it is to keep them are gone.
//!
//! Flow: a task asks [`Hub::expire_events`] at the start and once a day → the store takes the oldest events out of every view, a limited number at a
//! time, → the files are rid of them.
//! Invariant: age counts from receipt, whatever time an event claims. A round ends what one before could not, also where events are kept for good now.
//! Not here: how views and files forget (`store::engine`), the rule of contribution, which judges nobody by what is gone (`sharing::standing`).

use crate::{Hub, HubError};
use std::time::Duration;

/// The shortest time for which events are kept: a sender's ids cover a week, and what they cover must be there.
pub const MIN_RETENTION: Duration = Duration::from_secs(8 * 86_400);

impl Hub {
    /// Lets the events expire that are past their time, as of now.
    ///
    /// # Errors
    /// [`HubError`] where ledger or views cannot be read or written; the next round does what is left.
    pub async fn expire_events(&self) -> Result<(), HubError> {
        // An entry may be there whose events a stop or a full disk has left in the files.
        self.empty_expired().await?;
        let Some(retention) = self.options.retention else { return Ok(()) };
        // One moment for all, so that a round ends.
        let received_before = self.clock().now().minus(retention.max(MIN_RETENTION));
        while let Some(before) = self.store().next_expiry(received_before) {
            self.store().expire(before).await?;
            self.empty_expired().await?;
        }
        Ok(())
    }

    async fn empty_expired(&self) -> Result<(), HubError> {
        // One after another: an erasure rewrites the same files.
        let _turn = self.erasing.lock().await;
        let emptied = self.store().empty_expired().await;
        // Where it failed, part of it may be done.
        self.blocks.forget();
        match emptied? {
            0 => {}
            blocks => tracing::info!(blocks, "expired events were taken out of the files"),
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use crate::sharing::Withdrawal;
    use crate::test_support::Realm;
    use crate::{Actor, Hub, HubError};
    use model::{Filter, ObservableType, OrgKind, Seq, Standing};
    use std::sync::Arc;
    use std::time::Duration;

    const DAY: i64 = 86_400;
    const BEGIN: i64 = 1_800_000_000;
    const RETENTION: Duration = Duration::from_secs(10 * 86_400);

    async fn send(realm: &Realm, actor: &Actor, time: i64, value: &str) -> (Seq, model::ReceiptId) {
        realm.send_at(actor, time, &format!("\"category\":\"scanner\",\"value\":\"{value}\"")).await
    }

    fn is_unknown<T>(answer: Result<T, HubError>) -> bool {
        matches!(answer, Err(HubError::NotFound))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn events_past_retention_are_unknown_at_every_door_and_later_ones_are_as_they_were() {
        let realm = Realm::open(BEGIN, Some(RETENTION)).await;
        let (org, actor) = realm.member("A", OrgKind::Company).await;
        let (hub, coordinator) = (realm.hub.clone(), realm.coordinator.clone());

        // Age counts from receipt: the time that an event claims is of no matter.
        let (old, receipt) = send(&realm, &actor, BEGIN, "185.60.1.1").await;
        let (amended, _) = send(&realm, &actor, BEGIN, "185.60.1.3").await;
        realm.now(BEGIN + 9 * DAY);
        let (kept, kept_receipt) = send(&realm, &actor, BEGIN - 40 * DAY, "185.60.1.1").await;
        let (left, _) = send(&realm, &actor, BEGIN, "185.60.1.2").await;
        let corrected = hub.amend(&actor, amended, br#"{"time":1800000000,"category":"scanner","value":"185.60.1.4"}"#).await.unwrap().first_seq.unwrap();
        hub.expire_events().await.unwrap();
        assert_eq!(hub.observable(&actor, ObservableType::Ipv4, "185.60.1.1").unwrap().events, 2, "nothing is old enough yet");

        realm.now(BEGIN + 10 * DAY + 60);
        hub.expire_events().await.unwrap();
        let doors = |hub: &Arc<Hub>| {
            assert!(is_unknown(hub.event(&actor, old)));
            assert!(is_unknown(hub.event_history(&actor, old)));
            assert!(is_unknown(hub.receipt(&actor, receipt)));
            assert_eq!(hub.receipt(&actor, kept_receipt).unwrap().accepted, 1);
            assert!(is_unknown(hub.event(&coordinator, amended)), "not even that it was replaced");
            assert_eq!(hub.event_history(&actor, corrected).unwrap().items.len(), 1);
            let answer = hub.observable(&actor, ObservableType::Ipv4, "185.60.1.1").unwrap();
            assert_eq!((answer.events, answer.first_seen.seconds()), (1, BEGIN - 40 * DAY));
            assert!(is_unknown(hub.observable(&actor, ObservableType::Ipv4, "185.60.1.3")), "of a withdrawn one nothing is left either");
            assert_eq!(hub.search(&actor, &Filter::default(), false, 100, None).unwrap().events.len(), 3);
            assert_eq!(hub.status(&coordinator).ledger.events, Some(3));
            let accepted: u64 = hub.contribution(&actor, org).unwrap().months.iter().map(|month| month.accepted).sum();
            assert_eq!(accepted, 3);
        };
        doors(&hub);
        assert!(is_unknown(hub.withdraw(&actor, Withdrawal::Seq(old), "wrong", false).await));
        assert!(is_unknown(hub.withdraw(&actor, Withdrawal::Receipt(receipt), "wrong", false).await));
        let mut follower = hub.subscribe(&actor, Filter::default(), Some(Seq(0))).unwrap();
        for expected in [kept, left, corrected] {
            match follower.next().await {
                crate::sharing::StreamItem::Event { seq, .. } => assert_eq!(seq, expected),
                other => panic!("{other:?}"),
            }
        }
        drop(follower);
        drop(hub);

        let closed = realm.close().await;
        let data = closed.data();
        let report = tokio::task::spawn_blocking(move || crate::ops::verify(&data).unwrap());
        let report = report.await.unwrap();
        assert_eq!((report.problems, report.notes), (Vec::<String>::new(), Vec::<String>::new()));
        let realm = closed.open().await;
        doors(&realm.hub);
        realm.close().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nobody_is_warned_by_a_month_of_which_events_are_gone() {
        let realm = Realm::open(BEGIN, Some(RETENTION)).await;
        let (org, actor) = realm.member("A", OrgKind::Company).await;
        // 2027-05-15: past the months of grace.
        realm.now(BEGIN + 120 * DAY);
        send(&realm, &actor, BEGIN + 120 * DAY, "185.60.1.1").await;
        realm.now(BEGIN + 150 * DAY);
        realm.hub.expire_events().await.unwrap();
        assert_eq!(realm.hub.judge_standings().await.unwrap(), 0);
        assert_eq!(realm.standing(org), Standing::Full);
        realm.close().await;
    }
}
