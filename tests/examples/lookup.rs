//! A channel with asynchronous callbacks: its join looks up the user, and its requests query a database. The client's
//! later messages to the topic wait until the query is done; other topics and clients do not.
//!
//! ```sh
//! cargo run --example lookup
//! ```

use handclasp::{Channel, Config, Context, Endpoint, Join, Mount, Payload, Reply, Router};

/// Stands in for a database query.
async fn query(key: String) -> Option<u32> {
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    ["ann", "tea"].contains(&&*key).then_some(42)
}

struct Shop;

impl Channel for Shop {
    fn join(&mut self, _: &Payload, ctx: &mut Context<'_>) -> Join {
        let user = query(ctx.topic().subtopic().to_owned());
        ctx.join_async(user, |_: &mut Self, user, _| match user {
            Some(id) => Join::ok_with(&id),
            None => Join::error("unknown user"),
        })
    }

    fn handle_in(&mut self, item: &str, _: &Payload, ctx: &mut Context<'_>) -> Reply {
        ctx.reply_async(query(item.to_owned()), |_: &mut Self, price, _| match price {
            Some(price) => Reply::ok_with(&price),
            None => Reply::error("not found"),
        })
    }
}

pub fn mount() -> Mount {
    Mount::new("/live", Router::new().channel("shop:*", |_| Shop))
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    Endpoint::new(Config::default()).mount(mount()).start()?.run_until_signal().await
}
