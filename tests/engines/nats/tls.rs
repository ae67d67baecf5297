//! TLS: a certificate that the system trusts is accepted, another one is refused.

use std::env;
use std::process::Command;

use handclasp::cluster::engine::LinkError;

use super::link;
use crate::common::certificate;
use crate::common::nats::NatsServer;

/// The URL that the child process links to. It has its own list of trusted certificates.
const URL: &str = "HANDCLASP_TEST_NATS_URL";

fn tls_url(server: &NatsServer, host: &str) -> String {
    format!("tls://{host}:{}", server.port)
}

#[test]
fn an_unknown_certificate_is_refused() {
    let server = NatsServer::with_tls();
    let why = link(&tls_url(&server, "localhost")).unwrap_err();
    let expected = format!("localhost:{} has no valid certificate: ", server.port);
    assert!(matches!(&why, LinkError::Unusable(why) if why.starts_with(&expected)), "{why:?}");
}

#[test]
fn a_server_without_tls_is_refused() {
    let server = NatsServer::start();
    let why = link(&tls_url(&server, "127.0.0.1")).unwrap_err();
    let expected = format!("127.0.0.1:{} does not speak TLS: set a URL with nats://", server.port);
    assert_eq!(why, LinkError::Unusable(expected));
}

/// Runs a test again, in a process that trusts the server's certificate.
fn trusting(test: &str, server: &NatsServer, host: &str) {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", &format!("nats::tls::{test}"), "--nocapture"]);
    child.env(URL, tls_url(server, host)).env("SSL_CERT_FILE", server.folder.join(certificate::CERTIFICATE));
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_trusted_certificate_is_accepted() {
    match env::var(URL) {
        Ok(url) => assert_eq!(link(&url), Ok(())),
        Err(_) => trusting("a_trusted_certificate_is_accepted", &NatsServer::with_tls(), "localhost"),
    }
}

#[test]
fn a_trusted_certificate_of_another_host_is_refused() {
    match env::var(URL) {
        Ok(url) => {
            let why = link(&url).unwrap_err();
            assert!(matches!(&why, LinkError::Unusable(why) if why.contains("has no valid certificate")), "{why:?}");
        }
        Err(_) => {
            trusting("a_trusted_certificate_of_another_host_is_refused", &NatsServer::with_tls(), "127.0.0.1");
        }
    }
}
