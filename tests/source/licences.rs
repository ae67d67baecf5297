//! What this project is built from may be distributed under its own licences: every dependency for this machine,
//! those of tests included, has a permissive one. Advisories need the network, and are not looked up here.

use serde_json::Value;
use std::process::Command;

const PERMISSIVE: [&str; 10] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
];

fn output(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Every part that AND joins must offer a permissive choice.
fn is_permissive(expression: &str) -> bool {
    let plain = |word: &str| PERMISSIVE.contains(&word.trim_matches(|c| c == '(' || c == ')' || c == ' '));
    expression.replace('/', " OR ").split(" AND ").all(|part| part.split(" OR ").any(plain))
}

#[test]
fn every_dependency_is_permissive() {
    let rustc = output("rustc", &["-vV"]);
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let words = ["metadata", "--locked", "--format-version", "1", "--filter-platform", host];
    let metadata: Value = serde_json::from_str(&output(env!("CARGO"), &words)).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let strange: Vec<String> = packages
        .iter()
        .filter(|package| !package["license"].as_str().is_some_and(is_permissive))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(packages.len() > 20 && strange.is_empty(), "{strange:#?}");
}

#[test]
fn an_expression_is_read_as_it_is_meant() {
    for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert!(is_permissive(good), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND MPL-2.0"] {
        assert!(!is_permissive(bad), "{bad}");
    }
}
