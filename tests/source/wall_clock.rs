//! The wall clock may jump, so the broker measures time with the monotonic clock only.

use std::path::{Path, PathBuf};

use super::files;

/// The one file that may read the wall clock: TURN credentials expire at a time that another machine checks.
const EXEMPT: &str = "src/config/ice.rs";
/// What reads the wall clock: its type, its epoch, and the times of files.
const WALL_CLOCK: [&str; 5] = ["SystemTime", "UNIX_EPOCH", ".modified()", ".accessed()", ".created()"];

fn uses_wall_clock(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap();
    WALL_CLOCK.iter().any(|name| text.contains(name))
}

#[test]
fn only_turn_credentials_use_the_wall_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found: Vec<PathBuf> = files(&root.join("src")).into_iter().filter(|path| uses_wall_clock(path)).collect();
    assert_eq!(found, [root.join(EXEMPT)], "use Instant, which cannot jump");
}
