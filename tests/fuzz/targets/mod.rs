//! What fuzzers feed, a subject a file: each target takes any bytes, gives them to a decoder or a state machine, and
//! panics when a promise is broken. `tests/fuzz/runner` is the fuzzer; the test below runs all of them over their
//! seeds, and over whatever was found before (`tests/fuzz/regressions/<target>`), without one.
//!
//! A new target is a file here, or a line in one.

mod answers;
mod asked;
mod callers;
mod client;
mod config;
mod conversation;
mod engineio;
mod hello;
mod http;
mod json;
mod names;
mod paths;
mod peerjs;
mod peers;
mod phoenix;
mod presence;
mod registry;
mod requests;
mod seeds;
mod site;
mod socketio;
mod talk;
mod tape;
mod websocket;
mod wire;
mod words;

/// One thing that can be fed.
#[derive(Debug)]
pub struct Target {
    /// What its corpus and its regressions are called.
    pub name: &'static str,
    /// Feeds it one input. A panic is a finding.
    pub run: fn(&[u8]),
    /// Inputs to begin with, made of the transcripts where there are any.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words that chance would be slow to find.
    pub words: &'static [&'static str],
    /// How long an input is at most: just above a limit, where one of the broker's is to be met.
    pub most: usize,
}

/// How long an input is that meets no limit on its size, or one that is made small for it.
const SMALL: usize = 4_096;

/// All targets.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    let files = [
        phoenix::TARGETS,
        peerjs::TARGETS,
        engineio::TARGETS,
        socketio::TARGETS,
        hello::TARGETS,
        websocket::TARGETS,
        http::TARGETS,
        json::TARGETS,
        names::TARGETS,
        paths::TARGETS,
        peers::TARGETS,
        presence::TARGETS,
        config::TARGETS,
        conversation::TARGETS,
        words::TARGETS,
        requests::TARGETS,
        wire::TARGETS,
    ];
    files.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Says which input it was, when a panic passes by.
    struct At(String);

    impl Drop for At {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("^ fed with {}", self.0);
            }
        }
    }

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/regressions")
    }

    fn found(name: &str) -> Vec<PathBuf> {
        let files =
            fs::read_dir(folder().join(name)).map(|entries| entries.map(|entry| entry.unwrap().path()).collect());
        files.unwrap_or_default()
    }

    #[test]
    fn every_target_bears_its_seeds() {
        for target in targets() {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{}: nothing to begin with", target.name);
            for (n, seed) in seeds.iter().enumerate() {
                let _at = At(format!("seed {n} of {}: {}", target.name, seed.escape_ascii()));
                (target.run)(seed);
            }
        }
    }

    #[test]
    fn what_was_found_once_is_not_found_again() {
        for target in targets() {
            for file in found(target.name) {
                let _at = At(file.display().to_string());
                (target.run)(&fs::read(&file).unwrap());
            }
        }
    }

    #[test]
    fn every_regression_has_a_target() {
        for entry in fs::read_dir(folder()).into_iter().flatten() {
            let name = entry.unwrap().file_name();
            assert!(targets().any(|target| *target.name == *name), "no target is called {}", name.display());
        }
    }

    /// `make fuzz` is seldom run, and would be the last to notice.
    #[test]
    fn the_fuzzers_lock_file_has_our_dependencies() {
        let read = |path: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            toml::from_str::<toml::Table>(&fs::read_to_string(path).unwrap()).unwrap()
        };
        let (ours, lock) = (read("Cargo.toml"), read("tests/fuzz/runner/Cargo.lock"));
        let packages = lock["package"].as_array().unwrap();
        let us = packages.iter().find(|package| package["name"].as_str() == Some("handclasp")).unwrap();
        let locked: Vec<&str> =
            us["dependencies"].as_array().unwrap().iter().filter_map(|name| name.as_str()?.split(' ').next()).collect();
        let mut wanted: Vec<&str> = ours["dependencies"].as_table().unwrap().keys().map(String::as_str).collect();
        wanted.sort_unstable();
        assert_eq!(locked, wanted, "cargo update --workspace --manifest-path tests/fuzz/runner/Cargo.toml");
    }
}
