//! The fuzzer: runs libFuzzer on the target that `FUZZ_TARGET` names. `../run.sh` starts it.
//!
//! Without `FUZZ_TARGET` it lists all targets with the maximum size of their inputs. `FUZZ_SEEDS` names a folder for the
//! target's seeds, and `FUZZ_DICTIONARY` a file for its dictionary. Both are written before fuzzing starts.

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
        targets().for_each(|target| println!("{} {}", target.name, target.max_len));
        std::process::exit(0);
    };
    let target = targets().find(|target| target.name == name).unwrap_or_else(|| panic!("no target is called {name}"));
    if let Ok(folder) = std::env::var("FUZZ_SEEDS") {
        write_seeds(target, Path::new(&folder));
    }
    if let Ok(file) = std::env::var("FUZZ_DICTIONARY") {
        fs::write(file, dictionary(target)).expect("cannot write the dictionary");
    }
    // cannot fail: libFuzzer calls this function once
    let _ = TARGET.set(target);
}

fn write_seeds(target: &Target, folder: &Path) {
    for (n, seed) in (target.seeds)().iter().enumerate() {
        fs::write(folder.join(n.to_string()), seed).expect("cannot write a seed");
    }
}

/// One entry per line, after a comment: libFuzzer rejects an empty dictionary.
fn dictionary(target: &Target) -> String {
    let escaped = |entry: &str| entry.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let lines = target.dictionary.iter().map(|entry| format!("\"{}\"\n", escaped(entry)));
    format!("# dictionary of {}\n{}", target.name, lines.collect::<String>())
}
