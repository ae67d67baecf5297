//! Times as backends read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time `age` ago, as `2026-11-30T12:00:00Z`.
pub(super) fn since(age: Duration) -> String {
    let now = SystemTime::now();
    humantime::format_rfc3339_seconds(now.checked_sub(age).unwrap_or(UNIX_EPOCH)).to_string()
}
