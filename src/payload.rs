//! What a message carries, how a channel's own types become it, and how it becomes them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use compact_str::{CompactString, ToCompactString};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::error::Category;

/// What a message carries: JSON text, or bytes. Cloning copies a pointer.
///
/// Whatever sends one takes `impl Into<Payload>`: a reference to any type that implements [`Serialize`], a value made
/// by `serde_json::json!`, or a payload as it is.
///
/// ```
/// use handclasp::{Payload, Reply};
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
///
/// #[derive(Serialize, Deserialize)]
/// struct Said {
///     body: String,
/// }
///
/// let payload = Payload::from(&Said { body: "hello".to_owned() });
/// assert_eq!(payload, Payload::from(json!({ "body": "hello" })));
/// assert_eq!(payload.parse::<Said>()?.body, "hello");
/// assert_eq!(Reply::ok_with(&[1, 2]), Reply::ok_with(json!([1, 2])));
///
/// let error = Payload::empty().parse::<Said>().err().unwrap();
/// assert_eq!(error.reason(), "missing field `body`");
/// # Ok::<(), handclasp::PayloadError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The text of one JSON value. It is written into frames as it is, so it must be one.
    Json(ByteString),
    /// Bytes whose meaning only the clients know.
    Binary(Bytes),
    /// JSON with bytes that it refers to in its format's own way, as a Socket.IO event with buffers.
    Attached(ByteString, Arc<[Bytes]>),
}

impl Payload {
    /// The empty object, `{}`.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Json(ByteString::from_static("{}"))
    }

    /// The JSON text of `value`, for values whose conversion can fail; `Payload::from(&value)` does the same for all
    /// others.
    ///
    /// # Errors
    /// When `value` cannot be JSON: a map whose keys are not strings, or a `Serialize` that fails by itself.
    pub fn json(value: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::to_string(value).map(Self::from_json_text)
    }

    /// Bytes, as they are. Clients whose format has no place for them, V1's, are left out.
    #[must_use]
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// `{"reason": reason}`, as refusals are worded.
    #[must_use]
    pub fn reason(reason: &str) -> Self {
        Self::from_json_text(serde_json::json!({ "reason": reason }).to_string())
    }

    /// Reads the JSON text as a `T`.
    ///
    /// # Errors
    /// [`PayloadError`] when the payload is binary, or not a `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        match self {
            Self::Json(text) | Self::Attached(text, _) => serde_json::from_str(text).map_err(PayloadError::of_json),
            Self::Binary(_) => Err(PayloadError(CompactString::const_new("expected JSON, not bytes"))),
        }
    }

    /// Whether it is a JSON object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        matches!(self, Self::Json(text) if text.trim_ascii_start().starts_with('{'))
    }

    /// Its size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Json(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Attached(text, attachments) => text.len() + attachments.iter().map(Bytes::len).sum::<usize>(),
        }
    }

    /// Whether it has no bytes at all, which no JSON has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A payload of text that is known to be one JSON value.
    pub(crate) fn from_json_text(text: impl Into<ByteString>) -> Self {
        Self::Json(text.into())
    }
}

/// The JSON text of a value of one's own.
///
/// # Panics
/// When the value cannot be JSON: see [`Payload::json`], which says so by an error. Derived implementations of
/// `Serialize` fail only for maps whose keys are not strings. In a channel, a panic costs that channel alone.
impl<T: Serialize + ?Sized> From<&T> for Payload {
    fn from(value: &T) -> Self {
        let text = serde_json::to_string(value).expect("a value that is sent can be written as JSON");
        Self::from_json_text(text)
    }
}

/// What `serde_json::json!` makes.
impl From<serde_json::Value> for Payload {
    fn from(value: serde_json::Value) -> Self {
        Self::from_json_text(value.to_string())
    }
}

/// A payload that is not what the channel expects.
///
/// It says what was expected, in the words of the channel's own types, and repeats nothing of what the client sent:
/// its [`reason`](Self::reason) can be logged, and told to the client.
///
/// ```
/// # use handclasp::{Context, Payload, Reply};
/// fn handle_move(payload: &Payload, ctx: &mut Context<'_>) -> Reply {
///     match payload.parse::<(u8, u8)>() {
///         Ok((x, y)) => Reply::ok_with(&(y, x)),
///         Err(error) => Reply::error(error.reason()),
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadError(CompactString);

impl PayloadError {
    /// What is wrong, in a few words: ``missing field `body` ``, `expected u64`, `invalid JSON`.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0
    }

    fn of_json(error: serde_json::Error) -> Self {
        if error.classify() != Category::Data {
            return Self(CompactString::const_new("invalid JSON"));
        }
        Self(without_input(&error.to_string()).to_compact_string())
    }
}

/// The part of serde's message that is about the types, not about the input. An unexpected value or name stands first
/// in it, and only then what was expected instead.
fn without_input(message: &str) -> &str {
    const NAMES_A_FIELD_OF_THE_TYPE: [&str; 2] = ["missing field `", "duplicate field `"];
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    if NAMES_A_FIELD_OF_THE_TYPE.iter().any(|words| message.starts_with(words)) {
        return message;
    }
    match message.rfind(", expected ") {
        Some(at) => &message[at + 2..],
        None => "invalid payload",
    }
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unexpected payload: {}", self.0)
    }
}

impl std::error::Error for PayloadError {}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is never read")]
    struct Order {
        item: Item,
        #[serde(default)]
        count: u8,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Item {
        Tea,
        Milk,
    }

    #[test]
    fn the_reason_says_what_was_expected_and_nothing_that_was_sent() {
        for (text, reason) in [
            ("{}", "missing field `item`"),
            (r#"{"item":"tea","item":"tea"}"#, "duplicate field `item`"),
            (r#"{"item":"secret"}"#, "expected `tea` or `milk`"),
            (r#"{"item":", expected secret"}"#, "expected `tea` or `milk`"),
            (r#"{"item":"tea","secret":1}"#, "expected `item` or `count`"),
            (r#"{"item":"tea","count":"secret"}"#, "expected u8"),
            (r#"{"item":"tea","count":300}"#, "expected u8"),
            (r#""missing field `secret`""#, "expected struct Order"),
            ("{", "invalid JSON"),
        ] {
            let error = Payload::from_json_text(text).parse::<Order>().unwrap_err();
            assert_eq!(error.reason(), reason, "{text}");
        }
        let bytes = Payload::binary(vec![1]).parse::<Order>().unwrap_err();
        assert_eq!(bytes.to_string(), "unexpected payload: expected JSON, not bytes");
    }

    /// Serde leaves the words to the type.
    #[test]
    fn a_reason_in_a_types_own_words_is_not_repeated() {
        #[derive(Debug)]
        struct Picky;
        impl<'de> Deserialize<'de> for Picky {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Err(serde::de::Error::custom(format!("{text} is not good enough")))
            }
        }
        let error = Payload::from("secret").parse::<Picky>().unwrap_err();
        assert_eq!(error.reason(), "invalid payload");
    }
}
