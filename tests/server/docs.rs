//! Compares the README and the reference pages under `web/docs` with the code: every key, default, metric, close code
//! and link in them must exist. `UPDATE_DOCS=1 cargo test --test server` rewrites the generated table of keys.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use handclasp::close;
use handclasp::config::{SETTINGS, Setting};
use handclasp::metrics::Label;

use super::{check_generated, with_table};
use crate::common::{WEBHOOKS, get, node_with_engine};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Second parts of file and package names (`socket.io`), which would look like keys.
const EXTENSIONS: [&str; 7] = ["io", "js", "json", "md", "rs", "toml", "yml"];

/// The README and the reference pages.
fn pages() -> Vec<(PathBuf, String)> {
    let folder = Path::new(ROOT).join("web/docs");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.push(Path::new(ROOT).join("README.md"));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join("web/docs").join(name)).unwrap()
}

/// The texts between backticks.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether the text is `section.key`, or `section.*`.
fn is_like_a_key(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    text.split_once('.')
        .is_some_and(|(section, key)| is_word(section) && (key == "*" || is_word(key)) && !EXTENSIONS.contains(&key))
}

fn setting(key: &str) -> &'static Setting {
    SETTINGS.iter().find(|setting| setting.key == key).unwrap_or_else(|| panic!("there is no key {key}"))
}

/// The cells of each row of each table, headings included.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().filter(|line| line.starts_with("| "));
    lines.map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
}

// ---- the table of every key

/// The unit of a value, by the kind of its key.
fn unit(Setting { key, default, range, .. }: &Setting) -> &'static str {
    let name = key.rsplit('.').next().unwrap();
    match range {
        Some((low, _)) if low.starts_with('"') => "duration",
        Some(_) if name.contains("bytes") || name.contains("payload") => "bytes",
        Some(_) if name.contains("per_second") => "per second",
        Some(_) if name.contains("per_minute") => "per minute",
        Some(_) => "number",
        None if ["true", "false"].contains(default) => "true, false",
        None if default.starts_with('[') => "list",
        None => "text",
    }
}

fn table_of_keys() -> String {
    let (mut text, mut section) = (String::new(), "");
    for setting in SETTINGS {
        let Setting { key, default, range, description, .. } = setting;
        let key_section = key.split('.').next().unwrap();
        if key_section != section {
            text += &format!(
                "\n### `[{key_section}]`\n\n| key | default | range | unit | what it is for |\n|---|---|---|---|---|\n"
            );
            section = key_section;
        }
        let range = range.map_or("–".to_owned(), |(low, high)| format!("`{low}` to `{high}`"));
        let what = description.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").replace('|', "\\|");
        text += &format!("| `{key}` | `{default}` | {range} | {} | {what} |\n", unit(setting));
    }
    text.trim_start().to_owned()
}

#[test]
fn the_table_of_keys_agrees_with_the_code() {
    check_generated("web/docs/configuration.md", |page| with_table(page, "keys", &table_of_keys()));
}

// ---- the table of limits

/// A default as the table of limits shows it: `"5s"` as `5 s`, `65_536` bytes as `64 KiB`, `1_024` as `1,024`.
fn display(setting: &Setting) -> String {
    let plain = setting.default.trim_matches('"');
    match unit(setting) {
        "duration" => {
            let end = plain.find(|c: char| !c.is_ascii_digit()).unwrap();
            let (number, unit) = plain.split_at(end);
            format!("{number} {}", if unit == "m" { "min" } else { unit })
        }
        "bytes" => {
            let bytes: u64 = plain.replace('_', "").parse().unwrap();
            match bytes {
                0 => "0".to_owned(),
                _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
                _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
                _ => format!("{} bytes", plain.replace('_', ",")),
            }
        }
        _ if plain == "[]" => "none".to_owned(),
        _ => plain.replace('_', ","),
    }
}

#[test]
fn the_table_of_limits_shows_the_defaults() {
    let text = page("limits.md");
    let mut named = BTreeSet::new();
    for cells in rows(&text) {
        let [limit, keys, default, _] = cells[..] else { continue };
        let defaults: Vec<&str> = default.split("; ").collect();
        for (n, key) in code_spans(keys).enumerate() {
            let (default, expected) = (defaults.get(n).copied().unwrap_or_default(), display(setting(key)));
            // compare whole words
            let words = format!(" {} ", default.replace(['(', ')'], " "));
            assert!(words.contains(&format!(" {expected} ")), "{key}: {expected:?}, not {default:?}");
            named.insert(key);
        }
        let is_fixed = ["config key", "–"].contains(&keys);
        assert!(is_fixed || code_spans(keys).next().is_some(), "{limit}: neither a key nor a dash");
    }
    let is_limit = |key: &&str| ["limits.", "held_signals.", "drain."].iter().any(|section| key.starts_with(section));
    let missing: Vec<&str> =
        SETTINGS.iter().map(|setting| setting.key).filter(is_limit).filter(|key| !named.contains(key)).collect();
    assert_eq!(missing, [""; 0], "every limit is in the table");
}

// ---- names

#[test]
fn every_key_in_the_pages_exists() {
    for (path, text) in pages() {
        for span in code_spans(&text) {
            let key = span.split('=').next().unwrap().trim();
            if let Some(section) = key.strip_suffix('*').filter(|_| is_like_a_key(key)) {
                assert!(SETTINGS.iter().any(|setting| setting.key.starts_with(section)), "{}: {key}", path.display());
            } else if is_like_a_key(key) {
                assert!(SETTINGS.iter().any(|setting| setting.key == key), "{}: no key {key}", path.display());
            }
        }
    }
}

#[actix_web::test]
async fn every_metric_in_the_pages_and_alerts_exists() {
    let node = node_with_engine(&[&WEBHOOKS[..], &["metrics.listen=127.0.0.1:0"]].concat());
    let (_, exposed) = get(node.metrics_address().unwrap(), "/metrics").await;
    let families: BTreeSet<&str> =
        exposed.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let mut texts = pages();
    let alerts = Path::new(ROOT).join("config/prometheus-alerts.yml");
    texts.push((alerts.clone(), std::fs::read_to_string(alerts).unwrap()));
    for (path, text) in texts {
        for (at, _) in text.match_indices("handclasp_") {
            let name = text[at..].split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap();
            let bare = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            // one counter belongs to the process, not the node; a name that ends in `_` is a prefix
            let is_known =
                families.contains(bare) || name == "handclasp_log_lines_dropped_total" || name.ends_with('_');
            assert!(is_known, "{}: no metric {name}", path.display());
        }
    }
}

#[test]
fn every_close_code_is_documented() {
    let text = page("refusals.md");
    for reason in close::ALL {
        let may = if reason.may_reconnect { "yes" } else { "no" };
        let row = format!("| `{}` | {} | {} | {may} | ", reason.name(), reason.code, reason.text);
        assert!(text.contains(&row), "web/docs/refusals.md lacks {row}");
    }
}

// ---- links

/// The id that code hosts give to a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    heading.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn every_link_has_a_target() {
    for (path, text) in pages() {
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http")) {
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            if !fragment.is_empty() {
                let anchors = anchors(&std::fs::read_to_string(&target).unwrap());
                assert!(anchors.contains(fragment), "{}: {link}; there are {anchors:?}", path.display());
            }
        }
    }
}

#[test]
fn the_readme_is_short() {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    assert!(readme.lines().count() <= 225, "move details to web/docs");
}
