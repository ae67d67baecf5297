//! [`RegistryStats`]: the sizes of the registry's tables.

/// The sizes of the registry's tables. All are zero when no client is connected and the server's own code has no
/// [`Subscription`](crate::Subscription).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, actix::MessageResponse)]
pub struct RegistryStats {
    /// Connections that have joined or watch a topic, and subscriptions of the server's own code.
    pub connections: usize,
    /// Topics with members on this node.
    pub topics: usize,
    /// Memberships on this node, with those of subscriptions.
    pub members: usize,
    /// Names owned on this node.
    pub names: usize,
    /// Watches on this node.
    pub watches: usize,
    /// Presence entries known to this node.
    pub presence_entries: usize,
    /// Signals held for absent peers.
    pub held: usize,
    /// The size of the held signals in bytes.
    pub held_bytes: usize,
}
