//! Maps whose keys clients can choose must use a hasher with a random key per process, so that no client can cause
//! collisions on purpose. The hasher of the standard library does. This test checks the source for other hashers.
//! `topic_table.rs`, which gets its hashes from outside, has its own tests of their distribution.

use std::fs;
use std::path::Path;

use super::files;

/// Names that indicate another hasher or another map.
const OTHER_HASHERS: [&str; 11] = [
    "with_hasher",
    "with_capacity_and_hasher",
    "BuildHasherDefault",
    "DefaultHasher",
    "Hasher for",
    "FxHash",
    "rustc_hash",
    "ahash",
    "foldhash",
    "hashbrown",
    "IndexMap",
];

#[test]
fn every_map_uses_a_randomly_keyed_hasher() {
    let files = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(files.len() > 50, "{} files", files.len());
    for file in files {
        let mut text = fs::read_to_string(&file).unwrap();
        if file.ends_with("src/broker/topic_table.rs") {
            // this table does not hash itself, and its own tests check how the hashes are made
            text = text.replace("hashbrown::HashTable", "").replace("hashbrown::hash_table", "");
        }
        for other in OTHER_HASHERS {
            assert!(!text.contains(other), "{} has {other}: may clients choose the keys of that map?", file.display());
        }
    }
}
