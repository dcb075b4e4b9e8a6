//! What types alone cannot say of a configuration.
//!
//! Invariant: an error names the key, its value and what was expected; the first one found is told.
//! Not here: reading the values (`config`).

use super::Config;
use super::shape::{Mail, Outbound};
use anyhow::{anyhow, bail};
use hub::delivery::mail::{MailTls, is_this_machine, sender};

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
        self.mail.as_ref().map_or(Ok(()), check_mail)?;
        hub::delivery::holidays::parse(self.delivery.holidays.iter().map(String::as_str)).map_err(|reason| anyhow!("delivery.holidays: {reason}"))?;
        check_outbound(&self.outbound)?;
        hub::sources::config::check(&self.sources).map_err(|reason| anyhow!(reason))?;
        self.national.check()?;
        self.dns.options()?;
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

fn check_outbound(outbound: &Outbound) -> anyhow::Result<()> {
    for (key, ranges) in [("outbound.allow", &outbound.allow), ("outbound.webhooks_allow", &outbound.webhooks_allow)] {
        if let Some(range) = ranges.iter().find(|range| hub::directory::parse_range(range).is_none()) {
            bail!("{key}: {range:?}: expected an address or a range such as 10.1.0.0/16");
        }
    }
    if let Some(file) = outbound.ca.as_ref().filter(|file| !file.is_file()) {
        bail!("outbound.ca = {}: expected a PEM file", file.display());
    }
    if outbound.proxy.as_ref().is_some_and(|proxy| !(proxy.starts_with("http://") || proxy.starts_with("https://"))) {
        // It may hold a password, so it is not told.
        bail!("outbound.proxy: expected http://host:port");
    }
    if outbound.proxy_resolves && outbound.proxy.is_none() {
        bail!("outbound.proxy_resolves = true: only with outbound.proxy, which then resolves what the hub cannot");
    }
    Ok(())
}

fn check_mail(mail: &Mail) -> anyhow::Result<()> {
    if mail.host.is_empty() {
        bail!("mail.host: expected the name or address of a mail server");
    }
    if mail.port == Some(0) {
        bail!("mail.port = 0: expected a port");
    }
    if mail.tls == MailTls::None && !is_this_machine(&mail.host) {
        bail!("mail.tls = none: only for a server on this machine (127.0.0.1, ::1, localhost), not for mail.host = {:?}", mail.host);
    }
    sender(&mail.from).map_err(|reason| anyhow!("mail.from: {reason}"))?;
    if mail.user.is_some() != mail.password_file.is_some() {
        bail!("mail.user and mail.password_file: expected both or neither");
    }
    for (key, file) in [("mail.ca", &mail.ca), ("mail.password_file", &mail.password_file)] {
        if let Some(file) = file
            && !file.is_file()
        {
            bail!("{key} = {}: expected a file", file.display());
        }
    }
    if let Some(link) = &mail.link
        && (!(link.starts_with("https://") || link.starts_with("http://")) || link.chars().any(|character| character.is_whitespace() || character.is_control()))
    {
        bail!("mail.link = {link:?}: expected the hub's address such as https://hub.cert.example");
    }
    if let Some(wrong) = mail.abuse_never.iter().find(|one| one.is_empty() || one.starts_with('@') || one.chars().any(char::is_whitespace)) {
        bail!("mail.abuse_never: {wrong:?}: expected an address such as abuse@shop.example, or shop.example for all of its addresses");
    }
    Ok(())
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
    fn mail_settings_that_cannot_work_are_refused_with_their_key() {
        let given = Mail { host: "mail.cert.example".to_owned(), from: "CERT <alert@cert.example>".to_owned(), ..Mail::default() };
        let checked = |mail: Mail| Config { mail: Some(mail), zone: "UTC".to_owned(), ..Config::default() }.check();
        checked(given.clone()).unwrap();
        checked(Mail { host: "localhost".to_owned(), tls: MailTls::None, ..given.clone() }).unwrap();
        for (wrong, key) in [
            (Mail { host: String::new(), ..given.clone() }, "mail.host"),
            (Mail { tls: MailTls::None, ..given.clone() }, "mail.tls"),
            (Mail { from: String::new(), ..given.clone() }, "mail.from"),
            (Mail { port: Some(0), ..given.clone() }, "mail.port"),
            (Mail { user: Some("hub".to_owned()), ..given.clone() }, "mail.password_file"),
            (Mail { ca: Some("/nowhere/ca.pem".into()), ..given.clone() }, "mail.ca"),
            (Mail { link: Some("hub.cert.example".to_owned()), ..given.clone() }, "mail.link"),
            (Mail { abuse_never: vec!["@shop.example".to_owned()], ..given.clone() }, "mail.abuse_never"),
        ] {
            assert!(checked(wrong).unwrap_err().to_string().contains(key), "{key}");
        }
    }

    #[test]
    fn what_may_be_called_is_a_range_and_sources_are_checked_together() {
        let mut config = Config { zone: "UTC".to_owned(), ..Config::default() };
        config.outbound.allow = vec!["127.0.0.1".to_owned(), "10.1.0.0/16".to_owned()];
        config.sources = toml::from_str::<Config>("[[sources]]\nname = \"a\"\nkind = \"list\"\nurl = \"https://feed.example/a\"\n").unwrap().sources;
        config.check().unwrap();
        config.sources.push(config.sources[0].clone());
        assert!(config.check().unwrap_err().to_string().contains("given twice"));
        config.outbound.allow.push("inside".to_owned());
        assert!(config.check().unwrap_err().to_string().contains("outbound.allow"));
    }

    #[test]
    fn webhooks_have_a_list_of_their_own_and_names_are_left_to_a_proxy_that_is_there() {
        let mut config = Config { zone: "UTC".to_owned(), ..Config::default() };
        config.outbound.webhooks_allow = vec!["10.1.0.0/16".to_owned()];
        config.check().unwrap();
        let options = config.outbound.options();
        assert!(options.allow.is_empty() && options.webhooks_allow.len() == 1);
        assert_eq!(options.for_webhooks().allow, options.webhooks_allow);
        config.outbound.webhooks_allow.push("inside".to_owned());
        assert!(config.check().unwrap_err().to_string().contains("outbound.webhooks_allow"));
        config.outbound.webhooks_allow.clear();
        config.outbound.proxy_resolves = true;
        assert!(config.check().unwrap_err().to_string().contains("outbound.proxy_resolves"));
        config.outbound.proxy = Some("http://proxy.example:3128".to_owned());
        config.check().unwrap();
        assert!(config.outbound.options().proxy_resolves);
    }

    #[test]
    fn a_holiday_is_a_date() {
        let mut config = Config { zone: "UTC".to_owned(), ..Config::default() };
        config.delivery.holidays = vec!["2026-01-01".to_owned()];
        config.check().unwrap();
        config.delivery.holidays.push("Seollal".to_owned());
        assert!(config.check().unwrap_err().to_string().contains("delivery.holidays"));
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
