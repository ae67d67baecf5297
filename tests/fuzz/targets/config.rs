//! The text of a configuration file, and single settings from the environment and the command line.

use std::path::Path;

use super::{SMALL, Target};
use crate::config::schema::{Config, SETTINGS, Setting};
use crate::config::source;

/// How much longer than its key and value an error message may be: it names the place, the range, and a similar key.
const MAX_ERROR: usize = 512;

const WORDS: &[&str] = &[
    "[server]",
    "[socket]",
    "[limits]",
    "[peer]",
    "[log]",
    "[drain]",
    "listen = ",
    "check_origin = ",
    "ice_servers = ",
    "urls = ",
    "credential = ",
    "secret = ",
    "\"5s\"",
    "\"10ms\"",
    "[\"same\"]",
    "true",
    "= {",
    "'''",
    "\"\"\"",
    "1979-05-27",
    "HANDCLASP_LIMITS_QUEUE_BYTES=",
];

pub(super) const TARGETS: &[Target] = &[
    Target { name: "config", run: file, seeds: files, dictionary: WORDS, max_len: 4 * SMALL },
    Target { name: "settings", run: sets, seeds: settings, dictionary: WORDS, max_len: SMALL },
];

/// A file is either valid, or each of its errors is reported on a line with its place.
fn file(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut errors = Vec::new();
    let path = Path::new("handclasp.toml");
    let raw = source::in_file(path, text, &mut errors);
    assert!(errors.is_empty() || raw.is_empty(), "settings despite {errors:?}");
    let keys = raw.len();
    let places: usize = raw.iter().map(|raw| raw.name.len()).sum();
    let Err(errors) = Config::of(&raw, errors.clone()) else { return };
    let errors = errors.to_string();
    assert!(!errors.is_empty());
    let max_len = 4 * (text.len() + places) + MAX_ERROR * (keys + errors.len() + 1);
    assert!(errors.len() <= max_len, "{} bytes of error messages for {}", errors.len(), text.len());
}

fn files() -> Vec<Vec<u8>> {
    let whole = include_str!("../../../config/handclasp.toml");
    let uncommented: String = whole.lines().map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
    let ice =
        "[peer]\nice_servers = [{ urls = [\"turn:a.test:1?transport=udp\"], username = \"u\", credential = \"c\" }]";
    vec![whole.into(), uncommented.into(), ice.into(), b"[socket]\ncheck_origin = ['//*.a.test', \"same\"]".to_vec()]
}

/// One setting per line: environment variables by their name, `--listen` after a `@`, and `--set` otherwise.
fn sets(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (mut variables, mut sets, mut listen) = (Vec::new(), Vec::new(), None);
    for line in text.lines() {
        match line.split_once('=') {
            // this variable would name a file to read
            Some(("HANDCLASP_CONFIG", _)) => {}
            Some((name, value)) if name.starts_with("HANDCLASP_") => {
                variables.push((name.to_owned(), value.to_owned()))
            }
            _ if line.starts_with('@') => listen = line.strip_prefix('@'),
            _ => sets.push(line.to_owned()),
        }
    }
    let count = variables.len() + sets.len();
    if let Err(errors) = Config::load(None, variables, &sets, listen) {
        let max_len = 4 * text.len() + MAX_ERROR * (count + 2);
        assert!(errors.to_string().len() <= max_len, "{errors}");
    }
}

fn settings() -> Vec<Vec<u8>> {
    let names = |setting: &Setting| [setting.key.to_owned(), setting.variable()];
    let all = SETTINGS.iter().flat_map(|setting| names(setting).map(|name| format!("{name}={}", setting.default)));
    all.chain(["@[::1]:0".to_owned()]).map(String::into_bytes).collect()
}
