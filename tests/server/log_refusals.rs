//! What the log says of refused web pages and host names: both values, in one line for each, that a client can neither
//! forge nor repeat without end.

use std::fs::File;
use std::path::Path;

use crate::common::process::Process;
use crate::common::{Client, wait_until};

fn lines(path: &Path) -> Vec<String> {
    let log = std::fs::read_to_string(path).unwrap();
    log.lines().filter(|line| line.contains("refused: ")).map(str::to_owned).collect()
}

#[actix_web::test]
async fn refused_pages_have_a_line_each_up_to_a_rate() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("refusals-{}.log", std::process::id()));
    let process = Process::logging_to(File::create(&path).unwrap(), &["log.refusals_per_minute=2"]);
    let address = process.address;
    let refused = async |origin: &str| {
        let (_, head) = Client::try_open(address, "/socket/websocket", &[&format!("Origin: {origin}")]).await;
        assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    };
    refused("https://one.test").await;
    let long = "x".repeat(2_000);
    refused(&format!("https://\t\u{2028}2026 INFO forged{long}")).await;
    for _ in 0..20 {
        refused("https://three.test").await;
    }
    wait_until("the lines are written", || async { lines(&path).len() >= 2 }).await;
    drop(process);
    let lines = lines(&path);
    assert_eq!(lines.len(), 2, "{lines:?}");
    let why = format!(r#"origin "https://one.test" is not allowed; allowed: same; requested: the host "{address}""#);
    assert!(lines[0].contains(&why), "{}", lines[0]);
    assert!(lines[1].contains(r#"origin "https://\t\xe2\x80\xa82026 INFO forgedxxx"#), "{}", lines[1]);
    assert!(lines[1].len() < 500 && lines[1].is_ascii(), "{}", lines[1]);
    std::fs::remove_file(&path).unwrap();
}
