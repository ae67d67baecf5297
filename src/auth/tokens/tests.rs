use jsonwebtoken::crypto::sign;
use serde_json::{Value, json};

use super::*;
use crate::auth::jwks::KeySet;
use crate::config::schema::Config;

/// Keys that are used nowhere else.
const KEYS: &str = include_str!("../../../tests/tokens/keys.json");
const SECRET: &str = "a secret of at least 32 bytes, for tests";
/// The time of the checks, in seconds since 1970.
const NOW: u64 = 1_800_000_000;
const KINDS: [(&str, Algorithm); 4] =
    [("oct", Algorithm::HS256), ("rsa", Algorithm::RS256), ("ec", Algorithm::ES256), ("ed", Algorithm::EdDSA)];

fn key(kind: &str) -> Value {
    serde_json::from_str::<Value>(KEYS).unwrap()[kind].clone()
}

fn private(kind: &str) -> EncodingKey {
    let der = BASE64_URL_SAFE_NO_PAD.decode(key(kind)["private"].as_str().unwrap()).unwrap();
    match kind {
        "oct" => EncodingKey::from_secret(&der).unwrap(),
        "rsa" => EncodingKey::from_rsa_der(&der),
        "ec" => EncodingKey::from_ec_der(&der),
        _ => EncodingKey::from_ed_der(&der),
    }
}

fn set(jwks: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": jwks }).to_string().as_bytes()).unwrap()
}

/// What checks with these keys alone.
fn with_keys(jwks: &[Value]) -> Tokens {
    let set = set(jwks);
    assert_eq!(set.warnings, [""; 0]);
    Tokens { keys: Keys::of(set.keys), ..with_sets(&[]) }
}

fn with_sets(sets: &[&str]) -> Tokens {
    let sets: Vec<String> = sets.iter().map(|set| format!("auth.{set}")).collect();
    let secret = format!("auth.secrets={SECRET}");
    let config = Config::load(None, [], &[&[secret], &*sets].concat(), None).unwrap();
    Tokens::from_config(&config.auth).unwrap()
}

fn part(json: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(json)
}

fn signed(header: &str, claims: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// A token with these claims, signed by the secret.
fn token(claims: &str) -> String {
    signed(r#"{"alg":"HS256"}"#, claims, &private("oct"), Algorithm::HS256)
}

fn claims() -> Value {
    json!({ "sub": "u7", "aud": "handclasp", "exp": NOW + 60 })
}

fn checked_at(tokens: &Tokens, token: &str, now: u64) -> Result<Access, &'static str> {
    let checked = tokens.check_at(token, Duration::from_secs(now), Instant::now());
    checked.map_err(|error| error.refusal.text())
}

fn checked(tokens: &Tokens, token: &str) -> Result<String, &'static str> {
    checked_at(tokens, token, NOW).map(|access| access.subject().to_owned())
}

const INVALID: Result<String, &str> = Err("token invalid");

#[test]
fn an_algorithm_fits_the_keys_of_one_kind_alone() {
    let mut accepted = 0;
    for (kind, _) in KINDS {
        let tokens = with_keys(&[key(kind)["jwk"].clone()]);
        for (signer, algorithm) in KINDS {
            let header = json!({ "alg": algorithm, "typ": "JWT" }).to_string();
            let token = signed(&header, &claims().to_string(), &private(signer), algorithm);
            let expected = if kind == signer { Ok("u7".to_owned()) } else { INVALID };
            assert_eq!(checked(&tokens, &token), expected, "{algorithm:?} with a key of {kind}");
            accepted += u32::from(kind == signer);
        }
    }
    assert_eq!(accepted, 4);
}

