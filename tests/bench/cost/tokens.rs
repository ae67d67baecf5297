//! What tokens cost: a connection whose token is checked, and a signal of a client that has one. Each is compared with the
//! same server without tokens, which the column `limit` shows.

use std::io::{self, Error};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::rt::System;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::dialect::Dialect;
use crate::growth::Questions;
use crate::load::Target;
use crate::meter::Meter;
use crate::results::Finding;
use crate::server::{Kind, Server};
use crate::work::{Figure, measure};

/// The keys of the tests, which are used nowhere else.
const KEYS: &str = include_str!("../../tokens/keys.json");
const AT_ONCE: usize = 32;
const PAIRS: usize = 50;
const IN_FLIGHT: usize = 200;

/// What the clients do.
#[derive(Clone, Copy)]
enum Load {
    Connect,
    Signal,
}

impl Questions {
    pub fn tokens(&self) -> io::Result<Vec<Finding>> {
        let keys: Value = serde_json::from_str(KEYS)?;
        let measured = |load, kind: Option<&str>| measure_with(&keys, load, kind, self.time);
        let without = measured(Load::Connect, None)?;
        let mut findings = Vec::new();
        for (kind, name) in [("oct", "HS256"), ("ec", "ES256")] {
            let figure = measured(Load::Connect, Some(kind))?;
            findings.push(finding(format!("connect, join, close with a token ({name})"), figure, without));
        }
        let (without, with) = (measured(Load::Signal, None)?, measured(Load::Signal, Some("oct"))?);
        findings.push(finding(format!("a signal of a client with a token, {PAIRS} pairs"), with, without));
        Ok(findings)
    }
}

fn finding(question: String, with: Figure, without: Figure) -> Finding {
    Finding {
        question,
        seen: format!("{:.1} µs of CPU more than without tokens", with.cost - without.cost),
        value: with.cost,
        limit: Some(without.cost),
        goal: None,
        unit: "µs of CPU".into(),
    }
}

fn measure_with(keys: &Value, load: Load, kind: Option<&str>, time: Duration) -> io::Result<Figure> {
    let set = std::env::temp_dir().join(format!("handclasp-bench-{}.json", std::process::id()));
    let (mut settings, mut token) = (Vec::new(), None);
    if let Some(kind) = kind {
        std::fs::write(&set, json!({ "keys": [keys[kind]["jwk"]] }).to_string())?;
        settings = ["mode=required", &format!("jwks={}", set.display()), "sockets_per_subject=1_000_000"]
            .map(|setting| format!("auth.{setting}"))
            .into();
        token = Some(&*signed(&keys[kind]["private"], kind)?.leak());
    }
    let figure = System::new().block_on(async {
        let server = Server::start_with(Kind::Handclasp, Dialect::Phoenix, &settings)?;
        let target = Target { token, ..Target::new(server.address, Dialect::Phoenix) };
        let meter = Meter::new();
        match load {
            Load::Connect => target.churn(AT_ONCE, &meter),
            Load::Signal => target.relay(PAIRS, IN_FLIGHT, &meter).await?,
        }
        measure(&server, &meter, time).await
    });
    // a server without tokens has none
    let _ = std::fs::remove_file(&set);
    figure
}

/// A token that is valid for an hour.
fn signed(private: &Value, kind: &str) -> io::Result<String> {
    let key = BASE64_URL_SAFE_NO_PAD.decode(private.as_str().unwrap_or_default()).map_err(Error::other)?;
    let (algorithm, key) = match kind {
        "oct" => (Algorithm::HS256, EncodingKey::from_secret(&key).map_err(Error::other)?),
        _ => (Algorithm::ES256, EncodingKey::from_ec_der(&key)),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Error::other)?.as_secs();
    let claims = json!({ "sub": "u7", "aud": "handclasp", "iat": now, "exp": now + 3_600 });
    encode(&Header::new(algorithm), &claims, &key).map_err(Error::other)
}
