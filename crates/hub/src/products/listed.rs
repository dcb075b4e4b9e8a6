//! What a caller may fetch, for the index of `/feeds/`.
//!
//! Invariant: nothing is made for it and nothing is kept warm by it; what is told of a product is told of the copy that was made last.
//! Not here: who may have what (`policy::leave`), by way of [`Hub::wanted`].

use super::{ProductFilter, Want};
use crate::{Actor, Hub};
use formats::products::Product;
use model::{Timestamp, Tlp};

/// A product that a caller may fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Which one.
    pub product: Product,
    /// The strictest marking of it that the caller may have.
    pub tlp: Tlp,
    /// The copy that is kept ready, where one is.
    pub made: Option<Ready>,
}

/// The copy of a product that is kept ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// How many entries it has.
    pub entries: usize,
    /// When it was made.
    pub at: Timestamp,
    /// From when on it is no longer to be used.
    pub expires: Timestamp,
}

impl Hub {
    /// Every product that a caller may fetch, in the strictest marking that it may have.
    pub fn listed_products(&self, actor: Option<&Actor>) -> Vec<Listed> {
        let now = self.clock().now();
        let wants: Vec<Want> = Product::all().into_iter().filter_map(|product| self.wanted(actor, product, None, ProductFilter::default()).ok()).collect();
        let shelf = self.products.shelf.lock();
        let listed = wants.iter().map(|want| {
            let prepared = shelf.get(want).map(|kept| &kept.prepared).filter(|prepared| prepared.expires > now);
            let made = prepared.map(|prepared| Ready { entries: prepared.entries, at: prepared.modified, expires: prepared.expires });
            Listed { product: want.product, tlp: want.tlp(), made }
        });
        listed.collect()
    }
}
