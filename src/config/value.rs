//! Settings: how a key is declared once, and what a value of each kind must look like.
//!
//! Which keys there are is `config`'s to say; where a value was written is `written`'s. The readers take a TOML
//! value and say in words what is wrong with it.

use crate::config::origin::Origins;
use ipnet::IpNet;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use toml::de::DeValue;

/// What a line of the log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// A value as an error shows it; of lists and tables only what they are.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.len() <= 80 => format!("{text:?}"),
        DeValue::String(text) => format!("a string of {} bytes", text.len()),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

fn refuse<T>(value: &DeValue<'_>, wanted: impl Display) -> Result<T, String> {
    Err(format!("{} is not {wanted}", shown(value)))
}

pub(crate) fn whole<T: TryFrom<u64>>(value: &DeValue<'_>, low: u64, high: u64) -> Result<T, String> {
    let number = value.as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
    let fitting = number.filter(|n| (low..=high).contains(n)).and_then(|n| T::try_from(n).ok());
    fitting.map_or_else(|| refuse(value, format_args!("a whole number from {low} to {high}")), Ok)
}

pub(crate) fn span(value: &DeValue<'_>, low: &str, high: &str) -> Result<Duration, String> {
    let bound = |text| {
        humantime::parse_duration(text).expect("a declared bound is a duration: tests/server/config.rs reads them all")
    };
    let duration = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
    let fitting = duration.filter(|d| (bound(low)..=bound(high)).contains(d));
    fitting.map_or_else(|| refuse(value, format_args!("a duration from {low:?} to {high:?}")), Ok)
}

pub(crate) fn truth(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().map_or_else(|| refuse(value, "true or false"), Ok)
}

pub(crate) fn address(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    let address = value.as_str().and_then(|text| text.parse().ok());
    address.map_or_else(|| refuse(value, "an ip address and port such as 127.0.0.1:4000 or [::1]:4000"), Ok)
}

/// An empty string is none.
pub(crate) fn address_or_none(value: &DeValue<'_>) -> Result<Option<SocketAddr>, String> {
    match value.as_str() {
        Some("") => Ok(None),
        _ => address(value).map(Some),
    }
}

pub(crate) fn networks(value: &DeValue<'_>) -> Result<Vec<IpNet>, String> {
    list(value, |item| match item.as_str().and_then(network) {
        Some(network) => Ok(network),
        None => refuse(item, "an ip address or network such as 10.0.0.0/8"),
    })
}

fn network(text: &str) -> Option<IpNet> {
    let alone = text.parse::<IpAddr>().ok().map(IpNet::from);
    alone.or_else(|| text.parse::<IpNet>().ok().map(|net| net.trunc()))
}

/// An empty string is no folder, so that a file's folder can be taken back by a flag.
pub(crate) fn folder(value: &DeValue<'_>) -> Result<Option<PathBuf>, String> {
    match value.as_str() {
        Some("") => Ok(None),
        Some(path) if PathBuf::from(path).is_dir() => Ok(Some(path.into())),
        _ => refuse(value, "a folder that is there"),
    }
}

pub(crate) fn mounts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let mounts = list(value, |item| match item.as_str() {
        Some(path) if is_path(path) => Ok(path.to_owned()),
        _ => refuse(item, "a path such as /socket"),
    })?;
    let twice = mounts.iter().enumerate().find(|(i, path)| mounts[..*i].contains(path));
    match (twice, mounts.len()) {
        (Some((_, path)), _) => Err(format!("{path:?} is mounted twice")),
        (None, 1..=16) => Ok(mounts),
        (None, n) => Err(format!("{n} mounts are not from 1 to 16")),
    }
}

/// The path that others begin with, `/` or one such as `/myapp`; a slash at its end is left out.
pub(crate) fn base(value: &DeValue<'_>) -> Result<String, String> {
    match value.as_str().map(|path| path.trim_end_matches('/')) {
        Some("") => Ok(String::new()),
        Some(path) if is_path(path) => Ok(path.to_owned()),
        _ => refuse(value, "a path such as / or /myapp"),
    }
}

/// A word that can stand in a URL as it is.
pub(crate) fn word(value: &DeValue<'_>) -> Result<String, String> {
    match value.as_str() {
        Some(word) if is_path(&format!("/{word}")) && !word.contains('/') => Ok(word.to_owned()),
        _ => refuse(value, "a word of letters, digits, - _ ~ and ."),
    }
}

pub(crate) fn mount(value: &DeValue<'_>) -> Result<String, String> {
    match value.as_str() {
        Some(path) if is_path(path) => Ok(path.to_owned()),
        _ => refuse(value, "a path such as /socket.io"),
    }
}

/// Segments of plain letters: what a router could take for a pattern, or a browser would escape, is left out.
fn is_path(path: &str) -> bool {
    let plain = |segment: &str| {
        !segment.is_empty()
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_~.".contains(&b))
            && !segment.starts_with('.')
    };
    path.len() <= 255 && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain))
}

pub(crate) fn origins(value: &DeValue<'_>) -> Result<Origins, String> {
    let words: Vec<String> = list(value, |item| match item.as_str() {
        Some(word) => Ok(word.to_owned()),
        None => refuse(item, "an origin such as https://example.com"),
    })?;
    Origins::parse(&words)
}

/// Only levels and `target=level`: `env_logger` takes every other word for a target, and a typo would silence the log.
pub(crate) fn filter(value: &DeValue<'_>) -> Result<String, String> {
    let is_level = |word: &str| word.parse::<log::LevelFilter>().is_ok();
    let fits = |part: &str| match part.split_once('=') {
        Some((target, level)) => !target.is_empty() && is_level(level),
        None => is_level(part),
    };
    match value.as_str() {
        Some(text) if text.split(',').all(fits) => Ok(text.to_owned()),
        _ => refuse(value, "off, error, warn, info, debug or trace, or a filter such as info,handclasp=debug"),
    }
}

pub(crate) fn log_format(value: &DeValue<'_>) -> Result<LogFormat, String> {
    match value.as_str() {
        Some("human") => Ok(LogFormat::Human),
        Some("json") => Ok(LogFormat::Json),
        _ => refuse(value, "human or json"),
    }
}

pub(crate) use crate::config::ice::servers;

/// A list, or one value that stands for a list of one.
fn list<T>(value: &DeValue<'_>, read: impl Fn(&DeValue<'_>) -> Result<T, String>) -> Result<Vec<T>, String> {
    match value {
        DeValue::Array(items) => items.iter().map(|item| read(item.get_ref())).collect(),
        one => read(one).map(|item| vec![item]),
    }
}
