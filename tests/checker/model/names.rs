//! Who owns a name at which moment, as far as the record tells.
//!
//! A name has an owner from the moment an `ok` was read at the latest, until an owner may have released it. Takeovers do
//! not matter: the name has an owner throughout.

use std::collections::HashMap;

use crate::record::{Answer, Join, Moment, NEVER, Place, Record};

/// From a moment to another, which is not part of it.
type Span = (Moment, Moment);

pub struct Names<'a> {
    record: &'a Record,
    /// The joins of each place.
    joins: HashMap<&'a Place, Vec<usize>>,
    /// When a name certainly had an owner, as spans that do not touch.
    owned: HashMap<&'a Place, Vec<Span>>,
}

impl<'a> Names<'a> {
    pub fn new(record: &'a Record) -> Self {
        let mut joins: HashMap<&Place, Vec<usize>> = HashMap::new();
        for (at, join) in record.joins.iter().enumerate() {
            joins.entry(&join.place).or_default().push(at);
        }
        let mut names = Self { record, joins, owned: HashMap::new() };
        for (place, all) in names.joins.iter().filter(|(place, _)| matches!(place, Place::Name(_))) {
            let mut spans: Vec<Span> = all.iter().filter_map(|join| names.owned_by(*join)).collect();
            spans.sort_unstable();
            names.owned.insert(
                place,
                spans.into_iter().fold(Vec::new(), |mut merged: Vec<Span>, span| {
                    match merged.last_mut() {
                        Some(last) if span.0 <= last.1 => last.1 = last.1.max(span.1),
                        _ => merged.push(span),
                    }
                    merged
                }),
            );
        }
        names
    }

    /// The joins of a place.
    pub fn joins_of(&self, place: &Place) -> &[usize] {
        self.joins.get(place).map_or(&[], Vec::as_slice)
    }

    /// When the name of a join certainly had an owner, because the join got it.
    fn owned_by(&self, at: usize) -> Option<Span> {
        let join = &self.record.joins[at];
        if !join.is_ok() {
            return None;
        }
        let all = self.joins_of(&join.place).iter().map(|other| (*other, &self.record.joins[*other]));
        // those that may have got the name after this join, and have released it
        let later = all.filter(|(other, rival)| *other == at || rival.answered_at() > join.sent);
        let releasing = later.filter(|(_, rival)| !rival.is_refused() && rival.released < rival.ended);
        let end = releasing.map(|(_, rival)| rival.released).min().unwrap_or(NEVER);
        (join.answered_at() < end).then_some((join.answered_at(), end))
    }

    /// Whether the name certainly had an owner from one moment to the other.
    pub fn is_owned(&self, place: &Place, from: Moment, to: Moment) -> bool {
        self.owned.get(place).is_some_and(|spans| spans.iter().any(|span| span.0 <= from && to < span.1))
    }

    /// The same, because a join other than `at` got it.
    fn is_owned_by_others(&self, at: usize, from: Moment, to: Moment) -> bool {
        let others = self.joins_of(&self.record.joins[at].place).iter().filter(|other| **other != at);
        let mut spans = others.filter_map(|other| self.owned_by(*other));
        spans.any(|span| span.0 <= from && to < span.1)
    }

    /// The joins that may have been members at some moment of the span.
    pub fn possible<'b>(&'b self, place: &Place, from: Moment, to: Moment) -> impl Iterator<Item = (usize, &'b Join)> {
        let joins = self.joins_of(place).iter().map(|at| (*at, &self.record.joins[*at]));
        joins.filter(move |(_, join)| !join.is_refused() && join.sent < to && (join.is_killed || join.ended > from))
    }

    /// Whether a join claimed the name in the span, so that the name may have moved to another node.
    pub fn may_move(&self, place: &Place, from: Moment, to: Moment) -> bool {
        let mut claims = self.joins_of(place).iter().map(|at| &self.record.joins[*at]);
        claims.any(|claim| self.may_take(claim, from, to))
    }

    /// Whether this join may have taken its name to another node in the span.
    fn may_take(&self, claim: &Join, from: Moment, to: Moment) -> bool {
        self.record.has_several_nodes() && claim.sent < to && from < claim.answered_at()
    }

    pub fn check(&self, faults: &mut Vec<String>) {
        // a join that is replaced before its answer gets the answer of the next one
        let is_own = |join: &Join| matches!(join.place, Place::Name(_)) && !join.is_replaced;
        for (at, join) in self.record.joins.iter().enumerate().filter(|(_, join)| is_own(join)) {
            let Some((answered, answer)) = join.answered else { continue };
            let others = self.possible(&join.place, join.sent, answered);
            let mut owners = others.filter(|(other, _)| *other != at).map(|(_, owner)| owner);
            let is_owned = self.is_owned_by_others(at, join.sent, answered);
            if answer == Answer::Ok && is_owned && !owners.any(|owner| takes_over(join, owner)) {
                faults.push(format!("{:?} has two owners, one of them by join {at} at {answered}", join.place));
            }
            // of two joins with one secret at two nodes, the later one may end the other before that has its answer
            let may_refuse = |owner: &Join| {
                let is_other = owner.secret.is_none() || owner.secret != join.secret;
                is_other || owner.client != join.client && self.may_take(owner, join.sent, answered)
            };
            if answer == Answer::Taken && !owners.any(may_refuse) {
                faults.push(format!("join {at} is told that {:?} is taken, at {answered}: it is not", join.place));
            }
        }
    }
}

/// Whether `rival` gets the name although `owner` is alive.
fn takes_over(rival: &Join, owner: &Join) -> bool {
    rival.client == owner.client || rival.secret.is_some() && rival.secret == owner.secret
}
