//! The configuration of a cluster: what its values may be, which of them fit together, and that no error shows a secret.

use std::time::Duration;

use handclasp::config::{ClusterScheme, Engine, Isolated};

use super::config::{file, load, set};

const SECRET: &str = "cluster.secret=hunter2hunter2hunter2hunter2hunter2";
const REDIS: [&str; 3] = ["cluster.engine=redis", "cluster.urls=redis://localhost", SECRET];
const NATS: [&str; 3] = ["cluster.engine=nats", "cluster.urls=nats://localhost:4222", SECRET];

/// The error of a configuration with an engine and these settings, of which later ones count.
fn error(engine: &[&str], sets: &[&str]) -> String {
    set(&[engine, sets].concat()).unwrap_err()
}

#[test]
fn a_cluster_is_configured_by_its_engine_its_urls_and_its_secret() {
    let alone = set(&[]).unwrap().cluster;
    assert_eq!((alone.engine, alone.urls.len(), &alone.secret), (Engine::None, 0, &None));
    assert_eq!((&*alone.prefix, alone.queue_bytes, alone.isolated), ("handclasp", 16_777_216, Isolated::Proven));
    assert_eq!((alone.lease, alone.timeout), (Duration::from_secs(10), Duration::from_millis(500)));
    let sets = [&REDIS[..], &["cluster.node=web.1", "cluster.prefix=mine", "cluster.isolated=all"]].concat();
    let redis = set(&sets).unwrap().cluster;
    assert_eq!((redis.engine, &*redis.node.get(), &*redis.prefix), (Engine::Redis, "web.1", "mine"));
    assert_eq!(redis.secret.unwrap().reveal(), b"hunter2hunter2hunter2hunter2hunter2");
    assert_eq!(redis.isolated, Isolated::All);
    assert_eq!(set(&NATS).unwrap().cluster.engine, Engine::Nats);
    assert_eq!(set(&["cluster.isolated=none"]).unwrap().cluster.isolated, Isolated::None);
}

#[test]
fn the_secret_can_come_from_the_environment() {
    let path = file("[cluster]\nengine = \"redis\"\nurls = [\"redis://localhost\"]\n");
    let secret = |value: &str| load(Some(&path), &[("HANDCLASP_CLUSTER_SECRET", value)], &[]);
    let base64 = "hM8Yq0wL1+/3lHTbJ0nq6vEwKpY2C1m5dT3mZr4u5sA=";
    assert_eq!(secret(base64).unwrap().cluster.secret.unwrap().reveal(), base64.as_bytes());
    assert_eq!(secret(&"é".repeat(256)).unwrap().cluster.secret.unwrap().reveal().len(), 512);
    assert!(secret("").unwrap_err().starts_with("cluster.secret: missing, but cluster.engine is \"redis\""));
    let number = secret(&"1".repeat(40)).unwrap_err();
    assert!(number.starts_with("HANDCLASP_CLUSTER_SECRET: cluster.secret: must be a string"), "{number}");
}

#[test]
fn the_urls_are_those_of_the_engines() {
    for (url, scheme, shown) in [
        ("redis://localhost", ClusterScheme::Redis, "redis://localhost"),
        ("redis://me:hunter2@10.0.0.1:6379/15", ClusterScheme::Redis, "redis://***@10.0.0.1:6379/15"),
        ("redis://:hunter2@a.test/", ClusterScheme::Redis, "redis://***@a.test/"),
        ("rediss://hunter2@[::1]:6380", ClusterScheme::RedisTls, "rediss://***@[::1]:6380"),
        (
            "redis+sentinel://:h%2Fr@a.test:26379/main",
            ClusterScheme::Sentinel,
            "redis+sentinel://***@a.test:26379/main",
        ),
        ("nats://hunter2@a.test:4222", ClusterScheme::Nats, "nats://***@a.test:4222"),
        ("tls://a.test", ClusterScheme::NatsTls, "tls://a.test"),
    ] {
        let engine = format!("cluster.engine={}", scheme.engine().name());
        let urls = set(&[&engine, SECRET, &format!("cluster.urls={url}")]).unwrap().cluster.urls;
        assert_eq!((urls[0].scheme(), urls[0].reveal().as_str()), (scheme, url));
        assert_eq!((urls[0].to_string(), format!("{urls:?}")), (shown.to_owned(), format!("[{shown}]")));
    }
    let many = |n| format!("cluster.urls=[{}]", vec!["\"nats://localhost\""; n].join(","));
    assert_eq!(set(&[&NATS[..], &[&*many(16)]].concat()).unwrap().cluster.urls.len(), 16);
    assert_eq!(error(&NATS, &[&many(17)]), "--set: cluster.urls: 17 URLs are too many, at most 16");
}

