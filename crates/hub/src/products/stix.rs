//! The STIX bundle: the newest versions of the chosen indicators, each byte for byte as the collection over TAXII gives it to who could always read it.
//!
//! Invariant: an object has one content per id and version, whichever door it leaves by; only its `created` is later for who came later to the
//! collection (`crate::taxii`). So confidence is as it was given: what age and
//! claims make of it decides which indicators are in the bundle, and stands in the other products.
//! Source: OASIS STIX 2.1 section 8 (bundles).

use super::Want;
use super::prepared::Choice;
use super::table::version_stamp;
use crate::Hub;
use formats::stix::write;
use hashbrown::HashMap;
use model::Tlp;

/// Versions of the log read at once.
const PAGE: usize = 4_096;

/// A bundle of what was chosen, with the objects that it refers to.
pub(super) fn bundle(hub: &Hub, want: &Want, choice: &Choice) -> std::io::Result<Vec<u8>> {
    let newest: HashMap<u128, u32> = choice.versions().collect();
    let mut objects = Vec::new();
    write::project(&mut objects);
    objects.push(b',');
    write::extension(&mut objects);
    objects.push(b',');
    write::identity(&mut objects, hub.stix_identity(), &format!("Bongsu {}", hub.options.realm));
    for &tlp in Tlp::ALL.iter().filter(|&&tlp| tlp <= want.tlp()) {
        objects.push(b',');
        write::marking(&mut objects, tlp);
    }
    let (mut after, mut left) = (None, newest.len());
    while left > 0 {
        let page = hub.store().indicators.page(want.collection, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.added);
        for version in page.iter().filter(|version| newest.get(&version.key) == Some(&version_stamp(version.added))) {
            left = left.saturating_sub(1);
            if let Some(item) = hub.indicator_item(version) {
                objects.push(b',');
                objects.extend_from_slice(&item.json);
            }
        }
    }
    // The id follows from the content, so that the same content is the same bundle.
    let number = blake3::hash(&objects).as_bytes().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes));
    let mut bundle = format!("{{\"type\":\"bundle\",\"id\":\"bundle--{}\",\"objects\":[", write::shaped(number)).into_bytes();
    bundle.reserve_exact(objects.len() + 3);
    bundle.append(&mut objects);
    bundle.extend_from_slice(b"]}\n");
    Ok(bundle)
}
