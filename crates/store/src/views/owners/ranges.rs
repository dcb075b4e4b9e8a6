//! Prefixes of addresses, nested or apart: for an address, every prefix that holds it.
//!
//! Shape: where prefixes begin and end cuts the addresses into segments; each names the innermost prefix, and each prefix its outer one.
//! Invariant: a look is one search among the segments of one bucket of addresses, through the samples where they are many, then one step a
//! prefix that holds the address.
//! Not here: who holds a prefix (`table`).

/// Stands for no prefix.
const NONE: u32 = u32::MAX;
/// Buckets of addresses, by their first sixteen bits.
const BUCKETS: usize = 1 << 16;
/// Every so many segments one start is kept apart: registered IPv6 ranges share few buckets, and a search among millions of starts would wait
/// for memory at every step. Few in the tests, so that these come upon it.
const SAMPLE: usize = if cfg!(test) { 4 } else { 64 };

/// Addresses of one family.
pub(super) trait Address: Copy + Ord {
    /// The first sixteen bits.
    fn bucket(self) -> usize;
    /// The address after it; `None` for the last.
    fn after(self) -> Option<Self>;
}

impl Address for u32 {
    fn bucket(self) -> usize {
        (self >> 16) as usize
    }

    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Address for u128 {
    fn bucket(self) -> usize {
        (self >> 112) as usize
    }

    fn after(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// A prefix with what it stands for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range<A, E> {
    pub(super) first: A,
    pub(super) last: A,
    pub(super) entry: E,
}

#[derive(Debug)]
struct Node<A> {
    first: A,
    last: A,
    outer: u32,
    /// Its entries.
    from: u32,
    to: u32,
}

/// All prefixes of one family.
#[derive(Debug)]
pub(super) struct Ranges<A, E> {
    /// First address of each segment.
    starts: Vec<A>,
    /// The innermost prefix of each segment.
    inner: Vec<u32>,
    nodes: Vec<Node<A>>,
    entries: Vec<E>,
    /// For each bucket how many segments start before it.
    buckets: Vec<u32>,
    /// The start of every [`SAMPLE`]th segment.
    samples: Vec<A>,
}

impl<A: Address, E: Copy> Ranges<A, E> {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Takes prefixes in any order; the same one may be there several times.
    pub(super) fn new(mut ranges: Vec<Range<A, E>>) -> Self {
        ranges.sort_unstable_by(|a, b| a.first.cmp(&b.first).then(b.last.cmp(&a.last)));
        let entries = Vec::with_capacity(ranges.len());
        let mut made = Self { starts: Vec::new(), inner: Vec::new(), nodes: Vec::new(), entries, buckets: Vec::new(), samples: Vec::new() };
        // The prefixes that are open where the next one begins, outermost first.
        let mut open: Vec<u32> = Vec::new();
        for range in ranges {
            while let Some(last) = open.last().and_then(|&node| made.last_of(node)).filter(|last| *last < range.first) {
                open.pop();
                made.segment_after(last, open.last().copied());
            }
            made.entries.push(range.entry);
            let end = made.entries.len() as u32;
            // The same prefix again lies right behind the first, so its entries do, too.
            let innermost = open.last().and_then(|&node| made.nodes.get_mut(node as usize));
            if let Some(node) = innermost.filter(|node| node.first == range.first && node.last == range.last) {
                node.to = end;
                continue;
            }
            let node = made.nodes.len() as u32;
            made.nodes.push(Node { first: range.first, last: range.last, outer: open.last().copied().unwrap_or(NONE), from: end - 1, to: end });
            made.segment(range.first, node);
            open.push(node);
        }
        while let Some(node) = open.pop() {
            if let Some(last) = made.last_of(node) {
                made.segment_after(last, open.last().copied());
            }
        }
        if !made.starts.is_empty() {
            let mut before = 0;
            made.buckets = (0..=BUCKETS)
                .map(|bucket| {
                    while made.starts.get(before).is_some_and(|start| start.bucket() < bucket) {
                        before += 1;
                    }
                    before as u32
                })
                .collect();
        }
        made.samples = made.starts.iter().step_by(SAMPLE).copied().collect();
        made
    }

    fn last_of(&self, node: u32) -> Option<A> {
        self.nodes.get(node as usize).map(|node| node.last)
    }

    fn segment_after(&mut self, last: A, outer: Option<u32>) {
        if let Some(after) = last.after() {
            self.segment(after, outer.unwrap_or(NONE));
        }
    }

    /// Begins a segment; a later one at the same place takes its place.
    fn segment(&mut self, start: A, node: u32) {
        match (self.starts.last(), self.inner.last_mut()) {
            (Some(last), Some(inner)) if *last == start => *inner = node,
            _ => {
                self.starts.push(start);
                self.inner.push(node);
            }
        }
    }

    /// Gives the entries of every prefix that holds all addresses from `first` to `last`, innermost first.
    pub(super) fn holding(&self, first: A, last: A, give: &mut impl FnMut(E)) {
        let bucket = first.bucket();
        let (Some(&from), Some(&to)) = (self.buckets.get(bucket), self.buckets.get(bucket + 1)) else { return };
        let (from, to) = self.narrowed(from as usize, to as usize, first);
        let within = self.starts.get(from..to).map_or(0, |starts| starts.partition_point(|start| *start <= first));
        // The segment may begin in a bucket before.
        let Some(segment) = (from + within).checked_sub(1) else { return };
        let mut node = self.inner.get(segment).copied().unwrap_or(NONE);
        while let Some(found) = self.nodes.get(node as usize) {
            if found.last >= last {
                self.entries.get(found.from as usize..found.to as usize).unwrap_or(&[]).iter().for_each(|entry| give(*entry));
            }
            node = found.outer;
        }
    }

    /// The part of the segments from `from` to `to` in which the last one that starts at or before `first` is, if it is among them at all; else
    /// the part begins where they begin.
    fn narrowed(&self, from: usize, to: usize, first: A) -> (usize, usize) {
        if to.saturating_sub(from) <= SAMPLE {
            return (from, to);
        }
        let begin = from.div_ceil(SAMPLE);
        let before = self.samples.get(begin..to.div_ceil(SAMPLE)).map_or(0, |samples| samples.partition_point(|start| *start <= first));
        let end = to.min((begin + before) * SAMPLE);
        (if before == 0 { from } else { (begin + before - 1) * SAMPLE }, end)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(address: u32, length: u32) -> (u32, u32) {
        let hosts = u32::MAX.checked_shr(length).unwrap_or(0);
        (address & !hosts, address | hosts)
    }

    /// Addresses near each other, so that prefixes nest.
    fn address() -> impl Strategy<Value = u32> {
        prop_oneof![0_u32..64, (u32::MAX - 64)..=u32::MAX, 0xC000_0000_u32..0xC000_0400, any::<u32>()]
    }

    proptest! {
        #[test]
        fn every_prefix_that_holds_an_address_is_given_and_no_other(
            prefixes in prop::collection::vec((address(), 0_u32..=32), 0..120),
            asked in prop::collection::vec((address(), 20_u32..=32), 1..60),
        ) {
            let prefixes: Vec<(u32, u32)> = prefixes.into_iter().map(|(address, length)| prefix(address, length)).collect();
            let ranges = Ranges::new(prefixes.iter().enumerate().map(|(entry, &(first, last))| Range { first, last, entry }).collect());
            let wide = prefixes.iter().enumerate().map(|(entry, &(first, last))| Range { first: u128::from(first) << 96, last: u128::from(last) << 96 | (u128::MAX >> 32), entry });
            let wide = Ranges::new(wide.collect());
            for (address, length) in asked {
                for (first, last) in [(address, address), prefix(address, length)] {
                    let expected: Vec<usize> = (0..prefixes.len()).filter(|&at| prefixes[at].0 <= first && last <= prefixes[at].1).collect();
                    let mut found = Vec::new();
                    ranges.holding(first, last, &mut |entry| found.push(entry));
                    found.sort_unstable();
                    prop_assert_eq!(&found, &expected);
                    let mut found = Vec::new();
                    wide.holding(u128::from(first) << 96, u128::from(last) << 96, &mut |entry| found.push(entry));
                    found.sort_unstable();
                    prop_assert_eq!(&found, &expected);
                }
            }
        }
    }

    #[test]
    fn no_prefix_holds_nothing() {
        let empty: Ranges<u32, u8> = Ranges::new(Vec::new());
        empty.holding(0, 0, &mut |_| panic!("nothing is there"));
    }
}
