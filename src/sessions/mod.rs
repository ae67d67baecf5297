//! The sessions of clients. A socket is the pure state machine of one client, and its session carries out the effects.

pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod socket;
