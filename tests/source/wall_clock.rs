//! The wall clock may jump, so the broker measures time with the monotonic clock only.

use std::path::Path;

/// The one file that may read the wall clock: TURN credentials expire at a time that another machine checks.
const EXEMPT: &str = "src/config/ice.rs";
/// What reads the wall clock: its type, its epoch, and the times of files.
const WALL_CLOCK: [&str; 5] = ["SystemTime", "UNIX_EPOCH", ".modified()", ".accessed()", ".created()"];

fn uses_wall_clock(text: &str) -> bool {
    WALL_CLOCK.iter().any(|name| text.contains(name))
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if uses_wall_clock(&std::fs::read_to_string(&entry).unwrap()) {
            found.push(entry.to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn only_turn_credentials_use_the_wall_clock() {
    let (root, mut found) = (Path::new(env!("CARGO_MANIFEST_DIR")), Vec::new());
    sources(&root.join("src"), &mut found);
    assert_eq!(found, [root.join(EXEMPT).to_str().unwrap()], "use Instant, which cannot jump");
}
