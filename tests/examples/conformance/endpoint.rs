//! The endpoint with its mounts, and the control URLs. The URLs replace the calls that Phoenix's tests make inside
//! their own VM.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, Data, Query, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use handclasp::config::Origins;
use handclasp::{Config, Endpoint, Mount, Payload, Pubsub, Router, Topic};
use serde::Deserialize;

use super::channels::{Custom, Hang, Room};
use super::connect;

/// The idle timeout that Phoenix's tests expect. They wait for twice as long.
pub const IDLE: Duration = Duration::from_millis(200);
/// The long-polling window that they expect.
pub const WINDOW: Duration = Duration::from_millis(200);

/// The server, ready to start on this port of 127.0.0.1. Port 0 chooses a free one.
pub fn endpoint(port: u16, idle: Duration, window: Duration) -> Endpoint {
    let mut config = Config::default();
    config.server.listen = ([127, 0, 0, 1], port).into();
    config.socket.mounts = Vec::new();
    config.page.enabled = false;
    let router = Arc::new(Router::new().channel("room:*", |_| Room::default()).channel("custom:*", |_| Custom));
    let mount = |path| Mount::new(path, router.clone()).check_origin(origins()).idle_timeout(idle).poll_window(window);
    let slow = Mount::new("/ws/slow", Router::new().channel("*", |_| Hang)).check_origin(origins());
    Endpoint::new(config)
        .mount(mount("/ws").connect(connect::user))
        .mount(mount("/ws/admin").connect(connect::admin))
        .mount(mount("/ws/limited").connect(connect::over_websocket).joins_per_socket(1))
        .mount(mount("/ws/connect_info").connect(connect::with_connect_info))
        .mount(slow.connect(connect::over_longpoll).poll_window(window / 2))
        .routes(controls)
}

fn origins() -> Origins {
    Origins::parse(&["//example.com"]).expect("a host without a scheme is a valid origin")
}

fn controls(app: &mut ServiceConfig) {
    app.route("/alive", web::get().to(alive));
    app.route("/broadcast", web::get().to(broadcast));
}

#[derive(Deserialize)]
struct AliveQuery {
    topic: String,
}

/// The number of members of a topic. It waits for the registry to answer first, so that the registry has carried out
/// all earlier commands, such as a leave whose reply the client has just received.
async fn alive(Query(query): Query<AliveQuery>, pubsub: Data<Pubsub>) -> impl Responder {
    pubsub.stats().await;
    pubsub.count(&query.topic).to_string()
}

#[derive(Deserialize)]
struct BroadcastQuery {
    topic: String,
    event: String,
}

/// Broadcasts an event on a topic from outside of any channel.
async fn broadcast(Query(query): Query<BroadcastQuery>, pubsub: Data<Pubsub>) -> HttpResponse {
    let Ok(topic) = Topic::parse(&query.topic) else { return HttpResponse::BadRequest().body("no topic") };
    pubsub.broadcast(&topic, query.event, Payload::empty());
    HttpResponse::Ok().body("ok")
}
