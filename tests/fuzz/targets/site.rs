//! A whole node without threads of its own, for targets that feed its HTTP server.

use std::sync::Arc;

use actix::Arbiter;

use crate::broker::adapter::Local;
use crate::broker::pubsub::Pubsub;
use crate::broker::registry::Terms;
use crate::channels::builtin;
use crate::config::schema::Config;
use crate::http::acceptor::Door;
use crate::http::mount::Mount;
use crate::http::node_state::Node;
use crate::protocols::{self, engineio, phoenix};
use crate::server::app::Site;

/// A node with the standard mounts, and one for plain Engine.IO. Its registry lives on this thread.
pub(super) fn site(config: Config) -> Site {
    let router = Arc::new(builtin::standard(&config));
    let mounts = config.socket.mounts.iter().map(|path| (Mount::new(path, router.clone()), phoenix::routes::ENTRANCE));
    let mounts = mounts.chain(protocols::standard(&config));
    let plain = (Mount::new("/eio", builtin::relay()), engineio::plain::ENTRANCE);
    let mounts: Vec<_> = mounts.chain([plain]).collect();
    let (pubsub, _) = Pubsub::start(Terms::new(&config), Arc::new(Local), &Arbiter::current());
    let node = Arc::new(Node::new(config, pubsub));
    let doors = mounts.into_iter().map(|(mount, entrance)| (Door::new(node.clone(), mount, entrance), entrance));
    Site { doors: doors.collect(), node, routes: Vec::new() }
}

/// Where a path of the transcripts is here: their own mounts are not there.
pub(super) fn here(path: &str) -> String {
    path.replace("/lab.", "/").replace("/lab/", "/socket/").replace("/io/", "/socket.io/")
}
