//! Presence lists of what clients say of themselves: their JSON is put into ours as it stands.

use std::collections::BTreeMap;

use compact_str::{CompactString, ToCompactString};
use serde_json::{Map, Value, json};

use super::{SMALL, Target};
use crate::broker::presence::Presence;
use crate::json::is_portable;
use crate::message::{Payload, PresenceEntry};

pub(super) const TARGETS: &[Target] =
    &[Target { name: "presence", run, seeds, words: &["+a ", "-", "=", "!", "{\"a\":", "\"phx_ref"], most: SMALL }];

/// What each key has on the list: its metas by their marks.
type Listing = BTreeMap<String, BTreeMap<String, Value>>;

/// A line each: `+key meta` lists a row, `=meta` has one follow the last, `-` takes the first away, `!` tells everybody.
/// What is told is JSON, and a client that keeps count comes to the list that a newcomer is given.
fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (mut list, mut kept, mut rows) =
        (Presence::default(), Listing::new(), Vec::<(CompactString, PresenceEntry)>::new());
    for (n, line) in text.lines().enumerate() {
        let mark = n.to_compact_string();
        let row = match (line.chars().next(), line.get(1..).unwrap_or_default()) {
            (Some('+'), rest) => rest.split_once(' ').and_then(|(key, meta)| row(key, meta)),
            (Some('='), meta) => rows.last().and_then(|(_, last)| row(&last.key, meta)),
            (Some('-'), _) if !rows.is_empty() => {
                list.remove(&rows.remove(0).0);
                None
            }
            (Some('!'), _) => {
                hear(&mut list, &mut kept);
                None
            }
            _ => None,
        };
        let Some(row) = row else { continue };
        let follows = if line.starts_with('=') { rows.pop().map(|(mark, _)| mark) } else { None };
        follows.iter().for_each(|mark| list.remove(mark));
        list.add(mark.clone(), &row, follows.as_ref());
        rows.push((mark, row));
        assert_eq!(list.len(), rows.len());
    }
    hear(&mut list, &mut kept);
    for (mark, PresenceEntry { key, meta }) in &rows {
        let listed = kept.get_mut(&**key).and_then(|metas| metas.remove(&**mark)).expect("a row that is on the list");
        let Value::Object(mut listed) = listed else { panic!("{listed} is no meta") };
        listed.retain(|name, _| !name.starts_with("phx_ref"));
        assert_eq!(Value::Object(listed), meta.parse::<Value>().expect("json"));
    }
    assert!(kept.values().all(BTreeMap::is_empty), "{kept:?} are on the list, and should not be");
}

/// A row that a room would list.
fn row(key: &str, meta: &str) -> Option<PresenceEntry> {
    let members: Map<String, Value> = serde_json::from_str(meta).ok().filter(|_| is_portable(meta))?;
    let is_free = members.keys().all(|key| !key.starts_with("phx_ref"));
    is_free.then(|| PresenceEntry { key: key.into(), meta: Payload::from_json_text(meta.to_owned()) })
}

/// What everybody is told, as phoenix.js keeps count of it.
fn hear(list: &mut Presence, kept: &mut Listing) {
    let diff = list.diff().map(|diff| diff.parse::<Value>().expect("a diff is json")).unwrap_or_else(|| json!({}));
    for (key, mark, meta) in metas(&diff["joins"]) {
        assert!(kept.entry(key).or_default().insert(mark, meta).is_none(), "somebody joins twice");
    }
    for (key, mark, _) in metas(&diff["leaves"]) {
        assert!(kept.get_mut(&key).and_then(|metas| metas.remove(&mark)).is_some(), "somebody leaves who never came");
    }
    let mut state = Listing::new();
    for (key, mark, meta) in metas(&list.state().parse::<Value>().expect("a list is json")) {
        state.entry(key).or_default().insert(mark, meta);
    }
    kept.retain(|_, metas| !metas.is_empty());
    assert_eq!(state, *kept, "a newcomer is told something else");
}

/// Key, mark and meta of each row.
fn metas(listing: &Value) -> Vec<(String, String, Value)> {
    let keys = listing.as_object().into_iter().flatten();
    let rows = keys.flat_map(|(key, entry)| {
        let metas = entry["metas"].as_array().expect("a key has metas");
        metas.iter().map(move |meta| (key.clone(), meta["phx_ref"].as_str().expect("a mark").to_owned(), meta.clone()))
    });
    rows.collect()
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
