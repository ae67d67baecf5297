//! Every dependency for this platform, including those of tests, has a permissive licence, so the project may be
//! distributed under its own, and none brings a second crypto provider or async runtime. Security advisories need the
//! network, and are not checked here.

use serde_json::Value;
use std::process::Command;

const PERMISSIVE: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every part joined by `AND` must offer a permissive licence.
fn is_permissive(expression: &str) -> bool {
    let is_listed = |word: &str| PERMISSIVE.contains(&word.trim_matches(|c| c == '(' || c == ')' || c == ' '));
    expression.replace('/', " OR ").split(" AND ").all(|part| part.split(" OR ").any(is_listed))
}

/// Two providers in one process panic at the first handshake or the first token. We use aws-lc-rs, and tokio.
#[test]
fn there_is_one_crypto_provider_and_one_runtime() {
    const SECOND: [&str; 7] = ["ring", "openssl", "native-tls", "rustls-rustcrypto", "rsa", "async-std", "smol"];
    let args = ["tree", "--locked", "--all-features", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
    let tree = output(env!("CARGO"), &args);
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(["aws-lc-rs", "rustls", "tokio"].iter().all(|name| names.contains(name)));
    let found: Vec<_> = SECOND.iter().filter(|name| names.contains(name)).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn every_dependency_has_a_permissive_licence() {
    let rustc = output("rustc", &["-vV"]);
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let args = ["metadata", "--locked", "--format-version", "1", "--filter-platform", host];
    let metadata: Value = serde_json::from_str(&output(env!("CARGO"), &args)).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let not_permissive: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(is_permissive))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(packages.len() > 20 && not_permissive.is_empty(), "{not_permissive:#?}");
}

#[test]
fn licence_expressions_are_evaluated() {
    for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert!(is_permissive(good), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND MPL-2.0"] {
        assert!(!is_permissive(bad), "{bad}");
    }
}
