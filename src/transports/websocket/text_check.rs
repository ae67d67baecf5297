//! Checks that a text is UTF-8 while its bytes arrive, so that the first wrong byte is found as soon as it is there.

use std::str::from_utf8;

/// The maximum length of a character, in bytes.
const CHARACTER: usize = 4;

/// A text that has arrived in part. All of it so far is UTF-8, except that its last character may be incomplete.
#[derive(Debug, Default)]
pub(crate) struct TextCheck {
    /// The bytes of an incomplete last character come first, at most three.
    last: [u8; CHARACTER],
    length: u8,
}

/// The text is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotUtf8;

impl TextCheck {
    /// Adds the next bytes of the text.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) -> Result<(), NotUtf8> {
        while self.length > 0 {
            let Some((next, rest)) = bytes.split_first() else { return Ok(()) };
            bytes = rest;
            self.complete(*next)?;
        }
        let rest = incomplete_end(bytes)?;
        self.last[..rest.len()].copy_from_slice(rest);
        self.length = rest.len() as u8;
        Ok(())
    }

    /// Adds a byte to the incomplete last character.
    fn complete(&mut self, next: u8) -> Result<(), NotUtf8> {
        let length = usize::from(self.length);
        self.last[length] = next;
        self.length = incomplete_end(&self.last[..=length])?.len() as u8;
        Ok(())
    }

    /// Ends the text, and starts with the next one.
    pub(crate) fn finish(&mut self) -> Result<(), NotUtf8> {
        if std::mem::take(&mut self.length) == 0 { Ok(()) } else { Err(NotUtf8) }
    }
}

/// The bytes of an incomplete character at the end of `bytes`.
fn incomplete_end(bytes: &[u8]) -> Result<&[u8], NotUtf8> {
    match from_utf8(bytes) {
        Ok(_) => Ok(&[]),
        Err(error) if error.error_len().is_none() => Ok(&bytes[error.valid_up_to()..]),
        Err(_) => Err(NotUtf8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes of the text are accepted, if they arrive one by one.
    fn accepted(text: &[u8]) -> usize {
        let mut check = TextCheck::default();
        text.chunks(1).take_while(|byte| check.add(byte).is_ok()).count()
    }

    #[test]
    fn a_character_may_be_split_anywhere() {
        let text = "a\u{e9}\u{20ac}\u{1f600}z\u{10ffff}\u{d7ff}\u{e000}".as_bytes();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut check = TextCheck::default();
                for part in [&text[..first], &text[first..second], &text[second..]] {
                    assert_eq!(check.add(part), Ok(()), "cut at {first} and {second}");
                }
                assert_eq!(check.finish(), Ok(()));
            }
        }
    }

    #[test]
    fn the_first_wrong_byte_is_refused() {
        for (text, right) in [
            (&b"ok\xff"[..], 2),
            (b"\xc0\x80", 0),
            (b"\xc3(", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xf4\x90\x80\x80", 1),
            (b"\xf0\x8f\xbf\xbf", 1),
            (b"\xe2\x82(", 2),
            (b"\xf0\x9f\x98(", 3),
        ] {
            assert_eq!(accepted(text), right, "{}", text.escape_ascii());
            assert_eq!(TextCheck::default().add(text), Err(NotUtf8), "{} at once", text.escape_ascii());
        }
    }

    #[test]
    fn an_incomplete_character_at_the_end_is_refused() {
        let mut check = TextCheck::default();
        assert_eq!(check.add(b"\xf0\x9f\x98"), Ok(()));
        assert_eq!(check.finish(), Err(NotUtf8));
        assert_eq!((check.add(b"the next text"), check.finish()), (Ok(()), Ok(())));
    }
}
