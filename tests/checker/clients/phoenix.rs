//! Clients of Phoenix, with both serializers, over WebSockets and long polling. They join peer ids and rooms.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::{Client, NAMES, ROOMS, Role, pad, repeats};
use crate::common::id;
use crate::common::rng::Rng;
use crate::record::{Answer, Place, Record, Verdict};
use crate::wire::Transport;

/// A client with more requests than this that are not answered says nothing more.
const PIPELINED: usize = 90;

/// What a reply is for.
#[derive(Clone, Copy)]
enum Request {
    Join(usize),
    Message(usize),
    Watch(usize),
    Unwatch(usize),
    Other,
}

#[derive(Default)]
struct Topic {
    /// The join and its `ref`, as of the last request.
    wanted: Option<(usize, u64)>,
    /// The join that the last reply has confirmed, until its `phx_close`.
    live: Option<usize>,
    /// The joins that a later one has replaced and whose `phx_close` is still to come.
    replaced: Vec<usize>,
}

pub struct Phoenix {
    client: usize,
    is_v1: bool,
    role: Role,
    last_ref: u64,
    topics: BTreeMap<String, Topic>,
    requests: HashMap<u64, Request>,
    /// The join that has this `ref`.
    joins: HashMap<u64, usize>,
    /// The watches of each join that have not ended, by the watched topic.
    watches: HashMap<(usize, String), usize>,
}

pub fn open(client: usize, role: Role, rng: &mut Rng) -> (Box<dyn Client>, Transport) {
    let is_v1 = rng.below(3) == 0;
    let vsn = if is_v1 { "1.0.0" } else { "2.0.0" };
    let transport = match rng.below(4) {
        0 if role == Role::Anything => Transport::PhoenixPolling(vsn),
        _ => Transport::WebSocket(format!("/socket/websocket?vsn={vsn}")),
    };
    let (topics, requests) = (BTreeMap::new(), HashMap::new());
    let (joins, watches) = (HashMap::new(), HashMap::new());
    (Box::new(Phoenix { client, is_v1, role, last_ref: 0, topics, requests, joins, watches }), transport)
}

fn place(topic: &str) -> Place {
    match topic.starts_with("peer:") {
        true => Place::Name(topic.to_owned()),
        false => Place::Group(topic.to_owned()),
    }
}

fn random_peer(rng: &mut Rng, record: &Record) -> String {
    id(record.round * NAMES as usize + rng.below(NAMES) as usize)
}

/// A name that clients only take over from each other, so that it has an owner throughout.
fn steady(record: &Record) -> String {
    id(1_000_000 + record.round)
}

/// A room that clients join and leave at once.
fn flashing(record: &Record) -> String {
    format!("room:{}-flashing", record.round)
}

/// A name that no other client joins.
fn own(client: usize, record: &Record) -> String {
    id(2_000_000 + record.round * 10_000 + client)
}

impl Phoenix {
    fn encode(&mut self, join_ref: Option<u64>, topic: &str, event: &str, payload: Value, request: Request) -> String {
        self.last_ref += 1;
        self.requests.insert(self.last_ref, request);
        let reference = self.last_ref.to_string();
        match self.is_v1 {
            true => json!({ "topic": topic, "event": event, "payload": payload, "ref": reference }).to_string(),
            false => json!([join_ref.map(|number| number.to_string()), reference, topic, event, payload]).to_string(),
        }
    }

