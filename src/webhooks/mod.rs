//! Webhooks: requests that tell a backend when peers come and go, and when rooms fill and empty. They are off unless
//! `webhooks.url` is set, and never in the way of a signal or a join.

mod delivery;
mod event;
mod grace;
mod handle;
mod outbox;
mod registry_hooks;
mod signature;
mod start;

pub(crate) use handle::Webhooks;
pub(crate) use registry_hooks::RegistryHooks;
pub(crate) use start::start;
