//! What the log says of web pages and host names that are refused. Clients choose these values and how often they send
//! them: a value is escaped and cut, and the number of lines per minute is limited.

use log::Level;

use crate::connections::line_limit::LineLimit;

/// How many bytes of a client's value are shown.
const MAX_SHOWN: usize = 200;

/// Writes the log lines of refusals.
pub(crate) struct RefusalLog(LineLimit);

impl RefusalLog {
    pub(crate) fn new(lines_per_minute: u32) -> Self {
        Self(LineLimit::per_minute(lines_per_minute, module_path!()))
    }

    /// Writes why a request was refused, unless there were too many lines. `text` shows the client's values only as
    /// [`quoted`] does.
    pub(crate) fn write(&self, text: &str) {
        self.0.write(Level::Info, format_args!("refused: {text}"));
    }
}

/// A value from a client in quotes: one line of ASCII characters, without its end if it is long.
pub(crate) fn quoted(value: &[u8]) -> String {
    let (shown, rest) = value.split_at(value.len().min(MAX_SHOWN));
    let more = if rest.is_empty() { "" } else { "..." };
    format!("\"{}{more}\"", shown.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_short_line() {
        assert_eq!(quoted(b"https://a.test"), r#""https://a.test""#);
        assert_eq!(quoted("a\"b\n\r\u{1b}[31mé\u{2028}".as_bytes()), r#""a\"b\n\r\x1b[31m\xc3\xa9\xe2\x80\xa8""#);
        assert_eq!(quoted(&[b'a'; 201]), format!("\"{}...\"", "a".repeat(200)));
    }
}
