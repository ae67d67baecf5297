//! The configuration of tokens: what its values may be, what a mode needs, and that no error shows a secret.

use handclasp::auth::Tokens;
use handclasp::config::AuthMode;

use super::config::{file, load, set};

const SECRET: &str = "hunter2hunter2hunter2hunter2hunter2";

#[test]
fn the_mode_needs_a_key() {
    let off = set(&[]).unwrap().auth;
    assert_eq!((off.mode, off.secrets.len(), &off.jwks, &*off.audience), (AuthMode::Off, 0, &None, "handclasp"));
    let error = set(&["auth.mode=required"]).unwrap_err();
    assert_eq!(error, r#"auth.mode: "required" needs a key: set auth.secrets or auth.jwks"#);
    let secrets = format!("auth.secrets={SECRET}");
    assert!(set(&["auth.mode=required", &secrets]).unwrap().auth.is_required());
    let text = format!("[auth]\nmode = \"required\"\nsecrets = [\"{SECRET}\", \"{}\"]\n", "b".repeat(512));
    let two = load(Some(&file(&text)), &[], &[]).unwrap().auth;
    assert_eq!((two.secrets.len(), two.secrets[0].reveal()), (2, SECRET.as_bytes()));
}

#[test]
fn invalid_values_are_rejected_and_no_secret_is_shown() {
    let many = format!("auth.secrets=[{}]", vec![format!("\"{SECRET}\""); 5].join(","));
    for (setting, expected) in [
        ("auth.secrets=hunter2", "entry 1: 7 bytes are not 32 to 512"),
        (&*format!("auth.secrets=[\"{SECRET}\", \"\"]"), "entry 2: must not be empty"),
        (&many, "5 secrets are too many, at most 4"),
        ("auth.secrets=replace-this-example-by-openssl-rand-base64-32", "entry 1: is the secret of an example"),
        ("auth.mode=on", "must be off, turn or required"),
        ("auth.jwks=hunter2.json", "is not an existing file"),
        ("auth.jwks=http://example.com/keys?hunter2", "must begin with https:"),
        ("auth.jwks=https://hunter2:x@example.com/keys", "must have no user name"),
        ("auth.revocations=missing/hunter2", "is not a file in an existing folder"),
        ("auth.audience=", "must be a text of 1 to 255 bytes"),
        ("auth.leeway=6m", "is not a duration from \"0s\" to \"5m\""),
    ] {
        let error = set(&[setting]).unwrap_err();
        assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_file_of_keys_is_read_at_the_start() {
    let with = |text: &str| {
        let path = file(text);
        let config = set(&["auth.mode=required", &format!("auth.jwks={}", path.display())]).unwrap();
        Tokens::from_config(&config.auth)
    };
    let unusable =
        with(r#"{"keys":[{"kty":"EC","crv":"P-521","x":"AA","y":"AA","kid":"k"}]}"#).unwrap_err().to_string();
    assert!(unusable.contains("no key can be used") && unusable.contains("key 1 (kid \"k\") is skipped"), "{unusable}");
    assert!(with("hunter2").is_err_and(|error| !error.to_string().contains("hunter2")));
    let ed = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let tokens = with(&format!(r#"{{"keys":[{ed},{{"kty":"other"}}]}}"#)).unwrap();
    assert_eq!(tokens.warnings().len(), 1);
    assert!(tokens.warnings()[0].contains("key 2 is skipped"), "{:?}", tokens.warnings());
}

#[test]
fn what_the_mode_closes_is_warned_of() {
    let secrets = format!("auth.secrets={SECRET}");
    let open = ["hello.enabled=true", "relay.enabled=true", "peerjs.allow_discovery=true"];
    let closed = set(&[&open[..], &["auth.mode=required", &secrets]].concat()).unwrap();
    let warnings = closed.warnings().join("\n");
    for key in ["auth.mode: closes", "hello.enabled (HelloWebRTC)", "relay.enabled (the plain relay)"] {
        assert!(warnings.contains(key), "{warnings}");
    }
    assert!(!warnings.contains("any client may") && !closed.is_hello_open() && !closed.is_relay_open());
    assert!(!set(&open).unwrap().warnings().join("\n").contains("auth.mode"));
}

#[test]
fn a_web_app_without_a_token_is_warned_of() {
    let secrets = format!("auth.secrets={SECRET}");
    let is_warned = |sets: &[&str]| {
        let config = set(&[&["auth.mode=required", &*secrets], sets].concat()).unwrap();
        config.warnings().iter().any(|line| line.contains("page.token_url is empty"))
    };
    assert!(is_warned(&[]));
    for sets in ["page.token_url=/app/token", "page.enabled=false", "page.dir=web"] {
        assert!(!is_warned(&[sets]), "{sets}");
    }
    assert!(!set(&[]).unwrap().warnings().join("\n").contains("page.token_url"));
}
