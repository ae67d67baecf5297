//! [`Grants`]: what a client may do, as the claim `handclasp` of its token lists it.
//!
//! A token without the claim permits what any client may. A token with it permits only what it lists.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json::present;
use crate::topic::Pattern;

/// The maximum number of patterns of one grant, and the maximum length of a pattern, in bytes.
const MAX_PATTERNS: usize = 64;
const MAX_PATTERN: usize = 255;
/// The maximum size of `info`, in bytes of JSON.
const MAX_INFO: usize = 512;

/// The claim `handclasp`. Each entry of its lists is a name, or a prefix that ends in `*`. A member that is not known is an
/// error: a misspelled `publish` would permit to speak.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantLists {
    /// The peer ids that the client may own. `None` means none.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub peers: Option<Vec<String>>,
    /// The peer ids to which the client may send signals, and which it may watch. `None` means none.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub signal: Option<Vec<String>>,
    /// The rooms and the Socket.IO namespaces that the client may join. `None` means none.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub join: Option<Vec<String>>,
    /// The rooms in which the client may speak. `None` means all that it may join.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub publish: Option<Vec<String>>,
    /// What the presence lists of rooms say about the client: an object of at most 512 bytes. `None` means nothing.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub info: Option<Map<String, Value>>,
    /// Whether the client receives credentials for TURN servers. `None` means yes.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub turn: Option<bool>,
}

/// A set of names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    All,
    Listed(Vec<Pattern>),
}

impl Names {
    fn new(patterns: Option<Vec<String>>) -> Result<Self, &'static str> {
        let mut patterns = patterns.unwrap_or_default();
        if patterns.len() > MAX_PATTERNS {
            return Err("a grant lists more than 64 patterns");
        }
        if patterns.iter().any(|pattern| pattern.len() > MAX_PATTERN) {
            return Err("a pattern has more than 255 bytes");
        }
        // the same names in another order are the same grant
        patterns.sort_unstable();
        patterns.dedup();
        match patterns.iter().any(|pattern| pattern == "*") {
            true => Ok(Self::All),
            false => Ok(Self::Listed(patterns.iter().map(|pattern| Pattern::new(pattern)).collect())),
        }
    }

    fn permit(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Listed(patterns) => patterns.iter().any(|pattern| pattern.matches(name)),
        }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Listed(patterns) if patterns.is_empty() => f.write_str("none"),
            Self::Listed(patterns) => {
                let texts: Vec<String> = patterns.iter().map(ToString::to_string).collect();
                f.write_str(&texts.join(", "))
            }
        }
    }
}

/// What a client may do. `Display` lists it, a line for each grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    peers: Names,
    signal: Names,
    join: Names,
    publish: Names,
    /// A JSON object.
    info: Option<String>,
    turn: bool,
}

impl Grants {
    /// What any client may do: the grants of a token without the claim.
    pub(super) const ALL: Self =
        Self { peers: Names::All, signal: Names::All, join: Names::All, publish: Names::All, info: None, turn: true };

