//! What types alone cannot say of a configuration.
//!
//! Invariant: an error names the key, its value and what was expected; the first one found is told.
//! Not here: reading the values (`config`).

use super::Config;
use anyhow::bail;

/// The smallest memory for views a hub runs with.
const LEAST_MEMORY: u64 = 256 << 20;

impl Config {
    /// Whether it listens where others can reach it.
    pub fn is_open(&self) -> bool {
        !self.listen.ip().is_loopback()
    }

    /// Checks what types alone cannot.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.is_open() && self.tls.is_none() && !self.plain_http {
            bail!(
                "listen = {}: refusing to listen beyond loopback without TLS; give tls.certificate and tls.key, listen on 127.0.0.1, or allow it with --plain-http (for example behind a proxy that ends TLS)",
                self.listen
            );
        }
        if self.memory.0 < LEAST_MEMORY {
            bail!("memory = {}: expected at least {} MiB", self.memory.0, LEAST_MEMORY >> 20);
        }
        if self.limits.max_body.0 == 0 || self.limits.max_events == 0 {
            bail!("limits.max_body and limits.max_events: expected more than 0");
        }
        let least_days = hub::expiry::MIN_RETENTION.as_secs() / 86_400;
        if let Some(days) = self.retention_days
            && u64::from(days) < least_days
        {
            bail!(
                "retention_days = {days}: expected at least {least_days}, for an event sent again within a week must meet the first; without the key events are kept for good"
            );
        }
        if jiff::tz::TimeZone::get(&self.zone).is_err() {
            bail!("zone = {:?}: expected the name of a time zone such as Asia/Seoul that this machine knows (package tzdata)", self.zone);
        }
        if !is_slug(&self.realm) {
            bail!("realm = {:?}: expected lower-case letters, digits and hyphens", self.realm);
        }
        if let Some(folder) = &self.warning_lists
            && !folder.is_dir()
        {
            bail!("warning_lists = {}: expected a folder", folder.display());
        }
        for (key, file) in self.tls.iter().flat_map(|tls| [("tls.certificate", &tls.certificate), ("tls.key", &tls.key)]) {
            if !file.is_file() {
                bail!("{key} = {}: expected a PEM file", file.display());
            }
        }
        for range in &self.trusted_proxies {
            if hub::directory::parse_range(range).is_none() {
                bail!("trusted_proxies: {range:?}: expected an address or a range such as 10.0.0.0/8");
            }
        }
        if self.sectors.is_empty() {
            bail!("sectors: expected at least one");
        }
        for (place, sector) in self.sectors.iter().enumerate() {
            if !is_slug(sector) {
                bail!("sectors: {sector:?}: expected lower-case letters, digits and hyphens");
            }
            if self.sectors.iter().take(place).any(|earlier| earlier == sector) {
                bail!("sectors: {sector:?} is given twice");
            }
        }
        Ok(())
    }
}

fn is_slug(text: &str) -> bool {
    !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn it_refuses_to_listen_beyond_loopback_without_tls() {
        let mut config = Config { listen: "0.0.0.0:8470".parse().unwrap(), zone: "UTC".to_owned(), ..Config::default() };
        assert!(config.check().unwrap_err().to_string().contains("--plain-http"));
        config.plain_http = true;
        config.check().unwrap();
        config.listen = "[::1]:8470".parse().unwrap();
        config.plain_http = false;
        config.check().unwrap();
    }

    #[test]
    fn events_are_kept_for_eight_days_at_the_least() {
        let kept = |days: Option<u32>| Config { retention_days: days, zone: "UTC".to_owned(), ..Config::default() }.check();
        for days in [0, 7] {
            let refusal = kept(Some(days)).unwrap_err().to_string();
            assert!(refusal.contains(&format!("retention_days = {days}")) && refusal.contains("at least 8"), "{refusal}");
        }
        for days in [None, Some(8), Some(u32::MAX)] {
            kept(days).unwrap();
        }
    }
}
