//! The fuzz targets, one file per subject. Each target passes arbitrary bytes to a decoder or a state machine, and
//! panics if a guarantee is broken.
//!
//! `tests/fuzz/runner` is the fuzzer. The tests below run every target without it, on its seeds and on the inputs that
//! once failed (`tests/fuzz/regressions/<target>`).
//!
//! To add a target, add an entry to the `TARGETS` of a file here, or add a file.

mod api;
mod app;
mod client;
#[cfg(feature = "cluster")]
mod cluster;
mod config;
mod connection_input;
mod connections;
mod engineio;
mod fake_registry;
mod hello;
mod http_metadata;
mod http_requests;
mod json;
mod message_sequences;
mod peer_ids;
mod peerjs;
mod phoenix;
mod presence;
mod relay;
mod request;
mod responses;
mod seeds;
mod session_input;
mod session_model;
mod sessions;
mod socketio;
mod socketio_0_9;
mod static_paths;
mod text_check;
mod tokens;
mod topics_and_origins;
mod websocket;

/// One fuzz target.
#[derive(Debug)]
pub struct Target {
    /// The name, also used for its corpus and its regressions.
    pub name: &'static str,
    /// Runs one input. A panic is a finding.
    pub run: fn(&[u8]),
    /// The initial corpus, made from the transcripts where there are any.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Dictionary entries: tokens that random mutation would find only slowly.
    pub dictionary: &'static [&'static str],
    /// The maximum size of an input. A target that tests one of the broker's limits accepts a little more than that
    /// limit.
    pub max_len: usize,
}

/// The maximum size for targets that test no size limit, or a limit that is set low for the test.
const SMALL: usize = 4_096;

/// All targets.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    let files = [
        phoenix::TARGETS,
        peerjs::TARGETS,
        engineio::TARGETS,
        socketio::TARGETS,
        socketio_0_9::TARGETS,
        hello::TARGETS,
        relay::TARGETS,
        websocket::TARGETS,
        text_check::TARGETS,
        http_metadata::TARGETS,
        json::TARGETS,
        topics_and_origins::TARGETS,
        static_paths::TARGETS,
        peer_ids::TARGETS,
        presence::TARGETS,
        #[cfg(feature = "cluster")]
        cluster::TARGETS,
        config::TARGETS,
        tokens::TARGETS,
        api::TARGETS,
        sessions::TARGETS,
        message_sequences::TARGETS,
        http_requests::TARGETS,
        connections::TARGETS,
    ];
    files.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    /// Prints which input was running if a panic unwinds past it.
    struct InputLabel(String);

    impl Drop for InputLabel {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("^ input: {}", self.0);
            }
        }
    }

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/regressions")
    }

    fn regressions(name: &str) -> Vec<PathBuf> {
        let files =
            fs::read_dir(folder().join(name)).map(|entries| entries.map(|entry| entry.unwrap().path()).collect());
        files.unwrap_or_default()
    }

    #[test]
    fn every_target_accepts_its_seeds() {
        for target in targets() {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{}: there are no seeds", target.name);
            for (n, seed) in seeds.iter().enumerate() {
                let _label = InputLabel(format!("seed {n} of {}: {}", target.name, seed.escape_ascii()));
                (target.run)(seed);
            }
        }
    }

    #[test]
    fn every_regression_stays_fixed() {
        for target in targets() {
            for file in regressions(target.name) {
                let _label = InputLabel(file.display().to_string());
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

    /// `make fuzz` runs rarely, so it would report a stale lock file late.
    #[test]
    fn the_lock_file_of_the_fuzzer_lists_every_dependency() {
        let read = |path: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            toml::from_str::<toml::Table>(&fs::read_to_string(path).unwrap()).unwrap()
        };
        let (manifest, lock) = (read("Cargo.toml"), read("tests/fuzz/runner/Cargo.lock"));
        let packages = lock["package"].as_array().unwrap();
        let package = packages.iter().find(|package| package["name"].as_str() == Some("handclasp")).unwrap();
        let locked: Vec<&str> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|name| name.as_str()?.split(' ').next())
            .collect();
        let mut expected: Vec<&str> = manifest["dependencies"].as_table().unwrap().keys().map(String::as_str).collect();
        expected.sort_unstable();
        assert_eq!(locked, expected, "cargo update --workspace --manifest-path tests/fuzz/runner/Cargo.toml");
    }
}
