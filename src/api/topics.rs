//! `GET /v1/topics` and `GET /v1/topics/{topic}`: the topics that have members, and one of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::api::answer::{Answer, ApiError};
use crate::api::ask::ask_all;
use crate::api::call::Call;
use crate::api::names::Protocol;
use crate::api::state::Api;
use crate::broker::adapter::{self, NodeId, Question};
use crate::broker::respondent::TOPICS_OF_A_PAGE;
use crate::broker::{TopicInfo, TopicsPage, TopicsQuery};
use crate::message::{Payload, PresenceList};

/// How many topics a page has if the request does not say.
const LIMIT: usize = 100;

/// A page of topics.
#[derive(Serialize)]
struct Topics {
    topics: Vec<Counted>,
    next: Option<CompactString>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    silent: Vec<NodeId>,
}

#[derive(Serialize)]
struct Counted {
    topic: CompactString,
    members: usize,
}

/// One topic.
#[derive(Serialize)]
struct Topic {
    members: usize,
    nodes: Vec<OnNode>,
    presence: Vec<Present>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    silent: Vec<NodeId>,
}

#[derive(Serialize)]
struct OnNode {
    name: NodeId,
    members: usize,
}

#[derive(Serialize)]
struct Present {
    key: CompactString,
    metas: Vec<Box<RawValue>>,
}

/// `GET /v1/topics`.
pub(super) async fn topics(api: Arc<Api>, call: Call) -> Result<Answer, ApiError> {
    let [prefix, after, limit, protocol] = call.params(["prefix", "after", "limit", "protocol"])?;
    let limit = match limit {
        None => LIMIT,
        Some(text) => limit_of(text).ok_or_else(|| ApiError::malformed("limit must be a number from 1 to 1000"))?,
    };
    let realm = Protocol::of_param(protocol)?.realm();
    let (prefix, after) = (prefix.unwrap_or_default().into(), after.unwrap_or_default().into());
    let all = ask_all(&api, Question::Topics(TopicsQuery { realm, prefix, after, limit })).await?;
    let pages = all.answers.into_iter().filter_map(|(_, answer)| match answer {
        adapter::Answer::Topics(page) => Some(page),
        _ => None,
    });
    let (topics, is_last) = merged(pages.collect(), limit);
    let next = topics.last().filter(|_| !is_last).map(|(name, _)| name.clone());
    let topics = topics.into_iter().map(|(topic, members)| Counted { topic, members }).collect();
    Ok(Answer::ok(&Topics { topics, next, silent: all.silent }))
}

fn limit_of(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|limit| digits && (1..=TOPICS_OF_A_PAGE).contains(limit))
}

/// One page of the pages of several nodes. Behind the end of a page that is not its node's last one, nothing is known of
/// that node. Returns also whether it is the last page.
fn merged(pages: Vec<TopicsPage>, limit: usize) -> (Vec<(CompactString, usize)>, bool) {
    let ends = pages.iter().filter(|page| !page.is_last).filter_map(|page| page.topics.last());
    let end = ends.map(|(name, _)| name.clone()).min();
    let mut is_last = pages.iter().all(|page| page.is_last);
    let mut members: BTreeMap<CompactString, usize> = BTreeMap::new();
    for (name, count) in pages.into_iter().flat_map(|page| page.topics) {
        match end.as_ref().is_none_or(|end| name <= *end) {
            true => *members.entry(name).or_default() += count,
            false => is_last = false,
        }
    }
    is_last &= members.len() <= limit;
    (members.into_iter().take(limit).collect(), is_last)
}

/// `GET /v1/topics/{topic}`.
pub(super) async fn topic(api: Arc<Api>, call: Call) -> Result<Answer, ApiError> {
    let [protocol] = call.params(["protocol"])?;
    let topic = Protocol::of_param(protocol)?.topic(&call.name, &api.node.config.limits)?;
    let all = ask_all(&api, Question::Topic(topic)).await?;
    let (mut nodes, mut list) = (Vec::new(), PresenceList::new());
    for (name, answer) in all.answers {
        let adapter::Answer::Topic(TopicInfo { members, presence }) = answer else { continue };
        nodes.push(OnNode { name, members });
        for (key, metas) in presence {
            list.entry(key).or_default().extend(metas);
        }
    }
    let presence = list.into_iter().map(|(key, metas)| Present { key, metas: metas.iter().filter_map(raw).collect() });
    let members = nodes.iter().map(|node| node.members).sum();
    Ok(Answer::ok(&Topic { members, nodes, presence: presence.collect(), silent: all.silent }))
}

/// The JSON of a presence entry's meta.
fn raw(meta: &Payload) -> Option<Box<RawValue>> {
    match meta {
        Payload::Json(text) => RawValue::from_string(text.to_string()).ok(),
        Payload::Binary(_) | Payload::Attached(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_several_nodes_become_one() {
        let page = |names: &[&str], is_last| TopicsPage {
            topics: names.iter().map(|name| (CompactString::from(*name), 1)).collect(),
            is_last,
        };
        let of = |pages: &[TopicsPage], limit| {
            let (topics, is_last) = merged(pages.to_vec(), limit);
            let topics: Vec<String> = topics.iter().map(|(name, members)| format!("{name}{members}")).collect();
            (topics.join(" "), is_last)
        };
        let whole = [page(&["a", "c"], true), page(&["b", "c"], true)];
        assert_eq!(of(&whole, 3), ("a1 b1 c2".to_owned(), true));
        assert_eq!(of(&whole, 2), ("a1 b1".to_owned(), false));
        // the second node may have a topic between c and e, and one behind e
        let cut = [page(&["a", "d", "e"], true), page(&["b", "c"], false)];
        assert_eq!(of(&cut, 10), ("a1 b1 c1".to_owned(), false));
        assert_eq!(of(&[page(&[], true), page(&["b"], false)], 1), ("b1".to_owned(), false));
        assert_eq!(of(&[page(&[], true)], 1), (String::new(), true));
    }
}
