//! Where a run's results are kept, and how they come into the README.

use std::fs;
use std::io::{self, Error};
use std::path::{Path, PathBuf};

use crate::micro;
use crate::picture;
use crate::results::{Results, Step};

/// What stands around the results in the README.
const BEGIN: &str = "<!-- bench: written by make bench-readme -->\n";
const END: &str = "<!-- /bench -->\n";
/// The README's picture, beside the benches.
const PICTURE: &str = "tests/bench/results.svg";

/// Writes `results.json`, `results.md` and `results.svg`, and says where.
pub fn keep(results: &Results) -> io::Result<PathBuf> {
    let folder = folder();
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("results.json"), serde_json::to_string_pretty(results)? + "\n")?;
    fs::write(folder.join("results.md"), format!("# What the broker costs\n\n{}", results.table()))?;
    fs::write(folder.join("results.svg"), picture::draw(results))?;
    Ok(folder)
}

/// Shows the last results in the README. Doing it twice changes nothing more.
pub fn show() -> io::Result<()> {
    let json =
        fs::read(folder().join("results.json")).map_err(|error| Error::other(format!("{error}: make bench first")))?;
    let results: Results = serde_json::from_slice(&json)?;
    if results.quick {
        return Err(Error::other("the last run was a short one: make bench first"));
    }
    let readme = root().join("README.md");
    let text = fs::read_to_string(&readme)?;
    let (before, rest) = text.split_once(BEGIN).ok_or_else(|| Error::other("the README has no place for it"))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| Error::other("the README's place for it has no end"))?;
    let table = results.table();
    let (caption, tables) = table.split_once('\n').unwrap_or_default();
    let shown = format!(
        "![Bars: what the server spends on each piece of work]({PICTURE})\n\n{caption}\n\n\
         <details><summary>The figures</summary>\n{tables}\n</details>\n"
    );
    fs::write(readme, [before, BEGIN, &shown, END, after].concat())?;
    fs::write(root().join(PICTURE), picture::draw(&results))
}

/// What the micro benches have found, if they ran before.
pub fn steps() -> Vec<Step> {
    micro::steps(&fs::read_to_string(folder().join("micro.txt")).unwrap_or_default())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `target/bench`, wherever `target` is.
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("bench")
}