#[test]
fn forged_tokens_are_invalid() {
    let (tokens, text) = (with_sets(&[]), claims().to_string());
    let good = token(&text);
    assert_eq!(checked(&tokens, &good), Ok("u7".to_owned()));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let none = |alg: &str| format!("{}.{}.", part(&json!({ "alg": alg }).to_string()), part(&text));
    let of_other = EncodingKey::from_secret(&[7; 32]).unwrap();
    for (what, forged) in [
        ("none", none("none")),
        ("None", none("None")),
        ("an empty signature", format!("{message}.")),
        ("no signature", message.to_owned()),
        ("a short signature", format!("{message}.{}", &signature[..signature.len() - 4])),
        ("padding", format!("{good}=")),
        ("a fourth part", format!("{good}.{signature}")),
        ("other claims", format!("{}.{}.{signature}", part(r#"{"alg":"HS256"}"#), part(&text.replace("u7", "u8")))),
        ("another secret", signed(r#"{"alg":"HS256"}"#, &text, &of_other, Algorithm::HS256)),
        ("a list as header", signed(r#"["HS256"]"#, &text, &private("oct"), Algorithm::HS256)),
        ("dots", "..".into()),
        ("another algorithm of the family", signed(r#"{"alg":"HS384"}"#, &text, &private("oct"), Algorithm::HS384)),
        ("crit", signed(r#"{"alg":"HS256","crit":["exp"]}"#, &text, &private("oct"), Algorithm::HS256)),
        ("crit b64", signed(r#"{"alg":"HS256","b64":true,"crit":["b64"]}"#, &text, &private("oct"), Algorithm::HS256)),
        ("two algs", signed(r#"{"alg":"HS256","alg":"none"}"#, &text, &private("oct"), Algorithm::HS256)),
    ] {
        assert_eq!(checked(&tokens, &forged), INVALID, "{what}");
    }
    assert_eq!(checked(&tokens, ""), Err("token missing"));
}

#[test]
fn a_public_key_is_no_secret() {
    let rsa = key("rsa")["jwk"].clone();
    let tokens = with_keys(std::slice::from_ref(&rsa));
    let n = BASE64_URL_SAFE_NO_PAD.decode(rsa["n"].as_str().unwrap()).unwrap();
    for secret in [&n[..], rsa["n"].as_str().unwrap().as_bytes(), rsa.to_string().as_bytes()] {
        let key = EncodingKey::from_secret(secret).unwrap();
        let forged = signed(r#"{"alg":"HS256"}"#, &claims().to_string(), &key, Algorithm::HS256);
        assert_eq!(checked(&tokens, &forged), INVALID);
        // the same bytes as a signature of the right algorithm's name
        let (message, signature) = forged.split_at(forged.rfind('.').unwrap());
        let renamed = message.replace(&part(r#"{"alg":"HS256"}"#), &part(r#"{"alg":"RS256"}"#));
        assert_eq!(checked(&tokens, &format!("{renamed}{signature}")), INVALID);
    }
}

#[test]
fn a_signature_of_es256_has_one_length() {
    let tokens = with_keys(&[key("ec")["jwk"].clone()]);
    let good = signed(r#"{"alg":"ES256"}"#, &claims().to_string(), &private("ec"), Algorithm::ES256);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert_eq!((bytes.len(), checked(&tokens, &good)), (64, Ok("u7".to_owned())));
    for wrong in [&bytes[..63], &[&bytes[..], &[0]].concat(), &[0; 64], &[]] {
        let token = format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(wrong));
        assert_eq!(checked(&tokens, &token), INVALID, "{} bytes", wrong.len());
    }
}

#[test]
fn a_token_that_names_a_key_is_checked_with_it_alone() {
    let jwk = |kind: &str, id: &str| {
        let mut jwk = key(kind)["jwk"].clone();
        jwk["kid"] = id.into();
        jwk
    };
    let tokens = with_keys(&[jwk("oct", "a"), jwk("ed", "b")]);
    let named = |id: Value| {
        let header = json!({ "alg": "HS256", "kid": id }).to_string();
        signed(&header, &claims().to_string(), &private("oct"), Algorithm::HS256)
    };
    assert_eq!(checked(&tokens, &named(json!("a"))), Ok("u7".to_owned()));
    assert_eq!(checked(&tokens, &token(&claims().to_string())), Ok("u7".to_owned()), "without a name");
    assert_eq!(checked(&tokens, &named(json!("b"))), INVALID, "the named key has another algorithm");
    for unknown in ["", "c", "../../a", "a\0", "' OR 1=1", "/dev/null"] {
        assert_eq!(checked(&tokens, &named(json!(unknown))), Err("token key unknown"), "{unknown:?}");
    }
    for wrong in [json!("k".repeat(10 * 1_024)), json!(7), json!(null), json!(["a"])] {
        assert_eq!(checked(&tokens, &named(wrong)), INVALID);
    }
}

#[test]
fn a_token_cannot_bring_its_own_key() {
    let tokens = with_sets(&[]);
    for (name, value) in [
        ("jwk", key("ed")["jwk"].clone()),
        ("jku", json!("https://evil.test/keys")),
        ("x5u", json!("https://evil.test/keys")),
        ("x5c", json!(["AA=="])),
    ] {
        let (mut by_own_key, mut by_secret) = (json!({ "alg": "EdDSA" }), json!({ "alg": "HS256" }));
        by_own_key[name] = value.clone();
        by_secret[name] = value;
        let text = claims().to_string();
        let forged = signed(&by_own_key.to_string(), &text, &private("ed"), Algorithm::EdDSA);
        assert_eq!(checked(&tokens, &forged), INVALID, "{name}");
        let good = signed(&by_secret.to_string(), &text, &private("oct"), Algorithm::HS256);
        assert_eq!(checked(&tokens, &good), Ok("u7".to_owned()), "{name} is not read");
    }
}

#[test]
fn claims_that_are_missing_or_of_another_kind_are_invalid() {
    let tokens = with_sets(&[]);
    for (name, values) in [
        ("exp", vec![json!("1900000000"), json!(1_900_000_000.5), json!(-1), json!(1e308), json!(null), json!([1])]),
        ("aud", vec![json!("other"), json!(["other"]), json!([]), json!({ "handclasp": 1 }), json!(null), json!(1)]),
        ("sub", vec![json!(""), json!("a\nb"), json!("s".repeat(129)), json!(7), json!(null)]),
        ("nbf", vec![json!("1"), json!(1.5), json!(null)]),
        ("iat", vec![json!(null), json!(-1)]),
        ("iss", vec![json!(null), json!(["a"])]),
        ("jti", vec![json!("j".repeat(129)), json!(null)]),
        ("handclasp", vec![json!(null), json!([]), json!([["a"]]), json!("*"), json!({ "peers": "*" })]),
    ] {
        for value in values {
            let mut wrong = claims();
            wrong[name] = value;
            assert_eq!(checked(&tokens, &token(&wrong.to_string())), INVALID, "{wrong}");
        }
    }
    for name in ["sub", "exp", "aud"] {
        let mut wrong = claims();
        wrong.as_object_mut().unwrap().remove(name);
        assert_eq!(checked(&tokens, &token(&wrong.to_string())), INVALID, "without {name}");
    }
    let text = claims().to_string();
    for twice in [r#""exp":1900000000"#, r#""\u0065xp":1900000000"#, r#""aud":"handclasp""#, r#""sub":"u7""#] {
        assert_eq!(checked(&tokens, &token(&text.replacen('{', &format!("{{{twice},"), 1))), INVALID, "{twice}");
    }
    assert_eq!(checked(&tokens, &token(&format!(r#"["u7",{},"handclasp"]"#, NOW + 60))), INVALID);
    let large = json!({ "sub": "u7", "aud": "handclasp", "exp": NOW + 60, "more": "m".repeat(4_096) });
    assert_eq!(checked(&tokens, &token(&large.to_string())), INVALID, "too large");
    let mut several = claims();
    several["aud"] = json!(["other", "handclasp"]);
    assert_eq!(checked(&tokens, &token(&several.to_string())), Ok("u7".to_owned()));
}

#[test]
fn the_issuer_must_be_the_one_of_the_configuration_if_there_is_one() {
    let (any, one) = (with_sets(&[]), with_sets(&["issuer=me"]));
    for (issuer, expected) in [(None, INVALID), (Some("you"), INVALID), (Some("me"), Ok("u7".to_owned()))] {
        let mut of_issuer = claims();
        issuer.into_iter().for_each(|issuer| of_issuer["iss"] = issuer.into());
        let token = token(&of_issuer.to_string());
        assert_eq!((checked(&any, &token), checked(&one, &token)), (Ok("u7".to_owned()), expected));
    }
}

#[test]
fn a_token_holds_between_its_times_and_the_leeway_around_them() {
    let tokens = with_sets(&["leeway=10s"]);
    let mut timed = claims();
    (timed["nbf"], timed["iat"]) = (json!(NOW), json!(NOW));
    let token = token(&timed.to_string());
    let at = |now| checked_at(&tokens, &token, now).map(|access| access.expires_in(Instant::now()).as_secs());
    assert_eq!(at(NOW - 11), Err("token not yet valid"));
    assert!(at(NOW - 10).is_ok_and(|left| (68..=70).contains(&left)));
    assert!(at(NOW).is_ok_and(|left| (58..=60).contains(&left)));
    assert_eq!(at(NOW + 69), Ok(0), "within the leeway");
    assert_eq!(at(NOW + 70), Err("token expired"));
    assert_eq!(at(NOW + 3_600), Err("token expired"), "a clock jump of an hour");
    assert_eq!(at(NOW - 3_600), Err("token not yet valid"));
}

#[test]
fn a_session_lasts_until_the_token_expires_and_never_longer_than_the_maximum() {
    let (now, tokens) = (Instant::now(), with_sets(&["max_session=2m", "leeway=10s"]));
    let ends_after = |exp: u64| {
        let mut claims = claims();
        claims["exp"] = exp.into();
        let access = tokens.check_at(&token(&claims.to_string()), Duration::from_secs(NOW), now).unwrap();
        (access.ends() - now, access.expires_in(now))
    };
    let seconds = |ends, expires| (Duration::from_secs(ends), Duration::from_secs(expires));
    assert_eq!(ends_after(NOW + 60), seconds(70, 60));
    assert_eq!(ends_after(NOW - 6), seconds(4, 0), "one leeway and not two");
    assert_eq!(ends_after(NOW + 115), seconds(120, 115));
    assert_eq!(ends_after(NOW + 3_600), seconds(120, 120));
    assert_eq!(ends_after(u64::MAX), seconds(120, 120));
}

#[test]
fn a_subject_is_one_owner_with_each_of_its_tokens() {
    let tokens = with_sets(&[]);
    let owner = |changes: Value| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        checked_at(&tokens, &token(&claims.to_string()), NOW).unwrap().owner()
    };
    let first = owner(json!({}));
    assert_eq!(first, owner(json!({ "exp": NOW + 600, "handclasp": { "peers": [] } })));
    assert_ne!(first, owner(json!({ "sub": "u8" })));
    assert_ne!(first, owner(json!({ "iss": "me" })));
    assert_ne!(owner(json!({ "iss": "ab", "sub": "c" })), owner(json!({ "iss": "a", "sub": "bc" })));
}

#[test]
fn a_signed_token_is_accepted_or_the_reason_is_told() {
    let tokens = with_sets(&["issuer=me"]);
    let request = |subject: &str, peers: Vec<String>| TokenRequest {
        subject: subject.to_owned(),
        lifetime: Duration::from_secs(60),
        grants: Some(GrantLists { peers: Some(peers), ..GrantLists::default() }),
    };
    let access = tokens.check(&tokens.sign(&request("u7", vec!["u7-*".into()])).unwrap()).unwrap();
    assert!(access.subject() == "u7" && access.may_own("u7-1") && !access.may_own("u7") && !access.may_join("a"));
    assert!(tokens.sign(&request("", Vec::new())).unwrap_err().contains("`sub`"));
    assert!(tokens.sign(&request("u7", vec!["a".into(); 65])).unwrap_err().contains("64 patterns"));
    assert!(tokens.sign(&request("u7", vec!["a".repeat(255); 64])).unwrap_err().contains("4,096 bytes"));
    let without_secret = Tokens { signer: None, ..with_sets(&[]) };
    assert!(without_secret.sign(&request("u7", Vec::new())).unwrap_err().contains("auth.secrets"));
}

#[test]
fn keys_that_cannot_be_used_are_skipped_with_a_warning() {
    let with = |kind: &str, name: &str, value: Value| {
        let mut jwk = key(kind)["jwk"].clone();
        jwk[name] = value;
        jwk
    };
    let wrong = [
        key("short rsa")["jwk"].clone(),
        with("ec", "crv", json!("P-384")),
        with("ec", "x", json!("AA")),
        with("ed", "crv", json!("X25519")),
        with("oct", "k", json!(part("too short"))),
        with("rsa", "alg", json!("RS512")),
        with("rsa", "use", json!("enc")),
        with("ed", "key_ops", json!(["sign"])),
        json!({ "kty": "other", "kid": "k\n1" }),
        json!("a key"),
    ];
    let found = set(&wrong);
    assert_eq!((found.keys.len(), found.warnings.len()), (0, wrong.len()), "{:?}", found.warnings);
    assert!(found.warnings[8].starts_with(r#"key 9 (kid "k\n1") is skipped"#), "{}", found.warnings[8]);
    for text in ["", "[]", "{}", r#"{"keys":{}}"#] {
        assert!(KeySet::parse(text.as_bytes()).is_err(), "{text}");
    }
    let many = json!({ "keys": vec![key("ed")["jwk"].clone(); 33] }).to_string();
    assert!(KeySet::parse(many.as_bytes()).unwrap_err().contains("33 keys"));
    assert!(KeySet::parse(&vec![b' '; 256 * 1_024 + 1]).unwrap_err().contains("256 KiB"));
}

#[test]
fn nothing_shows_a_secret_or_a_token() {
    let tokens = with_sets(&[]);
    let shown = format!("{tokens:?} {:?}", set(&[key("oct")["jwk"].clone()]));
    let encoded = key("oct")["private"].as_str().unwrap().to_owned();
    assert!(!shown.contains(SECRET) && !shown.contains(&encoded), "{shown}");
}

/// With two of them, the first signature would panic.
#[test]
fn the_build_has_one_provider_of_cryptography() {
    assert!(jsonwebtoken::crypto::CryptoProvider::try_get_default().is_some());
}
