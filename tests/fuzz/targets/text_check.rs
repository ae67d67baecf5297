//! The check of a text whose bytes arrive in chunks, compared with the check of the whole text.

use std::str::from_utf8;

use super::websocket::split;
use super::{SMALL, Target};
use crate::transports::websocket::text_check::TextCheck;

const WORDS: &[&str] = &["\u{e9}", "\u{20ac}", "\u{1f600}", "\u{10ffff}", "\u{d7ff}"];

pub(super) const TARGETS: &[Target] = &[Target { name: "text_check", run, seeds, dictionary: WORDS, max_len: SMALL }];

/// Right and wrong texts, split in several ways. The first byte selects the way.
fn seeds() -> Vec<Vec<u8>> {
    let right = WORDS.concat();
    let texts: [&[u8]; 9] = [
        b"",
        right.as_bytes(),
        &right.as_bytes()[1..],
        &right.as_bytes()[..right.len() - 1],
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xe2\x82(",
    ];
    let inputs = texts.iter().flat_map(|text| [0, 2, 7].map(|mode| [&[mode], *text].concat()));
    inputs.collect()
}

/// However the text is split, it is refused with the chunk that contains the first wrong byte, and no earlier. A text
/// that ends inside a character is refused at its end.
fn run(data: &[u8]) {
    let Some((mode, text)) = data.split_first() else { return };
    let (mut check, mut arrived) = (TextCheck::default(), 0);
    for chunk in split(*mode, text) {
        arrived += chunk.len();
        let is_wrong = from_utf8(&text[..arrived]).is_err_and(|error| error.error_len().is_some());
        assert_eq!(check.add(&chunk).is_err(), is_wrong, "after {arrived} bytes");
        if is_wrong {
            return;
        }
    }
    assert_eq!(check.finish().is_ok(), from_utf8(text).is_ok(), "at the end");
    assert!(check.add(b"the next text").is_ok() && check.finish().is_ok(), "nothing is left of the text before");
}
