//! Topic names, topic patterns, and origins of web pages.

use super::seeds::messages;
use super::{SMALL, Target};
use crate::config::origin::Origins;
use crate::topic::{Pattern, Realm, Topic};

pub(super) const TARGETS: &[Target] = &[
    Target { name: "topic", run: topic, seeds: names, dictionary: &["room:", "*", "\u{1}", "\u{85}"], max_len: SMALL },
    Target {
        name: "origin",
        run: origin,
        seeds: origins,
        dictionary: &["same", "any", "://", "//*.", "https:", ":443", "[::1]"],
        max_len: SMALL,
    },
];

/// The first line of the input is a name, the others are patterns.
fn topic(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (name, patterns) = text.split_once('\n').unwrap_or((text, ""));
    let realms = Realm::ALL;
    let topics: Vec<Topic> = realms.iter().filter_map(|realm| realm.topic(name).ok()).collect();
    let is_name = !name.is_empty() && !name.chars().any(char::is_control);
    assert_eq!(topics.len(), if is_name { realms.len() } else { 0 });
    for (n, topic) in topics.iter().enumerate() {
        assert_eq!(topic.as_str(), name);
        assert!(topics[n + 1..].iter().all(|other| other.key() != topic.key()));
        assert!(n == 0 || Topic::parse(topic.key()).is_err(), "a client can name a topic of another realm");
    }
    assert_eq!(Topic::echo(Realm::Phoenix, name).as_str(), name);
    #[cfg(feature = "cluster")]
    {
        assert!(topics.iter().all(|topic| Topic::from_key(topic.key()).as_ref() == Some(topic)));
        let named = Topic::from_key(name);
        assert!(named.is_none_or(|topic| topic.realm().topic(topic.as_str()).as_ref() == Ok(&topic)));
    }
    for pattern in patterns.lines() {
        let matches = match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        };
        assert_eq!(Pattern::new(pattern).matches(name), matches, "{pattern:?} and {name:?}");
    }
}

fn names() -> Vec<Vec<u8>> {
    let names = messages("phoenix").into_iter().filter_map(|message| {
        let message: [serde_json::Value; 5] = serde_json::from_slice(&message).ok()?;
        Some(format!("{}\nroom:*\nlab:first\n*\nroom:*a", message[2].as_str()?).into_bytes())
    });
    names.collect()
}

/// The first line of the input is the request's `Host`, the second its `Origin`, the others are the entries of an
/// origin list.
fn origin(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let (Some(host), Some(page)) = (lines.next(), lines.next()) else { return };
    assert!(Origins::default().allows(None::<&str>, Some(host)), "a client without an Origin is allowed");
    let is_same = Origins::default().allows([page], Some(host));
    if is_same {
        // the host must be equal, with no prefix, suffix, user or path; only the scheme's default port may differ
        let (scheme, authority) = page.split_once("://").expect("an origin has a scheme");
        let default_port = if matches!(&*scheme.to_ascii_lowercase(), "https" | "wss") { ":443" } else { ":80" };
        let bare = |text: &str| text.to_ascii_lowercase().trim_end_matches(default_port).to_owned();
        let with_port =
            |text: &str| text.rsplit_once(':').and_then(|(name, port)| Some((bare(name), port.parse::<u16>().ok()?)));
        let is_equal =
            bare(authority) == bare(host) || with_port(authority) == with_port(host) && with_port(host).is_some();
        assert!(is_equal || [authority, host].iter().any(|text| text.contains(":0")), "{page:?} is not from {host:?}");
    }
    assert!(!Origins::default().allows([page, page], Some(host)), "a repeated Origin header is rejected");
    let list: Vec<&str> = lines.collect();
    let Ok(origins) = Origins::parse(&list) else { return };
    let shown = origins.to_string();
    let entries: Vec<&str> = shown.split(", ").collect();
    assert_eq!(Origins::parse(&entries).as_ref(), Ok(&origins), "{shown}");
    let allowed = origins.allows([page], Some(host));
    assert_eq!(origins.allows([page.to_ascii_uppercase()], Some(host)), allowed, "in upper case");
    let is_null = page.eq_ignore_ascii_case("null");
    assert!(allowed || !list.contains(&if is_null { "null" } else { "any" }), "{page:?} is listed");
    assert!(!allowed || !is_null || list.contains(&"null"), "{page:?} must be listed");
}

fn origins() -> Vec<Vec<u8>> {
    [
        "broker.test:4000\nhttp://broker.test:4000\nsame",
        "broker.test\nhttps://a.b.example.com\n//*.example.com\nhttps://example.org",
        "[::1]:8080\nhttp://[::1]:8080\n//[::1]:8080\nsame",
        "a\nnull\nany",
        "a\nnull\nnull\nany",
        "a\nfile://\nfile://\nnull",
        "example.com\nhttps://evil-example.com:443\n//*.example.com\n//example.com:8443",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
