//! Subjects and keys. Ids of nodes, names and topics may be any text, so each becomes one token of a subject.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Longer texts are hashed, and so is the empty one: a line of the protocol has at most 4,096 bytes,
/// and no token is empty.
const MAX_TOKEN_TEXT_BYTES: usize = 512;

/// The token of a text. Equal texts have equal tokens, and different texts have different ones.
pub(super) fn token(text: &str) -> String {
    if !is_hashed(text) {
        return URL_SAFE_NO_PAD.encode(text);
    }
    // `=` is no character of the other tokens
    format!("={}", URL_SAFE_NO_PAD.encode(Sha256::digest(text)))
}

/// Whether the token of the text is a hash, from which the text cannot be read again.
pub(super) fn is_hashed(text: &str) -> bool {
    text.is_empty() || text.len() > MAX_TOKEN_TEXT_BYTES
}

/// The text of a token. `None` if it is a hash, or something that this program has not written.
pub(super) fn text(token: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

/// The subjects of one cluster of nodes.
#[derive(Clone)]
pub(super) struct Subjects {
    prefix: String,
}

impl Subjects {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// Where a node receives messages.
    pub(super) fn node(&self, id: &str) -> String {
        format!("{}.node.{}", self.prefix, token(id))
    }

    /// Where the nodes that are subscribed to a topic receive messages.
    pub(super) fn topic(&self, topic: &str) -> String {
        format!("{}.topic.{}", self.prefix, token(topic))
    }

    /// Where the client library receives answers of the server.
    pub(super) fn inbox(&self) -> String {
        format!("{}.inbox", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_token_and_gives_the_text_back() {
        for case in ["a", "room:a.b", "* > \r\n\0 é", &"x".repeat(MAX_TOKEN_TEXT_BYTES)] {
            let token = token(case);
            assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{token}");
            assert_eq!(text(&token).as_deref(), Some(case));
            assert!(!is_hashed(case));
        }
    }

    #[test]
    fn a_long_text_and_the_empty_one_have_tokens_of_their_own() {
        assert!(is_hashed("") && token("").len() == 44);
        let long = "x".repeat(65_536);
        assert!(is_hashed(&long));
        assert_eq!(token(&long).len(), 44);
        assert_ne!(token(&long), token(&"x".repeat(65_535)));
        assert_eq!(text(&token(&long)), None);
    }
}
