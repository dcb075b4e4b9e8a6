//! What every handler has at hand: one concrete, cheaply cloned state.

use crate::limits;
use crate::problem::Problem;
use hub::{Hub, HubError};
use ipnet::IpNet;
use metrics_exporter_prometheus::PrometheusHandle;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Seconds after which one whose product could not be made comes back.
const MAKES_RETRY: u64 = 2;

/// The state of the doors.
#[derive(Clone)]
pub struct AppState {
    /// The use cases.
    pub hub: Arc<Hub>,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
    /// Reverse proxies whose `X-Forwarded-For` is believed; empty: none is.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Of the program.
    pub version: &'static str,
    /// Whether callers reach the hub over TLS, so that browsers may be told to insist on it.
    pub tls: bool,
    reads: Arc<Semaphore>,
    keyed_makes: Arc<Semaphore>,
    strangers_makes: Arc<Semaphore>,
}

impl AppState {
    /// The state of a server in front of `hub`.
    pub fn new(hub: Arc<Hub>, metrics: PrometheusHandle, trusted_proxies: Arc<[IpNet]>, version: &'static str, tls: bool) -> Self {
        let permits = |number: usize| Arc::new(Semaphore::new(number));
        Self {
            hub,
            metrics,
            trusted_proxies,
            version,
            tls,
            reads: permits(limits::READS),
            keyed_makes: permits(limits::FEED_MAKES),
            strangers_makes: permits(limits::FEED_MAKES),
        }
    }

    /// Whether the address is a reverse proxy's that is believed.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|range| range.contains(&address))
    }

    /// Runs a use case that may read files, away from the threads that serve connections.
    ///
    /// The permit stays with the work, not with the caller: one who hangs up does not make room before the work is over.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&Hub) -> Result<T, HubError> + Send + 'static,
    {
        self.run(&self.reads, limits::READ_WAIT, 1, work).await
    }

    /// As [`AppState::read`], for the making of products: they wait for each other, so they take no turn of the other reads. Strangers have
    /// turns of their own and are refused at once where none is left.
    pub(crate) async fn make<T, F>(&self, keyed: bool, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&Hub) -> Result<T, HubError> + Send + 'static,
    {
        let (turns, wait) = if keyed { (&self.keyed_makes, limits::READ_WAIT) } else { (&self.strangers_makes, Duration::ZERO) };
        self.run(turns, wait, MAKES_RETRY, work).await
    }

    /// As [`AppState::read`], for use cases that wait for the store by themselves: the same turns, and the same time.
    pub(crate) fn look<T, F>(&self, work: F) -> impl Future<Output = Result<T, Problem>> + Send
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HubError>> + Send + 'static,
    {
        // These are large; whoever waits for one holds a pointer.
        let work = Box::pin(work);
        async move { in_turn(&self.reads, limits::READ_WAIT, limits::READ_TIME, work).await }
    }

    async fn run<T, F>(&self, turns: &Arc<Semaphore>, wait: Duration, retry_after: u64, work: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&Hub) -> Result<T, HubError> + Send + 'static,
    {
        let overloaded = || Problem::from(HubError::Overloaded { retry_after });
        let Ok(Ok(permit)) = tokio::time::timeout(wait, Arc::clone(turns).acquire_owned()).await else { return Err(overloaded()) };
        let hub = Arc::clone(&self.hub);
        let task = tokio::task::spawn_blocking(move || {
            let answer = work(&hub);
            drop(permit);
            answer
        });
        match tokio::time::timeout(limits::READ_TIME, task).await {
            Ok(Ok(answer)) => answer.map_err(Problem::from),
            Ok(Err(broken)) => Err(HubError::Internal(Box::new(broken)).into()),
            Err(_) => Err(overloaded()),
        }
    }
}

/// Runs a use case in its turn and for so long at the most. The permit stays with the work, not with the caller: who hangs up makes no room before it ends.
async fn in_turn<T, F>(turns: &Arc<Semaphore>, wait: Duration, time: Duration, work: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, HubError>> + Send + 'static,
{
    let overloaded = || Problem::from(HubError::Overloaded { retry_after: 1 });
    let Ok(Ok(permit)) = tokio::time::timeout(wait, Arc::clone(turns).acquire_owned()).await else { return Err(overloaded()) };
    let task = tokio::spawn(async move {
        let answer = tokio::time::timeout(time, work).await;
        drop(permit);
        answer
    });
    match task.await {
        Ok(Ok(answer)) => answer.map_err(Problem::from),
        Ok(Err(_)) => Err(overloaded()),
        Err(broken) => Err(HubError::Internal(Box::new(broken)).into()),
    }
}

/// Runs a use case that writes to its end, even where the caller hangs up in the middle of it.
pub(crate) async fn act<T, F>(work: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, HubError>> + Send + 'static,
{
    match tokio::spawn(work).await {
        Ok(answer) => answer.map_err(Problem::from),
        Err(broken) => Err(HubError::Internal(Box::new(broken)).into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_too_long_for_its_turn_or_takes_too_long_is_told_to_come_back() {
        const SHORT: Duration = Duration::from_millis(20);
        const LONG: Duration = Duration::from_secs(20);
        let turns = Arc::new(Semaphore::new(1));
        assert_eq!(in_turn(&turns, SHORT, LONG, async { Ok(7) }).await.unwrap(), 7);
        let late = in_turn(&turns, SHORT, SHORT, std::future::pending::<Result<(), HubError>>()).await.unwrap_err();
        assert_eq!((late.status().as_u16(), turns.available_permits()), (503, 1), "its turn is free again");
        let held = Arc::clone(&turns).acquire_owned().await.unwrap();
        let waits = in_turn(&turns, SHORT, LONG, async { Ok(7) }).await.unwrap_err();
        assert_eq!(waits.status().as_u16(), 503);
        drop(held);
        let refused = in_turn(&turns, SHORT, LONG, async { Err::<(), _>(HubError::NotFound) }).await.unwrap_err();
        assert_eq!(refused.status().as_u16(), 404);
    }
}
