//! The recent part of the observables: a hash table in memory, in shards so that a look never waits long for a write.
//!
//! Invariant: preallocated for its limit, so that no table doubles under load. Rows of one key form a chain.

use super::row::{RESET, Row};
use hashbrown::{HashMap, HashTable};
use parking_lot::RwLock;
use std::sync::atomic::{AtomicUsize, Ordering};

const SHARDS: usize = 64;
const END: u32 = u32::MAX;
/// Rows gathered for a shard at the most; all shards' together stay in the processor's cache.
const GATHERED: usize = 32;
/// Rows of a key that are walked before the index is asked.
const LONG: usize = 32;

#[derive(Debug)]
struct Shard {
    heads: HashTable<u32>,
    rows: Vec<Row>,
    next: Vec<u32>,
    /// Rows of keys with more than [`LONG`] classes, so that one value with many of them is not walked again and again.
    long: HashMap<(u128, u32), u32>,
}

/// Rows of the events since the last run was written.
#[derive(Debug)]
pub struct Recent {
    shards: Vec<RwLock<Shard>>,
    rows: AtomicUsize,
}

impl Recent {
    /// An empty part for about `rows` rows.
    pub fn with_capacity(rows: usize) -> Self {
        // A shard may get somewhat more than its share.
        let each = rows / SHARDS + rows / SHARDS / 8 + 16;
        let shard = || {
            RwLock::new(Shard { heads: HashTable::with_capacity(each), rows: Vec::with_capacity(each), next: Vec::with_capacity(each), long: HashMap::new() })
        };
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), rows: AtomicUsize::new(0) }
    }

    fn shard(&self, key: u128) -> Option<&RwLock<Shard>> {
        self.shards.get(Self::shard_of(key))
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }

    /// Number of different keys.
    pub fn keys(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().heads.len()).sum()
    }

    /// Takes rows of one shard in; see [`Recent::shard_of`].
    fn add_all(&self, shard: usize, rows: &[Row]) {
        let Some(shard) = self.shards.get(shard) else { return };
        let mut shard = shard.write();
        // The first look at each row only fetches what the second needs: looks that do not wait for each other overlap in the processor.
        let known = rows.iter().filter(|row| shard.head(row.key).is_some()).count();
        debug_assert!(known <= rows.len(), "a row is known once");
        let added = rows.iter().filter(|row| shard.add(row)).count();
        drop(shard);
        self.rows.fetch_add(added, Ordering::Relaxed);
    }

    /// The shard of a key: its first bits, so that shards are in order.
    const fn shard_of(key: u128) -> usize {
        (key >> 122) as usize
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        for shard in &mut self.shards {
            let shard = shard.get_mut();
            shard.heads.clear();
            shard.rows.clear();
            shard.next.clear();
            shard.long = HashMap::new();
        }
        *self.rows.get_mut() = 0;
    }

    /// Replaces whatever is known of a key, here and in older tiers, by `rows`.
    pub fn replace(&self, key: u128, rows: &[Row]) {
        let Some(shard) = self.shard(key) else { return };
        let mut shard = shard.write();
        shard.void(key);
        let added = usize::from(shard.add(&Row::reset(key))) + rows.iter().filter(|row| shard.add(row)).count();
        self.rows.fetch_add(added, Ordering::Relaxed);
    }

    /// Appends the rows of a key; true where older tiers are void.
    pub fn get(&self, key: u128, out: &mut Vec<Row>) -> bool {
        self.shard(key).is_some_and(|shard| shard.read().get(key, out))
    }

    /// Every row in order of key.
    pub fn sorted(&self) -> Vec<Row> {
        // Shards are ordered by the key's first bits, so each can be sorted by itself.
        (0..self.shards()).flat_map(|shard| self.sorted_shard(shard)).collect()
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The rows of one shard in order of key; all of them lie before those of the next.
    pub fn sorted_shard(&self, shard: usize) -> Vec<Row> {
        let Some(shard) = self.shards.get(shard) else { return Vec::new() };
        let mut rows: Vec<Row> = shard.read().rows.iter().filter(|row| row.class == RESET || row.events > 0).copied().collect();
        rows.sort_unstable_by(|a, b| a.key.cmp(&b.key).then(b.class.cmp(&a.class)));
        rows
    }
}

/// Rows on their way into a [`Recent`], gathered by shard: a shard is locked once for many.
#[derive(Debug)]
pub struct Gathered {
    shards: Vec<Vec<Row>>,
}

impl Default for Gathered {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Vec::with_capacity(GATHERED)).collect() }
    }
}

