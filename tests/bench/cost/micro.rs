//! Reads what the micro benches have printed: divan draws a table for people, and has no other.

use crate::results::Step;

/// What the table's branches are drawn with.
const BRANCHES: [char; 5] = ['│', '├', '╰', '─', ' '];
/// Which column has the median.
const MEDIAN: usize = 2;

/// The rows with figures, each behind the name of its branch.
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

/// A time such as `27.48 µs`.
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
