//! One topic's presence list: its entries, its changes since the last diff, and both as the JSON of Phoenix
//! (`presence_state`, `presence_diff`). It sends nothing itself: the registry's
//! [`PresenceTracker`](crate::broker::presence_tracker::PresenceTracker) owns the lists.
//!
//! Changes are collected until the next diff, so that a thousand joins make one message. A new subscriber receives the
//! list as of the last diff, so the next diff is the same for all subscribers.

use std::collections::{BTreeMap, HashMap};

use bytestring::ByteString;
use compact_str::CompactString;

use crate::message::{Payload, PresenceEntry, PresenceList};

/// The unique `ref` of an entry, `phx_ref` in the JSON.
pub(crate) type PresenceRef = CompactString;

#[derive(Clone, Debug, PartialEq, Eq)]
struct EncodedEntry {
    key: CompactString,
    /// The meta with its `phx_ref`, and with the `phx_ref_prev` of the entry that it replaced.
    text: ByteString,
}

/// One topic's list.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// The list as of the last diff.
    sent: HashMap<PresenceRef, EncodedEntry>,
    joins: BTreeMap<PresenceRef, EncodedEntry>,
    leaves: BTreeMap<PresenceRef, EncodedEntry>,
    state: Option<Payload>,
}

impl Presence {
    /// Adds `entry` with `reference`. `previous` is the `ref` of the entry that it replaces.
    pub(crate) fn add(&mut self, reference: PresenceRef, entry: &PresenceEntry, previous: Option<&PresenceRef>) {
        if self.sent.contains_key(&reference) {
            self.leaves.remove(&reference);
            return;
        }
        let encoded = EncodedEntry { key: entry.key.clone(), text: with_ref(&entry.meta, &reference, previous) };
        self.joins.insert(reference, encoded);
    }

    /// Removes an entry. If it was in no diff yet, it will be in none.
    pub(crate) fn remove(&mut self, reference: &PresenceRef) {
        if self.joins.remove(reference).is_none()
            && let Some(encoded) = self.sent.get(reference)
        {
            self.leaves.insert(reference.clone(), encoded.clone());
        }
    }

    /// The meta of an entry, with its `phx_ref`.
    pub(crate) fn meta(&self, reference: &PresenceRef) -> Option<Payload> {
        let entry = self.joins.get(reference).or_else(|| self.sent.get(reference))?;
        Some(Payload::Json(entry.text.clone()))
    }

    /// The number of entries, with the changes since the last diff.
    pub(crate) fn len(&self) -> usize {
        self.sent.len() + self.joins.len() - self.leaves.len()
    }

    /// The list as of the last diff: `{"key": {"metas": [...]}}`.
    pub(crate) fn state(&mut self) -> Payload {
        self.state.get_or_insert_with(|| Payload::from_json_text(by_key(self.sent.values()))).clone()
    }

    /// The list as of now, with the changes since the last diff.
    pub(crate) fn list(&self) -> PresenceList {
        let sent =
            self.sent.iter().filter(|(reference, _)| !self.leaves.contains_key(*reference)).map(|(_, entry)| entry);
        let mut list = PresenceList::new();
        for entry in sent.chain(self.joins.values()) {
            list.entry(entry.key.clone()).or_default().push(Payload::Json(entry.text.clone()));
        }
        list
    }

    /// The changes since the last diff, `{"joins": {...}, "leaves": {...}}`, if there are any.
    pub(crate) fn diff(&mut self) -> Option<Payload> {
        if self.joins.is_empty() && self.leaves.is_empty() {
            return None;
        }
        let (joins, leaves) = (by_key(self.joins.values()), by_key(self.leaves.values()));
        for reference in std::mem::take(&mut self.leaves).keys() {
            self.sent.remove(reference);
        }
        self.sent.extend(std::mem::take(&mut self.joins));
        self.state = None;
        Some(Payload::from_json_text(format!(r#"{{"joins":{joins},"leaves":{leaves}}}"#)))
    }
}

/// Entries grouped by key, as JSON.
fn by_key<'a>(entries: impl Iterator<Item = &'a EncodedEntry>) -> String {
    let mut keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in entries {
        keys.entry(&entry.key).or_default().push(&entry.text);
    }
    let members: Vec<String> = keys
        .iter()
        .map(|(key, metas)| format!(r#"{}:{{"metas":[{}]}}"#, serde_json::Value::from(*key), metas.join(",")))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// The object `meta` with `phx_ref` (and `phx_ref_prev`) before its own fields.
fn with_ref(meta: &Payload, reference: &PresenceRef, previous: Option<&PresenceRef>) -> ByteString {
    let inner = match meta {
        Payload::Json(text) | Payload::Attached(text, _) => {
            text.trim_ascii().strip_prefix('{').and_then(|t| t.strip_suffix('}'))
        }
        Payload::Binary(_) => None,
    };
    let inner = inner.unwrap_or_default().trim_ascii();
    let mut text = format!(r#"{{"phx_ref":"{reference}""#);
    if let Some(previous) = previous {
        text.push_str(&format!(r#","phx_ref_prev":"{previous}""#));
    }
    if !inner.is_empty() {
        text.push(',');
        text.push_str(inner);
    }
    text.push('}');
    text.into()
}
