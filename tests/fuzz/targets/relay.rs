//! Messages of the plain relay.

use super::request::{Command, decode, frames};
use super::seeds::messages;
use super::{SMALL, Target};
use crate::message::Broadcast;
use crate::protocol::{Decoded, Protocol};
use crate::protocols::relay::Relay;
use crate::topic::Topic;

pub(super) const TARGETS: &[Target] =
    &[Target { name: "relay", run, seeds: || messages("relay"), dictionary: &[], max_len: SMALL }];

/// A client joins once, and each of its frames reaches the others unchanged.
fn run(data: &[u8]) {
    let mut relay = Relay::default();
    assert!(matches!(relay.next_step(), Some(Decoded::Request(_))), "no join");
    for frame in frames(data) {
        let Some(request) = decode(&mut relay, &frame) else { panic!("{frame:?} is not relayed") };
        let Command::Push(event, payload) = request.command else { panic!("not a push: {request:?}") };
        let topic = Topic::of("", &request.topic[1..]);
        assert_eq!(Relay::broadcast(&Broadcast { topic, event: event.into(), payload }), Some(frame));
        assert!(relay.next_step().is_none(), "a second join");
    }
}
