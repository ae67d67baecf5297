//! Tokens: as clients send them, with header and claims that a key has signed, and sets of keys.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::sign;
use jsonwebtoken::{Algorithm, EncodingKey};

use super::{SMALL, Target};
use crate::auth::Tokens;
use crate::config::schema::Config;

const SECRET: &str = "a secret of at least 32 bytes, for the fuzzer";
/// The time of the checks, in seconds since 1970.
const NOW: Duration = Duration::from_secs(1_800_000_000);
/// The maximum size of a token.
const MAX_TOKEN: usize = 4_096;
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const CLAIMS: &str = r#"{"sub":"u7","aud":["handclasp"],"exp":1800000060,"nbf":1,"iat":1,"iss":"a","jti":"b","handclasp":{"peers":["u7","u7-*"],"signal":["*"],"join":[],"publish":[],"turn":true}}"#;
const WORDS: &[&str] = &[
    "alg",
    "HS256",
    "RS256",
    "ES256",
    "EdDSA",
    "none",
    "kid",
    "crit",
    "b64",
    "jwk",
    "jku",
    "x5c",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "iss",
    "jti",
    "handclasp",
    "peers",
    "signal",
    "join",
    "publish",
    "turn",
    "null",
    "1e308",
    "\\u0065xp",
];

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "token",
        run: token,
        seeds: || vec![signed(HEADER, CLAIMS).into()],
        dictionary: WORDS,
        max_len: 2 * MAX_TOKEN,
    },
    Target {
        name: "token_claims",
        run: claims,
        seeds: || vec![format!("{HEADER}\n{CLAIMS}").into()],
        dictionary: WORDS,
        max_len: SMALL,
    },
];

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
    let config = Config::load(None, [], &[format!("auth.secrets={SECRET}")], None).expect("a valid secret");
    Tokens::from_config(&config.auth).expect("a secret needs no file")
});

fn signed(header: &str, claims: &str) -> String {
    let message = [header, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part)).join(".");
    let key = EncodingKey::from_secret(SECRET.as_bytes()).expect("the secret is not empty");
    let signature = sign(message.as_bytes(), &key, Algorithm::HS256).expect("a secret signs everything");
    format!("{message}.{signature}")
}

/// A token of a client that does not know the secret is accepted only if it is the seed.
fn token(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(access) = TOKENS.check_at(text, NOW, Instant::now()) {
        assert_eq!((text, access.subject()), (&*signed(HEADER, CLAIMS), "u7"));
    }
}

/// Whatever the key has signed, an accepted token has a subject and ends.
fn claims(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (header, claims) = text.split_once('\n').unwrap_or((HEADER, text));
    let (token, now) = (signed(header, claims), Instant::now());
    match TOKENS.check_at(&token, NOW, now) {
        Ok(access) => {
            assert!(token.len() <= MAX_TOKEN && (1..=128).contains(&access.subject().len()));
            assert!(access.ends() > now && access.ends() - now <= Duration::from_secs(24 * 60 * 60));
            assert!(access.may_join("a") || !access.may_publish("a"));
        }
        Err(error) => assert!(!error.to_string().contains(&token)),
    }
}
