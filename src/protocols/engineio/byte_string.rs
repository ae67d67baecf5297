//! Byte strings: text whose characters stand for the bytes of a packet in UTF-8. A transport of text, which encodes them
//! as UTF-8 again, carries the packet encoded twice.

use std::borrow::Cow;

use crate::protocol::Malformed;

/// The string of these bytes.
pub(super) fn of_bytes(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The bytes of a string. Characters that stand for no byte are left out.
pub(super) fn bytes(string: &str) -> Vec<u8> {
    string.chars().filter_map(|c| u8::try_from(c).ok()).collect()
}

/// The packet of a string.
pub(super) fn packet(string: &str) -> Result<Cow<'_, str>, Malformed> {
    if string.is_ascii() {
        return Ok(Cow::Borrowed(string));
    }
    let bytes: Option<Vec<u8>> = string.chars().map(|c| u8::try_from(c).ok()).collect();
    String::from_utf8(bytes.ok_or(Malformed)?).map(Cow::Owned).map_err(|_| Malformed)
}