impl Gathered {
    /// Adds a row; now and then a shard's rows go on into `recent`.
    pub fn push(&mut self, row: Row, recent: &Recent) {
        let number = Recent::shard_of(row.key);
        let Some(shard) = self.shards.get_mut(number) else { return };
        shard.push(row);
        if shard.len() == GATHERED {
            recent.add_all(number, shard);
            shard.clear();
        }
    }

    /// Puts what is left into `recent`.
    pub fn finish(&mut self, recent: &Recent) {
        for (number, shard) in self.shards.iter_mut().enumerate().filter(|(_, shard)| !shard.is_empty()) {
            recent.add_all(number, shard);
            shard.clear();
        }
    }
}

impl Shard {
    fn head(&self, key: u128) -> Option<u32> {
        self.heads.find(hash(key), |&at| self.rows.get(at as usize).is_some_and(|row| row.key == key)).copied()
    }

    /// Takes a row in; true where it is a new one.
    fn add(&mut self, row: &Row) -> bool {
        let mut at = self.head(row.key).unwrap_or(END);
        let head = at;
        let mut walked = 0;
        while let Some(mine) = self.rows.get_mut(at as usize) {
            if mine.class == row.class {
                mine.merge(row);
                return false;
            }
            walked += 1;
            if walked == LONG {
                break;
            }
            at = self.next.get(at as usize).copied().unwrap_or(END);
        }
        let new = self.rows.len() as u32;
        if walked == LONG {
            if !self.long.contains_key(&(row.key, RESET - 1)) {
                self.index_chain(row.key, head);
            }
            if let Some(&at) = self.long.get(&(row.key, row.class)) {
                if let Some(mine) = self.rows.get_mut(at as usize) {
                    mine.merge(row);
                }
                return false;
            }
            self.long.insert((row.key, row.class), new);
        }
        self.rows.push(*row);
        if let Some(after_head) = self.next.get_mut(head as usize) {
            let second = std::mem::replace(after_head, new);
            self.next.push(second);
        } else {
            self.next.push(END);
            let Self { heads, rows, .. } = self;
            heads.insert_unique(hash(row.key), new, |&at| rows.get(at as usize).map_or(0, |row| hash(row.key)));
        }
        true
    }

    /// Puts every row of a chain into the index; a class that no row has marks the key as indexed.
    fn index_chain(&mut self, key: u128, head: u32) {
        let mut at = head;
        self.long.insert((key, RESET - 1), END);
        while let Some(row) = self.rows.get(at as usize) {
            self.long.insert((key, row.class), at);
            at = self.next.get(at as usize).copied().unwrap_or(END);
        }
    }

    /// Empties every row of a key but keeps the chain.
    fn void(&mut self, key: u128) {
        let mut at = self.head(key).unwrap_or(END);
        while let Some(mine) = self.rows.get_mut(at as usize) {
            let class = mine.class;
            *mine = Row { class, ..Row::reset(key) };
            at = self.next.get(at as usize).copied().unwrap_or(END);
        }
    }

    fn get(&self, key: u128, out: &mut Vec<Row>) -> bool {
        let mut void = false;
        let mut at = self.head(key).unwrap_or(END);
        while let Some(row) = self.rows.get(at as usize) {
            if row.class == RESET {
                void = true;
            } else if row.events > 0 {
                out.push(*row);
            }
            at = self.next.get(at as usize).copied().unwrap_or(END);
        }
        void
    }
}

/// Keys are uniform already: their low half serves as the hash.
const fn hash(key: u128) -> u64 {
    key as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Seq, Timestamp};

    #[test]
    fn a_key_with_many_classes_has_one_row_for_each() {
        let recent = Recent::with_capacity(1_000);
        let row = |class: u32| Row {
            class,
            events: 1,
            count: 1,
            first_time: Timestamp::from_seconds(1),
            last_time: Timestamp::from_seconds(1),
            first_seq: Seq(1),
            last_seq: Seq(1),
            ..Row::reset(7)
        };
        let mut gathered = Gathered::default();
        for _ in 0..3 {
            (1..=200).for_each(|class| gathered.push(row(class), &recent));
            gathered.finish(&recent);
        }
        let mut rows = Vec::new();
        assert!(!recent.get(7, &mut rows));
        assert_eq!(rows.len(), 200);
        assert!(rows.iter().all(|row| row.events == 3));
        assert_eq!(recent.rows(), 200);
        recent.replace(7, &[row(5)]);
        rows.clear();
        assert!(recent.get(7, &mut rows), "older tiers are void");
        assert_eq!(rows.len(), 1);
    }
}
