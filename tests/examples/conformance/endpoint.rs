//! The mounts, and the control URLs that stand in for what Phoenix's tests ask inside their own VM.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, Data, Query, ServiceConfig};
use actix_web::{HttpResponse, Responder};
use handclasp::config::Origins;
use handclasp::{Config, Endpoint, Mount, Payload, Pubsub, Router, Topic};
use serde::Deserialize;

use super::channels::{Custom, Hang, Room};
use super::connect;

/// After how much silence Phoenix's tests want a client closed: they wait for twice as long.
pub const IDLE: Duration = Duration::from_millis(200);
/// For how long they want a poll kept open.
pub const WINDOW: Duration = Duration::from_millis(200);

/// The whole server, about to listen on this port of 127.0.0.1; 0 is any that is free.
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
    Origins::parse(&["//example.com"]).expect("a host without scheme is an origin")
}

fn controls(app: &mut ServiceConfig) {
    app.route("/alive", web::get().to(alive));
    app.route("/broadcast", web::get().to(broadcast));
}

#[derive(Deserialize)]
struct About {
    topic: String,
}

/// How many members a topic has. Going through the registry first lets it do what it has been told so
/// far: who has just heard that it left is gone.
async fn alive(Query(about): Query<About>, pubsub: Data<Pubsub>) -> impl Responder {
    pubsub.stats().await;
    pubsub.count(&about.topic).to_string()
}

#[derive(Deserialize)]
struct Say {
    topic: String,
    event: String,
}

/// Tells a topic something, from outside of all channels.
async fn broadcast(Query(say): Query<Say>, pubsub: Data<Pubsub>) -> HttpResponse {
    let Ok(topic) = Topic::parse(&say.topic) else { return HttpResponse::BadRequest().body("no topic") };
    pubsub.broadcast(&topic, say.event, Payload::empty());
    HttpResponse::Ok().body("ok")
}
