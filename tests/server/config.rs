//! The configuration: files, environment variables and flags, their order, and the errors in them.

use handclasp::config::Origins;
use handclasp::config::{Config, LogFormat, SETTINGS, Setting};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::check_generated;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub(crate) fn set(sets: &[&str]) -> Result<Config, String> {
    load(None, &[], sets)
}

pub(crate) fn load(file: Option<&Path>, variables: &[(&str, &str)], sets: &[&str]) -> Result<Config, String> {
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    Config::load(file, variables, &sets, None).map_err(|errors| errors.to_string())
}

/// Writes a file with a name of its own for each call, so that tests can run in parallel.
#[track_caller]
pub(crate) fn file(text: &str) -> PathBuf {
    let source = std::panic::Location::caller();
    let path =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("config-{}-{}.toml", source.line(), source.column()));
    std::fs::write(&path, text).unwrap();
    path
}

fn assert_lines(errors: &str, expected: &[&str]) {
    assert_eq!(errors.lines().collect::<Vec<_>>(), expected);
}

/// The text that `config/handclasp.toml` must have, generated from the declarations.
fn documented() -> String {
    let mut text = include_str!("../../config/handclasp.toml")
        .split_inclusive('\n')
        .take_while(|line| line.starts_with('#'))
        .collect::<String>();
    let mut section = "";
    for Setting { key, default, range, description, .. } in SETTINGS {
        let (key_section, name) = key.split_once('.').unwrap();
        if key_section != section {
            text += &format!("\n[{key_section}]\n");
            section = key_section;
        }
        text += "\n";
        description.iter().for_each(|line| text += &format!("#{line}\n"));
        text += &range.map_or(String::new(), |(low, high)| format!("# From {low} to {high}.\n"));
        text += &format!("#{name} = {default}\n");
    }
    text
}

#[test]
fn the_documented_file_agrees_with_the_declarations() {
    check_generated("config/handclasp.toml", |_| documented());
}

#[test]
fn the_documented_file_shows_the_defaults() {
    let path = Path::new(ROOT).join("config/handclasp.toml");
    assert_eq!(load(Some(&path), &[], &[]).unwrap(), Config::default());
    let uncommented: String = std::fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(|line| {
            let is_key = line.starts_with('#') && !line.starts_with("# ");
            format!("{}\n", if is_key { &line[1..] } else { line })
        })
        .collect();
    assert_eq!(load(Some(&file(&uncommented)), &[], &[]).unwrap(), Config::default());
    assert_eq!(
        uncommented.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')).count(),
        SETTINGS.len()
    );
}

#[test]
fn the_benchmark_configuration_is_valid() {
    let bench = load(Some(&Path::new(ROOT).join("tests/bench/handclasp.toml")), &[], &[]).unwrap();
    assert!(bench.limits.sockets_per_ip >= 15_000);
    assert_eq!(bench.server.workers, 1);
}

#[test]
fn the_defaults_are_as_documented() {
    let config = Config::default();
    assert_eq!(config, set(&[]).unwrap());
    assert_eq!(config.server.listen, "127.0.0.1:4000".parse().unwrap());
    assert_eq!(config.socket.mounts, ["/socket", "/ws", "/peer"]);
    assert_eq!(config.socket.check_origin, Origins::parse(&["same"]).unwrap());
    assert_eq!(config.socketio.check_origin, Origins::parse(&["any", "null"]).unwrap());
    assert_eq!(config.peerjs.cors, Origins::parse(&["any"]).unwrap());
    assert_eq!((config.limits.queue_bytes, config.limits.queue_age), (8_388_608, Duration::from_secs(15)));
    assert_eq!(config.presence.interval, Duration::from_millis(50));
    assert_eq!((config.page.enabled, config.page.dir), (true, None));
    assert_eq!(config.log.format, LogFormat::Human);
}

#[test]
fn every_range_includes_its_ends_and_excludes_the_next_values() {
    for Setting { key, range, .. } in SETTINGS {
        let Some((low, high)) = range else { continue };
        // drain.spread may not be longer than drain.timeout
        let with = |value: &str| set(&["drain.timeout=2h", "drain.spread=0s", &format!("{key}={value}")]);
        with(low).unwrap();
        with(high).unwrap();
        let (below, above) = match low.strip_prefix('"') {
            None => ("-1".to_owned(), format!("{}", high.replace('_', "").parse::<u64>().unwrap() + 1)),
            Some(_) => ("-1s".to_owned(), format!("{} 1ms", high.trim_matches('"'))),
        };
        for outside in [&below, &above, "99999999999999999999999", "1.5", "true", "[]", "{}", ""] {
            let error = with(outside).unwrap_err();
            assert!(error.starts_with(&format!("--set: {key}: ")), "{error}");
            assert!(error.contains(&high.replace('_', "")), "{error}");
        }
    }
}

