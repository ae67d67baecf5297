//! What the log says of web pages and host names that are refused. Clients choose these values and how often they send
//! them: a value is escaped and cut, and the number of lines per minute is limited.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::connections::token_bucket::{Rate, RateVerdict, TokenBucket};

/// How many bytes of a client's value are shown.
const MAX_SHOWN: usize = 200;

/// Writes the log lines of refusals.
pub(crate) struct RefusalLog {
    rate: Rate,
    state: Mutex<State>,
}

struct State {
    bucket: TokenBucket,
    /// How many refusals have no line since the last line.
    omitted: u64,
}

impl RefusalLog {
    pub(crate) fn new(lines_per_minute: u32) -> Self {
        let rate = Rate::per_minute(lines_per_minute, lines_per_minute);
        Self { rate, state: Mutex::new(State { bucket: TokenBucket::full(&rate, Instant::now()), omitted: 0 }) }
    }

    /// Writes why a request was refused, unless there were too many lines. `text` shows the client's values only as
    /// [`quoted`] does.
    pub(crate) fn write(&self, text: &str) {
        match self.take(Instant::now()) {
            Some(0) => log::info!("refused: {text}"),
            Some(omitted) => log::info!("refused: {text} ({omitted} earlier refusals have no line)"),
            None => {}
        }
    }

    /// Takes a line. Returns how many refusals before it have none, or `None` if there were too many lines.
    fn take(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.bucket.take(&self.rate, now) == RateVerdict::Allow {
            return Some(std::mem::take(&mut state.omitted));
        }
        state.bucket.give_back(&self.rate);
        state.omitted += 1;
        None
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
    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_are_limited_and_those_left_out_are_counted() {
        let log = RefusalLog::new(2);
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let taken: Vec<_> = [0, 0, 0, 1, 2, 40, 41, 400, 400, 400].map(|at| log.take(later(at))).into();
        assert_eq!(taken, [Some(0), Some(0), None, None, None, Some(3), None, Some(1), Some(0), None]);
        let silent = RefusalLog::new(0);
        assert_eq!((silent.take(later(0)), silent.take(later(100))), (None, None));
    }

    #[test]
    fn a_value_is_one_short_line() {
        assert_eq!(quoted(b"https://a.test"), r#""https://a.test""#);
        assert_eq!(quoted("a\"b\n\r\u{1b}[31mé\u{2028}".as_bytes()), r#""a\"b\n\r\x1b[31m\xc3\xa9\xe2\x80\xa8""#);
        assert_eq!(quoted(&[b'a'; 201]), format!("\"{}...\"", "a".repeat(200)));
    }
}
