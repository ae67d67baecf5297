//! What follows from the values of `[webhooks]`: the secret that a receiver needs, and the events that it gets.

use crate::config::schema::{Config, Webhooks};
use crate::config::webhooks::HookEvent;

impl Webhooks {
    /// Whether events of this kind are sent.
    pub(crate) fn sends(&self, event: HookEvent) -> bool {
        self.events.contains(&event)
    }
}

/// A request without a signature could come from anybody.
pub(super) fn conflict(Config { webhooks, .. }: &Config) -> Option<String> {
    (webhooks.url.is_some() && webhooks.secrets.is_empty()).then(|| {
        "webhooks.secrets: empty, but webhooks.url is set: its receiver could not check a signature".to_owned()
    })
}
