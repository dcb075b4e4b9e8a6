//! Which registration is meant: by its id, or by what it registers, of the organisation that is named or of any that the key may know.
//!
//! Invariant: of several registrations with one value the one that did not end is meant; where several organisations have one, the caller is asked to choose.

use super::words::{has_ended, in_short};
use crate::cli::{NetworkArguments, NetworkKind};
use crate::client::lookup::plain;
use crate::client::members::{organisation, organisations_named, own, resolve};
use crate::client::pages::Pages;
use crate::client::{Api, parse, query};
use anyhow::{anyhow, bail};
use clap::ValueEnum;
use model::ObservableType;
use model::canonical::canonical;
use model::ids::NetworkId;
use serde_json::value::RawValue;
use std::net::IpAddr;

/// Every state, for who looks for one registration.
const STATES: [&str; 4] = ["pending", "approved", "rejected", "withdrawn"];

/// The word that a value of ours has on the wire, which is the one of the command line.
pub(super) fn word(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|word| word.get_name().to_owned()).unwrap_or_default()
}

/// What a value looks like; the hub says where it is not that.
pub(super) fn kind_of(value: &str) -> NetworkKind {
    let value = value.trim();
    let number = value.get(..2).filter(|start| start.eq_ignore_ascii_case("as")).and_then(|_| value.get(2..)).unwrap_or(value);
    let address = value.split('/').next().unwrap_or(value);
    if value.contains("://") {
        NetworkKind::Url
    } else if address.parse::<IpAddr>().is_ok() {
        NetworkKind::Cidr
    } else if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        NetworkKind::Asn
    } else {
        NetworkKind::Domain
    }
}

/// The organisation that is named, or the key's own.
pub(super) fn whose(api: &Api, named: Option<&str>) -> anyhow::Result<String> {
    named.map_or_else(|| own(api), |named| resolve(api, named))
}

/// The registrations of an organisation in these states; where none is named, those that did not end.
pub(super) fn networks(api: &Api, whose: &str, states: &[String]) -> anyhow::Result<Vec<Box<RawValue>>> {
    let parameters = if states.is_empty() { Vec::new() } else { vec![("state", states.join(","))] };
    Pages::new(api, &format!("{}/networks", organisation(whose)), "networks", parameters).all()
}

/// The path of a registration.
fn registration(whose: &str, id: &str) -> String {
    let mut path = format!("{}/networks/", organisation(whose));
    query::encode(id, &mut path);
    path
}

fn is_id(text: &str) -> bool {
    text.parse::<NetworkId>().is_ok()
}

/// A registration with whose it is, by its id or by what it registers.
pub(super) fn find(api: &Api, wanted: &NetworkArguments) -> anyhow::Result<(String, Box<RawValue>)> {
    let first = whose(api, wanted.org.as_deref())?;
    if let Some(found) = among(api, &first, &wanted.id)? {
        return Ok((first, found));
    }
    let mut found: Vec<(String, String, Box<RawValue>)> = Vec::new();
    if wanted.org.is_none() {
        for (id, name) in organisations_named(api)? {
            if id != first
                && let Some(row) = among(api, &id, &wanted.id)?
            {
                found.push((id, name, row));
                // An id is one registration's; a value may be several organisations'.
                if is_id(&wanted.id) {
                    break;
                }
            }
        }
    }
    if found.len() > 1 {
        let mut lines = String::new();
        for (_, name, row) in &found {
            lines.push_str(&format!("\n  {}  {name}", in_short(&parse(row)?)));
        }
        bail!("{}: several organisations have registered it; give an id or --org:{lines}", wanted.id);
    }
    let found = found.pop().map(|(id, _, row)| (id, row));
    found.ok_or_else(|| anyhow!("{}: no registration that you may know has this id or value; `bongsu network list` has all", wanted.id))
}

/// The registration of an organisation with this id or value; of several with the value the one that did not end, else the newest.
fn among(api: &Api, whose: &str, wanted: &str) -> anyhow::Result<Option<Box<RawValue>>> {
    if is_id(wanted) {
        let answer = api.get(&registration(whose, wanted), &[])?;
        return if answer.status == 404 { Ok(None) } else { answer.raw().map(Some) };
    }
    let wanted = wanted.trim();
    let observable = match kind_of(wanted) {
        NetworkKind::Cidr => ObservableType::Cidr,
        NetworkKind::Domain => ObservableType::Domain,
        NetworkKind::Asn => ObservableType::Asn,
        NetworkKind::Url => ObservableType::Url,
    };
    let value = canonical(observable, wanted).map_or_else(|_| wanted.to_owned(), |value| value.to_string());
    let mut ended = None;
    for row in networks(api, whose, &STATES.map(str::to_owned))? {
        let network = parse(&row)?;
        if plain(network.get("value")) != value {
            continue;
        }
        if !has_ended(&network) {
            return Ok(Some(row));
        }
        if ended.is_none() {
            ended = Some(row);
        }
    }
    Ok(ended)
}

/// The path of the registration that is meant. Where its organisation and its id are given nothing is looked up.
pub(super) fn place(api: &Api, network: &NetworkArguments) -> anyhow::Result<String> {
    if let Some(named) = network.org.as_deref().filter(|_| is_id(&network.id)) {
        return Ok(registration(&resolve(api, named)?, &network.id));
    }
    let (whose, found) = find(api, network)?;
    Ok(registration(&whose, &plain(parse(&found)?.get("id"))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_what_it_is() {
        for (value, kind) in [
            ("192.0.2.0/24", NetworkKind::Cidr),
            ("2001:db8::1", NetworkKind::Cidr),
            ("AS4766", NetworkKind::Asn),
            ("as4766", NetworkKind::Asn),
            ("4766", NetworkKind::Asn),
            ("https://bank.example/shop", NetworkKind::Url),
            ("bank.example", NetworkKind::Domain),
            ("as.example", NetworkKind::Domain),
            ("은행.kr", NetworkKind::Domain),
            ("as", NetworkKind::Domain),
        ] {
            assert_eq!(kind_of(value), kind, "{value}");
        }
        assert_eq!(word(&NetworkKind::Cidr), "cidr");
    }
}