    fn join(&mut self, topic: &str, rng: &mut Rng, record: &mut Record) -> String {
        let place = place(topic);
        let mut secret = None;
        let choice = if self.role == Role::TakesOver { 3 } else { rng.below(10) };
        let payload = match (&place, choice) {
            (Place::Name(_), 0..=1) => json!({}),
            (Place::Name(_), n) => {
                secret = Some(n.min(3));
                // 16 bytes in base64
                json!({ "secret": if n == 2 { "BBBBBBBBBBBBBBBBBBBBBA" } else { "AAAAAAAAAAAAAAAAAAAAAA" } })
            }
            (Place::Group(_), _) if self.role != Role::Anything => json!({}),
            (Place::Group(_), 0..=4) => json!({}),
            (Place::Group(_), _) => json!({ "meta": { "client": self.client } }),
        };
        let join = record.join(self.client, place, secret);
        if payload.get("meta").is_some() {
            record.listed.push(join);
        }
        let reference = self.last_ref + 1;
        self.joins.insert(reference, join);
        let known = self.topics.entry(topic.to_owned()).or_default();
        if let Some((older, _)) = known.wanted.replace((join, reference)) {
            record.joins[older].is_replaced = true;
        }
        self.encode(Some(reference), topic, "phx_join", payload, Request::Join(join))
    }

    fn leave(&mut self, topic: &str, record: &mut Record) -> Option<String> {
        let (join, join_ref) = self.topics.get_mut(topic)?.wanted.take()?;
        record.release(join);
        Some(self.encode(Some(join_ref), topic, "phx_leave", json!({}), Request::Other))
    }

    /// Messages on a topic that the client has joined, or is joining.
    fn push(&mut self, topic: &str, wanted: (usize, u64), rng: &mut Rng, record: &mut Record) -> Vec<String> {
        let (join, join_ref) = wanted;
        let to = place(topic);
        let Place::Name(_) = to else { return self.messages(topic, wanted, &to, 4, rng, record) };
        let peer_id = if rng.below(4) == 0 { steady(record) } else { random_peer(rng, record) };
        let other = format!("peer:{peer_id}");
        let known = self.watches.get(&(join, other.clone())).copied();
        match (rng.below(6), known) {
            (0..=1, None) => {
                let watch = record.watch(join, Place::Name(other.clone()));
                self.watches.insert((join, other), watch);
                let request = Request::Watch(watch);
                vec![self.encode(Some(join_ref), topic, "watch", json!({ "peer_id": peer_id }), request)]
            }
            // an unwatch cancels a watch that has no answer, which is a case of its own
            (0, Some(watch)) if !record.watches[watch].told.is_empty() => {
                let request = Request::Unwatch(watch);
                vec![self.encode(Some(join_ref), topic, "unwatch", json!({ "peer_id": peer_id }), request)]
            }
            _ => {
                let count = repeats(rng);
                self.messages(topic, wanted, &Place::Name(other), count, rng, record)
            }
        }
    }

    /// Sends to the steady name and to the flashing room. No other client ends its joins for it.
    fn send_steadily(&mut self, rng: &mut Rng, record: &mut Record) -> Vec<String> {
        let topic = match rng.below(2) {
            0 => format!("peer:{}", own(self.client, record)),
            _ => flashing(record),
        };
        let count = 1 + rng.below(30);
        match self.topics.get(&topic).and_then(|topic| topic.wanted) {
            None => vec![self.join(&topic, rng, record)],
            Some(wanted) => {
                let to = match place(&topic) {
                    Place::Name(_) => Place::Name(format!("peer:{}", steady(record))),
                    room => room,
                };
                self.messages(&topic, wanted, &to, count, rng, record)
            }
        }
    }

    /// Messages on a topic that the client has joined, to all members of a room or to a named peer.
    fn messages(
        &mut self,
        topic: &str,
        (join, join_ref): (usize, u64),
        to: &Place,
        count: u64,
        rng: &mut Rng,
        record: &mut Record,
    ) -> Vec<String> {
        let message = |_| {
            let number = record.send(self.client, join, to.clone(), true);
            let mut payload = json!({ "n": number, "pad": pad(rng) });
            if let Place::Name(name) = to {
                payload["peer_id"] = name.trim_start_matches("peer:").into();
            }
            self.encode(Some(join_ref), topic, "msg", payload, Request::Message(number))
        };
        (0..count).map(message).collect()
    }

