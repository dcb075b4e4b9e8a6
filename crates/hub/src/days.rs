//! Civil days in the realm's zone.

use jiff::tz::TimeZone;
use model::Timestamp;
use store::views::Days;

/// Civil days, remembering the zone's offset of the hour asked for last: events come nearly in order.
pub struct ZoneDays {
    zone: TimeZone,
    hour: i64,
    offset: i64,
}

impl ZoneDays {
    /// Days in `zone`.
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, hour: i64::MIN, offset: 0 }
    }
}

impl Days for ZoneDays {
    fn day(&mut self, time: Timestamp) -> i32 {
        let seconds = time.seconds();
        // Offsets change on quarter hours at the finest.
        let hour = seconds.div_euclid(900);
        if hour != self.hour {
            self.hour = hour;
            self.offset = jiff::Timestamp::from_second(seconds).map_or(0, |moment| i64::from(self.zone.to_offset(moment).seconds()));
        }
        (seconds + self.offset).div_euclid(86_400) as i32
    }
}
