//! Warning lists: values that are known to be benign, in MISP's format.
//!
//! Source: MISP warninglists, types `string`, `hostname`, `cidr`, `substring`, `regex` (the last two are passed over with a line in the log:
//! they cannot be decided by a look-up).

use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;
use model::{ObservableType, Text};
use serde::Deserialize;
use std::net::IpAddr;
use std::path::Path;

/// Bytes of a list file at the most.
const MAX_FILE: u64 = 64 * 1024 * 1024;

#[derive(Deserialize)]
struct File {
    name: String,
    #[serde(rename = "type", default)]
    kind: String,
    list: Vec<String>,
}

/// The lists of the configured folder.
#[derive(Debug, Default)]
pub struct WarningLists {
    names: Vec<Text>,
    strings: HashMap<Text, Vec<u16>>,
    hosts: HashMap<Text, Vec<u16>>,
    /// Ranges by prefix length, so that a look is one probe per length in use.
    ranges: HashMap<(u8, IpNet), Vec<u16>>,
    lengths: Vec<u8>,
    /// Every name above a listed one: who blocks it with all that is below it blocks that one.
    above: HashSet<Text>,
}

impl WarningLists {
    /// Loads every `.json` below `folder`; none by default.
    pub fn load(folder: Option<&Path>) -> Self {
        let mut lists = Self::default();
        let Some(folder) = folder else { return lists };
        let Ok(entries) = std::fs::read_dir(folder) else {
            tracing::error!(folder = %folder.display(), "the folder of warning lists cannot be read");
            return lists;
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let path = if path.is_dir() { path.join("list.json") } else { path };
            if path.extension().is_none_or(|ending| ending != "json") || path.metadata().is_ok_and(|data| data.len() > MAX_FILE) {
                continue;
            }
            match std::fs::read(&path).map_err(|error| error.to_string()).and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string())) {
                Ok(file) => lists.add(file),
                Err(error) => tracing::error!(file = %path.display(), %error, "no warning list"),
            }
        }
        lists.lengths.sort_unstable();
        lists.lengths.dedup();
        let listed = lists.hosts.keys().chain(lists.strings.keys());
        lists.above = listed.flat_map(|name| crate::products::parents(name)).map(Text::from).collect();
        tracing::info!(lists = lists.names.len(), "warning lists loaded");
        lists
    }

    fn add(&mut self, file: File) {
        if !matches!(file.kind.as_str(), "string" | "hostname" | "cidr" | "") {
            tracing::warn!(list = %file.name, kind = %file.kind, "warning lists of this type are passed over");
            return;
        }
        let number = self.names.len() as u16;
        self.names.push(Text::from(file.name));
        for entry in file.list {
            let entry = entry.trim().trim_start_matches('.').to_ascii_lowercase();
            let range = entry.parse::<IpNet>().ok().or_else(|| entry.parse::<IpAddr>().ok().map(IpNet::from));
            if let Some(range) = range.filter(|_| file.kind != "hostname") {
                let range = range.trunc();
                self.lengths.push(range.prefix_len());
                self.ranges.entry((range.prefix_len(), range)).or_default().push(number);
            } else if file.kind == "hostname" {
                self.hosts.entry(Text::from(entry)).or_default().push(number);
            } else {
                self.strings.entry(Text::from(entry)).or_default().push(number);
            }
        }
    }

    /// Whether a list holds a canonical value, or something that is inside it or below it.
    pub fn touches(&self, kind: ObservableType, value: &str) -> bool {
        if self.names.is_empty() {
            return false;
        }
        let holds_a_listed_one = match kind {
            ObservableType::Domain => self.above.contains(value),
            ObservableType::Cidr => value.parse::<IpNet>().is_ok_and(|wide| self.ranges.keys().any(|(_, range)| wide.contains(range))),
            _ => false,
        };
        holds_a_listed_one || !self.hits(kind, value).is_empty()
    }

    /// Names of the lists that hold a canonical value.
    pub fn hits(&self, kind: ObservableType, value: &str) -> Vec<Text> {
        if self.names.is_empty() {
            return Vec::new();
        }
        let mut numbers: Vec<u16> = self.strings.get(value).cloned().unwrap_or_default();
        let host = match kind {
            ObservableType::Domain => Some(value),
            // URLs keep the dot of the root.
            ObservableType::Url => Some(model::filter::host_of_url(value).trim_end_matches('.')),
            ObservableType::Email => value.rsplit_once('@').map(|(_, host)| host),
            _ => None,
        };
        let mut suffix = host;
        while let Some(name) = suffix {
            numbers.extend(self.hosts.get(name).into_iter().flatten());
            suffix = name.split_once('.').map(|(_, rest)| rest);
        }
        let address = if kind.is_address() { value.split('/').next() } else { host };
        if let Some(address) = address.and_then(|text| text.trim_matches(['[', ']']).parse::<IpAddr>().ok()) {
            for &length in &self.lengths {
                if let Ok(range) = IpNet::new(address, length) {
                    numbers.extend(self.ranges.get(&(length, range.trunc())).into_iter().flatten());
                }
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().filter_map(|number| self.names.get(number as usize).cloned()).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hosts_and_strings_hit_their_lists() {
        let folder = tempfile::tempdir().unwrap();
        for (name, kind, list) in
            [("ranges", "cidr", r#"["192.0.2.0/24"]"#), ("hosts", "hostname", r#"["Example.com"]"#), ("words", "string", r#"["one.test"]"#)]
        {
            let text = format!(r#"{{"name":"{name}","type":"{kind}","version":1,"list":{list}}}"#);
            std::fs::write(folder.path().join(format!("{name}.json")), text).unwrap();
        }
        let lists = WarningLists::load(Some(folder.path()));
        assert_eq!(lists.hits(ObservableType::Ipv4, "192.0.2.7"), ["ranges"]);
        assert_eq!(lists.hits(ObservableType::Url, "http://a.example.com/x"), ["hosts"]);
        assert_eq!(lists.hits(ObservableType::Domain, "one.test"), ["words"]);
        assert!(lists.hits(ObservableType::Domain, "b.one.test").is_empty());
        assert!(lists.hits(ObservableType::Ipv4, "192.0.3.7").is_empty());
        assert!(lists.touches(ObservableType::Cidr, "192.0.0.0/16") && !lists.touches(ObservableType::Cidr, "192.1.0.0/16"));
        assert!(lists.touches(ObservableType::Domain, "com") && lists.touches(ObservableType::Domain, "example.com"));
        assert!(!lists.touches(ObservableType::Domain, "example.net"));
    }
}
