//! Every limit of the doors, by name. The limits of a submission (bytes and events after decompression) are the hub's.

use std::time::Duration;

/// Bytes of a JSON body that is not a submission.
pub const JSON_BODY: usize = 1024 * 1024;
/// Bytes of the body of a bulk lookup.
pub const LOOKUP_BODY: usize = 8 * 1024 * 1024;
/// Values of a bulk lookup.
pub const LOOKUP_VALUES: usize = 10_000;
/// Entries of a page where the caller does not say.
pub const PAGE_DEFAULT: usize = 100;
/// Entries of a page at the most.
pub const PAGE_MAX: usize = 1_000;
/// Characters of an opaque cursor.
pub const CURSOR: usize = 512;
/// Characters of an idempotency key.
pub const IDEMPOTENCY_KEY: usize = 255;
/// Characters of a name.
pub const NAME: usize = 200;
/// Characters of an observable's value.
pub const VALUE: usize = 8_192;
/// Characters of a reason or a note.
pub const REASON: usize = 2_000;
/// Values of one field of a filter, groups of an organisation, organisations acted for.
pub const LIST: usize = 100;
/// Address ranges of a key's allow-list.
pub const RANGES: usize = 64;
/// Reads that may look into files at the same time; more wait for [`READ_WAIT`].
pub const READS: usize = 64;
/// Products that are made or compared at the same time for callers with a key, and as many for those without.
pub const FEED_MAKES: usize = 4;
/// How long a read waits for its turn before the caller is told to come back.
pub const READ_WAIT: Duration = Duration::from_secs(2);
/// How long a read may take before the caller is told to come back.
pub const READ_TIME: Duration = Duration::from_secs(30);
/// How long a JSON body may take to arrive.
pub const BODY_TIME: Duration = Duration::from_secs(30);
/// How long a submission's body may stand still.
pub const SUBMISSION_IDLE: Duration = Duration::from_secs(60);
/// How long the body of a TAXII or MISP request may take to arrive, however steadily: it holds room that others wait for.
pub const TAXII_BODY_TIME: Duration = Duration::from_secs(300);
/// Bytes read and thrown away after a submission was refused, so that its sender sees the refusal and no broken connection.
pub const DRAIN: usize = 16 * 1024 * 1024;
/// How long that may take.
pub const DRAIN_TIME: Duration = Duration::from_secs(5);
/// Bytes of one write to a live stream.
pub const STREAM_WRITE: usize = 64 * 1024;
/// Answers of fewer bytes are not compressed.
pub const COMPRESS_FROM: u64 = 1_024;
/// The overlap of a key's rotation where the caller does not say.
pub const ROTATION_DEFAULT: u64 = 86_400;
/// The longest overlap of a key's rotation, in seconds: thirty days.
pub const ROTATION_MAX: u64 = 30 * 86_400;
/// How long an answer waits for the end of a source's run, which goes on without it.
pub const SOURCE_RUN: Duration = Duration::from_secs(45);
/// Days of a product's greatest age at the most.
pub const PRODUCT_DAYS: u16 = 3_650;
