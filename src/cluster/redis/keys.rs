//! The names of keys and channels, and the text of a directory entry.

use crate::cluster::engine::{Epoch, Holder, NodeId};

/// Names that begin with `cluster.prefix`. What follows the last fixed part is any text.
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix }
    }

    /// The directory's entry of a name.
    pub(super) fn name(&self, name: &str) -> String {
        format!("{}:name:{name}", self.prefix)
    }

    /// The counter of epochs.
    pub(super) fn epoch(&self) -> String {
        format!("{}:epoch", self.prefix)
    }

    /// The sorted set of nodes, by the time at which their leases end.
    pub(super) fn nodes(&self) -> String {
        format!("{}:nodes", self.prefix)
    }

    /// The hash of what nodes say about themselves.
    pub(super) fn status(&self) -> String {
        format!("{}:status", self.prefix)
    }

    /// A node's inbox: a channel.
    pub(super) fn inbox(&self, node: &str) -> String {
        format!("{}:node:{node}", self.prefix)
    }

    /// The channel of a topic.
    pub(super) fn topic(&self, topic: &str) -> String {
        format!("{}:topic:{topic}", self.prefix)
    }

    /// A key and a channel on which a node tries what it is permitted to do.
    pub(super) fn check(&self, node: &str) -> String {
        format!("{}:check:{node}", self.prefix)
    }

    /// A pattern of all entries, for SCAN.
    pub(super) fn names(&self) -> String {
        let mut pattern = String::with_capacity(self.prefix.len() + 8);
        for c in self.prefix.chars() {
            if "*?[]\\^".contains(c) {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern + ":name:*"
    }

    /// The name whose entry this key is.
    pub(super) fn name_of<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(self.prefix.as_str())?.strip_prefix(":name:")
    }
}

/// The text of an entry.
pub(super) fn entry(node: &str, epoch: Epoch) -> String {
    format!("{node} {epoch}")
}

/// The entry of a text. `None` if an engine of another kind has written it.
pub(super) fn holder(entry: &[u8]) -> Option<Holder> {
    let (node, epoch) = std::str::from_utf8(entry).ok()?.rsplit_once(' ')?;
    Some(Holder { node: NodeId::from(node), epoch: epoch.parse().ok()?, revision: 0 })
}