#[test]
fn flags_override_variables_which_override_the_file_which_overrides_defaults() {
    let path =
        file("[limits]\nqueue_bytes = 2_000\nfragments = 2\ntopic_bytes = 200\n[server]\nlisten = \"127.0.0.1:1\"");
    let variables = [("HANDCLASP_LIMITS_FRAGMENTS", "3"), ("HANDCLASP_LIMITS_TOPIC_BYTES", "300"), ("PATH", "/bin")];
    let config = load(Some(&path), &variables, &["limits.topic_bytes=350", "limits.topic_bytes=400"]).unwrap();
    let limits = &config.limits;
    assert_eq!((limits.queue_bytes, limits.fragments, limits.topic_bytes, limits.event_bytes), (2_000, 3, 400, 255));
    let listen = Config::load(Some(&path), [], &["server.listen=127.0.0.1:2".into()], Some("127.0.0.1:3")).unwrap();
    assert_eq!(listen.server.listen.port(), 3);
}

#[test]
fn a_variable_can_name_the_file_and_a_flag_overrides_it() {
    let (named, given) = (file("[limits]\nfragments = 7"), file("[limits]\nfragments = 8"));
    let variables = [("HANDCLASP_CONFIG", named.to_str().unwrap()), ("HANDCLASP_BIN", "x")];
    assert_eq!(load(None, &variables, &[]).unwrap().limits.fragments, 7);
    assert_eq!(load(Some(&given), &variables, &[]).unwrap().limits.fragments, 8);
    assert_eq!(load(None, &[("HANDCLASP_CONFIG", "")], &[]).unwrap(), Config::default());
}

#[test]
fn every_key_has_a_variable_of_its_own() {
    let mut names: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
    for (setting, name) in SETTINGS.iter().zip(&names) {
        load(None, &[(name, setting.default.trim_matches('"'))], &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), SETTINGS.len());
}

