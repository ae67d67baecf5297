//! What all protocols need of HTTP: mounts, the checks before an upgrade, client IPs, CORS, JSONP, idle HTTP
//! connections, ICE servers, and static files. The wire formats and their routes are in `protocols`.

pub(crate) mod acceptor;
pub(crate) mod body;
pub(crate) mod client_ip;
pub(crate) mod connect_error;
pub(crate) mod connect_info;
pub(crate) mod cors;
#[cfg(feature = "page")]
pub(crate) mod endpoints;
pub(crate) mod guarded_body;
pub(crate) mod host_check;
pub(crate) mod hosts;
pub(crate) mod ice;
pub(crate) mod idle_connections;
pub(crate) mod jsonp;
pub(crate) mod learning;
pub(crate) mod longpoll;
pub(crate) mod methods;
pub(crate) mod mount;
pub(crate) mod node_state;
#[cfg(feature = "page")]
pub(crate) mod page;
pub(crate) mod places;
pub(crate) mod refusal_log;
pub(crate) mod request;
pub(crate) mod side_server;
pub(crate) mod sliced_body;
pub(crate) mod static_files;
pub(crate) mod token_check;
pub(crate) mod upgraded_socket;

pub use connect_error::ConnectError;
pub use connect_info::ConnectInfo;
pub use mount::{Mount, SocketInit};
