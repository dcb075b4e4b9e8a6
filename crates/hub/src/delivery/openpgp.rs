//! Mail that its recipient alone can read: what a public key is good for, and encrypting to it.
//!
//! Flow: [`check`] when a member gives a key → [`encrypt`] for each mail.
//! Invariant: data is encrypted to a key only where the certificate's own valid signature says that it is for encryption and nothing revokes it.
//! Whether it has expired is the caller's to judge by [`Summary::expires`], for time is an argument.
//! Source: RFC 9580 (OpenPGP), with packets that RFC 4880 programs read wherever the key is of version 4.
//! Not here: MIME (RFC 3156, `mail`), signing, whose key it is: the member that gives it answers for that.

use model::Timestamp;
use pgp::composed::{ArmorOptions, Deserializable, MessageBuilder, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::aead::{AeadAlgorithm, ChunkSize};
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::ser::Serialize as _;
use pgp::types::{EncryptionKey, KeyDetails, KeyVersion, PublicParams, SignedUser, Tag};
use rand::rngs::OsRng;
use serde::Serialize;
use std::time::Duration;

/// Bytes of an armoured key at the most.
pub const MAX_ARMOURED: usize = 128 << 10;
/// User ids shown of a key.
const MAX_USERS: usize = 8;
/// Characters shown of a user id or of an error.
const MAX_SHOWN: usize = 200;
/// Bytes of the parameters of the smallest RSA key that is taken: 2,048 bits.
const LEAST_RSA_BYTES: usize = 256;

/// What a public key says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Fingerprint in upper-case hexadecimal, for comparing by telephone.
    pub fingerprint: String,
    /// User ids, as the key has them.
    pub users: Vec<String>,
    /// When the key was made.
    pub created: Timestamp,
    /// Until when it can be encrypted to; `None`: no limit.
    pub expires: Option<Timestamp>,
}

/// Tells whether mail can be encrypted to an armoured public key, and whose it says it is.
///
/// # Errors
/// Why it cannot, in words for whoever gave it.
pub fn check(armoured: &str) -> Result<Summary, String> {
    let key = parse(armoured)?;
    let expires = usable(&key)?.expires;
    let shown = |user: &SignedUser| user.id.as_str().map(shortened);
    Ok(Summary {
        fingerprint: format!("{:X}", key.primary_key.fingerprint()),
        users: key.details.users.iter().filter_map(shown).take(MAX_USERS).collect(),
        created: moment(key.primary_key.created_at()),
        expires,
    })
}

/// The fingerprint of an armoured public key that was checked before, in upper-case hexadecimal; nothing is verified.
pub fn fingerprint(armoured: &str) -> Option<String> {
    parse(armoured).ok().map(|key| format!("{:X}", key.primary_key.fingerprint()))
}

/// Encrypts data to an armoured public key; the result is armoured, too.
///
/// # Errors
/// As [`check`].
pub fn encrypt(armoured: &str, data: &[u8]) -> Result<String, String> {
    let key = parse(armoured)?;
    match usable(&key)?.part {
        Part::Primary => encrypt_to(&key.primary_key, data),
        Part::Subkey(subkey) => encrypt_to(&subkey.key, data),
    }
    .map_err(|error| shortened(&format!("encrypting failed: {error}")))
}

fn encrypt_to<K: EncryptionKey>(key: &K, data: &[u8]) -> pgp::errors::Result<String> {
    let plain = MessageBuilder::from_bytes("", data.to_vec());
    if key.version() == KeyVersion::V6 {
        let mut builder = plain.seipd_v2(OsRng, SymmetricKeyAlgorithm::AES256, AeadAlgorithm::Ocb, ChunkSize::default());
        builder.encrypt_to_key(OsRng, key)?;
        // Version 6 wants no checksum in the armour.
        return builder.to_armored_string(OsRng, ArmorOptions { headers: None, include_checksum: false });
    }
    let mut builder = plain.seipd_v1(OsRng, SymmetricKeyAlgorithm::AES256);
    builder.encrypt_to_key(OsRng, key)?;
    builder.to_armored_string(OsRng, ArmorOptions::default())
}

fn parse(armoured: &str) -> Result<SignedPublicKey, String> {
    if armoured.len() > MAX_ARMOURED {
        return Err(format!("the key is larger than {MAX_ARMOURED} bytes; export it without others' signatures (gpg --export-options export-minimal)"));
    }
    if armoured.contains("PRIVATE KEY BLOCK") {
        return Err("this is a private key; give the public one, and treat this one as disclosed".to_owned());
    }
    let (mut keys, _) = SignedPublicKey::from_string_many(armoured).map_err(|error| shortened(&format!("not an armoured OpenPGP public key: {error}")))?;
    let key = keys.next().ok_or("no OpenPGP public key in it")?.map_err(|error| shortened(&format!("not a sound OpenPGP public key: {error}")))?;
    if keys.next().is_some() {
        return Err("expected one public key, found several".to_owned());
    }
    Ok(key)
}

