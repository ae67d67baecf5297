//! Checks the values of the configuration: one function for each kind of value. It takes a TOML value and returns the
//! checked value, or an error message that says what is allowed.
//!
//! The keys are declared in `schema`, and the sources of values are in `source`.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use ipnet::IpNet;
use toml::de::DeValue;

pub(super) use crate::config::api::{api_hosts, api_keys, api_listen};
pub(super) use crate::config::auth::{auth_mode, claim, claim_or_none, key_source, secrets, state_file};
use crate::config::cluster::{Engine, InvalidNodeName, Isolated, NodeName, is_prefix};
pub(super) use crate::config::cluster::{cluster_urls, secret};
use crate::config::hosts::{InvalidPublicUrl, PublicUrl};
pub(super) use crate::config::https_url::https_url_or_none;
pub(super) use crate::config::ice::servers;
use crate::config::listen::{InvalidListenAddress, ListenAddress};
use crate::config::origin::Origins;
pub(super) use crate::config::webhooks::{hook_events, patterns, signing_secrets};

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text lines.
    Human,
    /// One JSON object per line.
    Json,
}

/// A value as errors show it. Lists and tables are shown without their content.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.len() <= 80 => format!("{text:?}"),
        DeValue::String(text) => format!("a string of {} bytes", text.len()),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

fn refuse<T>(value: &DeValue<'_>, wanted: impl Display) -> Result<T, String> {
    Err(format!("{} is not {wanted}", shown(value)))
}

pub(super) fn integer<T: TryFrom<u64>>(value: &DeValue<'_>, low: u64, high: u64) -> Result<T, String> {
    let number = value.as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok());
    let fitting = number.filter(|n| (low..=high).contains(n)).and_then(|n| T::try_from(n).ok());
    fitting.map_or_else(|| refuse(value, format_args!("a whole number from {low} to {high}")), Ok)
}

pub(super) fn duration(value: &DeValue<'_>, low: &str, high: &str) -> Result<Duration, String> {
    let bound = |text| {
        humantime::parse_duration(text).expect("a declared bound is a duration: tests/server/config.rs reads them all")
    };
    let duration = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
    let fitting = duration.filter(|d| (bound(low)..=bound(high)).contains(d));
    fitting.map_or_else(|| refuse(value, format_args!("a duration from {low:?} to {high:?}")), Ok)
}

pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().map_or_else(|| refuse(value, "true or false"), Ok)
}

pub(super) fn address(value: &DeValue<'_>) -> Result<ListenAddress, String> {
    value.as_str().unwrap_or_default().parse().or_else(|error: InvalidListenAddress| refuse(value, error))
}

/// An empty string means no address.
pub(super) fn address_or_none(value: &DeValue<'_>) -> Result<Option<ListenAddress>, String> {
    match value.as_str() {
        Some("") => Ok(None),
        _ => address(value).map(Some),
    }
}

pub(super) fn public_urls(value: &DeValue<'_>) -> Result<Vec<PublicUrl>, String> {
    list(value, |item| item.as_str().unwrap_or_default().parse().or_else(|error: InvalidPublicUrl| refuse(item, error)))
}

pub(super) fn networks(value: &DeValue<'_>) -> Result<Vec<IpNet>, String> {
    list(value, |item| match item.as_str().and_then(network) {
        Some(network) => Ok(network),
        None => refuse(item, "an ip address or network such as 10.0.0.0/8"),
    })
}

fn network(text: &str) -> Option<IpNet> {
    let alone = text.parse::<IpAddr>().ok().map(IpNet::from);
    alone.or_else(|| text.parse::<IpNet>().ok().map(|net| net.trunc()))
}

/// An empty string means no folder, so that a flag can override a folder that the file sets.
pub(super) fn folder(value: &DeValue<'_>) -> Result<Option<PathBuf>, String> {
    match value.as_str() {
        Some("") => Ok(None),
        Some(path) if PathBuf::from(path).is_dir() => Ok(Some(path.into())),
        _ => refuse(value, "an existing folder"),
    }
}

/// An empty string means no file. Whether the file can be used is found when it is read.
pub(super) fn file(value: &DeValue<'_>) -> Result<Option<PathBuf>, String> {
    match value.as_str() {
        Some("") => Ok(None),
        Some(path) if !path.contains('\0') => Ok(Some(path.into())),
        _ => refuse(value, "the path of a file"),
    }
}

/// An empty string means no header.
pub(super) fn header_value(value: &DeValue<'_>) -> Result<Option<HeaderValue>, String> {
    match value.as_str() {
        Some("") => Ok(None),
        text => {
            let header = text.filter(|text| text.is_ascii()).and_then(|text| HeaderValue::from_str(text).ok());
            header.map_or_else(
                || refuse(value, "the value of an HTTP header: one line of ASCII characters"),
                |header| Ok(Some(header)),
            )
        }
    }
}

