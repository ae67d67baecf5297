//! Topics and their members: pubsub, the registry that writes memberships, the table that every thread reads, presence
//! lists, subscriptions of the server's own code, and the adapter to other nodes. Connections and their sockets are in
//! `connections`.

pub mod adapter;
mod adapter_inbox;
mod census;
mod inquiry;
mod local_delivery;
pub(crate) mod presence;
pub(crate) mod presence_tracker;
pub(crate) mod pubsub;
pub(crate) mod registry;
mod registry_stats;
pub(crate) mod respondent;
pub(crate) mod subscription;
pub(crate) mod topic_table;

pub use census::{Census, ClusterPresence};
pub use inquiry::{Clients, NodeInfo, PeerInfo, TopicInfo, TopicsPage, TopicsQuery};
pub use pubsub::Pubsub;
pub use registry_stats::RegistryStats;
pub use subscription::{SubscribeError, Subscription};
