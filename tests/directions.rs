//! The direction of dependencies: `model` ← `policy`, `formats` ← `store` ← `hub` ← `web` ← `bongsu`; `xtask` stands alone.
//!
//! Invariant: a crate that is not named here, or an edge that is not, fails; and the pure crates stay free of clocks, randomness and I/O.
//! One exception: `xtask bench settled` holds the settled tier of `store` beside another engine, so it must call both, and `xtask bench owners` asks
//! the table of registrations in `store`. They are optional dependencies of xtask behind features that nothing else turns on: every other build of
//! xtask, its tests too, stands alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// Each of our crates with those of ours that it may use.
const MAY_USE: [(&str, &[&str]); 8] = [
    ("model", &[]),
    ("policy", &["model"]),
    ("formats", &["model"]),
    ("store", &["model", "policy", "formats"]),
    ("hub", &["model", "policy", "formats", "store"]),
    ("web", &["model", "policy", "formats", "hub"]),
    ("bongsu", &["model", "policy", "formats", "store", "hub", "web"]),
    ("xtask", &["model", "store"]),
];

/// May use ours and an engine, but only as optional dependencies.
const STANDS_ALONE: &str = "xtask";
/// What keeps data; `store` has one of them at the most.
const ENGINES: [&str; 3] = ["sqlx", "fjall", "rocksdb"];

/// Crates that bring a clock, randomness, async or I/O; the pure crates may not use them outside tests.
const IMPURE: [&str; 9] = ["tokio", "axum", "sqlx", "ureq", "tempfile", "rand", "getrandom", "fastrand", "parking_lot"];
const PURE: [&str; 3] = ["model", "policy", "formats"];

#[test]
fn crates_depend_in_one_direction_only() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let may_use = allowed.get(name).unwrap_or_else(|| panic!("{name} has no place in the order of crates"));
        for used in dependencies(&package, true) {
            assert!(!allowed.contains_key(used.as_str()) || may_use.contains(&used.as_str()), "{name} must not depend on {used}");
        }
    }
}

#[test]
fn xtask_stands_alone_unless_a_feature_is_asked_for() {
    let packages = packages();
    let xtask = packages.iter().find(|package| package["name"] == STANDS_ALONE).unwrap();
    assert!(xtask["features"].get("default").is_none(), "nothing is turned on unasked");
    for dependency in xtask["dependencies"].as_array().unwrap() {
        let used = dependency["name"].as_str().unwrap();
        let ours = MAY_USE.iter().any(|(name, _)| *name == used);
        assert!(dependency["optional"] == true || !(ours || ENGINES.contains(&used)), "{STANDS_ALONE} must build without {used}");
    }
}

#[test]
fn the_pure_crates_have_no_clock_randomness_or_io() {
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        for used in dependencies(&package, false) {
            assert!(!PURE.contains(&name) || !IMPURE.contains(&used.as_str()), "{name} must not depend on {used}");
        }
    }
}

#[test]
fn only_store_knows_an_engine() {
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let engines: Vec<String> = dependencies(&package, true).into_iter().filter(|used| ENGINES.contains(&used.as_str())).collect();
        // What xtask may have of them is looked at above.
        assert!(["store", STANDS_ALONE].contains(&name) || engines.is_empty(), "{name} depends on {engines:?}");
    }
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().clone();
    assert_eq!(packages.len(), MAY_USE.len());
    packages
}

fn dependencies(package: &Value, with_tests: bool) -> Vec<String> {
    let all = package["dependencies"].as_array().unwrap().iter();
    all.filter(|dependency| with_tests || dependency["kind"] != "dev").map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
}