#[test]
fn values_of_variables_and_flags_are_toml_or_plain_text() {
    let config = set(&[
        "server.listen=[::1]:80",
        "limits.queue_bytes=0x1_0000",
        "limits.queue_age=200ms",
        "drain.spread=\"1s\"",
        "page.enabled=false",
        "socket.mounts=/one",
        "socket.check_origin=[\"same\", \"https://example.com\"]",
        "server.trusted_proxies=[\"10.1.2.3/8\", \"::1\"]",
        "log.level=warn,handclasp=debug",
        "log.format=json",
    ])
    .unwrap();
    assert_eq!(config.server.listen, "[::1]:80".parse().unwrap());
    assert_eq!((config.limits.queue_bytes, config.limits.queue_age), (65_536, Duration::from_millis(200)));
    assert_eq!((config.drain.spread, config.page.enabled), (Duration::from_secs(1), false));
    assert_eq!(config.socket.mounts, ["/one"]);
    assert_eq!(config.socket.check_origin.to_string(), "same, https://example.com");
    assert_eq!(config.server.trusted_proxies, ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
    assert_eq!((config.log.level.as_str(), config.log.format), ("warn,handclasp=debug", LogFormat::Json));
}

#[test]
fn every_error_is_reported_with_its_line_and_a_similar_key() {
    let path = file(
        "listen = 1\n[limits]\nqueue_byte = 1\nfragments = 0\n\n[limit]\nqueue_age = \"1s\"\n[nonsense]\n[log]\nlevel = \"inof\"\n",
    );
    let errors =
        load(Some(&path), &[("HANDCLASP_LIMITS_QUEUE_AG", "1s")], &["limits.fragments=none", "x"]).unwrap_err();
    let at = |line: u8| format!("{}:{line}", path.display());
    assert_lines(
        &errors,
        &[
            "--set: must be section.key=value",
            &format!("{}: listen: no such key; did you mean server.listen?", at(1)),
            &format!("{}: limits.queue_byte: no such key; did you mean limits.queue_bytes?", at(3)),
            &format!("{}: limits.fragments: 0 is not a whole number from 1 to 1000000", at(4)),
            &format!("{}: limit.queue_age: no such key; did you mean limits.queue_age?", at(7)),
            &format!("{}: nonsense: no such key", at(8)),
            &format!(
                "{}: log.level: \"inof\" is not off, error, warn, info, debug or trace, or a filter such as info,handclasp=debug",
                at(10)
            ),
            "HANDCLASP_LIMITS_QUEUE_AG: no such key; did you mean HANDCLASP_LIMITS_QUEUE_AGE?",
            "--set: limits.fragments: \"none\" is not a whole number from 1 to 1000000",
        ],
    );
}

#[test]
fn invalid_toml_is_reported_by_line_and_the_flags_are_still_checked() {
    let path = file("[limits]\nfragments = two\n\n[log\n");
    let errors = load(Some(&path), &[], &["limits.fragments=0"]).unwrap_err();
    let starts: Vec<String> = errors.lines().map(|line| line.split(": ").next().unwrap().to_owned()).collect();
    assert_eq!(starts, [format!("{}:2", path.display()), format!("{}:4", path.display()), "--set".into()]);
}

#[test]
fn an_unreadable_file_is_reported() {
    assert_lines(
        &load(Some(Path::new("/none/x.toml")), &[], &[]).unwrap_err(),
        &["/none/x.toml: cannot be read: No such file or directory (os error 2)"],
    );
}

#[test]
fn invalid_values_are_rejected() {
    for set_text in [
        "server.listen=localhost",
        "server.listen=local host:4000",
        "server.listen=127.0.0.1",
        "server.trusted_proxies=10.0.0.0/33",
        "page.dir=/none/such",
        "page.enabled=yes",
        "page.token_url=https://a.test/token",
        "page.token_url=//a.test/token",
        "page.token_url=app/token",
        "page.token_url=/app/\"><script>",
        "page.token_url=/app\\token",
        "page.content_security_policy=[1]",
        "page.content_security_policy=\"a\\nb\"",
        "page.content_security_policy=default-src ‘self’",
        "socket.mounts=[]",
        "socket.mounts=socket",
        "socket.mounts=/",
        "socket.mounts=/socket/",
        "socket.mounts=/{tail}",
        "socket.mounts=/a/../b",
        "socket.mounts=[\"/a\", \"/a\"]",
        "socket.check_origin=example.com",
        "socket.check_origin=[]",
        "socket.check_origin=[1]",
        "log.format=xml",
        "log.level=handclasp",
        "log.level=",
    ] {
        let error = set(&[set_text]).unwrap_err();
        let key = set_text.split('=').next().unwrap();
        assert!(error.starts_with(&format!("--set: {key}: ")) && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn the_page_folder_can_be_set_and_unset() {
    let given = format!("page.dir={ROOT}");
    assert_eq!(set(&[&given]).unwrap().page.dir.as_deref(), Some(Path::new(ROOT)));
    assert_eq!(set(&[&given, "page.dir="]).unwrap().page.dir, None);
}

#[test]
fn the_policy_of_the_page_can_be_set_and_unset() {
    let policy = |sets: &[&str]| set(sets).unwrap().page.content_security_policy;
    let given = "page.content_security_policy=default-src 'self'; script-src 'none'";
    assert_eq!(policy(&[given]).unwrap(), "default-src 'self'; script-src 'none'");
    assert_eq!(policy(&[given, "page.content_security_policy="]), None);
    let path = file("[page]\ncontent_security_policy = \"\"\"\ndefault-src 'self';\nscript-src 'none'\"\"\"\n");
    let error = load(Some(&path), &[], &[]).unwrap_err();
    let message = r#"page.content_security_policy: "default-src 'self';\nscript-src 'none'" is not the value of an HTTP header: one line of ASCII characters"#;
    assert_eq!(error, format!("{}:2: {message}", path.display()));
}

#[test]
fn two_services_cannot_have_one_path() {
    for (sets, error) in [
        (&["socketio.path=/ws"][..], r#"socketio.path: "/ws" is taken by socket.mounts"#),
        (&["ice.path=/socket.io"], r#"ice.path: "/socket.io" is taken by socketio.path"#),
        (&["ice.path=/relay", "relay.enabled=true"], r#"ice.path: "/relay" is taken by relay.path"#),
        (
            &["relay.path=/hello", "relay.enabled=true", "hello.enabled=true"],
            r#"relay.path: "/hello" is taken by HelloWebRTC"#,
        ),
        (&["socket.mounts=/a", "peerjs.path=/b", "ice.path=/b/peerjs"], r#"ice.path: "/b/peerjs" is taken by PeerJS"#),
        (&["socketio.path=/healthz"], r#"socketio.path: "/healthz" is taken by the health check"#),
        (&["socket.mounts=/readyz"], r#"socket.mounts: "/readyz" is taken by the readiness check"#),
    ] {
        assert_eq!(set(sets).unwrap_err(), error);
    }
    for sets in [&["relay.path=/hello", "hello.enabled=true"][..], &["ice.path=/hello"]] {
        set(sets).unwrap();
    }
}

#[test]
fn drain_spread_may_not_exceed_drain_timeout() {
    let error = set(&["drain.timeout=1s"]).unwrap_err();
    assert!(error.starts_with("drain.spread: 5s is longer than drain.timeout, 1s"), "{error}");
    set(&["drain.timeout=1s", "drain.spread=1s"]).unwrap();
}

#[test]
fn ice_servers_are_serialised_as_browsers_expect() {
    let path = file(
        r#"
        [[peer.ice_servers]]
        urls = "stun:stun.example.com:3478"
        [[peer.ice_servers]]
        urls = ["turn:turn.example.com?transport=tcp", "turns:[::1]:5349"]
        username = "me"
        credential = "hunter2"
    "#,
    );
    let config = load(Some(&path), &[], &[]).unwrap();
    assert_eq!(
        serde_json::to_string(&config.peer.ice_servers).unwrap(),
        r#"[{"urls":["stun:stun.example.com:3478"]},{"urls":["turn:turn.example.com?transport=tcp","turns:[::1]:5349"],"username":"me","credential":"hunter2"}]"#
    );
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_renamed_key_is_reported_with_its_new_name() {
    let errors = load(
        Some(&file("[hold]\nbytes = 1\n[limits]\nconnections_per_address = 1")),
        &[("HANDCLASP_SOCKET_JOIN_WITHIN", "5s")],
        &["hello.register_within=5s"],
    );
    let errors = errors.unwrap_err();
    for (old, new) in [
        ("hold.bytes", "held_signals.bytes"),
        ("limits.connections_per_address", "limits.sockets_per_ip"),
        ("HANDCLASP_SOCKET_JOIN_WITHIN", "HANDCLASP_SOCKET_JOIN_TIMEOUT"),
        ("hello.register_within", "hello.register_timeout"),
    ] {
        assert!(errors.contains(&format!("{old}: no such key; it was renamed to {new}")), "{errors}");
    }
}

#[test]
fn ice_servers_that_browsers_reject_are_rejected() {
    for (servers, why) in [
        ("[{ urls = [] }]", "entry 1: urls is missing or empty"),
        ("[{ urls = \"stun:a.test\" }, {}]", "entry 2: urls is missing or empty"),
        ("[{ urls = \"turn:a.test\", username = \"u\" }]", "entry 1: a turn url needs a username and a credential"),
        (
            "[{ urls = \"turn:a.test\", username = \"u\", secret = \"s\" }]",
            "entry 1: a secret replaces username and credential",
        ),
        ("[{ urls = \"stun:a.test\", username = 1 }]", "entry 1: username must be a string"),
        ("[{ urls = \"stun:a.test\", user = \"u\" }]", "entry 1: no such key \"user\""),
        ("[\"stun:a.test\"]", "entry 1: must be {"),
        ("\"stun:a.test\"", "must be a list"),
    ] {
        let error = set(&[&format!("peer.ice_servers={servers}")]).unwrap_err();
        assert!(error.starts_with(&format!("--set: peer.ice_servers: {why}")), "{error}");
    }
    for url in [
        "http://a.test",
        "stun://a.test",
        "stun:",
        "stun:a.test:0",
        "stun:a.test?transport=udp",
        "turn:a.test?x",
        "stun:a b",
    ] {
        let error = set(&[&format!("peer.ice_servers=[{{ urls = [\"stun:a.test\", \"{url}\"] }}]")]).unwrap_err();
        assert!(error.contains("entry 1: url 2 must be"), "{error}");
    }
    let many = vec!["{ urls = \"stun:a.test\" }"; 17].join(",");
    assert!(set(&[&format!("peer.ice_servers=[{many}]")]).unwrap_err().contains("17 servers are too many, at most 16"));
}

#[test]
fn no_error_contains_a_credential() {
    for text in [
        "peer.ice_servers = [{ urls = \"turn:a.test\", credential = \"hunter2\" }]",
        "peer.ice_servers = [{ urls = \"turn:me:hunter2@a.test\", username = \"me\", credential = \"hunter2\" }]",
        "peer.ice_servers = [{ urls = \"turn:a.test\", credential = hunter2 }]",
        "peer.ice_servers = \"hunter2\"",
        "peer.ice_server = \"hunter2\"",
        "[peer]\nice_servers = [{ credential = \"hunter2 }]",
    ] {
        let errors = load(
            Some(&file(text)),
            &[("HANDCLASP_PEER_ICE_SERVERS", "[{\"credential\":\"hunter2\"}]")],
            &["hunter2", "peer.ice_servers=hunter2"],
        );
        let errors = errors.unwrap_err();
        assert!(errors.lines().count() >= 4, "{errors}");
        assert!(!errors.contains("hunter2"), "{errors}");
    }
}
