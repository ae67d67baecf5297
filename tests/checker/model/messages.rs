//! Messages arrive at most once, in order, nowhere else, and as their verdicts say.

use std::collections::HashMap;

use super::names::Names;
use crate::record::{Message, Moment, NEVER, Place, Record, Verdict};

/// The first and the last message that an owner has received from one sender, and the owner's join.
type Stretch = (usize, usize, usize);

/// Joins and messages that have no answer, although their clients still read.
pub fn unanswered(record: &Record, open: &mut Vec<String>) {
    for (at, join) in record.joins.iter().enumerate() {
        if join.is_answered && join.answered.is_none() && !join.is_killed && join.released == NEVER {
            open.push(format!("join {at} of client {} has no answer", join.client));
        }
    }
    for (number, message) in record.messages.iter().enumerate() {
        let join = &record.joins[message.join];
        // what ends a connection may overtake the answer
        let may_be_late = record.has_several_nodes() && join.ended != NEVER;
        let is_over = may_be_late
            || join.is_killed
            || record.joins.iter().any(|other| other.client == join.client && other.is_killed);
        if message.is_answered && message.verdict.is_none() && !is_over {
            open.push(format!("message {number} of client {} has no verdict", message.client));
        }
    }
}

/// Messages that a member must have received, and has not.
pub fn lost(record: &Record, names: &Names<'_>, open: &mut Vec<String>) {
    for (number, message) in record.messages.iter().enumerate() {
        let Some(answered) = settled_at(record, message) else { continue };
        if matches!(message.to, Place::Name(_)) && !message.receipts.is_empty() {
            continue;
        }
        let members: Vec<usize> = names.possible(&message.to, message.sent, answered).map(|(at, _)| at).collect();
        for member in &members {
            let join = &record.joins[*member];
            // what waits when a client leaves may be dropped; what waits when another takes its name over may not
            let is_member = join.is_ok() && join.answered_at() < message.sent && join.ended >= answered;
            let is_meant = match message.to {
                // it went to this owner or to one that took over meanwhile
                Place::Name(_) => members.len() == 1,
                Place::Group(_) => join.client != message.client && !join.is_replaced,
            };
            if is_member && is_meant && join.released == NEVER && !message.receipts.contains(member) {
                open.push(format!("message {number} to {:?} is lost on its way to join {member}", message.to));
            }
        }
    }
}

/// When the server had acted on a message, which must then have reached its receivers. Without a verdict, it has if its
/// sender is a member throughout.
fn settled_at(record: &Record, message: &Message) -> Option<Moment> {
    let sender = &record.joins[message.join];
    match message.verdict {
        Some((at, verdict)) => (verdict == Verdict::Delivered).then_some(at),
        None if message.is_answered => None,
        None => (sender.is_open() && sender.answered_at() < message.sent).then_some(NEVER),
    }
}

pub fn check(record: &Record, names: &Names<'_>, faults: &mut Vec<String>) {
    for (number, message) in record.messages.iter().enumerate() {
        check_receipts(record, number, message, faults);
        check_verdict(record, names, number, message, faults);
    }
    check_order(record, names, faults);
    check_senders(record, faults);
    for (client, place, at) in &record.expired {
        let waits =
            |message: &&Message| message.client == *client && message.to == *place && message.receipts.is_empty();
        match record.messages.iter().filter(waits).map(|message| message.sent).min() {
            Some(first) if !names.is_owned(place, first, *at) => {}
            _ => faults.push(format!("client {client} is told at {at} that {place:?} is absent: it is not")),
        }
    }
}

fn check_receipts(record: &Record, number: usize, message: &Message, faults: &mut Vec<String>) {
    let mut clients: Vec<usize> = message.receipts.iter().map(|join| record.joins[*join].client).collect();
    clients.sort_unstable();
    let is_repeated = clients.windows(2).any(|pair| pair[0] == pair[1]);
    if is_repeated || matches!(message.to, Place::Name(_)) && clients.len() > 1 {
        faults.push(format!("message {number} to {:?} arrives more than once: at {clients:?}", message.to));
    }
    for join in &message.receipts {
        if record.joins[*join].place != message.to {
            faults.push(format!("message {number} to {:?} arrives at join {join}", message.to));
        }
        if matches!(message.to, Place::Group(_)) && record.joins[*join].client == message.client {
            faults.push(format!("message {number} returns to its sender"));
        }
    }
}

fn check_verdict(record: &Record, names: &Names<'_>, number: usize, message: &Message, faults: &mut Vec<String>) {
    let Some((at, verdict)) = message.verdict else { return };
    let sender = &record.joins[message.join];
    let is_name = matches!(message.to, Place::Name(_));
    let wrong = match verdict {
        Verdict::Absent => names.is_owned(&message.to, message.sent, at),
        Verdict::Delivered => is_name && names.possible(&message.to, message.sent, at).next().is_none(),
        Verdict::NotJoined => sender.is_ok() && !sender.is_replaced && sender.ended > at && sender.released == NEVER,
    };
    if wrong {
        faults.push(format!("the verdict {verdict:?} on message {number} to {:?} at {at} is not true", message.to));
    }
    if verdict != Verdict::Delivered && !message.receipts.is_empty() {
        faults.push(format!("message {number} arrived, and its verdict is {verdict:?}"));
    }
}

/// The messages of one join to one place arrive in order; those of a client's other joins may wait for something else.
/// Owners of a name that follow each other receive one stretch each. A message that is under way while its name moves to
/// another node may come after later ones.
fn check_order(record: &Record, names: &Names<'_>, faults: &mut Vec<String>) {
    let mut received: HashMap<(usize, &Place, usize), Vec<usize>> = HashMap::new();
    for (number, join) in &record.arrivals {
        let message = &record.messages[*number];
        received.entry((message.join, &message.to, *join)).or_default().push(*number);
    }
    let mut stretches: HashMap<(usize, &Place), Vec<Stretch>> = HashMap::new();
    for ((from, place, join), numbers) in received {
        let is_wrong = |pair: &[usize]| pair[0] > pair[1] && !may_be_late(record, names, pair[1]);
        if numbers.windows(2).any(is_wrong) {
            faults.push(format!("messages of join {from} to {place:?} arrive at join {join} as {numbers:?}"));
        }
        let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
        if matches!(place, Place::Name(_)) {
            stretches.entry((from, place)).or_default().push((first, last, join));
        }
    }
    for ((from, place), mut all) in stretches {
        all.sort_unstable();
        let is_mixed = |pair: &&[Stretch]| {
            pair[1].0 < pair[0].1 && ![pair[1].0, pair[0].1].iter().any(|number| may_be_late(record, names, *number))
        };
        if let Some(pair) = all.windows(2).find(is_mixed) {
            faults.push(format!("messages of join {from} to {place:?} are mixed among two owners: {pair:?}"));
        }
    }
}

/// Whether a message was under way while its name may have moved to another node.
fn may_be_late(record: &Record, names: &Names<'_>, number: usize) -> bool {
    let message = &record.messages[number];
    names.may_move(&message.to, message.sent, message.verdict.map_or(NEVER, |(at, _)| at))
}

/// A client's id stands for that client alone.
fn check_senders(record: &Record, faults: &mut Vec<String>) {
    let mut known: HashMap<&str, &Place> = record.ids.iter().map(|(id, place)| (id.as_str(), place)).collect();
    for (number, id) in &record.claims {
        let sender = &record.joins[record.messages[*number].join].place;
        // a client that was killed may not have read its id
        if *known.entry(id).or_insert(sender) != sender {
            faults.push(format!("message {number} of {sender:?} says it is from {id}"));
        }
    }
}