/// The part of a certificate that is encrypted to.
#[derive(Clone, Copy)]
enum Part<'k> {
    Primary,
    Subkey(&'k SignedPublicSubKey),
}

struct Usable<'k> {
    part: Part<'k>,
    expires: Option<Timestamp>,
    created: Timestamp,
}

/// The part that is good for the longest, the newest of several.
fn usable(key: &SignedPublicKey) -> Result<Usable<'_>, String> {
    let primary = &key.primary_key;
    if !key.details.revocation_signatures.is_empty() {
        return Err("the key is revoked".to_owned());
    }
    let own = self_signature(key).ok_or("the key has no valid signature of its own")?;
    let whole = expiry(own, primary.created_at());
    let mut parts: Vec<Usable<'_>> = key
        .public_subkeys
        .iter()
        .filter(|subkey| can_encrypt(&subkey.key))
        .filter(|subkey| subkey.signatures.iter().all(|signature| signature.typ() != Some(SignatureType::SubkeyRevocation)))
        .filter_map(|subkey| {
            let valid = |signature: &&Signature| signature.verify_subkey_binding(primary, &subkey.key).is_ok();
            let binding = subkey.signatures.iter().filter(valid).max_by_key(|signature| signed_at(signature))?;
            let expires = earlier(whole, expiry(binding, subkey.key.created_at()));
            is_for_encryption(binding, subkey.key.algorithm()).then(|| Usable { part: Part::Subkey(subkey), expires, created: moment(subkey.key.created_at()) })
        })
        .collect();
    if parts.is_empty() && can_encrypt(primary) && is_for_encryption(own, primary.algorithm()) {
        parts.push(Usable { part: Part::Primary, expires: whole, created: moment(primary.created_at()) });
    }
    let best = parts.into_iter().max_by_key(|part| (part.expires.unwrap_or(Timestamp::MAX), part.created));
    best.ok_or_else(|| "nothing in the key is for encryption (RSA keys need 2,048 bits or more)".to_owned())
}

/// The newest valid signature of a key over itself or one of its user ids.
fn self_signature(key: &SignedPublicKey) -> Option<&Signature> {
    let primary = &key.primary_key;
    let direct = key.details.direct_signatures.iter().filter(|signature| signature.verify_key(primary).is_ok());
    let of_users = key.details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(move |signature| {
            signature.typ() != Some(SignatureType::CertRevocation) && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
        })
    });
    direct.chain(of_users).max_by_key(|signature| signed_at(signature))
}

fn signed_at(signature: &Signature) -> u32 {
    signature.created().map_or(0, pgp::types::Timestamp::as_secs)
}

/// Whether a key's algorithm encrypts, and is not too weak for it.
fn can_encrypt(key: &impl KeyDetails) -> bool {
    match key.public_params() {
        PublicParams::RSA(_) => key.algorithm().can_encrypt() && key.public_params().write_len() >= LEAST_RSA_BYTES,
        PublicParams::Elgamal(_) | PublicParams::Unknown { .. } => false,
        _ => key.algorithm().can_encrypt(),
    }
}

/// Whether a signature gives a key for encryption; without flags, as old programs sign, whether its algorithm does nothing else.
fn is_for_encryption(signature: &Signature, algorithm: PublicKeyAlgorithm) -> bool {
    let flags = signature.key_flags();
    let other = flags.certify() || flags.sign() || flags.authentication();
    let nothing_else = matches!(algorithm, PublicKeyAlgorithm::ECDH | PublicKeyAlgorithm::X25519 | PublicKeyAlgorithm::X448 | PublicKeyAlgorithm::RSAEncrypt);
    flags.encrypt_comms() || flags.encrypt_storage() || (!other && nothing_else)
}

