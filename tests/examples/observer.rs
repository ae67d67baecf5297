//! The server's own code hears a topic, and reads who is on its presence list. `cargo run --example observer`

use std::error::Error;

use handclasp::{Config, Endpoint, Pubsub, Topic};

/// Returns the first words said in the lobby, and the keys of those who were listed when they were said.
pub async fn observe(pubsub: Pubsub) -> Result<(String, Vec<String>), Box<dyn Error>> {
    let lobby = Topic::parse("room:lobby")?;
    let mut said = pubsub.subscribe(&lobby).await?;
    let first = said.next().await.ok_or("nobody said anything in time")?;
    let present = pubsub.presence(&lobby).await.into_keys().map(String::from).collect();
    Ok((first.payload.parse::<String>()?, present))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let node = Endpoint::new(Config::default()).start()?;
    println!("ws://{}/socket/websocket", node.address());
    let (words, present) = observe(node.pubsub()).await?;
    println!("{words:?} was said; listed were {present:?}");
    node.stop().await;
    Ok(())
}
