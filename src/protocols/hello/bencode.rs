//! Finds and writes values in bencode, the format of BitTorrent: `3:abc` is a byte string, `i5e` an integer, `l...e` a
//! list, and `d...e` a dictionary, whose keys are byte strings.
//!
//! A message is forwarded without being decoded, so its values are only checked and cut out. The crates for bencode
//! decode values into their own types, and the strict ones refuse keys that are not sorted, as clients send them.

use crate::json::MAX_DEPTH;

/// The maximum length of a number, as text: an integer of 64 bits with its sign.
const NUMBER_BYTES: usize = 20;

/// Passes the entries of the dictionary at the beginning of `bytes` to `use_entry`, each with the bytes of its value.
/// Bytes after the dictionary are ignored: clients send them. Returns `None` if the dictionary is malformed, or when
/// `use_entry` does.
pub(super) fn entries<'a>(bytes: &'a [u8], mut use_entry: impl FnMut(&'a [u8], &'a [u8]) -> Option<()>) -> Option<()> {
    let mut reader = Reader(bytes);
    if !reader.take(b'd') {
        return None;
    }
    while !reader.take(b'e') {
        use_entry(reader.string()?, reader.value(MAX_DEPTH)?)?;
    }
    Some(())
}

/// The content of a value that is a byte string.
pub(super) fn string(value: &[u8]) -> Option<&[u8]> {
    Reader(value).string()
}

/// Writes a byte string.
pub(super) fn write_string(out: &mut Vec<u8>, content: &[u8]) {
    out.extend_from_slice(content.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(content);
}

/// The bytes that are not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// The bytes of the next value, which contains at most `depth` values inside of each other.
    fn value(&mut self, depth: usize) -> Option<&'a [u8]> {
        let depth = depth.checked_sub(1)?;
        let start = self.0;
        if self.take(b'i') {
            self.number(b'e')?.parse::<i64>().ok()?;
        } else if self.take(b'l') {
            while !self.take(b'e') {
                self.value(depth)?;
            }
        } else if self.take(b'd') {
            while !self.take(b'e') {
                self.string()?;
                self.value(depth)?;
            }
        } else {
            self.string()?;
        }
        Some(&start[..start.len() - self.0.len()])
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number(b':')?.parse().ok()?;
        let (content, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(content)
    }

    /// The text of a number up to the byte `end`, which is removed.
    fn number(&mut self, end: u8) -> Option<&'a str> {
        let length = self.0.iter().take(NUMBER_BYTES + 1).position(|byte| *byte == end)?;
        let (number, rest) = self.0.split_at(length);
        self.0 = &rest[1..];
        // Rust also parses "+5"
        str::from_utf8(number).ok().filter(|number| !number.starts_with('+'))
    }
}