    fn reply(&mut self, topic: &str, request: Request, payload: &Value, record: &mut Record) {
        let (status, reason) = (payload["status"] == "ok", payload["response"]["reason"].as_str().unwrap_or(""));
        match (request, status) {
            (Request::Join(join), true) => {
                record.answer(join, Answer::Ok);
                let topic = self.topics.entry(topic.to_owned()).or_default();
                topic.replaced.extend(topic.live.replace(join));
            }
            (Request::Join(join), false) => {
                let answer = if reason == "taken" { Answer::Taken } else { Answer::Ended };
                record.answer(join, answer);
                if answer == Answer::Ended && !record.joins[join].is_replaced {
                    record.fault(self.client, format!("join {join} is refused: {payload}"));
                }
                let known = self.topics.entry(topic.to_owned()).or_default();
                known.wanted.take_if(|(wanted, _)| *wanted == join);
            }
            (Request::Message(number), true) => record.verdict(number, Verdict::Delivered),
            (Request::Message(number), false) => match reason {
                "peer_not_found" => record.verdict(number, Verdict::Absent),
                "unmatched topic" => record.verdict(number, Verdict::NotJoined),
                _ => record.fault(self.client, format!("message {number} is refused: {payload}")),
            },
            (Request::Watch(watch), true) => {
                let online = payload["response"]["online"].as_bool().unwrap();
                record.tell(watch, online);
            }
            (Request::Watch(watch), false) => {
                record.watches[watch].ended = 0;
                if reason != "unmatched topic" {
                    record.fault(self.client, format!("watch {watch} is refused: {payload}"));
                }
            }
            (Request::Unwatch(watch), _) => {
                let now = record.tick();
                record.watches[watch].ended = record.watches[watch].ended.min(now);
                self.watches.retain(|_, known| *known != watch);
            }
            (Request::Other, _) => {}
        }
    }

    /// A join has ended: the client has left, or another client or join has taken its place.
    fn close(&mut self, topic: &str, join_ref: Option<u64>, record: &mut Record) {
        let known = self.topics.entry(topic.to_owned()).or_default();
        // V1 does not say which join ends: first those that were replaced
        let join = match join_ref {
            Some(join_ref) => self.joins.get(&join_ref).copied(),
            None if known.replaced.is_empty() => known.live,
            None => Some(known.replaced[0]),
        };
        let Some(join) = join else {
            return record.fault(self.client, format!("phx_close without a join on {topic}"));
        };
        known.replaced.retain(|other| *other != join);
        known.live.take_if(|live| *live == join);
        known.wanted.take_if(|(wanted, _)| *wanted == join);
        self.watches.retain(|(owner, _), _| *owner != join);
        record.end(join);
    }

    fn event(&mut self, topic: &str, event: &str, payload: &Value, record: &mut Record) {
        let Some(join) = self.topics.get(topic).and_then(|topic| topic.live) else {
            return record.fault(self.client, format!("{event} {payload} on {topic}, where the client is no member"));
        };
        match event {
            "msg" => {
                let from = payload["peer_id"].as_str().map(|id| Place::Name(format!("peer:{id}")));
                record.receive(join, payload["n"].as_u64().unwrap(), from.as_ref());
            }
            "peer_up" | "peer_down" => {
                let other = format!("peer:{}", payload["peer_id"].as_str().unwrap());
                match self.watches.get(&(join, other)) {
                    Some(watch) => record.tell(*watch, event == "peer_up"),
                    None => record.fault(self.client, format!("{event} {payload} without a watch")),
                }
            }
            "presence_state" => {
                let view = entries(payload).collect();
                if record.presence.insert(join, view).is_some() {
                    record.fault(self.client, format!("a second presence_state for join {join}"));
                }
            }
            "presence_diff" => {
                let Some(view) = record.presence.get_mut(&join) else {
                    return record.fault(self.client, format!("presence_diff before presence_state of join {join}"));
                };
                let unknown = entries(&payload["leaves"]).filter(|(entry, _)| view.remove(entry).is_none()).count();
                view.extend(entries(&payload["joins"]));
                if unknown > 0 {
                    record.fault(self.client, format!("presence_diff removes unknown entries: {payload}"));
                }
            }
            _ => record.fault(self.client, format!("unexpected {event} {payload} on {topic}")),
        }
    }
}

