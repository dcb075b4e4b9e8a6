//! What MISP says of its attribute types: categories, which type fits which, and what an attribute has where its sender does not say.
//!
//! Not here: what a type is to this hub (`types`).
//!
//! Source: MISP core format, sections 2.4.2 and 2.4.3; the table in `describe.txt`.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The table.
struct Table {
    /// Categories in MISP's order, each with its types.
    categories: Vec<(&'static str, Vec<&'static str>)>,
    /// Types in MISP's order.
    types: Vec<&'static str>,
    /// The category of a type, and whether it is worth detecting, where the sender does not say.
    defaults: BTreeMap<&'static str, (&'static str, bool)>,
}

/// The category of a type, and whether it is worth detecting, where the sender does not say; `None` for what is no type.
pub fn defaults_of(kind: &str) -> Option<(&'static str, bool)> {
    table().defaults.get(kind).copied()
}

/// Whether there is such a category.
pub fn is_category(category: &str) -> bool {
    table().categories.iter().any(|(name, _)| *name == category)
}

/// Whether a category may hold a type.
pub fn fits(kind: &str, category: &str) -> bool {
    table().categories.iter().any(|(name, types)| *name == category && types.contains(&kind))
}

/// The table as MISP's `describeTypes` gives it.
pub fn describe() -> Value {
    let table = table();
    let sane: Map<String, Value> = table
        .types
        .iter()
        .filter_map(|kind| {
            let (category, detect) = table.defaults.get(kind)?;
            Some(((*kind).to_owned(), json!({ "default_category": category, "to_ids": u8::from(*detect) })))
        })
        .collect();
    let categories: Vec<&str> = table.categories.iter().map(|(name, _)| *name).collect();
    let mappings: Map<String, Value> = table.categories.iter().map(|(name, types)| ((*name).to_owned(), json!(types))).collect();
    json!({ "result": { "sane_defaults": sane, "types": table.types, "categories": categories, "category_type_mappings": mappings } })
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| read(include_str!("describe.txt")))
}

fn read(text: &'static str) -> Table {
    let mut table = Table { categories: Vec::new(), types: Vec::new(), defaults: BTreeMap::new() };
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((kind, rest)) = line.split_once(" = ") {
            let Some((category, detect)) = rest.split_once(", ") else { continue };
            table.types.push(kind);
            table.defaults.insert(kind, (category, detect == "1"));
        } else if let Some((category, types)) = line.split_once(": ") {
            table.categories.push((category, types.split(", ").collect()));
        }
    }
    table
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::super::types::{Kind, kind};
    use super::*;

    #[test]
    fn every_type_of_the_table_is_known_and_fits_the_category_it_has_by_default() {
        assert_eq!((table().types.len(), table().categories.len()), (194, 16));
        for name in &table().types {
            let (category, _) = defaults_of(name).unwrap();
            assert!(fits(name, category), "{name} {category}");
            assert_ne!(kind(name), Kind::Unknown, "{name}");
        }
        assert_eq!(defaults_of("ip-src"), Some(("Network activity", true)));
        assert!(defaults_of("no-such-type").is_none() && is_category("Targeting data") && !is_category("Nothing"));
    }
}
