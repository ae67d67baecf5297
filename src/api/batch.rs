//! `POST /v1/batch`: several operations in one request, one after the other.
//!
//! All operations are read before the first one is run: a batch with a mistake, or with an operation that the key does not
//! permit, does nothing. What cannot be done otherwise has its reason in its place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use tokio::task::yield_now;

use crate::api::answer::{Answer, ApiError};
use crate::api::call::{Call, parse};
use crate::api::disconnect::Disconnect;
use crate::api::publish::Publish;
use crate::api::revoke::Revoke;
use crate::api::signal::Signal;
use crate::api::state::Api;
use crate::config::api::Permission;

/// The maximum number of operations.
const OPERATIONS: usize = 1_000;
/// The time after which no further operation is begun.
const TIME: Duration = Duration::from_secs(10);

/// The body of the request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    operations: Vec<Named>,
}

/// `{"name": {...}}`.
struct Named {
    name: String,
    body: Box<RawValue>,
}

/// The answer.
#[derive(Serialize)]
struct Results {
    results: Vec<Box<RawValue>>,
}

/// One operation.
enum Operation {
    Publish(Publish),
    Signal(Signal),
    Disconnect(Disconnect),
    Revoke(Revoke),
}

/// Reads all operations.
fn read(call: &Call) -> Result<Vec<Operation>, ApiError> {
    let Batch { operations } = call.parse()?;
    if operations.len() > OPERATIONS {
        return Err(ApiError::malformed(format!("a batch has at most {OPERATIONS} operations")));
    }
    let at =
        |n: usize, error: ApiError| ApiError { reason: format!("operation {n}: {}", error.reason).into(), ..error };
    let operations = operations.into_iter().enumerate();
    operations.map(|(n, named)| Operation::read(&named).map_err(|error| at(n, error))).collect()
}

/// How many operations a body has, or the reason why it is refused.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn count_operations(body: bytes::Bytes) -> Result<usize, String> {
    let call = Call { permissions: Arc::default(), key: "".into(), name: String::new(), params: Vec::new(), body };
    read(&call).map(|operations| operations.len()).map_err(|error| error.reason.into())
}

/// `POST /v1/batch`.
pub(super) async fn batch(api: Arc<Api>, call: Call) -> Result<Answer, ApiError> {
    let operations = read(&call)?;
    if !operations.iter().all(|operation| call.permissions.contains(&operation.permission())) {
        return Err(ApiError::not_allowed());
    }
    // the request itself has counted as one
    api.keys.charge(&call.key, operations.len().saturating_sub(1), Instant::now());
    let (begun, mut results) = (Instant::now(), Vec::with_capacity(operations.len()));
    for operation in operations {
        let result = match begun.elapsed() < TIME {
            true => operation.run(&api, &call.key).await.unwrap_or_else(Into::into),
            false => ApiError::invalid("not begun in time").into(),
        };
        let text = String::from_utf8(result.body.into()).unwrap_or_default();
        results.extend(RawValue::from_string(text));
        // other requests come in between
        yield_now().await;
    }
    Ok(Answer::ok(&Results { results }))
}

impl Operation {
    fn read(Named { name, body }: &Named) -> Result<Self, ApiError> {
        fn of<T: DeserializeOwned>(body: &RawValue) -> Result<T, ApiError> {
            parse(body.get())
        }
        match &**name {
            "publish" => of(body).map(Self::Publish),
            "signal" => of(body).map(Self::Signal),
            "disconnect" => {
                let disconnect: Disconnect = of(body)?;
                disconnect.check().map(|()| Self::Disconnect(disconnect))
            }
            "revoke" => {
                let revoke: Revoke = of(body)?;
                revoke.check().map(|()| Self::Revoke(revoke))
            }
            _ => Err(ApiError::malformed("expected publish, signal, disconnect or revoke")),
        }
    }

    const fn permission(&self) -> Permission {
        match self {
            Self::Publish(_) | Self::Signal(_) => Permission::Publish,
            Self::Disconnect(_) => Permission::Disconnect,
            Self::Revoke(_) => Permission::Revoke,
        }
    }

    async fn run(self, api: &Api, key: &str) -> Result<Answer, ApiError> {
        match self {
            Self::Publish(publish) => publish.run(api).map(|published| Answer::ok(&published)),
            Self::Signal(signal) => signal.run(api).await.map(|signalled| Answer::ok(&signalled)),
            Self::Disconnect(disconnect) => disconnect.run(api, key).await.map(|closed| Answer::ok(&closed)),
            Self::Revoke(revoke) => revoke.run(api, key).await.map(|closed| Answer::ok(&closed)),
        }
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneMember;

        impl<'de> Visitor<'de> for OneMember {
            type Value = Named;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object with one operation")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
                let one = map.next_entry()?;
                match (one, map.next_key::<String>()?) {
                    (Some((name, body)), None) => Ok(Named { name, body }),
                    _ => Err(Error::invalid_length(0, &self)),
                }
            }
        }

        deserializer.deserialize_map(OneMember)
    }
}
