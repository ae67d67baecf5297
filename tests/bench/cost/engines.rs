//! The servers that connect the nodes of a cluster, as the tests start them.
#![allow(dead_code, reason = "shared with the tests, which use all of it")]

use std::time::Duration;

#[path = "../../common/certificate.rs"]
mod certificate;
#[path = "../../common/child.rs"]
mod child;
#[path = "../../common/nats.rs"]
pub mod nats;
#[path = "../../common/redis.rs"]
pub mod redis;

/// How long a server may take to start.
const TIMEOUT: Duration = Duration::from_secs(20);
