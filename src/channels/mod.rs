//! Channels define what topics do: the [`Channel`] trait and the [`Router`], the [`Context`] of a callback, the
//! replies, and the built-in channels.

pub(crate) mod assigns;
pub mod builtin;
pub(crate) mod channel;
pub(crate) mod client;
pub(crate) mod context;
pub(crate) mod effect;
pub(crate) mod handles;
pub(crate) mod reply;
pub(crate) mod task_future;
pub(crate) mod tasks;

pub use crate::connections::connection::ConnectionId;
pub use crate::connections::envelope::Info;
pub use assigns::Assigns;
pub use channel::{Channel, Router};
pub use context::Context;
pub use handles::{ChannelHandle, ReplyHandle, SendError};
pub use reply::{Join, LimitError, Reply, TerminateReason};
