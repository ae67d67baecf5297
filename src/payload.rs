//! [`Payload`]: the data of a message, and its conversion from and to Rust types.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use compact_str::{CompactString, ToCompactString};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::error::Category;

/// The data of a message: JSON text, or bytes. Cloning copies a pointer.
///
/// Functions that send a message take `impl Into<Payload>`: a reference to any type that implements [`Serialize`], a
/// value made with `serde_json::json!`, or a payload.
///
/// ```
/// use handclasp::{Payload, Reply};
/// use serde::{Deserialize, Serialize};
/// use serde_json::json;
///
/// #[derive(Serialize, Deserialize)]
/// struct Message {
///     body: String,
/// }
///
/// let payload = Payload::from(&Message { body: "hello".to_owned() });
/// assert_eq!(payload, Payload::from(json!({ "body": "hello" })));
/// assert_eq!(payload.parse::<Message>()?.body, "hello");
/// assert_eq!(Reply::ok_with(&[1, 2]), Reply::ok_with(json!([1, 2])));
///
/// let error = Payload::empty().parse::<Message>().err().unwrap();
/// assert_eq!(error.reason(), "missing field `body`");
/// # Ok::<(), handclasp::PayloadError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The text of one JSON value. It must be valid: it is copied into frames unchecked.
    Json(ByteString),
    /// Bytes that the server does not interpret.
    Binary(Bytes),
    /// JSON text with binary attachments, such as a Socket.IO event with buffers. The protocol defines how the text
    /// refers to them.
    Attached(ByteString, Arc<[Bytes]>),
}

impl Payload {
    /// The empty object, `{}`.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Json(ByteString::from_static("{}"))
    }

    /// The JSON text of `value`, for values whose serialisation can fail. For all others, use `Payload::from(&value)`.
    ///
    /// # Errors
    /// When `value` cannot be written as JSON: a map whose keys are not strings, or a `Serialize` implementation that
    /// fails.
    pub fn json(value: &impl Serialize) -> serde_json::Result<Self> {
        serde_json::to_string(value).map(Self::from_json_text)
    }

    /// A binary payload. Clients of Phoenix serializer V1, which has no binary messages, do not receive it.
    #[must_use]
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// `{"reason": reason}`, the payload of refusals.
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

    /// Whether it has no bytes. A JSON payload is never empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A payload from text that is known to be one JSON value.
    pub(crate) fn from_json_text(text: impl Into<ByteString>) -> Self {
        Self::Json(text.into())
    }
}

/// The JSON text of a serialisable value.
///
/// # Panics
/// When the value cannot be written as JSON. [`Payload::json`] returns an error instead. Derived implementations of
/// `Serialize` fail only for maps whose keys are not strings. A panic in a channel ends only that channel.
impl<T: Serialize + ?Sized> From<&T> for Payload {
    fn from(value: &T) -> Self {
        let text = serde_json::to_string(value).expect("a value that is sent can be written as JSON");
        Self::from_json_text(text)
    }
}

/// The JSON text of a value made with `serde_json::json!`.
impl From<serde_json::Value> for Payload {
    fn from(value: serde_json::Value) -> Self {
        Self::from_json_text(value.to_string())
    }
}

/// The error of [`Payload::parse`]: the payload does not have the expected type.
///
/// Its [`reason`](Self::reason) describes the expected type and contains nothing that the client has sent. It can be
/// logged, and sent to the client.
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
    /// A short description of the error, such as ``missing field `body` ``, `expected u64` or `invalid JSON`.
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

/// The part of serde's error message that describes the types, not the input. Serde puts the unexpected value or name
/// first, and the expected type after it.
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
    fn the_reason_describes_the_expected_type_and_contains_no_input() {
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

    /// A type can put its input into a custom error message.
    #[test]
    fn a_custom_error_message_of_a_type_is_not_repeated() {
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
