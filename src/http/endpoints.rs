//! The document `/dev/endpoints.json`, by which the developers' page knows what this node serves. It is made of the
//! mounts themselves, and holds only what a client can find out by connecting: no key, no origin, no server's name.

use serde::Serialize;

use crate::config::origin::Origins;
use crate::config::schema::Config;
use crate::http::acceptor::{Acceptor, ProtocolMount};
use crate::topic::Realm;

/// The key with which PeerJS clients connect that have set none.
const DEFAULT_KEY: &str = "peerjs";

#[derive(Serialize)]
struct Document<'a> {
    endpoints: Vec<Entry<'a>>,
}

/// One place where clients connect.
#[derive(Serialize)]
struct Entry<'a> {
    protocol: &'static str,
    /// Below the node's own address.
    path: &'a str,
    pages: Pages,
    /// Whether clients must know a key. Only PeerJS has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    needs_key: Option<bool>,
}

/// Which web pages may connect.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Pages {
    /// Those of the requested host.
    Same,
    /// Those of all sites.
    Any,
    /// Those of some sites, which are not told.
    Listed,
}

impl From<&Origins> for Pages {
    fn from(origins: &Origins) -> Self {
        match origins {
            _ if origins.allow_all_sites() => Self::Any,
            _ if origins.allow_same_host_only() => Self::Same,
            _ => Self::Listed,
        }
    }
}

/// The document as JSON.
pub(crate) fn document(config: &Config, acceptors: &[(Acceptor, ProtocolMount)]) -> Vec<u8> {
    let mounts = acceptors.iter().map(|(acceptor, protocol)| Entry {
        protocol: protocol.realm.name(),
        path: acceptor.path(),
        pages: acceptor.origins().into(),
        needs_key: (protocol.realm == Realm::PeerJs).then(|| !config.peerjs.accepts_key(DEFAULT_KEY)),
    });
    let ice = config.ice.enabled.then(|| Entry {
        protocol: "ice",
        path: &config.ice.path,
        pages: (&config.ice.check_origin).into(),
        needs_key: None,
    });
    let document = Document { endpoints: mounts.chain(ice).collect() };
    serde_json::to_vec(&document).expect("texts and flags are JSON")
}
