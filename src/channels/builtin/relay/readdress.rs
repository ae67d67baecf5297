//! Rewrites the arguments of an event when the relay forwards it: the first argument, an object, gets the sender's id
//! as its member `from`, and may name the recipient. All other members and arguments keep their exact text.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::push_string;

/// The member with the sender's id.
const FROM: &str = "from";

/// How clients write an argument whose bytes follow as an attachment, up to its number. Bytes have no sender.
const PLACEHOLDER: &str = r#"{"_placeholder":true,"num":"#;

/// How an event names its recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecipientMember {
    /// By the member `to` of its only argument, which is not forwarded.
    To,
    /// By the member `sendto` of its first argument, which is forwarded.
    SendTo,
}

/// The arguments of an event that has been rewritten.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Addressed<'a> {
    /// The id of the recipient, if the event names one.
    pub(crate) to: Option<Cow<'a, str>>,
    /// The JSON array that the recipient gets.
    pub(crate) text: String,
}

/// Whether the first of the arguments in `text`, a JSON array, is an object, and not a placeholder for bytes.
pub(crate) fn begins_with_object(text: &str) -> bool {
    let Some(arguments) = text.trim_ascii_start().strip_prefix('[') else { return false };
    let rest = arguments.trim_ascii_start();
    let after_number = |rest: &str| rest.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('}');
    rest.starts_with('{') && !rest.strip_prefix(PLACEHOLDER).is_some_and(after_number)
}

/// Parses the arguments in `text`, and rewrites them as coming from `sender`. Like an assignment in JavaScript, `from`
/// replaces the member of that name, or becomes the last one.
///
/// # Errors
/// When the first argument is not an object, its recipient is not a string or occurs twice, or `to` is not in the only
/// argument. JavaScript's false values (`null`, `false`, `0`, `""`) name no recipient.
pub(crate) fn readdress<'a>(text: &'a str, member: RecipientMember, sender: &str) -> serde_json::Result<Addressed<'a>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let capacity = text.len() + sender.len() + FROM.len() + 6;
    let addressed = reader.deserialize_seq(Arguments { member, sender, capacity })?;
    reader.end()?;
    Ok(addressed)
}

impl RecipientMember {
    const fn name(self) -> &'static str {
        match self {
            Self::To => "to",
            Self::SendTo => "sendto",
        }
    }
}

struct Arguments<'a> {
    member: RecipientMember,
    sender: &'a str,
    /// The initial capacity of the rewritten text.
    capacity: usize,
}

impl<'de> Visitor<'de> for Arguments<'_> {
    type Value = Addressed<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array that begins with an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut arguments: A) -> Result<Self::Value, A::Error> {
        let Self { member, sender, capacity } = self;
        let mut text = String::with_capacity(capacity);
        text.push('[');
        let first = arguments.next_element_seed(Message { member, sender, text: &mut text })?;
        let to = first.ok_or_else(|| Error::invalid_length(0, &"an object"))?;
        while let Some(argument) = arguments.next_element::<&RawValue>()? {
            if member == RecipientMember::To {
                return Err(Error::invalid_length(2, &"one argument"));
            }
            text.push(',');
            text.push_str(argument.get());
        }
        text.push(']');
        Ok(Addressed { to, text })
    }
}

/// The first argument. Its value is the recipient.
struct Message<'a> {
    member: RecipientMember,
    sender: &'a str,
    text: &'a mut String,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut recipient, mut has_sender) = (None, false);
        self.text.push('{');
        while let Some(Text(key)) = members.next_key::<Text<'de>>()? {
            if key == FROM {
                members.next_value::<IgnoredAny>()?;
                if !std::mem::replace(&mut has_sender, true) {
                    self.push_sender();
                }
                continue;
            }
            let value = members.next_value::<&RawValue>()?;
            if key == self.member.name() {
                if recipient.replace(recipient_of(value)?).is_some() {
                    return Err(Error::custom("duplicate recipient"));
                }
                if self.member == RecipientMember::To {
                    continue;
                }
            }
            self.push_key(&key);
            self.text.push_str(value.get());
        }
        if !has_sender {
            self.push_sender();
        }
        self.text.push('}');
        Ok(recipient.flatten())
    }
}

