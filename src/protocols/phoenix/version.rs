//! The version of Phoenix's serializer that a client requests.

use crate::http::connect_error::ConnectError;
use crate::refusal::ConnectRefusal;

/// A version of the serializer, requested with the query parameter `vsn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

impl Version {
    /// Matches Phoenix's requirements `~> 1.0.0` and `~> 2.0.0`. The default is 1.0.0.
    pub(crate) fn negotiate(vsn: Option<&str>) -> Option<Self> {
        let vsn = vsn.unwrap_or("1.0.0");
        let (major, patch) = vsn.split_once(".0.")?;
        let is_patch = !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit());
        match major {
            "1" if is_patch => Some(Self::V1),
            "2" if is_patch => Some(Self::V2),
            _ => None,
        }
    }
}

/// The version in the query of a request.
pub(crate) fn version(params: &[(String, String)]) -> Result<Version, ConnectError> {
    let is_list = |name: &str| name.starts_with("vsn[");
    if params.iter().any(|(name, _)| is_list(name)) {
        return Err(ConnectError::forbidden().with_reason(ConnectRefusal::Version));
    }
    let vsn = params.iter().rev().find(|(name, _)| name == "vsn").map(|(_, value)| &**value);
    Version::negotiate(vsn).ok_or(ConnectError::forbidden().with_reason(ConnectRefusal::Version))
}
