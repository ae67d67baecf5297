//! Server code subscribes to a topic and reads its presence list.
//!
//! ```sh
//! cargo run --example observer
//! ```

use std::error::Error;

use handclasp::{Config, Endpoint, Pubsub, Topic};

/// Returns the payload of the lobby's first broadcast, and the keys of the presence list at that time.
pub async fn observe(pubsub: Pubsub) -> Result<(String, Vec<String>), Box<dyn Error>> {
    let lobby = Topic::parse("room:lobby")?;
    let mut broadcasts = pubsub.subscribe(&lobby).await?;
    let first = broadcasts.next().await.ok_or("the subscription has ended")?;
    let present = pubsub.presence(&lobby).await.into_keys().map(String::from).collect();
    Ok((first.payload.parse::<String>()?, present))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let node = Endpoint::new(Config::default()).start()?;
    println!("ws://{}/socket/websocket", node.address());
    let (text, present) = observe(node.pubsub()).await?;
    println!("received {text:?} while {present:?} were present");
    node.stop().await;
    Ok(())
}
