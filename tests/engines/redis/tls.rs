//! TLS: a certificate that the system trusts is accepted, another one is refused.

use std::env;
use std::path::Path;
use std::process::Command;

use handclasp::cluster::engine::LinkError;

use super::link;
use crate::common::certificate;
use crate::common::redis::RedisServer;

/// The URL that the child process links to. It has its own list of trusted certificates.
const URL: &str = "HANDCLASP_TEST_REDIS_URL";

/// A server whose certificate is valid for `localhost`, and signed by itself.
fn server() -> RedisServer {
    RedisServer::start_with(|folder| {
        certificate::create(folder);
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let (key, certificate) = (path(certificate::KEY), path(certificate::CERTIFICATE));
        let tls_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &certificate];
        let options = ["--tls-port", &tls_port, "--tls-auth-clients", "no"];
        options.iter().chain(&files).map(ToString::to_string).collect()
    })
}

fn tls_url(server: &RedisServer) -> String {
    let ports: Vec<String> = server.run(&["CONFIG", "GET", "tls-port"]);
    format!("rediss://localhost:{}", ports[1])
}

#[test]
fn an_unknown_certificate_is_refused() {
    let server = server();
    let why = link(&tls_url(&server)).unwrap_err();
    assert!(matches!(&why, LinkError::Unusable(why) if why.contains("certificate")), "{why:?}");
}

#[test]
fn a_trusted_certificate_is_accepted() {
    if let Ok(url) = env::var(URL) {
        return assert_eq!(link(&url), Ok(()));
    }
    let server = server();
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "redis::tls::a_trusted_certificate_is_accepted", "--nocapture"]);
    child.env(URL, tls_url(&server)).env("SSL_CERT_FILE", Path::new(&server.folder).join(certificate::CERTIFICATE));
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