/// A URL that is no engine's may contain a password where a valid one does not.
#[test]
fn invalid_urls_are_refused_and_not_shown() {
    for url in [
        "hunter2",
        "hunter2@a.test",
        "//hunter2@a.test",
        "http://hunter2@a.test",
        "redis:hunter2@a.test",
        "redis://",
        "redis://:hunter2@",
        "redis://me:hunter2@:6379",
        "redis://me:hunter2@a.test:0",
        "redis://me:hunter2@a.test:65536",
        "redis://me:hunter2@a b",
        "redis://me:1#hunter2@a.test",
        "redis://me:1/hunter2@a.test",
        "redis://me:1?hunter2@a.test",
        "redis://me:hunter2@a.test/zero",
        "redis+sentinel://hunter2@a.test",
        "redis+sentinel://hunter2@a.test/a/b",
        "nats://hunter2@a.test/1",
        "redis+cluster://hunter2@a.test",
    ] {
        let error = error(&NATS, &[&format!("cluster.urls=[\"nats://a.test\", \"{url}\"]")]);
        assert!(
            error.starts_with("--set: cluster.urls: entry 2: must be redis://host:port/database"),
            "{url}: {error}"
        );
        assert!(!error.contains("hunter2") && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn values_that_contradict_the_engine_are_refused() {
    let two = r#"cluster.urls=["redis+sentinel://:hunter2@a.test/one","redis+sentinel://b.test/"#;
    for (engine, sets, expected) in [
        (&REDIS, &["cluster.urls=[]"][..], r#"cluster.urls: empty, but cluster.engine is "redis""#),
        (
            &REDIS,
            &["cluster.secret="],
            r#"cluster.secret: missing, but cluster.engine is "redis": set the same secret on every node"#,
        ),
        (
            &REDIS,
            &["cluster.urls=nats://hunter2@a.test"],
            r#"cluster.urls: entry 1, nats://***@a.test, does not fit cluster.engine, which is "redis""#,
        ),
        (
            &NATS,
            &[r#"cluster.urls=["nats://a.test","redis://b.test"]"#],
            r#"cluster.urls: entry 2, redis://b.test, does not fit cluster.engine, which is "nats""#,
        ),
        (
            &REDIS,
            &[r#"cluster.urls=["redis://a.test","redis://b.test"]"#],
            "cluster.urls: several URLs must all begin with redis+sentinel://, one for each Sentinel",
        ),
        (
            &REDIS,
            &[&*format!("{two}two\"]")],
            "cluster.urls: redis+sentinel://***@a.test/one and redis+sentinel://b.test/two name different services",
        ),
        (
            &REDIS,
            &["cluster.lease=2s", "cluster.timeout=501ms"],
            "cluster.lease: 2s is shorter than 4 times cluster.timeout, 501ms: a node could not try again before it counts as dead",
        ),
    ] {
        assert_eq!(error(engine, sets), expected);
    }
    for (engine, sets) in [
        (&REDIS, &["cluster.lease=2s", "cluster.timeout=500ms"][..]),
        (&REDIS, &[&*format!("{two}one\"]")]),
        (&NATS, &[r#"cluster.urls=["nats://a.test","tls://b.test"]"#]),
    ] {
        set(&[&engine[..], sets].concat()).unwrap();
    }
    set(&["cluster.lease=2s", "cluster.timeout=10s", "cluster.urls=redis://a.test"]).unwrap();
}

#[test]
fn invalid_values_are_refused() {
    let long = "a".repeat(65);
    for (set_text, wanted) in [
        ("cluster.engine=kafka", r#""kafka" is not none, redis or nats"#),
        ("cluster.isolated=yes", r#""yes" is not proven, all or none"#),
        ("cluster.node=a b", r#""a b" is not a name of letters, digits, - _ and ., of at most 64 bytes"#),
        ("cluster.node=ä", r#""ä" is not a name of"#),
        (&format!("cluster.node={long}"), "is not a name of"),
        ("cluster.prefix=", r#""" is not a word of letters, digits, - and _, of at most 64 bytes"#),
        ("cluster.prefix=a.b", r#""a.b" is not a word of"#),
        (&format!("cluster.prefix={long}"), "is not a word of"),
        ("cluster.secret=hunter2hunter2hunter2hunter2hun", "31 bytes are not 32 to 512"),
        (&format!("cluster.secret={}", "hunter2".repeat(74)), "518 bytes are not 32 to 512"),
    ] {
        let error = set(&[set_text]).unwrap_err();
        let key = set_text.split('=').next().unwrap();
        assert!(error.starts_with(&format!("--set: {key}: ")) && error.lines().count() == 1, "{error}");
        assert!(error.contains(wanted) && !error.contains("hunter2"), "{error}");
    }
    let longest = format!("cluster.node={}", &long[1..]);
    assert_eq!(set(&[&longest]).unwrap().cluster.node.get().len(), 64);
}

#[test]
fn neither_an_error_nor_the_configuration_shows_a_secret() {
    let config = set(&[&REDIS[..], &["cluster.urls=redis://me:hunter2@a.test"]].concat()).unwrap();
    assert!(!format!("{config:?} {config:#?}").contains("hunter2"));
    for text in [
        "[cluster]\nsecret = hunter2hunter2hunter2hunter2hunter2",
        "[cluster]\nsecret = \"hunter2hunter2hunter2hunter2hunter2",
        "[cluster]\nsecret = [\"hunter2\"]",
        "[cluster]\nsecret.hunter2 = \"hunter2\"",
        "[cluster]\nsecret = \"hunter2\"",
        "[cluster]\nurls = [[\"hunter2\"]]",
        "[cluster]\nurls = { hunter2 = \"hunter2\" }",
        "[cluster]\nurl = \"redis://hunter2@a.test\"",
    ] {
        let variables = [("HANDCLASP_CLUSTER_SECRET", "hunter2"), ("HANDCLASP_CLUSTER_URLS", "redis://hunter2@")];
        let errors = load(Some(&file(text)), &variables, &["cluster.secret=[\"hunter2\"]", "cluster.secret hunter2"]);
        let errors = errors.unwrap_err();
        assert_eq!(errors.lines().count(), 5, "{errors}");
        assert!(!errors.contains("hunter2"), "{errors}");
    }
}