pub(super) fn mounts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
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

/// A prefix of paths, such as `/` or `/myapp`. A trailing slash is removed.
pub(super) fn path_prefix(value: &DeValue<'_>) -> Result<String, String> {
    match value.as_str().map(|path| path.trim_end_matches('/')) {
        Some("") => Ok(String::new()),
        Some(path) if is_path(path) => Ok(path.to_owned()),
        _ => refuse(value, "a path such as / or /myapp"),
    }
}

/// A path of the page's own origin, with or without a query. An empty string means none.
pub(super) fn token_path(value: &DeValue<'_>) -> Result<Option<String>, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~./?=&%".contains(&byte);
    match value.as_str() {
        Some("") => Ok(None),
        // a browser takes what begins with two slashes for another host
        Some(path)
            if path.starts_with('/') && !path.starts_with("//") && path.len() <= 255 && path.bytes().all(is_plain) =>
        {
            Ok(Some(path.to_owned()))
        }
        _ => refuse(value, "a path of the page's own origin, such as /app/token"),
    }
}

/// A word that needs no escaping in a URL.
pub(super) fn token(value: &DeValue<'_>) -> Result<String, String> {
    match value.as_str() {
        Some(word) if is_path(&format!("/{word}")) && !word.contains('/') => Ok(word.to_owned()),
        _ => refuse(value, "a word of letters, digits, - _ ~ and ."),
    }
}

pub(super) fn mount(value: &DeValue<'_>) -> Result<String, String> {
    match value.as_str() {
        Some(path) if is_path(path) => Ok(path.to_owned()),
        _ => refuse(value, "a path such as /socket.io"),
    }
}

/// Whether all segments of a path are plain: without characters that a router reads as a pattern or a browser escapes.
fn is_path(path: &str) -> bool {
    let plain = |segment: &str| {
        !segment.is_empty()
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_~.".contains(&b))
            && !segment.starts_with('.')
    };
    path.len() <= 255 && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain))
}

pub(super) fn origins(value: &DeValue<'_>) -> Result<Origins, String> {
    let entries: Vec<String> = list(value, |item| match item.as_str() {
        Some(entry) => Ok(entry.to_owned()),
        None => refuse(item, "an origin such as https://example.com"),
    })?;
    Origins::parse(&entries).map_err(|error| error.to_string())
}

/// Accepts levels and `target=level`. `env_logger` would take any other word for a target, so that a typo would silence
/// the log.
pub(super) fn filter(value: &DeValue<'_>) -> Result<String, String> {
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

pub(super) fn log_format(value: &DeValue<'_>) -> Result<LogFormat, String> {
    match value.as_str() {
        Some("human") => Ok(LogFormat::Human),
        Some("json") => Ok(LogFormat::Json),
        _ => refuse(value, "human or json"),
    }
}

pub(super) fn engine(value: &DeValue<'_>) -> Result<Engine, String> {
    let engine = match value.as_str() {
        Some("none") => Engine::None,
        Some("redis") => Engine::Redis,
        Some("nats") => Engine::Nats,
        _ => return refuse(value, "none, redis or nats"),
    };
    match engine.is_compiled_in() {
        true => Ok(engine),
        false => Err(format!("this binary was built without the feature {:?}", engine.name())),
    }
}

pub(super) fn isolated(value: &DeValue<'_>) -> Result<Isolated, String> {
    match value.as_str() {
        Some("proven") => Ok(Isolated::Proven),
        Some("all") => Ok(Isolated::All),
        Some("none") => Ok(Isolated::None),
        _ => refuse(value, "proven, all or none"),
    }
}

pub(super) fn node_name(value: &DeValue<'_>) -> Result<NodeName, String> {
    let name = value.as_str().ok_or(InvalidNodeName).and_then(str::parse);
    name.or_else(|error| refuse(value, error))
}

pub(super) fn key_prefix(value: &DeValue<'_>) -> Result<String, String> {
    match value.as_str() {
        Some(prefix) if is_prefix(prefix) => Ok(prefix.to_owned()),
        _ => refuse(value, "a word of letters, digits, - and _, of at most 64 bytes"),
    }
}

/// A list, or a single value, which is the same as a list with one entry.
fn list<T>(value: &DeValue<'_>, read: impl Fn(&DeValue<'_>) -> Result<T, String>) -> Result<Vec<T>, String> {
    match value {
        DeValue::Array(items) => items.iter().map(|item| read(item.get_ref())).collect(),
        one => read(one).map(|item| vec![item]),
    }
}
