//! Names of conversations, and the patterns by which a router finds what a topic does.
//!
//! A [`Topic`] is checked once, when it is made; whoever holds one need not look again. Which channel
//! answers for it is decided in [`channel`](crate::channel), who is on it in the registry.

use std::{borrow::Borrow, fmt, sync::Arc};

/// The name of a conversation, such as `room:lobby`: not empty, without control characters.
///
/// Cloning copies a pointer. How long a name may be is a limit of the socket (`limits.topic_bytes`),
/// not of the type.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    /// Checks `name`.
    ///
    /// # Errors
    /// [`InvalidTopic`] when it is empty or holds a control character: such a name could forge a
    /// line of the log or a subject of a backplane.
    pub fn parse(name: &str) -> Result<Self, InvalidTopic> {
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(InvalidTopic);
        }
        Ok(Self(name.into()))
    }

    /// A topic joined from a constant prefix and a part that is known to be harmless, as a UUID is.
    pub(crate) fn of(prefix: &str, rest: &str) -> Self {
        debug_assert!(!rest.chars().any(char::is_control));
        let mut name = String::with_capacity(prefix.len() + rest.len());
        name.push_str(prefix);
        name.push_str(rest);
        Self(name.into())
    }

    /// A client's own word for a topic, given back to it in an answer and to nobody else.
    pub(crate) fn echo(name: &str) -> Self {
        Self(name.into())
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the first `:`, or nothing: `lobby` of `room:lobby`.
    #[must_use]
    pub fn subtopic(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, rest)| rest)
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A topic that is empty or holds a control character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTopic;

impl fmt::Display for InvalidTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a topic must not be empty and must not hold control characters")
    }
}

impl std::error::Error for InvalidTopic {}

/// Which topics a channel answers for: one name, or every name with a prefix (`room:*`).
///
/// As in Phoenix, `*` counts at the end alone, and `room:*` matches `room:` too, but not `room`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    prefix: Box<str>,
    open: bool,
}

impl Pattern {
    /// Reads `pattern`; every text is one.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        match pattern.strip_suffix('*') {
            Some(prefix) => Self { prefix: prefix.into(), open: true },
            None => Self { prefix: pattern.into(), open: false },
        }
    }

    /// Whether `topic` is one of its topics.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        if self.open { topic.starts_with(&*self.prefix) } else { topic == &*self.prefix }
    }
}
