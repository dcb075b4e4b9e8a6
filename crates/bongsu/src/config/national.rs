//! The sections `national` and `dns`: whose address space the hub stands for, and who is asked for texts in DNS.
//!
//! Flow: `toml` deserialises texts → [`National::options`] and [`Dns::options`] read them into the hub's types; `check` does it once before the start.
//! Invariant: an error names the key, the text and what was expected. What the files hold is not looked at here: a bad file must not stop a hub.
//! Not here: what is made of it (`hub::owners`).

use anyhow::{anyhow, bail};
use hub::owners::{DnsOptions, MAX_PROVIDERS, NationalOptions, NationalPlace};
use model::{Constituency, OrgId};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Registries' files at the most.
const MAX_FILES: usize = 20;
/// Ranges, AS numbers and places at the most, each.
const MAX_PLACES: usize = 100_000;

/// The nation's address space. Without a file, a range and an AS number the hub stands for none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct National {
    /// Two-letter code of the country.
    pub country: String,
    /// Files of the registries, delegated-extended.
    pub delegated: Vec<PathBuf>,
    /// Ranges beside those.
    pub prefixes: Vec<String>,
    /// AS numbers beside those, alone or as `from-to`.
    pub asns: Vec<String>,
    /// File of prefixes with the AS numbers that announce them.
    pub routes: Option<PathBuf>,
    /// AS number → id of the organisation that provides access in it.
    pub providers: BTreeMap<String, String>,
    /// Line → id of its competent authority.
    pub authorities: BTreeMap<String, String>,
    /// Range or `AS…` → line.
    pub constituencies: BTreeMap<String, String>,
}

/// Who is asked for texts in DNS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Resolvers: addresses, with a port where it is not 53. Empty: the system's.
    pub servers: Vec<String>,
}

impl National {
    /// Checks what can be checked before the start: that texts can be read and files are there.
    pub fn check(&self) -> anyhow::Result<()> {
        self.options()?;
        for (key, path) in self.delegated.iter().map(|path| ("delegated", path)).chain(self.routes.iter().map(|path| ("routes", path))) {
            if !path.is_file() {
                bail!("national.{key}: {}: expected a file", path.display());
            }
        }
        Ok(())
    }

    /// The same in the hub's types; `None` where no nation is named.
    pub fn options(&self) -> anyhow::Result<Option<NationalOptions>> {
        if *self == Self::default() {
            return Ok(None);
        }
        if self.delegated.is_empty() && self.prefixes.is_empty() && self.asns.is_empty() {
            bail!("national: expected national.delegated, national.prefixes or national.asns; without any of them nothing is the nation's");
        }
        let country = self.country.trim().to_ascii_uppercase();
        let is_code = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        let is_set = !country.is_empty() || !self.delegated.is_empty();
        if is_set && !is_code {
            bail!("national.country = {:?}: expected a code of two letters such as KR", self.country);
        }
        if self.delegated.len() > MAX_FILES {
            bail!("national.delegated: expected at most {MAX_FILES} files");
        }
        if self.providers.len() > MAX_PROVIDERS {
            bail!("national.providers: expected at most {MAX_PROVIDERS}");
        }
        if [self.prefixes.len(), self.asns.len(), self.constituencies.len()].into_iter().any(|places| places > MAX_PLACES) {
            bail!("national.prefixes, national.asns and national.constituencies: expected at most {MAX_PLACES} each");
        }
        let range = |text: &String| {
            let range = hub::directory::parse_range(text).filter(|range| range.prefix_len() > 0);
            range.ok_or_else(|| anyhow!("national.prefixes: {text:?}: expected a range such as 203.0.113.0/24"))
        };
        let numbers = |text: &String| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let span = as_number(first).zip(as_number(last)).filter(|(first, last)| first <= last);
            span.ok_or_else(|| anyhow!("national.asns: {text:?}: expected an AS number or two such as 64512-65534"))
        };
        Ok(Some(NationalOptions {
            country,
            delegated: self.delegated.clone(),
            prefixes: self.prefixes.iter().map(range).collect::<anyhow::Result<_>>()?,
            asns: self.asns.iter().map(numbers).collect::<anyhow::Result<_>>()?,
            routes: self.routes.clone(),
            providers: self.providers.iter().map(provider).collect::<anyhow::Result<_>>()?,
            authorities: self.authorities.iter().map(authority).collect::<anyhow::Result<_>>()?,
            constituencies: self.constituencies.iter().map(place).collect::<anyhow::Result<_>>()?,
        }))
    }
}

