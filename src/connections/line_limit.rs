//! How many lines of one kind the log gets: what clients, other nodes or a broken engine can repeat must not fill it.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use log::Level;

use crate::connections::token_bucket::{Rate, RateVerdict, TokenBucket};

/// The limit of one kind of lines.
pub(crate) struct LineLimit {
    /// The module that writes the lines.
    target: &'static str,
    rate: Rate,
    state: Mutex<State>,
}

struct State {
    bucket: TokenBucket,
    /// How many lines were left out since the last line.
    omitted: u64,
}

impl LineLimit {
    /// A limit of `lines` per minute for the module `target`.
    pub(crate) fn per_minute(lines: u32, target: &'static str) -> Self {
        let rate = Rate::per_minute(lines, lines);
        Self { target, rate, state: Mutex::new(State { bucket: TokenBucket::full(&rate, Instant::now()), omitted: 0 }) }
    }

    /// Writes a line, unless there were too many.
    pub(crate) fn write(&self, level: Level, line: impl Display) {
        match self.take(Instant::now()) {
            Some(0) => log::log!(target: self.target, level, "{line}"),
            Some(omitted) => {
                log::log!(target: self.target, level, "{line} ({omitted} earlier lines like this were left out)");
            }
            None => {}
        }
    }

    /// Takes a line. Returns how many before it were left out, or `None` if there were too many.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_are_limited_and_those_left_out_are_counted() {
        let limit = LineLimit::per_minute(2, "");
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let taken: Vec<_> = [0, 0, 0, 1, 2, 40, 41, 400, 400, 400].map(|at| limit.take(later(at))).into();
        assert_eq!(taken, [Some(0), Some(0), None, None, None, Some(3), None, Some(1), Some(0), None]);
        let silent = LineLimit::per_minute(0, "");
        assert_eq!((silent.take(later(0)), silent.take(later(100))), (None, None));
    }
}
