//! The sources of a configuration: file, environment variables and flags. Each value is read with its position, such as
//! the line in the file.
//!
//! Values are checked in `value`, and the sources are combined in `load`.

use std::fmt;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::config::schema::{SETTINGS, Setting, variable};

/// Environment variables that set no key: the path of the configuration file, and the binary that tests run.
const OTHER_VARIABLES: [&str; 2] = ["HANDCLASP_CONFIG", "HANDCLASP_BIN"];

/// One value, before it is checked.
pub(crate) struct RawSetting<'a> {
    pub(crate) name: String,
    pub(crate) value: DeValue<'a>,
    pub(crate) source: Source<'a>,
}

/// Where a value was set.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Source<'a> {
    Line(&'a Path, usize),
    Variable(&'a str),
    Flag(&'a str),
}

impl Source<'_> {
    /// The name of a setting in this source.
    pub(crate) fn name_of(&self, setting: &Setting) -> String {
        self.name_of_key(setting.key)
    }

    /// The name of `section.key` in this source.
    pub(crate) fn name_of_key(&self, key: &str) -> String {
        match self {
            Self::Variable(_) => variable(key),
            Self::Line(..) | Self::Flag(_) => key.to_owned(),
        }
    }

    /// The source, and the name that it sets unless the source is that name.
    pub(crate) fn with_name(&self, name: &str) -> String {
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

/// The values of a file, in its order. A syntax error has the parser's message without the line itself, which may
/// contain a credential.
pub(crate) fn in_file<'a>(path: &'a Path, text: &'a str, errors: &mut Vec<String>) -> Vec<RawSetting<'a>> {
    let source = |at: usize| Source::Line(path, 1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count());
    let (table, mut syntax) = DeTable::parse_recoverable(text);
    if !syntax.is_empty() {
        syntax.sort_by_key(|error| error.span().map(|span| span.start));
        let at = |error: &toml::de::Error| source(error.span().map_or(0, |span| span.start));
        errors.extend(syntax.iter().map(|error| format!("{}: {}", at(error), error.message())));
        return Vec::new(); // the parser's guesses about the rest would only cause misleading errors
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
    keys.into_iter().map(|(at, name, value)| RawSetting { name, value, source: source(at) }).collect()
}

fn is_section(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.split('.').next() == Some(name))
}

/// The values of all environment variables that begin with `HANDCLASP_`, except [`OTHER_VARIABLES`].
pub(crate) fn in_environment(variables: &[(String, String)]) -> impl Iterator<Item = RawSetting<'_>> {
    let sets_a_key = |name: &str| name.starts_with("HANDCLASP_") && !OTHER_VARIABLES.contains(&name);
    variables.iter().filter(move |(name, _)| sets_a_key(name)).map(|(name, text)| RawSetting {
        name: name.clone(),
        value: value(text),
        source: Source::Variable(name),
    })
}

/// The values of all `--set section.key=value` flags.
pub(crate) fn in_sets<'a>(sets: &'a [String], errors: &mut Vec<String>) -> Vec<RawSetting<'a>> {
    let (pairs, stray): (Vec<_>, Vec<_>) = sets.iter().map(|set| set.split_once('=')).partition(Option::is_some);
    // the flag may contain a secret, so the error does not repeat it
    errors.extend(stray.iter().map(|_| "--set: must be section.key=value".to_owned()));
    let raw = |(name, text): (&str, &'a str)| RawSetting {
        name: name.trim().into(),
        value: value(text),
        source: Source::Flag("--set"),
    };
    pairs.into_iter().flatten().map(raw).collect()
}

/// The value of `--listen ADDR:PORT`.
pub(crate) fn in_listen(text: &str) -> RawSetting<'_> {
    RawSetting { name: "server.listen".into(), value: DeValue::String(text.into()), source: Source::Flag("--listen") }
}

/// Parses a value as TOML (`5`, `true`, `["same"]`). If it is not valid TOML, it is a string (`5s`, `127.0.0.1:4000`).
fn value(text: &str) -> DeValue<'_> {
    DeValue::parse(text.trim()).map_or_else(|_| DeValue::String(text.into()), |value| value.into_inner())
}
