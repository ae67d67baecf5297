//! The configuration of webhooks: what is refused, and that no error shows a secret.

use handclasp::Config;

use crate::receiver::SECRET;

fn load(sets: &[&str]) -> Result<Config, String> {
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    Config::load(None, [], &sets, None).map_err(|errors| errors.to_string())
}

#[test]
fn a_url_needs_a_secret_and_has_no_user_name() {
    let secret = format!("webhooks.secrets={SECRET}");
    for url in ["https://backend.test/hooks", "http://127.0.0.1:3000/hooks?key=1", "http://localhost/"] {
        let url = format!("webhooks.url={url}");
        assert_eq!(load(&[&url, &secret]).map(|config| config.webhooks.url.is_some()), Ok(true));
        let error = load(&[&url]).unwrap_err();
        assert_eq!(error, "webhooks.secrets: empty, but webhooks.url is set: its receiver could not check a signature");
    }
    for (url, wanted) in [
        (
            "http://backend.test/hunter2",
            "must begin with https: only localhost and addresses of loopback may have http",
        ),
        ("https://me:hunter2@backend.test/", "must have no user name and no password"),
        ("hunter2", "must be a URL such as https://backend.example.com/hooks"),
    ] {
        let error = load(&[&format!("webhooks.url={url}"), &secret]).unwrap_err();
        assert_eq!(error, format!("--set: webhooks.url: {wanted}"));
    }
}

#[test]
fn a_secret_has_the_form_of_standard_webhooks() {
    let bytes = |count: usize| "A".repeat(count.div_ceil(3) * 4);
    for (secrets, wanted) in [
        (SECRET.to_owned(), None),
        (format!("[\"{SECRET}\", \"whsec_{}\"]", bytes(24)), None),
        (format!("[\"{SECRET}\", \"{SECRET}\"]"), Some("both entries are the same secret")),
        (
            format!("[\"{SECRET}\", \"whsec_{}\", \"whsec_{}\"]", bytes(24), bytes(27)),
            Some("3 secrets are too many, at most 2"),
        ),
        (format!("whsec_{}", bytes(21)), Some("entry 1: must be whsec_ and 24 to 64 bytes in base64")),
        (
            format!("[\"{SECRET}\", \"whsec_{}\"]", bytes(66)),
            Some("entry 2: must be whsec_ and 24 to 64 bytes in base64"),
        ),
        (
            "hunter2hunter2hunter2hunter2hunter2".to_owned(),
            Some("entry 1: must be whsec_ and 24 to 64 bytes in base64"),
        ),
    ] {
        let result = load(&[&format!("webhooks.secrets={secrets}")]);
        match wanted {
            None => assert!(result.is_ok(), "{result:?}"),
            Some(wanted) => {
                let error = result.unwrap_err();
                assert!(error.starts_with(&format!("--set: webhooks.secrets: {wanted}")), "{error}");
                assert!(!error.contains("hunter2") && !error.contains("AAAA"), "{error}");
            }
        }
    }
    let debug = format!("{:?}", load(&[&format!("webhooks.secrets={SECRET}")]).unwrap());
    assert!(!debug.contains("MDEy") && debug.contains("(secret)"));
}

#[test]
fn events_and_topics_are_lists_of_words() {
    for (set, wanted) in [
        ("webhooks.events=[\"peer_up\", \"room_vacated\"]", None),
        ("webhooks.events=[]", None),
        ("webhooks.events=node_up", Some("entry 1: must be peer_up, peer_down, room_occupied or room_vacated")),
        ("webhooks.topics=[\"peer:*\", \"socketio:*\"]", None),
        ("webhooks.topics=[\"\"]", Some("entry 1: must be a name of 1 to 255 bytes, or its beginning and *")),
        ("webhooks.queue_size=99", Some("99 is not a whole number from 100 to 1000000")),
        ("webhooks.grace_period=6m", Some("\"6m\" is not a duration from \"0s\" to \"5m\"")),
    ] {
        let error = load(&[set]).err();
        assert_eq!(error.as_deref().map(|error| error.splitn(3, ": ").last().unwrap()), wanted, "{set}");
    }
}
