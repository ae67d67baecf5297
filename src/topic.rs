//! Topics, their realms (one for each protocol), and the patterns by which a router selects a channel.
//!
//! A [`Topic`] is checked once, when it is made, and is valid from then on. Which channel serves it is decided in
//! [`channels`](crate::channels). Its members are in the registry.

use std::{borrow::Borrow, fmt, sync::Arc};

/// Declares the realms. Each line gives the variant, its documentation, its name in the metrics and its keys' prefix.
macro_rules! realms {
    ($($(#[doc = $doc:literal])+ $Realm:ident = $name:literal, $prefix:literal;)+) => {
        /// A namespace of topics. Topics of different realms are always different, even with the same name. A client
        /// can name only topics of its own protocol's realm.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Realm {
            $($(#[doc = $doc])+ $Realm,)+
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

            /// The prefix of each key of the realm: a control character, which no topic name can contain.
            pub(crate) const fn prefix(self) -> &'static str {
                match self {
                    $(Self::$Realm => $prefix,)+
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
    /// The topic of the plain relay's clients.
    Relay = "relay", "\u{6}";
}

impl Realm {
    /// The topic `name` of this realm.
    ///
    /// # Errors
    /// [`InvalidTopic`], as [`Topic::parse`].
    pub fn topic(self, name: &str) -> Result<Topic, InvalidTopic> {
        match is_name(name) {
            true => Ok(Topic::of(self.prefix(), name)),
            false => Err(InvalidTopic),
        }
    }

    /// The key of the topic `name` in this realm, which a protocol puts into
    /// [`Inbound::topic`](crate::message::Inbound::topic). The name is not checked.
    #[must_use]
    pub fn key(self, name: &str) -> String {
        [self.prefix(), name].concat()
    }

    /// The realm of a topic's key.
    fn of(key: &str) -> Self {
        let has_prefix = |realm: &&Self| !realm.prefix().is_empty() && key.starts_with(realm.prefix());
        match key.as_bytes() {
            [0..=0x1F, ..] => Self::ALL.iter().find(has_prefix).copied().unwrap_or(Self::Phoenix),
            _ => Self::Phoenix,
        }
    }
}

/// The name of a topic, such as `room:lobby`: not empty, without control characters, and of one [`Realm`].
///
/// Cloning copies a pointer. The length of a name is limited by the socket (`limits.topic_bytes`), not by this type.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(char::is_control)
}

impl Topic {
    /// The topic `name` of the realm [`Realm::Phoenix`].
    ///
    /// # Errors
    /// [`InvalidTopic`] when it is empty or contains a control character. Such a name could forge a line of the log or
    /// a subject of a backplane, or belong to another [`Realm`].
    pub fn parse(name: &str) -> Result<Self, InvalidTopic> {
        Realm::Phoenix.topic(name)
    }

    /// A topic made of a constant prefix and a part that is known to be valid, such as a UUID.
    pub(crate) fn of(prefix: &str, rest: &str) -> Self {
        debug_assert!(!rest.chars().any(char::is_control));
        let mut name = String::with_capacity(prefix.len() + rest.len());
        name.push_str(prefix);
        name.push_str(rest);
        Self(name.into())
    }

    /// The topic with this key, as another node names it. `None` if no topic has it: the name is empty or contains a
    /// control character, or this version does not know the realm.
    #[cfg(feature = "cluster")]
    pub(crate) fn from_key(key: &str) -> Option<Self> {
        is_name(key.strip_prefix(Realm::of(key).prefix())?).then(|| Self(key.into()))
    }

    /// A topic for the reply to a client whose name for it may be invalid. Only that client receives it.
    pub(crate) fn echo(realm: Realm, key: &str) -> Self {
        match realm {
            // keeps a leading control character from being read as the prefix of a realm
            Realm::Phoenix if key.starts_with(char::is_control) => Self(format!("\0{key}").into()),
            _ => Self(key.into()),
        }
    }

    /// The name, as its clients see it.
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

    /// The key, which is unique among all topics: the name with its realm's prefix.
    pub(crate) fn key(&self) -> &str {
        &self.0
    }

    /// The part after the first `:`, such as `lobby` in `room:lobby`. Empty if there is no `:`.
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

/// The error of a topic name that is empty or contains a control character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTopic;

impl fmt::Display for InvalidTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a topic must not be empty and must not contain control characters")
    }
}

impl std::error::Error for InvalidTopic {}

/// The topics that a channel serves: one name, or every name with a prefix (`room:*`).
///
/// As in Phoenix, `*` is a wildcard only at the end. `room:*` matches `room:` too, but not `room`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    prefix: Box<str>,
    is_wildcard: bool,
}

impl Pattern {
    /// Parses `pattern`. Every string is a valid pattern.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        match pattern.strip_suffix('*') {
            Some(prefix) => Self { prefix: prefix.into(), is_wildcard: true },
            None => Self { prefix: pattern.into(), is_wildcard: false },
        }
    }

    /// Whether `topic` matches the pattern.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        if self.is_wildcard { topic.starts_with(&*self.prefix) } else { topic == &*self.prefix }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.prefix, if self.is_wildcard { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_two_realms_differ_even_with_the_same_name() {
        let topics: Vec<Topic> = Realm::ALL.iter().map(|realm| realm.topic("room:a").unwrap()).collect();
        for (n, topic) in topics.iter().enumerate() {
            assert_eq!((topic.as_str(), topic.subtopic(), topic.realm()), ("room:a", "a", Realm::ALL[n]));
            assert!(topics[n + 1..].iter().all(|other| other != topic));
            assert!(Topic::parse(topic.key()).is_err() || n == 0, "no client can use another realm's prefix");
        }
    }

    #[cfg(feature = "cluster")]
    #[test]
    fn another_node_names_exactly_the_topics_that_there_are() {
        for realm in Realm::ALL {
            let topic = realm.topic("room:a").unwrap();
            assert_eq!(Topic::from_key(topic.key()).unwrap(), topic);
            assert_eq!(Topic::from_key(realm.prefix()), None, "no name");
            assert_eq!(Topic::from_key(&realm.key("a\u{85}")), None, "a control character");
            assert_eq!(Topic::from_key(&realm.key("\0a")), None, "two prefixes");
        }
        assert_eq!(Topic::from_key("\u{1f}room:a"), None, "no realm");
    }

    #[test]
    fn an_invalid_name_is_echoed_unchanged() {
        for name in ["room:a", "", "\u{2}/chat", "\0"] {
            assert_eq!(Topic::echo(Realm::Phoenix, name).as_str(), name);
        }
    }
}
