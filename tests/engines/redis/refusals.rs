//! Servers that cannot be used, and URLs that are wrong.

use std::rc::Rc;

use handclasp::cluster::engine::{Engine, LinkError};
use handclasp::cluster::redis::{Redis, RedisOptions};

use super::{PATIENT, SHORT, engine, link, link_again};
use crate::common::redis::RedisServer;
use crate::suite::{Recorder, Site, block_on, messages, names, nodes};

/// The documentation of the cluster.
const DOCS: &str = include_str!("../../../web/docs/cluster.md");

/// What a user of Redis needs, as the documentation says.
fn permissions() -> &'static str {
    DOCS.split("ACL SETUSER handclasp ").nth(1).unwrap().lines().next().unwrap()
}

fn unusable(url: &str) -> String {
    match link(url) {
        Err(LinkError::Unusable(why)) => why,
        result => panic!("{url}: {result:?}"),
    }
}

fn unreachable(url: &str) -> String {
    match link(url) {
        Err(LinkError::Unreachable(why)) => why,
        result => panic!("{url}: {result:?}"),
    }
}

#[test]
fn cluster_mode_is_refused() {
    let server = RedisServer::start(&["--cluster-enabled", "yes"]);
    let why = unusable(&server.url());
    assert!(why.contains("cluster mode") && why.contains("NATS"), "{why}");
}

#[test]
fn a_replica_is_not_used() {
    let primary = RedisServer::start(&[]);
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    let why = unreachable(&replica.url());
    assert!(why.contains(&replica.port.to_string()) && why.contains("is a replica"), "{why}");
    let both = vec![replica.url(), primary.url()];
    block_on(async move {
        link_again(&engine(&both, PATIENT), &Rc::default()).await;
    });
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let port = RedisServer::start(&[]).port;
    let why = unreachable(&format!("redis://user:secret@127.0.0.1:{port}"));
    assert!(why.starts_with(&format!("127.0.0.1:{port}: ")) && !why.contains("secret"), "{why}");
}

#[test]
fn a_server_that_is_stopped_does_not_answer() {
    let server = RedisServer::start(&[]);
    server.signal("STOP");
    let urls = [server.url()];
    block_on(async move {
        let result = engine(&urls, SHORT).link(&"a-1".into(), Rc::new(Recorder::default())).await;
        let why = result.unwrap_err();
        assert!(matches!(&why, LinkError::Unreachable(why) if why.contains("does not answer")), "{why}");
    });
}

#[test]
fn a_missing_or_wrong_password_is_reported_without_it() {
    let server = RedisServer::start(&["--requirepass", "right"]);
    let why = unusable(&server.url());
    assert!(why.contains("requires a password"), "{why}");
    let why = unusable(&format!("redis://:wrong@127.0.0.1:{}", server.port));
    assert!(why.contains("password is wrong") && !why.contains(":wrong"), "{why}");
    let why = unusable(&format!("redis://nobody:wrong@127.0.0.1:{}", server.port));
    assert!(why.contains("password is wrong") && !why.contains(":wrong"), "{why}");
    assert_eq!(link(&format!("redis://:right@127.0.0.1:{}", server.port)), Ok(()));
}

#[test]
fn a_sentinel_is_not_redis_and_redis_is_no_sentinel() {
    let server = RedisServer::start(&[]);
    let why = unusable(&format!("redis+sentinel://127.0.0.1:{}/primary", server.port));
    assert!(why.contains("is not a Sentinel"), "{why}");
}

