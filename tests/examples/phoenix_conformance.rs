//! A server for Phoenix's own integration tests of channels. It provides the mounts, channels and control URLs that the
//! tests need, and uses only the crate's public API.
//!
//! ```sh
//! cargo run --example phoenix_conformance -- 4001
//! ```
//!
//! It prints its address once it listens, and runs until SIGTERM or SIGINT.

mod conformance;

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let port = match std::env::args().nth(1) {
        None => 4001,
        Some(text) => text.parse().map_err(|_| std::io::Error::other(format!("invalid port: {text:?}")))?,
    };
    let node = conformance::endpoint(port, conformance::IDLE, conformance::WINDOW).start()?;
    println!("listening on http://{}", node.address());
    node.run_until_signal().await
}
