//! Checks that a client's JSON is portable, so that every receiver can parse it: numbers fit a double, Unicode escapes
//! are characters, and the nesting is not too deep.
//!
//! Payloads are forwarded as text, without being parsed into values. `serde_json` checks their syntax; this module
//! checks the rest in one pass over the bytes. It also writes JSON strings, and reads values that must not be `null`.

use memchr::memchr2;
use serde::{Deserialize, Deserializer};

/// The maximum depth of nested arrays and objects. Recursive parsers stop at about 128.
pub(crate) const MAX_DEPTH: usize = 100;

/// Whether every JSON parser can parse `text`, which must be valid JSON.
pub(crate) fn is_portable(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => match skip_string(text, at + 1) {
                Some(end) => at = end,
                None => return false,
            },
            b'-' | b'0'..=b'9' => {
                let end = bytes[at..].iter().position(|b| !is_number_byte(*b)).map_or(bytes.len(), |n| at + n);
                if !fits_double(&text[at..end]) {
                    return false;
                }
                at = end;
            }
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return false;
                }
                at += 1;
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            _ => at += 1,
        }
    }
    true
}

const fn is_number_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Whether the number is finite as a double. Without an exponent, it overflows only if it has more than 308 digits.
fn fits_double(number: &str) -> bool {
    if number.len() < 300 && !number.contains(['e', 'E']) {
        return true;
    }
    number.parse::<f64>().is_ok_and(f64::is_finite)
}

/// The position after the string whose content begins at `at`, or `None` if one of its escapes is not a character.
fn skip_string(text: &str, mut at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at = match bytes.get(at + 1)? {
            b'u' => skip_unicode(text, at + 2)?,
            _ => at + 2,
        };
    }
}

/// Skips the digits of a `\u` escape, and the second surrogate that must follow a first one.
fn skip_unicode(text: &str, at: usize) -> Option<usize> {
    let unit = |at: usize| u16::from_str_radix(text.get(at..at + 4)?, 16).ok();
    match unit(at)? {
        0xD800..=0xDBFF => {
            let paired = text.get(at + 4..at + 6)? == "\\u" && matches!(unit(at + 6)?, 0xDC00..=0xDFFF);
            paired.then_some(at + 10)
        }
        0xDC00..=0xDFFF => None,
        _ => Some(at + 4),
    }
}

/// Whether a byte must be escaped in a JSON string.
const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Appends `name` as a JSON string. Most need no escape.
pub(crate) fn push_string(text: &mut String, name: &str) {
    // a fold without early exit, so that the compiler can check many bytes with one instruction
    if name.bytes().fold(false, |found, byte| found | is_special(byte)) {
        text.push_str(&serde_json::Value::from(name).to_string());
    } else {
        text.push('"');
        text.push_str(name);
        text.push('"');
    }
}

/// Reads a value that is not `null`, where one may be absent.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_that_some_parsers_cannot_parse_is_found() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        for good in [
            "{}",
            "1e308",
            "-0.5E-400",
            r#"{"a":"\ud83d\ude00 \\ud800 \" 1e999"}"#,
            r#""\u0041\n""#,
            "[1,-2,3.5]",
            &deep(MAX_DEPTH),
        ] {
            assert!(is_portable(good), "{good}");
        }
        let long = "9".repeat(400);
        for bad in [
            "1e400",
            "[-1E999]",
            r#""\ud800""#,
            r#""\ude00""#,
            r#"{"k\udc00":1}"#,
            r#""\ud83dx""#,
            r#""\ud83d\u0041""#,
            &long,
            &deep(MAX_DEPTH + 1),
        ] {
            assert!(!is_portable(bad), "{bad}");
        }
    }
}
