//! A topic's presence list: rows, how they have changed since the members were last told, and both in
//! the shape of Phoenix (`presence_state`, `presence_diff`). Pure; the registry owns the lists.
//!
//! Changes wait in a *pending* diff until the registry asks for it, so that a thousand joins make one
//! message. The state that a newcomer is given is the one the others have already been told, so the
//! next diff fits everybody alike.

use std::collections::{BTreeMap, HashMap};

use bytestring::ByteString;
use compact_str::CompactString;

use crate::message::{Payload, PresenceEntry, PresenceList};

/// The unique mark of a row, `phx_ref` on the wire.
pub(crate) type PresenceRef = CompactString;

#[derive(Clone, Debug, PartialEq, Eq)]
struct EncodedEntry {
    key: CompactString,
    /// The meta with its mark (and the mark of the row it follows) written in.
    text: ByteString,
}

/// One topic's list.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    told: HashMap<PresenceRef, EncodedEntry>,
    joins: BTreeMap<PresenceRef, EncodedEntry>,
    leaves: BTreeMap<PresenceRef, EncodedEntry>,
    state: Option<Payload>,
}

impl Presence {
    /// Lists `row` under `mark`; `follows` is the mark of the row it replaces.
    pub(crate) fn add(&mut self, mark: PresenceRef, row: &PresenceEntry, follows: Option<&PresenceRef>) {
        if self.told.contains_key(&mark) {
            return;
        }
        let listed = EncodedEntry { key: row.key.clone(), text: with_mark(&row.meta, &mark, follows) };
        self.joins.insert(mark, listed);
    }

    /// Takes the row off the list. One that nobody has been told of is forgotten without a word.
    pub(crate) fn remove(&mut self, mark: &PresenceRef) {
        if self.joins.remove(mark).is_none()
            && let Some(listed) = self.told.get(mark)
        {
            self.leaves.insert(mark.clone(), listed.clone());
        }
    }

    /// How many rows the list has, with all that is pending.
    pub(crate) fn len(&self) -> usize {
        self.told.len() + self.joins.len() - self.leaves.len()
    }

    /// The list as everybody knows it: `{"key": {"metas": [...]}}`.
    pub(crate) fn state(&mut self) -> Payload {
        self.state.get_or_insert_with(|| Payload::from_json_text(listing(self.told.values()))).clone()
    }

    /// The list as it is, with all that is pending.
    pub(crate) fn list(&self) -> PresenceList {
        let told = self.told.iter().filter(|(mark, _)| !self.leaves.contains_key(*mark)).map(|(_, row)| row);
        let mut list = PresenceList::new();
        for row in told.chain(self.joins.values()) {
            list.entry(row.key.clone()).or_default().push(Payload::Json(row.text.clone()));
        }
        list
    }

    /// What has changed since this was last asked, `{"joins": {...}, "leaves": {...}}`, or nothing.
    pub(crate) fn diff(&mut self) -> Option<Payload> {
        if self.joins.is_empty() && self.leaves.is_empty() {
            return None;
        }
        let (joins, leaves) = (listing(self.joins.values()), listing(self.leaves.values()));
        for mark in std::mem::take(&mut self.leaves).keys() {
            self.told.remove(mark);
        }
        self.told.extend(std::mem::take(&mut self.joins));
        self.state = None;
        Some(Payload::from_json_text(format!(r#"{{"joins":{joins},"leaves":{leaves}}}"#)))
    }
}

/// Rows grouped by key, as JSON.
fn listing<'a>(rows: impl Iterator<Item = &'a EncodedEntry>) -> String {
    let mut keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in rows {
        keys.entry(&row.key).or_default().push(&row.text);
    }
    let entries: Vec<String> = keys
        .iter()
        .map(|(key, metas)| format!(r#"{}:{{"metas":[{}]}}"#, serde_json::Value::from(*key), metas.join(",")))
        .collect();
    format!("{{{}}}", entries.join(","))
}

/// The object `meta` with `phx_ref` (and `phx_ref_prev`) in front of its own members.
fn with_mark(meta: &Payload, mark: &PresenceRef, follows: Option<&PresenceRef>) -> ByteString {
    let inner = match meta {
        Payload::Json(text) | Payload::Attached(text, _) => {
            text.trim_ascii().strip_prefix('{').and_then(|t| t.strip_suffix('}'))
        }
        Payload::Binary(_) => None,
    };
    let inner = inner.unwrap_or_default().trim_ascii();
    let mut text = format!(r#"{{"phx_ref":"{mark}""#);
    if let Some(previous) = follows {
        text.push_str(&format!(r#","phx_ref_prev":"{previous}""#));
    }
    if !inner.is_empty() {
        text.push(',');
        text.push_str(inner);
    }
    text.push('}');
    text.into()
}
