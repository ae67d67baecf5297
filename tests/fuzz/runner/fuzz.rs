//! The fuzzer: libFuzzer around one target, the one that `FUZZ_TARGET` names. It is meant to be run by `../run.sh`.
//!
//! Without a target it lists all of them, and how long an input of each is at most. `FUZZ_SEEDS` names a folder for the
//! target's seeds, and `FUZZ_WORDS` a file for its dictionary; both are written before the fuzzer begins.

#![no_main]

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use handclasp::fuzzing::{Target, targets};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<&Target> = OnceLock::new();

fuzz_target!(
    init: begin(),
    |data: &[u8]| if let Some(target) = TARGET.get() {
        (target.run)(data);
    }
);

fn begin() {
    let Ok(name) = std::env::var("FUZZ_TARGET") else {
        targets().for_each(|target| println!("{} {}", target.name, target.most));
        std::process::exit(0);
    };
    let target = targets().find(|target| target.name == name).unwrap_or_else(|| panic!("no target is called {name}"));
    if let Ok(folder) = std::env::var("FUZZ_SEEDS") {
        write_seeds(target, Path::new(&folder));
    }
    if let Ok(file) = std::env::var("FUZZ_WORDS") {
        fs::write(file, dictionary(target)).expect("a file for the dictionary");
    }
    // set once, for this runs once
    let _ = TARGET.set(target);
}

fn write_seeds(target: &Target, folder: &Path) {
    for (n, seed) in (target.seeds)().iter().enumerate() {
        fs::write(folder.join(n.to_string()), seed).expect("a folder for the seeds");
    }
}

/// A word a line, behind a comment: libFuzzer takes an empty dictionary for a mistake.
fn dictionary(target: &Target) -> String {
    let escaped = |word: &str| word.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let lines = target.words.iter().map(|word| format!("\"{}\"\n", escaped(word)));
    format!("# words of {}\n{}", target.name, lines.collect::<String>())
}
