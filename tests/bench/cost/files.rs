//! Where the results of a run are stored, and how they get into `web/docs/costs.md`.

use std::fs;
use std::io::{self, Error};
use std::path::{Path, PathBuf};

use crate::chart;
use crate::micro;
use crate::results::{Results, Step};

/// The page that shows the results, and the markers around them.
const PAGE: &str = "web/docs/costs.md";
const BEGIN: &str = "<!-- bench: written by make bench-docs -->\n";
const END: &str = "<!-- /bench -->\n";
/// The chart, in the folder of the page.
const CHART: &str = "costs.svg";

/// Writes `results.json`, `results.md` and `results.svg`, and returns their folder.
pub fn store(results: &Results) -> io::Result<PathBuf> {
    let folder = folder();
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("results.json"), serde_json::to_string_pretty(results)? + "\n")?;
    fs::write(folder.join("results.md"), format!("# What the broker costs\n\n{}", results.table()))?;
    fs::write(folder.join("results.svg"), chart::draw(results))?;
    Ok(folder)
}

/// Writes the last results into the page. Running it twice has no further effect.
pub fn update_page() -> io::Result<()> {
    let json = fs::read(folder().join("results.json"))
        .map_err(|error| Error::other(format!("{error}: run make bench first")))?;
    let results: Results = serde_json::from_slice(&json)?;
    if results.quick {
        return Err(Error::other("the last run was a quick one: run make bench first"));
    }
    let page = root().join(PAGE);
    let text = fs::read_to_string(&page)?;
    let no_marker = |marker: &str| Error::other(format!("{PAGE} has no line {marker:?}"));
    let (before, rest) = text.split_once(BEGIN).ok_or_else(|| no_marker(BEGIN.trim_end()))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| no_marker(END.trim_end()))?;
    let table = results.table();
    let (caption, tables) = table.split_once('\n').unwrap_or_default();
    let section =
        format!("![Bar chart: CPU time or memory of the server for each kind of work]({CHART})\n\n{caption}\n{tables}");
    fs::write(&page, [before, BEGIN, &section, END, after].concat())?;
    fs::write(page.with_file_name(CHART), chart::draw(&results))
}

/// The results of the micro benches, if they ran before.
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
