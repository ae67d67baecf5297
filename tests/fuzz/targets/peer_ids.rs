//! Peer ids: their spelling, and the secret that proves their ownership.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{SMALL, Target};
use crate::channels::builtin::peer::{canonical, prove};

pub(super) const TARGETS: &[Target] =
    &[Target { name: "peer", run, seeds, dictionary: &["-8", "-9", "00000000-0000-4000-8000-", "="], max_len: SMALL }];

/// The first line of the input is an id, the second its secret. A version 8 id belongs to the one secret it was made
/// from, in whatever encoding; a valid secret proves any id of another version.
fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (name, secret) = text.split_once('\n').map_or((text, None), |(name, secret)| (name, Some(secret)));
    let Some(id) = canonical(name) else { return };
    assert!(name.len() == 36 && id.to_string() == name, "{name:?} is not the canonical spelling");
    let Some(secret) = secret else {
        assert_eq!(prove(id, None).ok(), (id.get_version_num() != 8).then_some(None), "without a secret");
        return;
    };
    // the longest secret has 86 characters, and up to 4 of padding
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(secret.trim_end_matches('=')).ok().filter(|_| secret.len() <= 90);
    let proof = bytes.filter(|bytes| (16..=64).contains(&bytes.len())).map(|bytes| Sha256::digest(bytes).into());
    assert_eq!(proof, prove(Uuid::nil(), Some(secret)).ok().flatten());
    let is_certified = |proof: [u8; 32]| certified_id(proof) == id;
    match prove(id, Some(secret)) {
        Ok(found) => assert!(found == proof && (id.get_version_num() != 8 || proof.is_some_and(is_certified))),
        Err(_) => assert!(proof.is_none() || id.get_version_num() == 8),
    }
    if let Some(proof) = proof {
        assert_eq!(prove(certified_id(proof), Some(secret)).ok(), Some(Some(proof)), "its own id is rejected");
        let forged = Uuid::from_u128(certified_id(proof).as_u128() ^ 1);
        assert!(prove(forged, Some(secret)).is_err(), "it proves another id");
    }
}

/// The id that a secret certifies, as in RFC 9562, section 5.8: a second implementation to compare with.
fn certified_id(proof: [u8; 32]) -> Uuid {
    let mut bytes: [u8; 16] = proof[..16].try_into().expect("16 of 32");
    bytes[6] = 0x80 | bytes[6] & 0x0F;
    bytes[8] = 0x80 | bytes[8] & 0x3F;
    Uuid::from_bytes(bytes)
}

fn seeds() -> Vec<Vec<u8>> {
    let certified = [16, 32, 64].map(|length| {
        let secret = vec![length as u8; length];
        format!("{}\n{}", certified_id(Sha256::digest(&secret).into()), BASE64_URL_SAFE_NO_PAD.encode(secret))
    });
    let uncertified = "00000000-0000-4000-8000-00000000000a";
    let others = [
        uncertified.to_owned(),
        format!("{uncertified}\n{}==", BASE64_STANDARD_NO_PAD.encode([0xFF; 16])),
        format!("{uncertified}\n{}", "A".repeat(91)),
        certified[0].to_uppercase(),
    ];
    certified.into_iter().chain(others).map(String::into_bytes).collect()
}