impl Dns {
    /// The same in the hub's types.
    pub fn options(&self) -> anyhow::Result<DnsOptions> {
        let server =
            |text: &String| DnsOptions::server(text).ok_or_else(|| anyhow!("dns.servers: {text:?}: expected an address such as 192.0.2.53 or [::1]:5353"));
        Ok(DnsOptions { servers: self.servers.iter().map(server).collect::<anyhow::Result<_>>()? })
    }
}

fn provider((asn, id): (&String, &String)) -> anyhow::Result<(u32, OrgId)> {
    let asn = as_number(asn).ok_or_else(|| anyhow!("national.providers: {asn:?}: expected an AS number"))?;
    Ok((asn, organisation("national.providers", id)?))
}

fn authority((line, id): (&String, &String)) -> anyhow::Result<(Constituency, OrgId)> {
    Ok((constituency("national.authorities", line)?, organisation("national.authorities", id)?))
}

fn place((place, line): (&String, &String)) -> anyhow::Result<(NationalPlace, Constituency)> {
    let of = hub::directory::parse_range(place).map(NationalPlace::Range).or_else(|| as_number(place).map(NationalPlace::Asn));
    let of = of.ok_or_else(|| anyhow!("national.constituencies: {place:?}: expected a range or an AS number"))?;
    Ok((of, constituency("national.constituencies", line)?))
}

fn organisation(key: &str, id: &str) -> anyhow::Result<OrgId> {
    id.trim().parse().map_err(|_| anyhow!("{key}: {id:?}: expected the id of an organisation, org_…"))
}

fn constituency(key: &str, line: &str) -> anyhow::Result<Constituency> {
    Constituency::parse(line.trim()).ok_or_else(|| anyhow!("{key}: {line:?}: expected private, public or defence"))
}

/// `4766` or `AS4766`.
fn as_number(text: &str) -> Option<u32> {
    let text = text.trim();
    let digits = text.get(..2).filter(|start| start.eq_ignore_ascii_case("as")).and_then(|_| text.get(2..)).unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    fn national(text: &str) -> anyhow::Result<Option<NationalOptions>> {
        toml::from_str::<National>(text)?.options()
    }

    #[test]
    fn texts_are_read_into_types() {
        let options = national(
            "country = \"kr\"\nprefixes = [\"203.0.113.9/24\"]\nasns = [\"AS4766\", \"64510-64515\"]\n\
             providers = { 4766 = \"org_0190a5b8a1b27000800000000000abcd\" }\nconstituencies = { \"203.0.113.0/25\" = \"public\", AS64510 = \"defence\" }\n",
        );
        let options = options.unwrap().unwrap();
        assert_eq!((options.country.as_str(), options.prefixes[0].to_string()), ("KR", "203.0.113.0/24".to_owned()));
        assert_eq!(options.asns, [(4_766, 4_766), (64_510, 64_515)]);
        assert!(options.providers.contains_key(&4_766));
        assert_eq!(options.constituencies[1], (NationalPlace::Asn(64_510), Constituency::Defence));
        assert_eq!(national("").unwrap(), None);
    }

    #[test]
    fn an_error_names_the_key_and_what_was_expected() {
        for (text, key) in [
            ("country = \"KR\"", "national.delegated"),
            ("country = \"Korea\"\nprefixes = [\"203.0.113.0/24\"]", "national.country"),
            ("delegated = [\"/x\"]", "national.country"),
            ("prefixes = [\"0.0.0.0/0\"]", "national.prefixes"),
            ("asns = [\"9-4\"]", "national.asns"),
            ("asns = [\"4766\"]\nproviders = { x = \"org_1\" }", "national.providers"),
            ("asns = [\"4766\"]\nproviders = { 4766 = \"me\" }", "national.providers"),
            ("asns = [\"4766\"]\nauthorities = { army = \"org_1\" }", "national.authorities"),
            ("asns = [\"4766\"]\nconstituencies = { here = \"public\" }", "national.constituencies"),
        ] {
            let error = national(text).unwrap_err().to_string();
            assert!(error.contains(key), "{text}: {error}");
        }
        let missing = toml::from_str::<National>("country = \"KR\"\ndelegated = [\"/nowhere/delegated\"]").unwrap().check().unwrap_err().to_string();
        assert!(missing.contains("/nowhere/delegated"), "{missing}");
        assert!(Dns { servers: vec!["resolver".to_owned()] }.options().unwrap_err().to_string().contains("dns.servers"));
    }
}
