//! Daily quotas, where one is set for a member.

use hashbrown::HashMap;
use model::{OrgNo, Timestamp};
use parking_lot::Mutex;

const DAY: i64 = 86_400;

/// Events taken from each member today (UTC). Starts anew with the program.
#[derive(Debug, Default)]
pub struct Quotas {
    used: Mutex<HashMap<OrgNo, (i64, u64)>>,
}

impl Quotas {
    /// Events the member may still send today; `None`: as many as it likes.
    pub fn left(&self, org: OrgNo, quota: Option<u64>, now: Timestamp) -> Option<u64> {
        let quota = quota?;
        let used = self.used.lock().get(&org).filter(|(day, _)| *day == now.utc_day()).map_or(0, |(_, used)| *used);
        Some(quota.saturating_sub(used))
    }

    /// Notes events taken.
    pub fn used(&self, org: OrgNo, now: Timestamp, events: u64) {
        let mut all = self.used.lock();
        let slot = all.entry(org).or_insert((now.utc_day(), 0));
        if slot.0 != now.utc_day() {
            *slot = (now.utc_day(), 0);
        }
        slot.1 += events;
    }

    /// Seconds until quotas begin anew.
    pub fn seconds_to_next_day(&self, now: Timestamp) -> u64 {
        (DAY - now.seconds().rem_euclid(DAY)) as u64
    }
}
