//! One client's conversation: the socket decides, as a pure state machine, and the session does what it decided.

pub(crate) mod session;
pub(crate) mod settings;
pub(crate) mod socket;
