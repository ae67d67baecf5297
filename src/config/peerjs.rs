//! Which keys of PeerJS clients are accepted.

use crate::config::schema::PeerJs;

/// If this is the configured key, clients may connect with any key, as on the public PeerJS cloud.
const ANY_KEY: &str = "any";

impl PeerJs {
    /// Whether clients may connect with this key.
    pub(crate) fn accepts_key(&self, key: &str) -> bool {
        self.key == ANY_KEY || self.key == key
    }
}
