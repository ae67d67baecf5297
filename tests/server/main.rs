//! The node as a whole: configuration, command line, log, metrics, draining, and failures of its parts.

#[path = "../common/mod.rs"]
mod common;

mod auth_config;
mod backplane;
mod cli;
mod cluster_config;
mod config;
mod docs;
mod drain;
mod failures;
mod log_output;
mod log_refusals;
mod log_secrecy;
mod metrics;
mod tls_config;

use std::path::Path;

/// Compares a generated file, a path from the crate's root, with what `generate` makes of its text. With `UPDATE_DOCS`
/// in the environment, the file is rewritten instead.
fn check_generated(file: &str, generate: impl FnOnce(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let actual = std::fs::read_to_string(&path).unwrap();
    let expected = generate(&actual);
    if actual != expected {
        let update = std::env::var_os("UPDATE_DOCS").is_some();
        assert!(update, "{file} differs from the code: run UPDATE_DOCS=1 cargo test --test server");
        std::fs::write(path, expected).unwrap();
    }
}

/// The text of a page with another table between the comments that mark it.
fn with_table(page: &str, mark: &str, table: &str) -> String {
    let begin = format!("<!-- {mark}: written by the test of this page -->\n");
    let end = format!("<!-- /{mark} -->\n");
    let (before, rest) = page.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    [before, &begin, table, &end, after].concat()
}
