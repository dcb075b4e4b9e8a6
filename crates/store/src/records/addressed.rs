//! Records with a mail address that may be a person's: what they have in common, and how the address is erased.
//!
//! Invariant: the address is kept beside the content, in no history but as a hash, so that [`Records::erase_addresses`] leaves no byte of it.
//! Not here: how what may be erased is kept (`erasable`), whose addresses these are (`abuse`, `contacts`).

use super::{Change, Erasable, Record, Records, RecordsError};
use crate::ledger::Victim;
use model::{ObservableType, Text};

/// A record with a mail address that may be a person's.
pub trait Addressed: Record {
    /// The address in canonical form; `None` where it was taken away or erased.
    fn address(&self) -> Option<&Text>;

    /// The version that is in force.
    fn version(&self) -> u64;

    /// The next version, without the address and what was known of it.
    #[must_use]
    fn without_address(self) -> Self;
}

/// What of such a record may have to be erased.
pub(super) fn erasable(record: &impl Addressed) -> Option<Erasable> {
    record.address().map(|address| Erasable { value: address.clone(), note: None })
}

/// The address that a row holds.
pub(super) fn address(erasable: Option<Erasable>) -> Option<Text> {
    erasable.map(|erasable| erasable.value)
}

impl Records {
    /// Destroys the address of every record of a kind that is the victim's value; gives how many there were.
    ///
    /// # Errors
    /// [`RecordsError`]; then nothing is changed.
    pub async fn erase_addresses<R: Addressed>(&self, victim: &Victim, change: &Change<'_>) -> Result<u64, RecordsError> {
        let mut writer = self.write().await?;
        let all: Vec<R> = writer.all().await?;
        let mut changed = 0;
        for record in all.into_iter().filter(|record| record.address().is_some_and(|address| victim.is_value(ObservableType::Email, address))) {
            let version = record.version();
            writer.update(&record.without_address(), version, change, &[]).await?;
            changed += 1;
        }
        writer.commit().await?;
        Ok(changed)
    }
}
