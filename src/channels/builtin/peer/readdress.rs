//! Rewrites a signal's JSON when it is forwarded from one peer to another: `peer_id` becomes the sender's id and
//! `sender_id` is removed. All other members and their values keep their exact text.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::push_string;

/// A signal that has been parsed and rewritten.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Addressed<'a> {
    /// The id of the receiver.
    pub(crate) to: Cow<'a, str>,
    /// The `sender_id` that the sender claims, if any.
    pub(crate) sender: Option<Cow<'a, str>>,
    /// The JSON object that the receiver gets.
    pub(crate) text: String,
}

/// Parses the JSON object `text`, whose `peer_id` names the receiver, and rewrites it as coming from `sender`. The text
/// of `sender` must not need escaping in JSON.
///
/// # Errors
/// When `text` is not an object, `peer_id` is missing, or one of the two ids is not a string or occurs twice.
pub(crate) fn readdress<'a>(text: &'a str, sender: &str) -> serde_json::Result<Addressed<'a>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let signal = Readdress { sender, capacity: text.len() + 64 }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(signal)
}

/// The JSON object `text` as coming from the server: with `peer_id: null`, which no client can send.
///
/// # Errors
/// When `text` is not an object, or has an id of its own.
pub(crate) fn from_server(text: &str) -> serde_json::Result<String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.deserialize_map(WithoutIds)?;
    reader.end()?;
    let rest = text.trim_ascii().strip_prefix('{').unwrap_or_default().trim_ascii_start();
    let comma = if rest == "}" { "" } else { "," };
    Ok([r#"{"peer_id":null"#, comma, rest].concat())
}

/// Accepts an object without the ids that the server sets.
struct WithoutIds;

impl<'de> Visitor<'de> for WithoutIds {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object without peer_id and sender_id")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            if ["peer_id", "sender_id"].contains(&&*key) {
                return Err(Error::custom("an id"));
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

struct Readdress<'a> {
    sender: &'a str,
    /// The initial capacity of the rewritten text.
    capacity: usize,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> DeserializeSeed<'de> for Readdress<'_> {
    type Value = Addressed<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Readdress<'_> {
    type Value = Addressed<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a peer_id")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut to, mut sender) = (None, None);
        let mut text = String::with_capacity(self.capacity);
        text.push_str(r#"{"peer_id":""#);
        text.push_str(self.sender);
        text.push('"');
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            match &*key {
                "peer_id" => once(&mut to, map.next_value::<Text<'de>>()?)?,
                "sender_id" => once(&mut sender, map.next_value::<Text<'de>>()?)?,
                key => push_member(&mut text, key, map.next_value::<&RawValue>()?),
            }
        }
        text.push('}');
        let to = to.ok_or_else(|| Error::missing_field("peer_id"))?;
        Ok(Addressed { to, sender, text })
    }
}

fn once<'a, E: Error>(slot: &mut Option<Cow<'a, str>>, Text(value): Text<'a>) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::custom("duplicate id")),
    }
}

fn push_member(text: &mut String, key: &str, value: &RawValue) {
    text.push(',');
    push_string(text, key);
    text.push(':');
    text.push_str(value.get());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ids_change() {
        let me = "00000000-0000-0000-0000-000000000007";
        let text = r#"{ "sdp":{"type" : "offer","n":1.50}, "peer_id":"you","k\"ey":[1, 2],"sender_id":"me"}"#;
        let signal = readdress(text, me).unwrap();
        assert_eq!((&*signal.to, signal.sender.as_deref()), ("you", Some("me")));
        assert_eq!(signal.text, format!(r#"{{"peer_id":"{me}","sdp":{{"type" : "offer","n":1.50}},"k\"ey":[1, 2]}}"#));
    }

    #[test]
    fn what_the_server_says_has_no_sender() {
        for (text, expected) in [
            ("{}", r#"{"peer_id":null}"#),
            (" { } ", r#"{"peer_id":null}"#),
            (r#" { "a" : 1.50,"peer":"x" }"#, r#"{"peer_id":null,"a" : 1.50,"peer":"x" }"#),
        ] {
            assert_eq!(from_server(text).unwrap(), expected);
        }
        for bad in [r#"{"peer_id":null}"#, r#"{"a":1,"\u0070eer_id":"x"}"#, r#"{"sender_id":1}"#, "[]", "1", "{}x", "{"]
        {
            assert!(from_server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_signal_without_exactly_one_receiver_is_refused() {
        for bad in ["{}", r#"{"peer_id":1}"#, r#"{"peer_id":"a","peer_id":"b"}"#, "[]", r#"{"peer_id":"a"}x"#, r#""a""#]
        {
            assert!(readdress(bad, "me").is_err(), "{bad}");
        }
    }
}
