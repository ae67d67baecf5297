//! The layout of `src/`: parts that know only parts below them, no circle between files, maps without logic, and words
//! of wire formats in `protocols/` alone. Imports are read from the text: `use` lines, and paths that begin with `crate::`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::files;

/// The parts, from the top down. A file may import its own part and the parts of later lines.
const PARTS: [&[&str]; 14] = [
    &["server", "testing"],
    &["api"],
    &["protocols"],
    &["http"],
    &["sessions"],
    &["channels", "cluster"],
    &["broker", "transports"],
    &["webhooks"],
    &["connections"],
    &["protocol", "metrics"],
    &["message"],
    &["auth"],
    &["http_client"],
    &["topic", "close", "refusal", "json", "config", "small_map", "payload", "memory", "tls", "wall_clock"],
];

/// Texts of wire formats, as string literals.
const WIRE_WORDS: [&str; 14] = [
    "phx_join",
    "phx_leave",
    "phx_reply",
    "phx_close",
    "phx_error",
    "OFFER",
    "ANSWER",
    "CANDIDATE",
    "HEARTBEAT",
    "ID-TAKEN",
    "42[",
    "2probe",
    "unicast",
    "_messageType",
];

/// A source file: its module path (`broker::registry::state`) and its code without comments and tests.
struct File {
    path: PathBuf,
    module: String,
    code: String,
}

impl File {
    fn read(path: PathBuf, src: &Path) -> Self {
        let parts: Vec<String> = path
            .strip_prefix(src)
            .unwrap()
            .with_extension("")
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .filter(|part| part != "mod" && part != "lib")
            .collect();
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        Self { path, module: parts.join("::"), code }
    }

    /// A file that only names its modules and re-exports from them.
    fn is_map(&self) -> bool {
        self.path.ends_with("mod.rs") || self.path.ends_with("src/lib.rs")
    }

    /// The paths that it imports, from the crate's root: `topic::Topic`.
    fn imports(&self) -> Vec<String> {
        let mut imports = Vec::new();
        for statement in self.code.split(';').map(str::trim) {
            let Some(at) = statement.rfind("use ").filter(|at| statement[..*at].chars().all(is_visibility)) else {
                continue;
            };
            flatten(&statement[at + 4..], "", &mut imports);
        }
        let inline = self.code.split("crate::").skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len());
            format!("crate::{}", &rest[..end])
        });
        imports.extend(inline);
        imports.iter().filter_map(|import| self.absolute(import)).collect()
    }

    fn absolute(&self, import: &str) -> Option<String> {
        if let Some(rest) = import.strip_prefix("crate::") {
            return Some(rest.to_owned());
        }
        let (mut base, mut rest) = (self.module.clone(), import);
        while let Some(shorter) = rest.strip_prefix("super::") {
            base = base.rsplit_once("::").map_or(String::new(), |(parent, _)| parent.to_owned());
            rest = shorter;
        }
        let rest = rest.strip_prefix("self::").unwrap_or(rest);
        // a path of another crate, unless a module of that name lies below this file
        Some(if base.is_empty() { rest.to_owned() } else { format!("{base}::{rest}") })
    }

    /// The line of [`PARTS`] that it belongs to; the crate's root and its benches stand above all.
    fn level(&self) -> Option<usize> {
        let part = self.module.split("::").next().unwrap_or_default();
        PARTS.iter().position(|parts| parts.contains(&part))
    }
}

fn is_visibility(c: char) -> bool {
    c.is_ascii_lowercase() || " \n()#[]_:=\",".contains(c)
}

