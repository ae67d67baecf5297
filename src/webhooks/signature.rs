//! The signature of a request, as Standard Webhooks 1.0 defines it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::webhooks::SigningSecret;

/// The value of the header `webhook-signature`: a signature for each secret. `timestamp` is in seconds.
pub(super) fn signature(secrets: &[SigningSecret], id: &str, timestamp: u64, body: &str) -> String {
    let sign = |secret: &SigningSecret| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.reveal()).expect("hmac takes a key of any length");
        [id, ".", &timestamp.to_string(), ".", body].iter().for_each(|part| mac.update(part.as_bytes()));
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    };
    secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// What `printf '%s' "$id.$timestamp.$body" | openssl dgst -sha256 -hmac KEY -binary | base64` prints. The official
    /// libraries check real requests in `tests/clients/webhooks.test.mjs`.
    #[test]
    fn a_request_is_signed_with_each_secret() {
        let keys = ["0123456789abcdef01234567", "another key of at least 24 bytes"];
        let list = keys.map(|key| format!("\"whsec_{}\"", BASE64_STANDARD.encode(key))).join(",");
        let config = Config::load(None, [], &[format!("webhooks.secrets=[{list}]")], None).unwrap();
        let value = signature(&config.webhooks.secrets, "a-1-41", 1_764_338_587, r#"{"node":"a"}"#);
        let expected =
            "v1,xXg0mTwkhlpcp5vFdXVghQZqaof5eyz7tWGB3NbbzCY= v1,meIwepuELNPEeyTEgjHJmenDRUsd0RhwGJzVvVTOohk=";
        assert_eq!(value, expected);
        assert_eq!(
            signature(&config.webhooks.secrets[..1], "a-1-41", 1_764_338_587, r#"{"node":"a"}"#),
            expected.split(' ').next().unwrap()
        );
    }
}
