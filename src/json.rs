//! What we ask of a client's JSON beyond its syntax, so that every reader it is passed on to can read
//! it: numbers that fit a double, escapes that name characters, and a depth that no parser minds.
//!
//! Payloads are carried as text, unread; `serde_json` has checked the syntax, this looks at the rest
//! in one pass over the bytes.

use memchr::memchr2;

/// How deep arrays and objects may stand in each other. Parsers that recurse stop at 128 or so.
pub(crate) const MAX_DEPTH: usize = 100;

/// Whether any JSON reader can be trusted with `text`, which must be valid JSON.
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

/// A number without an exponent overflows only when it has more than 308 digits.
fn fits_double(number: &str) -> bool {
    if number.len() < 300 && !number.contains(['e', 'E']) {
        return true;
    }
    number.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Where the string that begins at `at` ends, or nothing when an escape in it names no character.
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

/// Skips the digits of `\u`, and the second half that a first surrogate must be followed by.
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

/// Whether a byte means something else within a JSON string than itself.
const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Writes a JSON string; most need no escape.
pub(crate) fn push_string(text: &mut String, name: &str) {
    // no byte ends the search before its time: so many of them are looked at at once
    if name.bytes().fold(false, |found, byte| found | is_special(byte)) {
        text.push_str(&serde_json::Value::from(name).to_string());
    } else {
        text.push('"');
        text.push_str(name);
        text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_some_reader_would_stumble_over_is_found() {
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