/// The `phx_ref` and the client of each entry of a presence list.
fn entries(list: &Value) -> impl Iterator<Item = (String, u64)> {
    let metas = list.as_object().unwrap().values().flat_map(|entry| entry["metas"].as_array().unwrap());
    metas.map(|meta| (meta["phx_ref"].as_str().unwrap().to_owned(), meta["client"].as_u64().unwrap()))
}

impl Client for Phoenix {
    fn speak(&mut self, rng: &mut Rng, record: &mut Record) -> Vec<String> {
        let topic = match (self.role, rng.below(3)) {
            (Role::TakesOver, _) => {
                let topic = format!("peer:{}", steady(record));
                return (0..1 + rng.below(5)).map(|_| self.join(&topic, rng, record)).collect();
            }
            // a second join would replace the first one
            (Role::Flashes, _) if !self.requests.is_empty() => return Vec::new(),
            (Role::Flashes, _) => {
                let topic = flashing(record);
                return [Some(self.join(&topic, rng, record)), self.leave(&topic, record)]
                    .into_iter()
                    .flatten()
                    .collect();
            }
            (Role::Sends, _) => return self.send_steadily(rng, record),
            (_, 0) => format!("room:{}-{}", record.round, rng.below(ROOMS)),
            _ => format!("peer:{}", random_peer(rng, record)),
        };
        let Some(wanted) = self.topics.get(&topic).and_then(|topic| topic.wanted) else {
            if rng.below(8) == 0 {
                return vec![self.encode(None, "phoenix", "heartbeat", json!({}), Request::Other)];
            }
            let mut messages = vec![self.join(&topic, rng, record)];
            if rng.below(3) == 0 {
                messages.extend(self.leave(&topic, record));
            }
            return messages;
        };
        match rng.below(10) {
            0..=1 => self.leave(&topic, record).into_iter().collect(),
            2 => vec![self.join(&topic, rng, record)],
            _ => self.push(&topic, wanted, rng, record),
        }
    }

    fn hear(&mut self, text: &str, record: &mut Record) -> Vec<String> {
        let mut message: Value = serde_json::from_str(text).unwrap();
        let mut take = |v1: &str, v2: usize| match self.is_v1 {
            true => message.get_mut(v1).map(Value::take).unwrap_or_default(),
            false => message[v2].take(),
        };
        let number = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok());
        let (join_ref, reference) = (number(&take("join_ref", 0)), number(&take("ref", 1)));
        let (topic, event, payload) = (take("topic", 2), take("event", 3), take("payload", 4));
        let (topic, event) = (topic.as_str().unwrap(), event.as_str().unwrap());
        match event {
            "phx_reply" => match reference.and_then(|reference| self.requests.remove(&reference)) {
                Some(request) => self.reply(topic, request, &payload, record),
                None => record.fault(self.client, format!("a reply without a request: {text}")),
            },
            "phx_close" => self.close(topic, join_ref.filter(|_| !self.is_v1), record),
            _ => self.event(topic, event, &payload, record),
        }
        Vec::new()
    }

    fn is_busy(&self) -> bool {
        self.requests.len() > PIPELINED
    }

    fn farewell(&mut self) -> Vec<String> {
        let joined = self.topics.iter_mut().filter_map(|(name, topic)| Some((name.clone(), topic.wanted.take()?.1)));
        let joined: Vec<(String, u64)> = joined.collect();
        let leave = |(topic, join_ref): (String, u64)| {
            self.encode(Some(join_ref), &topic, "phx_leave", json!({}), Request::Other)
        };
        joined.into_iter().map(leave).collect()
    }

    fn closed(&mut self, code: u16, record: &mut Record) {
        record.fault(self.client, format!("the server closes the connection with {code}"));
    }
}
