//! A whole node without threads of its own, for the targets that test its HTTP server.

use std::sync::Arc;

use actix::Arbiter;

use crate::broker::adapter::LocalAdapter;
use crate::broker::pubsub::Pubsub;
use crate::channels::builtin::routers;
use crate::config::schema::Config;
use crate::http::acceptor::Acceptor;
use crate::http::mount::Mount;
use crate::http::node_state::NodeState;
use crate::protocols::{engineio, mounts, phoenix};
use crate::server::app::AppFactory;

/// A node with all standard mounts, and one for plain Engine.IO. Its registry runs on the current thread.
pub(super) fn app(mut config: Config) -> AppFactory {
    config.relay.enabled = true;
    config.hello.enabled = true;
    let router = Arc::new(routers::standard(&config));
    let mounts = config.socket.mounts.iter().map(|path| (Mount::new(path, router.clone()), phoenix::routes::MOUNT));
    let mounts = mounts.chain(mounts::standard(&config));
    let plain = (Mount::new("/eio", routers::relay(&config)), engineio::plain::MOUNT);
    let mounts: Vec<_> = mounts.chain([plain]).collect();
    let (pubsub, _) = Pubsub::start(&config, Arc::new(LocalAdapter), &Arbiter::current())
        .expect("a single node needs nothing to start");
    let node = Arc::new(NodeState::new(config, pubsub, None).expect("tokens are off"));
    let acceptors =
        mounts.into_iter().map(|(mount, protocol)| (Acceptor::new(node.clone(), mount, protocol), protocol));
    AppFactory { acceptors: acceptors.collect(), node, routes: Vec::new() }
}

/// Maps a path of the transcripts to a mount of this node: the transcripts' own mounts do not exist here.
pub(super) fn local_path(path: &str) -> String {
    path.replace("/lab.", "/").replace("/lab/", "/socket/").replace("/io/", "/socket.io/")
}
