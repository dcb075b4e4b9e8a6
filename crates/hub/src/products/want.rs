//! What is asked for: a product of a collection, through a filter.

use formats::products::{Consumption, Product};
use model::{ObservableType, Text};
use policy::Purpose;
use serde::{Deserialize, Serialize};
use store::views::indicators::Collection;

/// Conditions on the indicators of a product; all must hold. Empty: no condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct ProductFilter {
    /// One of these types.
    #[serde(default)]
    pub types: Vec<ObservableType>,
    /// Seen in one of these sectors.
    #[serde(default)]
    pub sectors: Vec<Text>,
    /// The least confidence, 0 to 100.
    #[serde(default)]
    pub min_confidence: u8,
    /// The greatest age in days since it was last seen.
    #[serde(default)]
    pub max_age_days: Option<u16>,
}

impl ProductFilter {
    /// The same conditions in the one way they are written, so that two who ask alike are answered with the same bytes.
    fn ordered(mut self) -> Self {
        self.types.sort_unstable();
        self.types.dedup();
        self.sectors.sort_unstable();
        self.sectors.dedup();
        self.min_confidence = self.min_confidence.min(100);
        self
    }
}

/// A product that the caller may have. Only [`crate::Hub::wanted`] makes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Want {
    pub(super) product: Product,
    pub(super) collection: Collection,
    pub(super) filter: ProductFilter,
}

impl Want {
    pub(super) fn new(product: Product, collection: Collection, filter: ProductFilter) -> Self {
        Self { product, collection, filter: filter.ordered() }
    }

    /// The product.
    pub fn product(&self) -> Product {
        self.product
    }

    /// The strictest marking in it.
    pub fn tlp(&self) -> model::Tlp {
        self.collection.tlp()
    }

    /// Name and filters, as a reader would ask for them.
    pub(super) fn title(&self) -> String {
        let mut title = self.product.name();
        let filter = &self.filter;
        let types: Vec<&str> = filter.types.iter().map(|kind| kind.as_str()).collect();
        let conditions = [
            (!types.is_empty()).then(|| format!("type={}", types.join(","))),
            (!filter.sectors.is_empty()).then(|| format!("sector={}", filter.sectors.join(","))),
            (filter.min_confidence > 0).then(|| format!("min_confidence={}", filter.min_confidence)),
            filter.max_age_days.map(|days| format!("max_age_days={days}")),
        ];
        for (place, condition) in conditions.into_iter().flatten().enumerate() {
            title.push(if place == 0 { '?' } else { '&' });
            title.push_str(&condition);
        }
        title
    }
}

/// What the consumers of a product do with it, in policy's words.
pub(super) fn consumption_of(product: Product) -> Purpose {
    match product.consumption() {
        Consumption::Blocking => Purpose::Block,
        Consumption::Detecting => Purpose::Detect,
        Consumption::Informing => Purpose::Inform,
    }
}