    /// # Errors
    /// What is wrong with a list.
    pub(super) fn new(lists: GrantLists) -> Result<Self, &'static str> {
        let GrantLists { peers, signal, join, publish, info, turn } = lists;
        let info = info.map(|info| Value::Object(info).to_string());
        if info.as_ref().is_some_and(|info| info.len() > MAX_INFO) {
            return Err("`info` has more than 512 bytes");
        }
        let join = Names::new(join)?;
        Ok(Self {
            peers: Names::new(peers)?,
            signal: Names::new(signal)?,
            publish: if publish.is_some() { Names::new(publish)? } else { join.clone() },
            join,
            info,
            turn: turn.unwrap_or(true),
        })
    }

    /// Whether the client may own the peer id.
    #[must_use]
    pub fn may_own(&self, id: &str) -> bool {
        self.peers.permit(id)
    }

    /// Whether the client may send signals to the peer id, and watch it.
    #[must_use]
    pub fn may_signal(&self, id: &str) -> bool {
        self.signal.permit(id)
    }

    /// Whether the client may join the room or namespace.
    #[must_use]
    pub fn may_join(&self, room: &str) -> bool {
        self.join.permit(room)
    }

    /// Whether the client may send messages to the room or namespace, once it has joined it.
    #[must_use]
    pub fn may_publish(&self, room: &str) -> bool {
        self.join.permit(room) && self.publish.permit(room)
    }

    /// What the presence lists of rooms say about the client: a JSON object.
    #[must_use]
    pub fn info(&self) -> Option<&str> {
        self.info.as_deref()
    }

    /// Whether the client receives credentials for TURN servers.
    #[must_use]
    pub fn has_turn(&self) -> bool {
        self.turn
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turn = if self.turn { "yes" } else { "no" };
        writeln!(f, "peers    {}", self.peers)?;
        writeln!(f, "signal   {}", self.signal)?;
        writeln!(f, "join     {}", self.join)?;
        writeln!(f, "publish  {}", self.publish)?;
        writeln!(f, "info     {}", self.info().unwrap_or("none"))?;
        write!(f, "turn     {turn}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    const NAMES: [&str; 7] = ["a", "ab", "abc", "b", "team-7", "team-7-hall", ""];

    fn grants(claim: &Value) -> Grants {
        Grants::new(serde_json::from_value(claim.clone()).unwrap()).unwrap()
    }

    /// Every right that the grants give to these names.
    fn rights(grants: &Grants) -> Vec<bool> {
        let of_name = |name: &&str| {
            [grants.may_own(name), grants.may_signal(name), grants.may_join(name), grants.may_publish(name)]
        };
        NAMES.iter().flat_map(of_name).chain([grants.has_turn()]).collect()
    }

    #[test]
    fn a_claim_permits_only_what_it_lists() {
        let some = grants(&json!({ "peers": ["a", "team-*"], "join": ["team-7", "b*"], "publish": ["team-7"] }));
        assert_eq!(["a", "ab", "team-", "team-7", "teas"].map(|id| some.may_own(id)), [true, false, true, true, false]);
        assert!(!some.may_signal("a") && some.has_turn());
        assert_eq!(["team-7", "b", "bc"].map(|room| some.may_join(room)), [true, true, true]);
        assert_eq!(["team-7", "b", "bc"].map(|room| some.may_publish(room)), [true, false, false]);
        let listener = grants(&json!({ "join": ["*"], "publish": [] }));
        assert!(listener.may_join("a") && !listener.may_publish("a"));
        let nothing = grants(&json!({ "turn": false }));
        assert!(!rights(&nothing).contains(&true), "{nothing:?}");
        assert!(grants(&json!({ "join": ["a"] })).may_publish("a"));
        assert!(!grants(&json!({ "join": ["a"], "publish": ["*"] })).may_publish("b"), "what it may not join");
        assert!(!rights(&Grants::ALL).contains(&false));
    }

    #[test]
    fn lists_have_a_limit_and_must_be_lists_of_texts() {
        let too_many = GrantLists { join: Some(vec!["a".into(); 65]), ..GrantLists::default() };
        let too_long = GrantLists { peers: Some(vec!["a".repeat(256)]), ..GrantLists::default() };
        assert!(Grants::new(too_many).is_err() && Grants::new(too_long).is_err());
        let info = |length: usize| serde_json::from_value(json!({ "info": { "a": "b".repeat(length) } })).unwrap();
        assert_eq!(Grants::new(info(504)).unwrap().info().map(str::len), Some(512));
        assert!(Grants::new(info(505)).is_err());
        for wrong in [
            json!({ "peers": null }),
            json!({ "join": "a" }),
            json!({ "signal": [1] }),
            json!({ "turn": 1 }),
            json!({ "publsh": [] }),
            json!({ "info": [] }),
        ] {
            assert!(serde_json::from_value::<GrantLists>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn they_are_shown_as_lines() {
        let shown = grants(&json!({ "peers": ["u7", "u7-*"], "signal": ["*"] })).to_string();
        assert_eq!(shown, "peers    u7, u7-*\nsignal   all\njoin     none\npublish  none\ninfo     none\nturn     yes");
    }

    fn claim() -> impl Strategy<Value = Map<String, Value>> {
        let patterns = || {
            let pattern =
                prop_oneof![prop::sample::select(&NAMES[..]), prop::sample::select(&["*", "a*", "team-*"][..])];
            prop::option::of(prop::collection::vec(pattern, 0..4))
        };
        (patterns(), patterns(), patterns(), patterns()).prop_map(|(peers, signal, join, publish)| {
            let lists = [("peers", peers), ("signal", signal), ("join", join), ("publish", publish)];
            lists.into_iter().filter_map(|(name, list)| Some((name.to_owned(), json!(list?)))).collect()
        })
    }

    proptest! {
        /// `publish` narrows what `join` permits, so a claim without it permits to speak in all that it may join. All else
        /// that is removed takes rights away.
        #[test]
        fn removing_anything_from_the_claim_never_adds_a_right(claim in claim()) {
            let before = rights(&grants(&claim.clone().into()));
            let check = |smaller: Map<String, Value>| {
                let after = rights(&grants(&smaller.into()));
                before.iter().zip(after).all(|(before, after)| *before || !after)
            };
            for (name, list) in &claim {
                for at in 0..list.as_array().unwrap().len() {
                    let mut smaller = claim.clone();
                    smaller[name].as_array_mut().unwrap().remove(at);
                    prop_assert!(check(smaller), "{name} {at}");
                }
                let mut smaller = claim.clone();
                smaller.remove(name);
                if name == "publish" {
                    let without = grants(&smaller.into());
                    prop_assert!(NAMES.iter().all(|room| !without.may_publish(room) || without.may_join(room)));
                } else {
                    prop_assert!(check(smaller), "{name}");
                }
            }
        }
    }
}
