//! Loads a configuration from a file, environment variables and flags, and checks it. How the sources are parsed is in
//! `source`, and how values are checked in `value`.
//!
//! The crates `config` and `figment` do not fit: they deserialize through serde, which stops at the first wrong value
//! and does not give its line in the file.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use crate::config::api_checks;
use crate::config::auth_checks;
use crate::config::cluster_checks;
use crate::config::paths;
use crate::config::schema::{Config, Drain, SETTINGS};
use crate::config::source::{self, RawSetting, Source};
use crate::config::tls_checks;
use crate::config::webhook_checks;

/// All errors of a configuration, a line each: its source, the key, the value, and what is allowed. The content of
/// `peer.ice_servers`, `auth.secrets`, `api.keys`, `cluster.secret`, `cluster.urls`, `webhooks.url` and `webhooks.secrets` is
/// never shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(Vec<String>);

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Errors {}

impl Config {
    /// Like [`load`](Self::load), with the environment of this process.
    pub fn from_environment(file: Option<&Path>, sets: &[String], listen: Option<&str>) -> Result<Self, Errors> {
        // a variable that is not UTF-8 belongs to another program, or is refused with replacement characters in it
        let text = |text: OsString| text.to_string_lossy().into_owned();
        let variables = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
        Self::load(file, variables, sets, listen)
    }

    /// Loads the configuration from `file` (or, without one, from the file named by `HANDCLASP_CONFIG`), then from
    /// `environment`, then from `sets` (`section.key=value`), and then from `listen`. Later values override earlier
    /// ones.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        sets: &[String],
        listen: Option<&str>,
    ) -> Result<Self, Errors> {
        let variables: Vec<(String, String)> = environment.into_iter().collect();
        let named = variables.iter().find(|(name, path)| name == "HANDCLASP_CONFIG" && !path.is_empty());
        let path = file.or_else(|| named.map(|(_, path)| Path::new(path)));

        let mut errors = Vec::new();
        let text = path.map_or_else(String::new, |path| text_of(path, &mut errors));
        let mut all = source::in_file(path.unwrap_or(Path::new("")), &text, &mut errors);
        all.extend(source::in_environment(&variables));
        all.extend(source::in_sets(sets, &mut errors));
        all.extend(listen.map(source::in_listen));
        Self::of(&all, errors)
    }

    pub(crate) fn of(all: &[RawSetting<'_>], mut errors: Vec<String>) -> Result<Self, Errors> {
        let mut config = Self::default();
        errors.extend(all.iter().filter_map(|raw| config.set(raw).err()));
        if errors.is_empty() {
            errors.extend(config.cross_check());
        }
        match errors.is_empty() {
            true => Ok(config),
            false => Err(Errors(errors)),
        }
    }

    fn set(&mut self, RawSetting { name, value, source }: &RawSetting<'_>) -> Result<(), String> {
        let setting = SETTINGS.iter().find(|setting| source.name_of(setting) == *name);
        match setting {
            Some(setting) => (setting.set)(self, value).map_err(|what| format!("{source}: {}: {what}", setting.key)),
            None => Err(format!("{}: no such key{}", source.with_name(name), suggestion(name, source))),
        }
    }

    /// Finds a value that contradicts another one.
    fn cross_check(&self) -> Option<String> {
        if let Some(error) = paths::conflict(self) {
            return Some(error);
        }
        if let Some(error) = cluster_checks::conflict(self)
            .or_else(|| auth_checks::conflict(self))
            .or_else(|| api_checks::conflict(self))
            .or_else(|| webhook_checks::conflict(self))
            .or_else(|| tls_checks::conflict(self))
        {
            return Some(error);
        }
        if self.metrics.listen.as_ref() == Some(&self.server.listen) && self.server.listen.port() != 0 {
            return Some(format!("metrics.listen: {} is server.listen too", self.server.listen));
        }
        let Drain { spread, timeout } = self.drain;
        let shown = humantime::format_duration;
        (spread > timeout).then(|| {
            format!(
                "drain.spread: {} is longer than drain.timeout, {}: some sockets would get no close frame",
                shown(spread),
                shown(timeout)
            )
        })
    }
}

fn text_of(path: &Path, errors: &mut Vec<String>) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| {
        errors.push(format!("{}: cannot be read: {error}", path.display()));
        String::new()
    })
}

/// Keys that were renamed before the first release: old name, new name.
const RENAMED: [(&str, &str); 13] = [
    ("limits.connections_per_address", "limits.sockets_per_ip"),
    ("limits.requests_per_address", "limits.http_connections_per_ip"),
    ("limits.misses_per_minute", "limits.not_found_per_minute"),
    ("limits.misses_burst", "limits.not_found_burst"),
    ("limits.address_misses_per_minute", "limits.not_found_per_minute_per_ip"),
    ("limits.address_misses_burst", "limits.not_found_burst_per_ip"),
    ("socket.join_within", "socket.join_timeout"),
    ("hello.register_within", "hello.register_timeout"),
    ("hold.signals_per_name", "held_signals.signals_per_name"),
    ("hold.bytes_per_name", "held_signals.bytes_per_name"),
    ("hold.bytes_per_address", "held_signals.bytes_per_ip"),
    ("hold.bytes", "held_signals.bytes"),
    ("presence.rows_per_topic", "presence.entries_per_topic"),
];

/// A hint for an unknown key, if there is one: its new name or a similar key.
fn suggestion(name: &str, source: &Source<'_>) -> String {
    let key_of = |old: &str, new: &str| {
        SETTINGS.iter().find(|setting| setting.key == new).filter(|_| source.name_of_key(old) == name)
    };
    match RENAMED.iter().find_map(|(old, new)| key_of(old, new)) {
        Some(setting) => format!("; it was renamed to {}", source.name_of(setting)),
        None => did_you_mean(name, source),
    }
}

/// A hint with the most similar key, if one is similar enough.
fn did_you_mean(name: &str, source: &Source<'_>) -> String {
    let bare = |full: &str| full.rsplit('.').next().unwrap_or_default().to_owned();
    let distance = |full: &String| {
        let whole = strsim::osa_distance(full, name);
        // probably `[server]` is missing, or the key is in another section
        if bare(full) == bare(name) { whole.min(1) } else { whole }
    };
    let names = SETTINGS.iter().map(|setting| source.name_of(setting));
    match names.min_by_key(distance) {
        Some(near) if distance(&near) <= 3 => format!("; did you mean {near}?"),
        _ => String::new(),
    }
}
