//! What a socket sends to its client: replies, refusals, and pushes.

use super::Socket;
use crate::channels::effect::Effect;
use crate::message::{Event, JoinId, Outbound, Payload, Ref, RequestRef, Status};
use crate::refusal::PushRefusal;
use crate::topic::Topic;

impl Socket {
    pub(super) fn send(&mut self, outbound: Outbound) {
        self.effects.push_back(Effect::Send(outbound));
    }

    pub(super) fn reply(
        &mut self,
        join_ref: Option<Ref>,
        reference: Option<Ref>,
        topic: &Topic,
        status: Status,
        payload: Payload,
    ) {
        self.send(Outbound::Reply { join_ref, reference, topic: topic.clone(), status, payload });
    }

    /// Sends a channel's reply. An error is counted as a refused message, under `why`.
    pub(super) fn answer(
        &mut self,
        join_ref: Option<Ref>,
        reference: Option<Ref>,
        topic: &Topic,
        status: Status,
        payload: Payload,
        why: PushRefusal,
    ) {
        if status == Status::Error {
            self.count_refused_push(why);
        }
        self.reply(join_ref, reference, topic, status, payload);
    }

    pub(super) fn refuse(&mut self, join_ref: Option<Ref>, reference: Option<Ref>, name: &str, payload: Payload) {
        self.reply(join_ref, reference, &Topic::echo(self.settings.realm, name), Status::Error, payload);
    }

    pub(super) fn count_refused_push(&self, why: PushRefusal) {
        self.metrics.messages_refused.add(self.settings.realm, why, 1);
    }

    pub(super) fn late_reply(&mut self, request: &RequestRef, status: Status, payload: Payload) {
        let Some(server) = self.pending_reply(request) else { return };
        let (reply_ref, reference) = (server.reply_ref.clone(), request.reference.clone());
        self.answer(reply_ref, reference, &request.topic, status, payload, PushRefusal::Channel);
    }

    pub(super) fn late_push(&mut self, join: JoinId, event: Event, payload: Payload) {
        let Some(topic) = self.topic_of(join) else { return };
        let join_ref = self.joins.get(&topic).and_then(|server| server.reply_ref.clone());
        self.send(Outbound::Push { join_ref, topic, event, payload });
    }
}