/// Takes `a::{b, c::{d, e}}` apart.
fn flatten(tree: &str, prefix: &str, paths: &mut Vec<String>) {
    let Some(open) = tree.find('{') else {
        return paths.push(format!("{prefix}{}", tree.split(" as ").next().unwrap_or_default().trim()));
    };
    let prefix = format!("{prefix}{}", tree[..open].trim());
    let inner = tree[open + 1..].trim_end().trim_end_matches('}');
    let (mut depth, mut start) = (0_i32, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let item = inner[start..at].trim();
                if !item.is_empty() {
                    flatten(item, &prefix, paths);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

struct Tree {
    files: Vec<File>,
    /// File to the files that it imports, by their place in `files`. Maps import nothing here.
    imports: BTreeMap<usize, BTreeSet<usize>>,
}

/// The tree that all tests of this file check.
static TREE: LazyLock<Tree> = LazyLock::new(Tree::read);

impl Tree {
    /// The tree below the folder `src`, or below `HANDCLASP_LAYOUT_SRC` to count another version's.
    fn read() -> Self {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let src = std::env::var_os("HANDCLASP_LAYOUT_SRC").map_or(own, PathBuf::from);
        let mut paths = files(&src);
        paths.retain(|path| !path.ends_with("tests.rs") && !path.starts_with(src.join("bin")));
        paths.sort();
        let files: Vec<File> = paths.into_iter().map(|path| File::read(path, &src)).collect();
        let by_module: BTreeMap<&str, usize> = files.iter().enumerate().map(|(n, file)| (&*file.module, n)).collect();
        let imports = files.iter().enumerate().filter(|(_, file)| !file.is_map()).map(|(n, file)| {
            let found = file.imports().into_iter().filter_map(|path| resolve(&path, &by_module));
            (n, found.filter(|other| *other != n && !files[*other].is_map()).collect())
        });
        let imports = imports.collect();
        Self { files, imports }
    }

    fn reaches(&self, from: usize, to: usize, seen: &mut BTreeSet<usize>) -> bool {
        self.imports
            .get(&from)
            .into_iter()
            .flatten()
            .any(|next| *next == to || seen.insert(*next) && self.reaches(*next, to, seen))
    }

    fn circles(&self) -> Vec<String> {
        let is_in_circle = |n: &usize| self.reaches(*n, *n, &mut BTreeSet::new());
        self.imports.keys().filter(|n| is_in_circle(n)).map(|n| self.files[*n].module.clone()).collect()
    }

    /// The longest chain of imports that begins here.
    fn height(&self, n: usize, known: &mut BTreeMap<usize, usize>) -> usize {
        if let Some(height) = known.get(&n) {
            return *height;
        }
        known.insert(n, 0); // ends a circle
        let below = self.imports.get(&n).into_iter().flatten();
        let height = 1 + below.map(|next| self.height(*next, known)).max().unwrap_or(0);
        known.insert(n, height);
        height
    }
}

/// The file that a path leads into: that of its longest beginning which is a module.
fn resolve(path: &str, by_module: &BTreeMap<&str, usize>) -> Option<usize> {
    let mut path = path;
    loop {
        if let Some(n) = by_module.get(path).filter(|_| !path.is_empty()) {
            return Some(*n);
        }
        path = path.rsplit_once("::")?.0;
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let tree = &*TREE;
    let mut known = BTreeMap::new();
    let levels = (0..tree.files.len()).map(|n| tree.height(n, &mut known)).max().unwrap_or(0);
    let circles = tree.circles();
    println!("{} files, {levels} import levels, {} files in circles", tree.files.len(), circles.len());
    assert!(circles.is_empty(), "these files are in circles: {circles:?}");
}

#[test]
fn a_part_knows_only_parts_below_it() {
    let tree = &*TREE;
    for (n, imported) in &tree.imports {
        let file = &tree.files[*n];
        let level = file.level().unwrap_or_else(|| panic!("{} belongs to no part: add it to PARTS", file.module));
        for other in imported.iter().map(|other| &tree.files[*other]) {
            let part = |file: &File| file.module.split("::").next().unwrap_or_default().to_owned();
            let is_below = other.level().is_some_and(|below| below > level);
            assert!(is_below || part(file) == part(other), "{} imports {}", file.module, other.module);
        }
    }
}

#[test]
fn maps_hold_no_logic() {
    for file in TREE.files.iter().filter(|file| file.is_map()) {
        for word in ["fn ", "struct ", "enum ", "impl ", "const ", "static "] {
            let has = file.code.lines().any(|line| line.trim_start().trim_start_matches("pub ").starts_with(word));
            assert!(!has || file.path.ends_with("src/lib.rs"), "{} holds a {word}", file.path.display());
        }
    }
}

#[test]
fn words_of_wire_formats_are_spelled_in_protocols_alone() {
    for file in TREE.files.iter().filter(|file| !file.module.starts_with("protocols")) {
        for word in WIRE_WORDS {
            let quoted = [format!("\"{word}\""), format!("\"{word}"), format!("\\\"{word}\\\"")];
            let spells = quoted.iter().any(|text| file.code.contains(text.as_str()));
            assert!(!spells, "{} spells {word}", file.path.display());
        }
    }
}

#[test]
fn one_file_names_actix_web_actors() {
    let tree = &*TREE;
    let naming: Vec<&str> =
        tree.files.iter().filter(|file| file.code.contains("actix_web_actors")).map(|file| &*file.module).collect();
    assert_eq!(naming, ["transports::websocket"]);
}
