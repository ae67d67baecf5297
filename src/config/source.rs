//! Written: the values that people wrote, each with the place where it stands: file and line, variable or flag.
//!
//! What a value means, and whether it is allowed, is `config`'s and `setting`'s to say.

use crate::config::schema::{SETTINGS, Setting};
use std::fmt;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// Variables that are not settings: the configuration file, and the binary that tests run.
const OTHER_VARIABLES: [&str; 2] = ["HANDCLASP_CONFIG", "HANDCLASP_BIN"];

/// One value, as it was written.
pub(crate) struct RawSetting<'a> {
    pub(crate) name: String,
    pub(crate) value: DeValue<'a>,
    pub(crate) place: Source<'a>,
}

/// Where something was written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Source<'a> {
    Line(&'a Path, usize),
    Variable(&'a str),
    Flag(&'a str),
}

impl Source<'_> {
    /// How a setting is called at such a place.
    pub(crate) fn names(&self, setting: &Setting) -> String {
        match self {
            Self::Variable(_) => setting.variable(),
            Self::Line(..) | Self::Flag(_) => setting.key.to_owned(),
        }
    }

    /// The place with the name that was written there.
    pub(crate) fn of(&self, name: &str) -> String {
        match self {
            Self::Variable(_) => name.to_owned(),
            Self::Line(..) | Self::Flag(_) => format!("{self}: {name}"),
        }
    }
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// The keys of a file, in its order. Syntax errors are said in the parser's words without the line itself, which
/// may hold a credential.
pub(crate) fn in_file<'a>(path: &'a Path, text: &'a str, wrong: &mut Vec<String>) -> Vec<RawSetting<'a>> {
    let place = |at: usize| Source::Line(path, 1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count());
    let (table, mut errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        errors.sort_by_key(|error| error.span().map(|span| span.start));
        let at = |error: &toml::de::Error| place(error.span().map_or(0, |span| span.start));
        wrong.extend(errors.iter().map(|error| format!("{}: {}", at(error), error.message())));
        return Vec::new(); // what the parser guessed of the rest would only raise false alarms
    }
    let mut keys = Vec::new();
    for (section, value) in table.into_inner() {
        let (at, section) = (section.span().start, section.into_inner());
        match value.into_inner() {
            DeValue::Table(inner) if !inner.is_empty() || is_section(&section) => {
                keys.extend(inner.into_iter().map(|(key, value)| {
                    (key.span().start, format!("{section}.{}", key.get_ref()), value.into_inner())
                }));
            }
            stray => keys.push((at, section.into_owned(), stray)),
        }
    }
    keys.sort_by_key(|(at, ..)| *at);
    keys.into_iter().map(|(at, name, value)| RawSetting { name, value, place: place(at) }).collect()
}

fn is_section(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.split('.').next() == Some(name))
}

/// The variables that begin with `HANDCLASP_`, but for those that are no settings.
pub(crate) fn in_environment(variables: &[(String, String)]) -> impl Iterator<Item = RawSetting<'_>> {
    let ours = |name: &str| name.starts_with("HANDCLASP_") && !OTHER_VARIABLES.contains(&name);
    variables.iter().filter(move |(name, _)| ours(name)).map(|(name, text)| RawSetting {
        name: name.clone(),
        value: value(text),
        place: Source::Variable(name),
    })
}

/// `--set section.key=value`, as often as it was given.
pub(crate) fn in_sets<'a>(sets: &'a [String], wrong: &mut Vec<String>) -> Vec<RawSetting<'a>> {
    let (pairs, stray): (Vec<_>, Vec<_>) = sets.iter().map(|set| set.split_once('=')).partition(Option::is_some);
    // what was written may be a secret, so it is not repeated
    wrong.extend(stray.iter().map(|_| "--set: must be section.key=value".to_owned()));
    let written = |(name, text): (&str, &'a str)| RawSetting {
        name: name.trim().into(),
        value: value(text),
        place: Source::Flag("--set"),
    };
    pairs.into_iter().flatten().map(written).collect()
}

/// `--listen ADDR:PORT`.
pub(crate) fn in_listen(text: &str) -> RawSetting<'_> {
    RawSetting { name: "server.listen".into(), value: DeValue::String(text.into()), place: Source::Flag("--listen") }
}

/// TOML where it is TOML (`5`, `true`, `["same"]`), else the string that it is (`5s`, `127.0.0.1:4000`).
fn value(text: &str) -> DeValue<'_> {
    DeValue::parse(text.trim()).map_or_else(|_| DeValue::String(text.into()), |value| value.into_inner())
}
