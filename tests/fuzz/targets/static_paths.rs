//! Request paths of static files.

use std::path::{Component, Path};

use super::seeds::paths;
use super::{SMALL, Target};
use crate::http::static_files::below;

pub(super) const TARGETS: &[Target] = &[Target {
    name: "path",
    run,
    seeds,
    dictionary: &["../", "/..", "/./", "//", "\0", "/.git", "app/main.js"],
    max_len: SMALL,
}];

/// A path resolves to a place inside the folder, never to a hidden file.
fn run(data: &[u8]) {
    let Ok(path) = str::from_utf8(data) else { return };
    let folder = Path::new("/srv/page");
    let Some(found) = below(folder, path) else { return };
    let inside = found.strip_prefix(folder).expect("a path inside the folder");
    let is_name = |part: Component<'_>| matches!(part, Component::Normal(name) if name.to_str().is_some_and(|name| !name.starts_with('.')));
    assert!(inside.components().all(is_name), "{path:?} leads to {found:?}");
    assert!(!path.starts_with('/') && !path.split('/').any(|name| name == ".."), "{path:?} leads to {found:?}");
}

fn seeds() -> Vec<Vec<u8>> {
    let examples =
        ["index.html", "app/main.js", "../Cargo.toml", "a/../../b", ".git/config", "/etc/passwd", "a//b/./c"];
    examples.map(str::to_owned).into_iter().chain(paths()).map(String::into_bytes).collect()
}