/// When a key ends by a signature; a length of zero is none.
fn expiry(signature: &Signature, created: pgp::types::Timestamp) -> Option<Timestamp> {
    let length = signature.key_expiration_time().map(pgp::types::Duration::as_secs).filter(|length| *length > 0)?;
    Some(moment(created).plus(Duration::from_secs(u64::from(length))))
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn moment(time: pgp::types::Timestamp) -> Timestamp {
    Timestamp::from_seconds(i64::from(time.as_secs()))
}

/// A text from outside, fit to be shown.
fn shortened(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MAX_SHOWN).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
pub(super) mod tests {
    use super::*;
    use pgp::composed::{EncryptionCaps, KeyType, Message, SecretKeyParamsBuilder, SignedSecretKey, SubkeyParamsBuilder};
    use pgp::crypto::ecc_curve::ECCCurve;
    use pgp::types::Password;

    /// A fresh key for tests: secret and armoured public part.
    pub fn fresh_key() -> (SignedSecretKey, String) {
        made(KeyVersion::V4, KeyType::Ed25519Legacy, KeyType::ECDH(ECCCurve::Curve25519Legacy), EncryptionCaps::All)
    }

    /// What a secret key reads in an armoured message.
    pub fn opened(secret: &SignedSecretKey, armoured: &str) -> Vec<u8> {
        let (message, _) = Message::from_string(armoured).unwrap();
        message.decrypt(&Password::empty(), secret).unwrap().as_data_vec().unwrap()
    }

    fn made(version: KeyVersion, sign: KeyType, other: KeyType, caps: EncryptionCaps) -> (SignedSecretKey, String) {
        let mut subkey = SubkeyParamsBuilder::default();
        subkey.version(version).key_type(other).can_encrypt(caps);
        let mut parameters = SecretKeyParamsBuilder::default();
        parameters
            .version(version)
            .key_type(sign)
            .can_certify(true)
            .can_sign(true)
            .primary_user_id("Duty <duty@bank.example>".into())
            .subkeys(vec![subkey.build().unwrap()]);
        let secret = parameters.build().unwrap().generate(OsRng).unwrap();
        let armoured = secret.to_public_key().to_armored_string(ArmorOptions::default()).unwrap();
        (secret, armoured)
    }

    #[test]
    fn what_is_encrypted_to_a_key_its_holder_reads_and_nobody_else() {
        let (secret, armoured) = fresh_key();
        let (other, _) = fresh_key();
        let data = "봉수: evil.example\r\n".repeat(2_000).into_bytes();
        let sealed = encrypt(&armoured, &data).unwrap();
        assert!(sealed.starts_with("-----BEGIN PGP MESSAGE-----") && sealed.is_ascii() && !sealed.contains("evil.example"));
        assert_eq!(opened(&secret, &sealed), data);
        let (message, _) = Message::from_string(&sealed).unwrap();
        assert!(message.decrypt(&Password::empty(), &other).is_err());
        assert_ne!(sealed, encrypt(&armoured, &data).unwrap(), "each message has a session key of its own");
    }

    #[test]
    fn keys_of_version_6_are_encrypted_to_as_well() {
        let (secret, armoured) = made(KeyVersion::V6, KeyType::Ed25519, KeyType::X25519, EncryptionCaps::All);
        assert_eq!(opened(&secret, &encrypt(&armoured, b"hello").unwrap()), b"hello");
    }

    #[test]
    fn a_summary_tells_fingerprint_and_user() {
        let (secret, armoured) = fresh_key();
        let summary = check(&armoured).unwrap();
        assert_eq!(summary.fingerprint, format!("{:X}", secret.primary_key.fingerprint()));
        assert_eq!((summary.fingerprint.len(), summary.users, summary.expires), (40, vec!["Duty <duty@bank.example>".to_owned()], None));
    }

    #[test]
    fn a_key_that_is_not_for_encryption_is_refused() {
        let (_, armoured) = made(KeyVersion::V4, KeyType::Ed25519Legacy, KeyType::Ed25519Legacy, EncryptionCaps::None);
        assert!(check(&armoured).unwrap_err().contains("for encryption"));
        assert!(encrypt(&armoured, b"x").is_err());
    }

    #[test]
    fn what_is_no_public_key_is_refused_with_a_reason() {
        let (secret, armoured) = fresh_key();
        let private = secret.to_armored_string(ArmorOptions::default()).unwrap();
        assert!(check(&private).unwrap_err().contains("private key"));
        let cut = &armoured[..armoured.len() / 2];
        for wrong in ["", "hello", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n", cut] {
            assert!(check(wrong).is_err(), "{wrong:?}");
        }
        assert!(check(&"x".repeat(MAX_ARMOURED + 1)).unwrap_err().contains("larger"));
    }

    #[test]
    fn a_subkey_that_another_key_bound_is_not_used() {
        let (_, one) = fresh_key();
        let (_, other) = fresh_key();
        let parsed = |text: &str| SignedPublicKey::from_string(text).unwrap().0;
        let mut forged = parsed(&one);
        forged.public_subkeys = parsed(&other).public_subkeys;
        let armoured = forged.to_armored_string(ArmorOptions::default()).unwrap();
        assert!(check(&armoured).unwrap_err().contains("for encryption"));
    }
}