#[test]
fn the_documented_permissions_suffice_and_each_is_needed() {
    let server = RedisServer::start(&[]);
    let set_user = |rules: &str| -> String {
        let words: Vec<&str> = ["ACL", "SETUSER", "handclasp", "reset"].into_iter().chain(rules.split(' ')).collect();
        server.run(&words)
    };
    let url = format!("redis://handclasp:secret@127.0.0.1:{}", server.port);
    set_user(permissions());
    assert_eq!(link(&url), Ok(()));
    let rules = permissions().split(' ').filter(|rule| rule.starts_with(['+', '~', '&']));
    // only Redis 6.0 asks for the permission to run HELLO
    for rule in rules.filter(|rule| *rule != "+hello") {
        let rules: Vec<&str> = permissions().split(' ').filter(|other| *other != rule).collect();
        set_user(&rules.join(" "));
        let why = unusable(&url).to_lowercase();
        let missing = match &rule[..1] {
            "~" => "key",
            "&" => "channel",
            _ => rule[1..].split('|').next().unwrap(),
        };
        assert!(why.contains(missing), "{rule}: {why}");
    }
    // a node can do everything with these permissions
    set_user(permissions());
    block_on(async move {
        let site: Rc<dyn Site> = Rc::new(Restricted(server));
        names::asserted_names_are_entered_unless_an_entry_has_a_higher_epoch(Rc::clone(&site)).await;
        names::a_scan_finds_all_names_and_ends(Rc::clone(&site)).await;
        nodes::a_lease_that_is_ended_is_over_at_once(Rc::clone(&site)).await;
        nodes::a_heartbeat_tells_an_epoch_that_no_earlier_grant_exceeds(Rc::clone(&site)).await;
        messages::nothing_arrives_after_an_unsubscription(site).await;
    });
}

/// A site whose nodes have the documented permissions only.
struct Restricted(RedisServer);

impl Site for Restricted {
    fn engine(&self) -> Rc<dyn Engine> {
        Rc::new(engine(&[format!("redis://handclasp:secret@127.0.0.1:{}", self.0.port)], PATIENT))
    }
}

#[test]
fn a_wrong_url_is_named_without_its_password() {
    let error = |urls: &[&str]| {
        let urls = urls.iter().map(ToString::to_string).collect();
        Redis::new(RedisOptions { urls, prefix: "handclasp".into(), timeout: PATIENT }).err()
    };
    for right in [
        "redis://cache",
        "redis://cache:6380/2",
        "rediss://user:p%40ss@cache",
        "redis://:p@ss/word@cache",
        "redis://[::1]:6379",
        "redis+sentinel://one,two:26380,[::1]/primary",
        "rediss+sentinel://user:secret@one/primary",
    ] {
        assert_eq!(error(&[right]), None, "{right}");
    }
    for (wrong, why) in [
        ("", "begin with"),
        ("cache:6379", "begin with"),
        ("http://user:secret@cache", "begin with"),
        ("secret@cache", "begin with"),
        ("redis://", "host"),
        ("redis://:secret@", "host"),
        ("redis://user@cache", "no password"),
        ("redis://:secret@cache:0", "port"),
        ("redis://:secret@cache:65536", "port"),
        ("redis://::1", "host"),
        ("redis://[::1", "bracket"),
        ("redis://[::1]x", "port"),
        ("redis://:secret@cache/x", "database"),
        ("redis://:secret@cache?protocol=3", "query"),
        ("rediss://:secret@cache#insecure", "fragment"),
        ("redis://one,two", "host"),
        ("redis://:%FF@cache", "UTF-8"),
        ("redis+sentinel://:secret@one", "service"),
        ("redis+sentinel://one,/primary", "host"),
        ("redis+sentinel://one/primary/2", "slash"),
    ] {
        let error = error(&[wrong]).unwrap_or_else(|| panic!("{wrong} is accepted"));
        assert!(error.contains(why) && !error.contains("secret"), "{wrong}: {error}");
        let host = wrong.rsplit('@').next().unwrap();
        assert!(error.contains(host), "{wrong}: {error}");
    }
    for (other, why) in [
        (&["redis://one", "redis+sentinel://two/primary"], "all URLs"),
        (&["redis+sentinel://one/a", "redis+sentinel://two/b"], "all URLs"),
        (&["redis+sentinel://one/a", "redis+sentinel://:secret@two/a"], "all Sentinels"),
    ] {
        let error = error(other).unwrap();
        assert!(error.contains("two/") && error.contains(why) && !error.contains("secret"), "{error}");
    }
    assert!(error(&[]).is_some());
}
