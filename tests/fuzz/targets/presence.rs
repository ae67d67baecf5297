//! Presence lists. Clients choose their presence `meta`, whose JSON is copied into the list unchanged.

use std::collections::BTreeMap;

use compact_str::{CompactString, ToCompactString};
use serde_json::{Map, Value, json};

use super::{SMALL, Target};
use crate::broker::presence::Presence;
use crate::json::is_portable;
use crate::message::{Payload, PresenceEntry};

pub(super) const TARGETS: &[Target] = &[Target {
    name: "presence",
    run,
    seeds,
    dictionary: &["+a ", "-", "=", "!", "{\"a\":", "\"phx_ref"],
    max_len: SMALL,
}];

/// The presence list as a client keeps it: for each key, its metas by `phx_ref`.
type Listing = BTreeMap<String, BTreeMap<String, Value>>;

/// One action per line: `+key meta` adds an entry, `=meta` replaces the last entry, `-` removes the first, `!` sends a
/// diff. Every message is valid JSON, and a client that applies the diffs holds the same list as one that has just
/// joined.
fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (mut list, mut client_list, mut entries) =
        (Presence::default(), Listing::new(), Vec::<(CompactString, PresenceEntry)>::new());
    for (n, line) in text.lines().enumerate() {
        let reference = n.to_compact_string();
        let entry = match (line.chars().next(), line.get(1..).unwrap_or_default()) {
            (Some('+'), rest) => rest.split_once(' ').and_then(|(key, meta)| parse_entry(key, meta)),
            (Some('='), meta) => entries.last().and_then(|(_, last)| parse_entry(&last.key, meta)),
            (Some('-'), _) if !entries.is_empty() => {
                list.remove(&entries.remove(0).0);
                None
            }
            (Some('!'), _) => {
                apply_diff(&mut list, &mut client_list);
                None
            }
            _ => None,
        };
        let Some(entry) = entry else { continue };
        let replaced = if line.starts_with('=') { entries.pop().map(|(reference, _)| reference) } else { None };
        replaced.iter().for_each(|reference| list.remove(reference));
        list.add(reference.clone(), &entry, replaced.as_ref());
        entries.push((reference, entry));
        assert_eq!(list.len(), entries.len());
    }
    apply_diff(&mut list, &mut client_list);
    for (reference, PresenceEntry { key, meta }) in &entries {
        let listed =
            client_list.get_mut(&**key).and_then(|metas| metas.remove(&**reference)).expect("the entry is on the list");
        let Value::Object(mut listed) = listed else { panic!("{listed} is not a meta object") };
        listed.retain(|name, _| !name.starts_with("phx_ref"));
        assert_eq!(Value::Object(listed), meta.parse::<Value>().expect("JSON"));
    }
    assert!(client_list.values().all(BTreeMap::is_empty), "{client_list:?} should not be on the list");
}

/// An entry that a room would accept.
fn parse_entry(key: &str, meta: &str) -> Option<PresenceEntry> {
    let members: Map<String, Value> = serde_json::from_str(meta).ok().filter(|_| is_portable(meta))?;
    let is_allowed = members.keys().all(|key| !key.starts_with("phx_ref"));
    is_allowed.then(|| PresenceEntry { key: key.into(), meta: Payload::from_json_text(meta.to_owned()) })
}

/// Applies a diff to the client's list as phoenix.js does, and compares the result with a full presence state.
fn apply_diff(list: &mut Presence, client_list: &mut Listing) {
    let diff = list.diff().map(|diff| diff.parse::<Value>().expect("a diff is JSON")).unwrap_or_else(|| json!({}));
    for (key, reference, meta) in metas(&diff["joins"]) {
        assert!(client_list.entry(key).or_default().insert(reference, meta).is_none(), "an entry joins twice");
    }
    for (key, reference, _) in metas(&diff["leaves"]) {
        assert!(
            client_list.get_mut(&key).and_then(|metas| metas.remove(&reference)).is_some(),
            "an unknown entry leaves"
        );
    }
    let mut state = Listing::new();
    for (key, reference, meta) in metas(&list.state().parse::<Value>().expect("a list is JSON")) {
        state.entry(key).or_default().insert(reference, meta);
    }
    client_list.retain(|_, metas| !metas.is_empty());
    assert_eq!(state, *client_list, "a new member receives another list");
}

/// Key, ref and meta of each entry.
fn metas(listing: &Value) -> Vec<(String, String, Value)> {
    let keys = listing.as_object().into_iter().flatten();
    let entries = keys.flat_map(|(key, entry)| {
        let metas = entry["metas"].as_array().expect("a key has metas");
        metas.iter().map(move |meta| (key.clone(), meta["phx_ref"].as_str().expect("a ref").to_owned(), meta.clone()))
    });
    entries.collect()
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "+a {}\n+b {\"name\":\"é\"}\n!\n={ \"status\" : [1] }\n-\n!",
        "+a {\"a\":1}\n+a {\"a\":2}\n!\n-\n+a {\"a\":3}\n!\n-\n-",
        "+\"a\\ {\"a\":\"}{\"}\n={\"a\":null}\n={}\n!\n-",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
