//! Paths of files that are served from a folder.

use std::path::{Component, Path};

use super::seeds::paths;
use super::{SMALL, Target};
use crate::http::static_files::below;

pub(super) const TARGETS: &[Target] = &[Target {
    name: "path",
    run,
    seeds,
    words: &["../", "/..", "/./", "//", "\0", "/.git", "app/main.js"],
    most: SMALL,
}];

/// Whatever leads anywhere leads into the folder, one name at a time, and to nothing hidden.
fn run(data: &[u8]) {
    let Ok(path) = str::from_utf8(data) else { return };
    let folder = Path::new("/srv/page");
    let Some(found) = below(folder, path) else { return };
    let inside = found.strip_prefix(folder).expect("a place in the folder");
    let is_name = |part: Component<'_>| matches!(part, Component::Normal(name) if name.to_str().is_some_and(|name| !name.starts_with('.')));
    assert!(inside.components().all(is_name), "{path:?} leads to {found:?}");
    assert!(!path.starts_with('/') && !path.split('/').any(|name| name == ".."), "{path:?} leads to {found:?}");
}

fn seeds() -> Vec<Vec<u8>> {
    let ours = ["index.html", "app/main.js", "../Cargo.toml", "a/../../b", ".git/config", "/etc/passwd", "a//b/./c"];
    ours.map(str::to_owned).into_iter().chain(paths()).map(String::into_bytes).collect()
}
