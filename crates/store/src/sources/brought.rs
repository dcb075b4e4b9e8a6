//! What sources that speak of objects with versions brought: which version of which object stands at which place of the ledger.
//!
//! Flow: a run asks what is known ([`Sources::known`]) and leaves it out → after intake its events are noted ([`Sources::bring`]) → what no longer
//! stands is looked up by object or group ([`Sources::under`]), withdrawn, and forgotten ([`Sources::forget`]).
//! Invariant: hashes and places, never an id or a value.

use super::{ROWS, Sources};
use crate::records::RecordsError;
use model::Seq;
use sqlx::{QueryBuilder, Sqlite};
use std::collections::BTreeSet;

/// One event that a source brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Brought {
    /// Hash of the event's own id, object and version together.
    pub id: u128,
    /// Hash of the object's id.
    pub object: u128,
    /// Hash of what the object is a part of; that of the object where it is part of nothing.
    pub group: u128,
    /// Where it stands.
    pub seq: Seq,
}

impl Sources {
    /// Which of these ids a source brought before, and they stand.
    pub async fn known(&self, name: &str, ids: &[u128]) -> Result<BTreeSet<u128>, RecordsError> {
        let mut known = BTreeSet::new();
        for some in ids.chunks(ROWS) {
            let mut sql = QueryBuilder::<Sqlite>::new("SELECT id FROM brought WHERE source = ");
            sql.push_bind(name.to_owned()).push(" AND id IN (");
            let mut list = sql.separated(", ");
            for id in some {
                list.push_bind(id.to_be_bytes().to_vec());
            }
            sql.push(")");
            let rows: Vec<(Vec<u8>,)> = sql.build_query_as().fetch_all(&self.file.reads).await?;
            known.extend(rows.into_iter().filter_map(|(id,)| hash(&id)));
        }
        Ok(known)
    }

    /// Notes what a source brought. An id that is noted already gets its new place.
    pub async fn bring(&self, name: &str, events: &[Brought]) -> Result<(), RecordsError> {
        let mut tx = self.file.writes.begin_with("BEGIN IMMEDIATE").await?;
        for some in events.chunks(ROWS) {
            let mut sql = QueryBuilder::<Sqlite>::new("INSERT OR REPLACE INTO brought (source, id, object, part_of, seq) ");
            sql.push_values(some, |mut row, event| {
                row.push_bind(name.to_owned())
                    .push_bind(event.id.to_be_bytes().to_vec())
                    .push_bind(event.object.to_be_bytes().to_vec())
                    .push_bind(event.group.to_be_bytes().to_vec())
                    .push_bind(event.seq.0 as i64);
            });
            sql.build().execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Everything that a source brought under these objects or groups.
    pub async fn under(&self, name: &str, objects: &[u128]) -> Result<BTreeSet<Brought>, RecordsError> {
        let mut found = BTreeSet::new();
        for some in objects.chunks(ROWS) {
            for column in ["object", "part_of"] {
                let mut sql = QueryBuilder::<Sqlite>::new("SELECT id, object, part_of, seq FROM brought WHERE source = ");
                sql.push_bind(name.to_owned()).push(" AND ").push(column).push(" IN (");
                let mut list = sql.separated(", ");
                for object in some {
                    list.push_bind(object.to_be_bytes().to_vec());
                }
                sql.push(")");
                let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>, i64)> = sql.build_query_as().fetch_all(&self.file.reads).await?;
                found.extend(rows.into_iter().filter_map(|(id, object, group, seq)| {
                    Some(Brought { id: hash(&id)?, object: hash(&object)?, group: hash(&group)?, seq: Seq(u64::try_from(seq).ok()?) })
                }));
            }
        }
        Ok(found)
    }

    /// Forgets events that were withdrawn.
    pub async fn forget(&self, name: &str, ids: &[u128]) -> Result<(), RecordsError> {
        let mut tx = self.file.writes.begin_with("BEGIN IMMEDIATE").await?;
        for some in ids.chunks(ROWS) {
            let mut sql = QueryBuilder::<Sqlite>::new("DELETE FROM brought WHERE source = ");
            sql.push_bind(name.to_owned()).push(" AND id IN (");
            let mut list = sql.separated(", ");
            for id in some {
                list.push_bind(id.to_be_bytes().to_vec());
            }
            sql.push(")");
            sql.build().execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

fn hash(bytes: &[u8]) -> Option<u128> {
    bytes.try_into().ok().map(u128::from_be_bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_brought_is_found_by_id_by_object_and_by_group_and_belongs_to_its_source() {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources::open(&folder.path().join("sources.sqlite")).await.unwrap();
        let events: Vec<Brought> =
            (0..450).map(|number| Brought { id: number, object: 1_000 + number / 2, group: 5_000 + number / 100, seq: Seq(number as u64) }).collect();
        sources.bring("a", &events).await.unwrap();
        sources.bring("a", &events[..1]).await.unwrap();
        assert_eq!(sources.known("a", &[0, 449, 450]).await.unwrap(), BTreeSet::from([0, 449]));
        assert!(sources.known("b", &[0]).await.unwrap().is_empty());
        assert_eq!(sources.under("a", &[1_001]).await.unwrap().into_iter().map(|event| event.id).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(sources.under("a", &[5_004]).await.unwrap().len(), 50);
        sources.forget("a", &[2]).await.unwrap();
        assert_eq!(sources.under("a", &[1_001]).await.unwrap().len(), 1);
    }
}
