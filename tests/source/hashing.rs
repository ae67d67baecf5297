//! Maps whose keys clients can choose are keyed at random, in each process and each map anew: whoever knows how one
//! hashes cannot fill a bucket of another. How names spread over the table of topics is counted where the table is;
//! for all other maps, that they are of the standard library, whose hasher is keyed so, is read off the source.

use std::fs;
use std::path::{Path, PathBuf};

/// What would make a map another: all that replace the standard hasher, or the map.
const OTHERS: [&str; 11] = [
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

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn every_map_is_keyed_at_random() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 50, "{} files", files.len());
    for file in files {
        let mut text = fs::read_to_string(&file).unwrap();
        if file.ends_with("src/broker/topic_table.rs") {
            // it is told each hash, and by whom it is made is counted there
            text = text.replace("hashbrown::HashTable", "").replace("hashbrown::hash_table", "");
        }
        for other in OTHERS {
            assert!(!text.contains(other), "{} has {other}: may clients choose the keys of that map?", file.display());
        }
    }
}
