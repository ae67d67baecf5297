//! A server for Phoenix's own integration tests of its channels: the mounts, channels and control URLs
//! that they need, through the crate's public API alone.
//!
//! ```sh
//! cargo run --example phoenix_conformance -- 4001
//! ```
//!
//! It says where it listens once it does, and serves until SIGTERM or SIGINT.

mod conformance;

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let port = match std::env::args().nth(1) {
        None => 4001,
        Some(text) => text.parse().map_err(|_| std::io::Error::other(format!("{text:?} is no port")))?,
    };
    let node = conformance::endpoint(port, conformance::IDLE, conformance::WINDOW).start()?;
    println!("listening on http://{}", node.address());
    node.run_until_signal().await
}