impl Message<'_> {
    fn push_key(&mut self, key: &str) {
        if !self.text.ends_with('{') {
            self.text.push(',');
        }
        push_string(self.text, key);
        self.text.push(':');
    }

    fn push_sender(&mut self) {
        self.push_key(FROM);
        push_string(self.text, self.sender);
    }
}

fn recipient_of<E: Error>(value: &RawValue) -> Result<Option<Cow<'_, str>>, E> {
    match value.get() {
        "null" | "false" | "0" | "\"\"" => Ok(None),
        text => serde_json::from_str::<Text<'_>>(text).map(|to| Some(to.0)).map_err(E::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(text: &str, member: RecipientMember) -> (Option<String>, String) {
        let addressed = readdress(text, member, "me").unwrap();
        (addressed.to.map(Cow::into_owned), addressed.text)
    }

    #[test]
    fn only_the_sender_and_the_recipient_change() {
        let text = r#" [ { "sdp":{"type" : "offer","n":1.50}, "to":"you","k\"ey":[1, 2]} ] "#;
        let expected = r#"[{"sdp":{"type" : "offer","n":1.50},"k\"ey":[1, 2],"from":"me"}]"#;
        assert_eq!(rewrite(text, RecipientMember::To), (Some("you".to_owned()), expected.to_owned()));
        let text = r#"[{"sendto":"you","to":"x"},{"a" : 1},"b"]"#;
        let expected = r#"[{"sendto":"you","to":"x","from":"me"},{"a" : 1},"b"]"#;
        assert_eq!(rewrite(text, RecipientMember::SendTo), (Some("you".to_owned()), expected.to_owned()));
        assert_eq!(rewrite("[{}]", RecipientMember::SendTo), (None, r#"[{"from":"me"}]"#.to_owned()));
    }

    #[test]
    fn placeholders_and_other_values_are_no_objects() {
        for text in [r#"[{"_placeholder":true,"num":10},{}]"#, r#"["{"]"#, "[]", "[[{}]]", "{}", ""] {
            assert!(!begins_with_object(text), "{text}");
        }
        for text in [r#" [ {} ]"#, r#"[{"_placeholder":true,"num":1,"from":"x"}]"#, r#"[{"_placeholder":false}]"#] {
            assert!(begins_with_object(text), "{text}");
        }
    }

    #[test]
    fn a_claimed_sender_is_replaced_where_it_stands() {
        let text = r#"[{"a":1,"\u0066rom":"x","b":2,"from":{"c":3}}]"#;
        assert_eq!(rewrite(text, RecipientMember::SendTo).1, r#"[{"a":1,"from":"me","b":2}]"#);
    }

    #[test]
    fn a_false_recipient_means_all() {
        for false_value in ["null", "false", "0", r#""""#] {
            let text = format!(r#"[{{"sendto":{false_value}}}]"#);
            assert_eq!(rewrite(&text, RecipientMember::SendTo).0, None, "{text}");
        }
    }

    #[test]
    fn an_ambiguous_recipient_is_refused() {
        for bad in [r#"{"sendto":7}"#, r#"{"sendto":["a"]}"#, r#"{"sendto":true}"#, r#"{"sendto":"a","sendto":"b"}"#] {
            assert!(readdress(&format!("[{bad}]"), RecipientMember::SendTo, "me").is_err(), "{bad}");
        }
        for bad in [r#"[{"to":"a"},1]"#, r#"["a"]"#, "[]", "{}", r#"[{"to":"a"}]x"#] {
            assert!(readdress(bad, RecipientMember::To, "me").is_err(), "{bad}");
        }
    }
}
