//! The clock on the wall may jump an hour either way: whatever the broker times, it times by one that cannot.

use std::path::Path;

/// Where the wall clock may be asked: for the end of TURN credentials, which another machine judges.
const MAY_ASK: &str = "src/config/ice.rs";
/// What asks it: its own type, the moment that it counts from, and the times of files.
const ASKS: [&str; 5] = ["SystemTime", "UNIX_EPOCH", ".modified()", ".accessed()", ".created()"];

fn asks(text: &str) -> bool {
    ASKS.iter().any(|ask| text.contains(ask))
}

fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if asks(&std::fs::read_to_string(&entry).unwrap()) {
            found.push(entry.to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn nothing_is_timed_by_the_clock_on_the_wall() {
    let (root, mut found) = (Path::new(env!("CARGO_MANIFEST_DIR")), Vec::new());
    sources(&root.join("src"), &mut found);
    assert_eq!(found, [root.join(MAY_ASK).to_str().unwrap()], "Instant cannot jump");
}
