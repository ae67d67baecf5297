//! The values of `[auth]`: the mode, the secrets, and the files of other keys and of revocations. What follows from them is in `auth_checks`,
//! and the keys themselves are read in `auth`.
//!
//! No error shows a secret.

use std::path::PathBuf;

use toml::de::DeValue;

use crate::config::cluster::{Secret, secret};
use crate::config::entries::entries;
use crate::config::https_url::{HttpsUrl, InvalidHttpsUrl};

/// The maximum number of secrets.
const MAX_SECRETS: usize = 4;
/// The maximum size of an audience and an issuer, in bytes.
const MAX_NAME: usize = 255;
/// The secrets in the examples of the documentation, which everybody knows.
const EXAMPLES: [&str; 1] = ["replace-this-example-by-openssl-rand-base64-32"];

/// What a token is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// Nothing: tokens are ignored.
    Off,
    /// For the credentials of TURN servers.
    Turn,
    /// To connect.
    Required,
}

/// Reads the value of `auth.mode`.
pub(super) fn auth_mode(value: &DeValue<'_>) -> Result<AuthMode, String> {
    match value.as_str() {
        Some("off") => Ok(AuthMode::Off),
        Some("turn") => Ok(AuthMode::Turn),
        Some("required") => Ok(AuthMode::Required),
        _ => Err("must be off, turn or required".into()),
    }
}

/// Reads the value of `auth.secrets`: a secret or a list. Errors give the position of an invalid one, and never its text.
pub(super) fn secrets(value: &DeValue<'_>) -> Result<Vec<Secret>, String> {
    entries(value, MAX_SECRETS, "secrets", |item| match secret(item)? {
        None => Err("must not be empty".into()),
        Some(secret) if is_example(&secret) => {
            Err("is the secret of an example: openssl rand -base64 32 makes one".into())
        }
        Some(secret) => Ok(secret),
    })
}

/// Whether the documentation shows this secret.
pub(super) fn is_example(secret: &Secret) -> bool {
    EXAMPLES.iter().any(|example| example.as_bytes() == secret.reveal())
}

/// Where a JWK Set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// At a URL.
    Url(HttpsUrl),
}

/// Reads the path of a file, or a URL. An empty string means none, so that a flag can override another source.
pub(super) fn key_source(value: &DeValue<'_>) -> Result<Option<KeySource>, String> {
    match value.as_str() {
        Some("") => Ok(None),
        Some(url) if url.contains("://") => {
            url.parse().map(KeySource::Url).map(Some).map_err(|error: InvalidHttpsUrl| error.to_string())
        }
        Some(path) if PathBuf::from(path).is_file() => Ok(Some(KeySource::File(path.into()))),
        _ => Err("is not an existing file or a URL that begins with https:".into()),
    }
}

/// Reads the path of a file that is created if it is missing. An empty string means none.
pub(super) fn state_file(value: &DeValue<'_>) -> Result<Option<PathBuf>, String> {
    let is_possible = |path: &PathBuf| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        !path.is_dir() && path.file_name().is_some() && folder.is_none_or(std::path::Path::is_dir)
    };
    match value.as_str().map(PathBuf::from) {
        Some(path) if path.as_os_str().is_empty() => Ok(None),
        Some(path) if is_possible(&path) => Ok(Some(path)),
        _ => Err("is not a file in an existing folder".into()),
    }
}

/// Reads a text that a claim must contain.
pub(super) fn claim(value: &DeValue<'_>) -> Result<String, String> {
    match value.as_str() {
        Some(text) if (1..=MAX_NAME).contains(&text.len()) => Ok(text.to_owned()),
        _ => Err(format!("must be a text of 1 to {MAX_NAME} bytes")),
    }
}

/// Like [`claim`]. An empty string means that the claim may be anything.
pub(super) fn claim_or_none(value: &DeValue<'_>) -> Result<Option<String>, String> {
    if value.as_str() == Some("") { Ok(None) } else { claim(value).map(Some) }
}
