//! Times as other machines read them. The broker itself measures time by a clock that cannot jump.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time `age` ago, as `2026-11-30T12:00:00Z`.
pub(super) fn since(age: Duration) -> String {
    let now = SystemTime::now();
    humantime::format_rfc3339_seconds(now.checked_sub(age).unwrap_or(UNIX_EPOCH)).to_string()
}

/// The present time, in seconds since 1970.
pub(super) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
