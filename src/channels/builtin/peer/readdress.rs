//! What happens to a signal's JSON on its way from peer to peer: `peer_id` becomes the sender's,
//! `sender_id` goes, and every other byte stays as it was.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::push_string;

/// A signal that has been read and is ready to go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Addressed<'a> {
    /// Whom the sender named.
    pub(crate) to: Cow<'a, str>,
    /// Who the sender says it is, if it does.
    pub(crate) sender: Option<Cow<'a, str>>,
    /// The object as the other gets it.
    pub(crate) text: String,
}

/// Reads the object `text`, whose `peer_id` says where it goes, and writes it anew as from `sender`, an id that needs
/// no escape.
///
/// # Errors
/// When it is no object, `peer_id` is missing, or either id is not a text or stands in it twice.
pub(crate) fn readdress<'a>(text: &'a str, sender: &str) -> serde_json::Result<Addressed<'a>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let signal = Readdress { sender, room: text.len() + 64 }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(signal)
}

struct Readdress<'a> {
    sender: &'a str,
    room: usize,
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
        let mut text = String::with_capacity(self.room);
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
        Some(_) => Err(Error::custom("an id stands in it twice")),
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
    fn a_signal_to_nobody_or_to_two_is_none() {
        for bad in ["{}", r#"{"peer_id":1}"#, r#"{"peer_id":"a","peer_id":"b"}"#, "[]", r#"{"peer_id":"a"}x"#, r#""a""#]
        {
            assert!(readdress(bad, "me").is_err(), "{bad}");
        }
    }
}
