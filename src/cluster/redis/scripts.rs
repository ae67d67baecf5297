//! The scripts that the server runs. Each runs alone, so what it reads stays true until it has written. Whatever a client
//! has chosen reaches them only as a key or an argument.
//!
//! They are loaded when a node links, and called by their hash. A server that has forgotten them has also lost its data,
//! or its operator has run SCRIPT FLUSH: the node links again.

use redis::{Cmd, cmd};

/// A script and the hash by which it is called.
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, hash: redis::Script::new(text).get_hash().to_owned() }
    }

    /// The command that loads it.
    pub(super) fn load(&self) -> Cmd {
        let mut command = cmd("SCRIPT");
        command.arg("LOAD").arg(self.text);
        command
    }

    /// The command that calls it with these keys. Arguments may follow.
    pub(super) fn call(&self, keys: &[String]) -> Cmd {
        let mut command = cmd("EVALSHA");
        command.arg(&self.hash).arg(keys.len()).arg(keys);
        command
    }
}

macro_rules! script {
    ($($file:literal),+) => { Script::new(concat!($(include_str!(concat!("scripts/", $file, ".lua"))),+)) };
}

/// All scripts.
pub(super) struct Scripts {
    pub(super) claim: Script,
    pub(super) replace: Script,
    pub(super) remove: Script,
    pub(super) enter: Script,
    pub(super) heartbeat: Script,
    pub(super) end_lease: Script,
    pub(super) nodes: Script,
    pub(super) check: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            claim: script!("grant", "claim"),
            replace: script!("grant", "replace"),
            remove: script!("remove"),
            enter: script!("enter"),
            heartbeat: script!("heartbeat"),
            end_lease: script!("end_lease"),
            nodes: script!("nodes"),
            check: script!("check"),
        }
    }

    /// All of them, to be loaded.
    pub(super) fn all(&self) -> [&Script; 8] {
        let Self { claim, replace, remove, enter, heartbeat, end_lease, nodes, check } = self;
        [claim, replace, remove, enter, heartbeat, end_lease, nodes, check]
    }
}
