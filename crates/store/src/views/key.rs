//! Keys: 128-bit keyed BLAKE3 of a value, so that nobody outside can choose two values that collide.
//!
//! Source: BLAKE3 keyed hash mode; the key is made once per realm and kept in `DIR/observable.key`.

use model::{Category, ObservableType, OrgNo};

/// Makes every key of a realm.
#[derive(Clone)]
pub struct Keys {
    secret: [u8; 32],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

/// What a key is of; keeps the uses apart.
#[derive(Clone, Copy)]
enum Domain {
    Observable = 1,
    SenderId = 2,
    ListEntry = 3,
    Idempotency = 4,
    Label = 16,
}

impl Keys {
    /// Keys under a realm's secret.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// Key of an observable's canonical value.
    pub fn observable(&self, kind: ObservableType, value: &str) -> u128 {
        self.hash(Domain::Observable, [kind.number(), 0, 0, 0], value.as_bytes())
    }

    /// Key of a sender's own id.
    pub fn sender_id(&self, org: OrgNo, id: &str) -> u128 {
        // Zero stands for none.
        self.hash(Domain::SenderId, org.0.to_le_bytes(), id.as_bytes()).max(1)
    }

    /// Key of an entry without a time of its own.
    pub fn list_entry(&self, org: OrgNo, category: Category, observables: impl Iterator<Item = u128>) -> u128 {
        let mut bytes = vec![category.number()];
        observables.for_each(|key| bytes.extend_from_slice(&key.to_le_bytes()));
        self.hash(Domain::ListEntry, org.0.to_le_bytes(), &bytes)
    }

    /// Key of a sender's idempotency key.
    pub fn idempotency(&self, org: OrgNo, key: &str) -> u128 {
        // Zero stands for none on disk.
        self.hash(Domain::Idempotency, org.0.to_le_bytes(), key.as_bytes()).max(1)
    }

    /// Number of something that the hub itself names, the same whenever it is asked for and unguessable from outside.
    pub fn label(&self, name: &str) -> u128 {
        self.hash(Domain::Label, [0; 4], name.as_bytes())
    }

    fn hash(&self, domain: Domain, words: [u8; 4], bytes: &[u8]) -> u128 {
        const SHORT: usize = 128;
        let head = [domain as u8, words[0], words[1], words[2], words[3]];
        let mut buffer = [0; SHORT];
        let hash = if let Some(slot) = buffer.get_mut(..head.len() + bytes.len()) {
            let (front, back) = slot.split_at_mut(head.len());
            front.copy_from_slice(&head);
            back.copy_from_slice(bytes);
            blake3::keyed_hash(&self.secret, slot)
        } else {
            let mut hasher = blake3::Hasher::new_keyed(&self.secret);
            hasher.update(&head);
            hasher.update(bytes);
            hasher.finalize()
        };
        let mut half = [0; 16];
        half.copy_from_slice(hash.as_bytes().split_at(16).0);
        u128::from_le_bytes(half)
    }
}
