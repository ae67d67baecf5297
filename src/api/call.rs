//! [`Call`]: a request that may be answered, as its route gets it, and how a route reads its parts.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use crate::api::answer::{Answer, ApiError};
use crate::api::state::Api;
use crate::config::api::Permission;
use crate::json::is_portable;
use crate::message::Payload;

/// A request whose key is good and whose body has arrived.
pub(super) struct Call {
    /// What the key permits.
    pub(super) permissions: Arc<[Permission]>,
    /// The name of the key, for the log.
    pub(super) key: Arc<str>,
    /// The last part of the path, where the route's path has a `{name}`.
    pub(super) name: String,
    /// The query's parameters.
    pub(super) params: Vec<(String, String)>,
    /// The body, which has text of JSON if there is one.
    pub(super) body: Bytes,
}

/// What answers a call.
pub(super) type Run = fn(Arc<Api>, Call) -> LocalBoxFuture<'static, Result<Answer, ApiError>>;

impl Call {
    /// The body as a `T`. A route with a body has no parameters.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let [] = self.params([])?;
        let text = str::from_utf8(&self.body).map_err(|_| ApiError::malformed("the body is not UTF-8"))?;
        if !is_portable(text) {
            return Err(ApiError::malformed(
                "the JSON must have at most 100 levels, numbers that fit a double, and escapes that are characters",
            ));
        }
        parse(text)
    }

    /// The values of the query's parameters, in the order of `names`. Others are refused, and those that occur twice.
    pub(super) fn params<const N: usize>(&self, names: [&str; N]) -> Result<[Option<&str>; N], ApiError> {
        let mut values = [None; N];
        for (name, value) in &self.params {
            let at = names.iter().position(|known| known == name).ok_or_else(|| match names[..] {
                [] => ApiError::malformed("this route has no parameters"),
                _ => ApiError::malformed(format!("the parameters of this route are {}", names.join(", "))),
            })?;
            if values[at].replace(value.as_str()).is_some() {
                return Err(ApiError::malformed(format!("{} occurs twice", names[at])));
            }
        }
        Ok(values)
    }
}

/// A JSON object as a `T`. The error names what was expected, and repeats nothing of the text.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    // serde also reads a JSON array as a struct
    if !text.trim_ascii_start().starts_with('{') {
        return Err(ApiError::malformed("expected a JSON object"));
    }
    let parsed = Payload::from_json_text(text.to_owned()).parse::<T>();
    parsed.map_err(|error| ApiError::malformed(error.reason().to_owned()))
}
