//! Random numbers that are the same for the same seed, everywhere and always.
//!
//! Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (splitmix64).
//! Not here: anything secret; keys come from the hub.

/// A stream of numbers.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed and a name for what it is used for, so that two uses never share one.
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(mix(seed ^ mix(purpose)))
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `limit`; 0 where the limit is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u128::try_from(limit).unwrap_or(0);
        // The high half of the product is uniform enough: limits are tiny beside 2^64.
        usize::try_from((u128::from(self.next()) * limit) >> 64).unwrap_or(0)
    }

    /// Whether something happens that happens so many times in a hundred.
    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// A number from 0 up to, but without, 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A place below `limit` where place 0 is the most frequent: the density falls with the rank (Zipf's law with exponent 1).
    pub fn zipf(&mut self, limit: usize) -> usize {
        let place = (limit.saturating_add(1) as f64).powf(self.fraction()) as usize;
        place.saturating_sub(1).min(limit.saturating_sub(1))
    }

    /// A waiting time whose mean is 1.
    pub fn waiting(&mut self) -> f64 {
        -(1.0 - self.fraction()).ln()
    }

    /// One of the items; `or` where there is none.
    pub fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T], or: &'a T) -> &'a T {
        items.get(self.below(items.len())).copied().unwrap_or(or)
    }
}

/// Scatters a number over all 64 bits.
pub fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers = |seed| {
            let mut random = Random::new(seed, 1);
            [random.next(), random.next(), random.next()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }

    #[test]
    fn a_number_stays_below_its_limit() {
        let mut random = Random::new(1, 1);
        for _ in 0..10_000 {
            assert!(random.below(7) < 7 && random.zipf(7) < 7);
            assert!((0.0..1.0).contains(&random.fraction()));
            assert!(random.waiting() >= 0.0);
        }
        assert_eq!(random.below(0), 0);
        assert_eq!(random.zipf(0), 0);
    }

    #[test]
    fn the_first_places_are_the_most_frequent() {
        let mut random = Random::new(1, 1);
        let mut counts = [0_u32; 100];
        for _ in 0..10_000 {
            counts[random.zipf(100)] += 1;
        }
        assert!(counts[0] > 4 * counts[9] && counts[1] > counts[49]);
    }
}
