//! What clients see of others: watches and presence lists.

use std::collections::BTreeSet;

use super::names::Names;
use crate::record::{Join, NEVER, Place, Record};

/// Watchers and members whose last view is not true.
pub fn unsettled(record: &Record, open: &mut Vec<String>) {
    let open_joins = || record.joins.iter().enumerate().filter(|(_, join)| join.is_open());
    for (at, watch) in record.watches.iter().enumerate() {
        if watch.ended != NEVER || !record.joins[watch.join].is_open() {
            continue;
        }
        let is_online = open_joins().any(|(_, join)| join.place == watch.place);
        let is_abandoned = |join: &Join| record.abandoned.contains(&(join.client as u64)) && join.ended == NEVER;
        let may_be_online =
            is_online || record.joins.iter().any(|join| join.place == watch.place && is_abandoned(join));
        let told = watch.told.last().map(|(_, online)| *online);
        if told != Some(is_online) && told != Some(may_be_online) {
            let (place, told) = (&watch.place, &watch.told);
            open.push(format!("watch {at} of {place:?} is told {told:?}, and the truth is {is_online}"));
        }
    }
    for (at, join) in open_joins().filter(|(_, join)| matches!(join.place, Place::Name(_))) {
        if let Some((other, _)) = open_joins().find(|(other, rival)| *other > at && rival.place == join.place) {
            open.push(format!("{:?} has two owners: joins {at} and {other}", join.place));
        }
    }
    for viewer in record.listed.iter().filter(|at| record.joins[**at].is_open()) {
        let place = &record.joins[*viewer].place;
        let listed = record.listed.iter().map(|at| &record.joins[*at]);
        let members: BTreeSet<u64> =
            listed.filter(|join| join.is_open() && join.place == *place).map(|join| join.client as u64).collect();
        let seen = record.presence.get(viewer).map(|view| view.values().copied().collect::<BTreeSet<u64>>());
        let is_complete = seen.as_ref().is_some_and(|seen| {
            members.is_subset(seen) && seen.difference(&members).all(|other| record.abandoned.contains(other))
        });
        if !is_complete {
            open.push(format!("join {viewer} sees {seen:?} in {place:?}, and the members are {members:?}"));
        }
    }
}

/// Views that were never true. While clients on two nodes take a name from each other, a watcher may miss the new owner.
pub fn check(record: &Record, names: &Names<'_>, faults: &mut Vec<String>) {
    for (at, watch) in record.watches.iter().enumerate() {
        let mut before = watch.sent;
        for (told, online) in &watch.told {
            let is_wrong = match online {
                true => names.possible(&watch.place, watch.sent, *told).next().is_none(),
                false => {
                    names.is_owned(&watch.place, watch.sent, *told) && !names.may_move(&watch.place, before, *told)
                }
            };
            if is_wrong {
                faults.push(format!("watch {at} of {:?} is told {online} at {told}: it is not", watch.place));
            }
            before = *told;
        }
    }
}
