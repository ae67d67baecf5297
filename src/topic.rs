//! Names of conversations, and the patterns by which a router finds what a topic does.
//!
//! A [`Topic`] is checked once, when it is made; whoever holds one need not look again. Which channel
//! answers for it is decided in [`channels`](crate::channels), who is on it in the registry.

use std::{borrow::Borrow, fmt, sync::Arc};

/// Declares the realms: from each line come the variant, its documentation, its name in the metrics and its mark.
macro_rules! realms {
    ($($(#[doc = $says:literal])+ $Realm:ident = $name:literal, $mark:literal;)+) => {
        /// A namespace of topics. Topics of different realms never meet, even with the same name: a client can name
        /// topics of its own protocol's realm alone.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Realm {
            $($(#[doc = $says])+ $Realm,)+
        }

        impl Realm {
            /// All realms, in the order of their declaration.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$Realm),+];

            /// The value of the label `protocol` in the metrics.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$Realm => $name,)+
                }
            }

            /// The prefix of each key of the realm. No topic name can hold this control character.
            pub(crate) const fn mark(self) -> &'static str {
                match self {
                    $(Self::$Realm => $mark,)+
                }
            }
        }
    };
}

realms! {
    /// Topics of Phoenix clients, of the JavaScript library, and of the server's own code.
    Phoenix = "phoenix", "";
    /// Ids of PeerJS clients.
    PeerJs = "peerjs", "\u{1}";
    /// Namespaces, rooms and socket ids of Socket.IO clients.
    SocketIo = "socketio", "\u{2}";
    /// Topics of plain Engine.IO clients.
    EngineIo = "engineio", "\u{3}";
    /// Names of HelloWebRTC clients.
    Hello = "hello", "\u{4}";
    /// Topics of the application's own protocols ([`Endpoint::protocol`](crate::Endpoint::protocol)).
    Custom = "custom", "\u{5}";
}

impl Realm {
    /// The topic `name` of this realm.
    ///
    /// # Errors
    /// [`InvalidTopic`], as [`Topic::parse`].
    pub fn topic(self, name: &str) -> Result<Topic, InvalidTopic> {
        match is_name(name) {
            true => Ok(Topic::of(self.mark(), name)),
            false => Err(InvalidTopic),
        }
    }

    /// How a message of this realm names the topic `name`: what a protocol puts into
    /// [`Inbound::topic`](crate::message::Inbound::topic). The name is not checked.
    #[must_use]
    pub fn key(self, name: &str) -> String {
        [self.mark(), name].concat()
    }

    /// The realm of a topic's key.
    fn of(key: &str) -> Self {
        let has_mark = |realm: &&Self| !realm.mark().is_empty() && key.starts_with(realm.mark());
        match key.as_bytes() {
            [0..=0x1F, ..] => Self::ALL.iter().find(has_mark).copied().unwrap_or(Self::Phoenix),
            _ => Self::Phoenix,
        }
    }
}

/// The name of a conversation, such as `room:lobby`: not empty, without control characters.
///
/// Cloning copies a pointer. How long a name may be is a limit of the socket (`limits.topic_bytes`),
/// not of the type.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(char::is_control)
}

impl Topic {
    /// Checks `name`, one of Phoenix's realm.
    ///
    /// # Errors
    /// [`InvalidTopic`] when it is empty or holds a control character: such a name could forge a
    /// line of the log or a subject of a backplane, or be one of another [`Realm`].
    pub fn parse(name: &str) -> Result<Self, InvalidTopic> {
        Realm::Phoenix.topic(name)
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
    pub(crate) fn echo(realm: Realm, key: &str) -> Self {
        match realm {
            // whatever it begins with is no mark
            Realm::Phoenix if key.starts_with(char::is_control) => Self(format!("\0{key}").into()),
            _ => Self(key.into()),
        }
    }

    /// The whole name, as its clients know it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self.0.as_bytes() {
            [0..=0x1F, ..] => &self.0[1..],
            _ => &self.0,
        }
    }

    /// The realm of the topic.
    pub(crate) fn realm(&self) -> Realm {
        Realm::of(&self.0)
    }

    /// What tells it from every other topic: the name, with its realm.
    pub(crate) fn key(&self) -> &str {
        &self.0
    }

    /// What follows the first `:`, or nothing: `lobby` of `room:lobby`.
    #[must_use]
    pub fn subtopic(&self) -> &str {
        self.as_str().split_once(':').map_or("", |(_, rest)| rest)
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_two_realms_never_meet_whatever_they_are_called() {
        let topics: Vec<Topic> = Realm::ALL.iter().map(|realm| realm.topic("room:a").unwrap()).collect();
        for (n, topic) in topics.iter().enumerate() {
            assert_eq!((topic.as_str(), topic.subtopic(), topic.realm()), ("room:a", "a", Realm::ALL[n]));
            assert!(topics[n + 1..].iter().all(|other| other != topic));
            assert!(Topic::parse(topic.key()).is_err() || n == 0, "no client can spell another realm's mark");
        }
    }

    #[test]
    fn a_name_that_is_none_is_given_back_as_it_came() {
        for name in ["room:a", "", "\u{2}/chat", "\0"] {
            assert_eq!(Topic::echo(Realm::Phoenix, name).as_str(), name);
        }
    }
}
