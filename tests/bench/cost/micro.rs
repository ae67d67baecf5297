//! Parses the output of the micro benches. divan prints a table for people, and has no other format.

use crate::results::Step;

/// The characters that draw the tree.
const BRANCHES: [char; 5] = ['│', '├', '╰', '─', ' '];
/// The index of the column with the median.
const MEDIAN: usize = 2;

/// The rows with numbers, each after the name of its branch.
pub fn steps(printed: &str) -> Vec<Step> {
    let mut branch = "";
    let mut steps = Vec::new();
    for line in printed.lines() {
        let columns: Vec<&str> = line.trim_start_matches(BRANCHES).split('│').map(str::trim).collect();
        let (Some(name), Some(median)) = (columns[0].split(' ').next(), columns.get(MEDIAN)) else { continue };
        if median.is_empty() {
            branch = name;
        } else if let Some(nanos) = nanos(median) {
            steps.push(Step { name: format!("{branch}: {name}"), nanos });
        }
    }
    steps
}

/// Parses a time such as `27.48 µs`, into nanoseconds.
fn nanos(time: &str) -> Option<f64> {
    let (number, unit) = time.split_once(' ')?;
    let scale = match unit {
        "ps" => 1e-3,
        "ns" => 1.0,
        "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * scale)
}
