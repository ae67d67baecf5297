//! The configuration of TLS: which of its keys need which, and what `check` says of the files.

use std::process::Command;

use super::config::set;
use crate::common::tls::Certificate;

#[test]
fn a_key_that_needs_another_one_names_it() {
    for (sets, expected) in [
        (&["tls.cert=a.pem"][..], "tls.key: missing, but tls.cert is set"),
        (&["tls.key=a.pem"], "tls.cert: missing, but tls.key is set"),
        (&["tls.redirect=[::]:80"], "tls.redirect: set, but tls.cert is not: there is no https to redirect to"),
        (
            &["tls.cert=a.pem", "tls.key=b.pem", "tls.redirect=127.0.0.1:4000"],
            "tls.redirect: 127.0.0.1:4000 is server.listen too",
        ),
        (
            &["tls.cert=a.pem", "tls.key=b.pem", "tls.redirect=[::1]:80", "metrics.listen=[::1]:80"],
            "tls.redirect: [::1]:80 is metrics.listen too",
        ),
    ] {
        assert_eq!(set(sets).unwrap_err(), expected);
    }
    assert!(!set(&[]).unwrap().tls.is_on());
    let free = ["tls.cert=a.pem", "tls.key=b.pem", "tls.redirect=[::1]:0", "metrics.listen=[::1]:0"];
    assert!(set(&free).unwrap().tls.is_on());
}

/// Runs `handclasp check` with these arguments, and returns whether it succeeds, and what it prints.
fn check(args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_handclasp")).arg("check").args(args).output().unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[test]
fn check_reads_the_certificate_and_its_key() {
    let (certificate, other) = (Certificate::create(), Certificate::create());
    let [cert, key] = [certificate.cert(), other.key()].map(|path| path.to_str().unwrap().to_owned());
    let (is_ok, said) = check(&["--tls-cert", &cert, "--tls-key", &key]);
    assert!(
        !is_ok && said.contains(&format!("tls.key: {key} is not the key of the first certificate in {cert}")),
        "{said}"
    );
    let key = certificate.key().to_str().unwrap().to_owned();
    let (is_ok, said) = check(&["--tls-cert", &cert, "--tls-key", &key, "--set", "tls.redirect=127.0.0.1:80"]);
    assert!(is_ok, "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[1], "page     https://127.0.0.1:4000/");
    assert_eq!(lines[2], "sockets  wss://127.0.0.1:4000/{socket,ws,peer}/websocket");
    assert_eq!(lines[3], "redirect http://127.0.0.1:80/");
    assert!(check(&["--tls-cert", &cert]).1.contains("--tls-key"), "both are needed");
}
