//! What happens while the adapter's answers are under way.

mod claims;
mod presence;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::State;
use super::manual_adapter::Tables;
use crate::broker::adapter::{Claimed, Epoch, Packet, Unreachable};
use crate::broker::registry::command::{ChangePresence, Subscribe, Watch};
use crate::broker::registry::held_signals::HeldSignal;
use crate::broker::registry_stats::RegistryStats;
use crate::close;
use crate::config::schema::Config;
use crate::connections::connection::tests::numbered;
use crate::connections::connection::{Connection, Member, MemberId};
use crate::connections::envelope::{Envelope, SocketEvent};
use crate::connections::mailbox::Batch;
use crate::message::{
    Broadcast, DeliveryStatus, JoinId, Membership, NameClaim, OnlineStatus, Payload, PresenceChange, PresenceEntry,
    RequestRef, Signal,
};
use crate::protocol::Delivery;
use crate::topic::Topic;

const JOIN: JoinId = JoinId(1);

fn topic(name: &str) -> Topic {
    Topic::parse(name).unwrap()
}

fn client(n: u64) -> Arc<Connection> {
    Arc::new(numbered(n, usize::MAX))
}

fn member(connection: &Arc<Connection>) -> Member {
    Member { join: JOIN, connection: connection.clone() }
}

fn join(state: &mut State, connection: &Arc<Connection>, topic: Topic, membership: Membership) {
    state.subscribe(Subscribe { connection: connection.clone(), join: JOIN, topic, membership, replaces: None });
}

fn claim(state: &mut State, connection: &Arc<Connection>, proof: u8) {
    let claim = NameClaim { proof: Some([proof; 32]), is_self_certifying: false };
    join(state, connection, topic("peer:a"), Membership { claim: Some(claim), ..Membership::default() });
}

fn watch(state: &mut State, connection: &Arc<Connection>, on: bool) {
    state.watch(Watch { member: member(connection), topic: topic("peer:a"), on });
}

/// What a client has received since the last call: "ok", "refused", "evicted", "online", "offline", a delivery status.
fn received(client: &Connection) -> Vec<String> {
    let mut batch = Batch::new();
    client.mailbox.drain(&mut batch, std::task::Waker::noop());
    let text = |envelope: &Envelope| match envelope {
        Envelope::SocketEvent(event) => match &**event {
            SocketEvent::Subscribed(_) => "ok".to_owned(),
            SocketEvent::Refused(..) => "refused".to_owned(),
            SocketEvent::Evicted(_) => "evicted".to_owned(),
            SocketEvent::DeliveryStatus(_, status) => format!("{status:?}"),
            SocketEvent::Info(_, info) => match info.downcast_ref::<OnlineStatus>() {
                Some(status) if status.online => "online".to_owned(),
                Some(_) => "offline".to_owned(),
                None => "info".to_owned(),
            },
            _ => "event".to_owned(),
        },
        _ => "message".to_owned(),
    };
    batch.iter().map(text).collect()
}

// ---- subscriptions

#[test]
fn joins_are_confirmed_in_their_order_when_the_subscription_is() {
    let (mut tables, room) = (Tables::new(), topic("room:a"));
    let clients: Vec<_> = (0..4).map(client).collect();
    clients.iter().for_each(|client| join(&mut tables.state, client, room.clone(), Membership::default()));
    assert!(clients.iter().all(|client| received(client).is_empty()));
    assert_eq!(tables.state.table.count("room:a"), 0, "a message would confirm the join");
    tables.state.unsubscribe(MemberId { connection: clients[1].id, join: JOIN });
    let (_, confirm) = tables.adapter.requests().subscriptions.pop_front().unwrap();
    confirm.send(()).unwrap();
    tables.settle();
    let ids: Vec<_> = tables.state.table.members("room:a").unwrap().iter().map(|member| member.connection.id).collect();
    assert_eq!(ids, [clients[0].id, clients[2].id, clients[3].id]);
    assert_eq!(received(&clients[2]), ["ok"]);
    // the next ones wait for nothing
    join(&mut tables.state, &clients[1], room, Membership::default());
    assert_eq!(received(&clients[1]), ["ok"]);
    assert!(tables.adapter.requests().subscriptions.is_empty());
}

/// The join of a topic that nobody needs any more has ended its subscription; its confirmation counts for nothing.
#[test]
fn a_subscription_that_was_given_up_confirms_no_later_join() {
    let (mut tables, room, joining) = (Tables::new(), topic("room:a"), client(1));
    for _ in 0..2 {
        join(&mut tables.state, &joining, room.clone(), Membership::default());
        tables.state.unsubscribe(MemberId { connection: joining.id, join: JOIN });
    }
    join(&mut tables.state, &joining, room, Membership::default());
    for expected in [0, 0, 1] {
        let (_, confirm) = tables.adapter.requests().subscriptions.pop_front().unwrap();
        confirm.send(()).unwrap();
        tables.settle();
        assert_eq!(received(&joining).len(), expected);
    }
}

#[test]
fn presence_that_changes_while_a_join_waits_is_what_the_member_has_then() {
    let (mut tables, room, joining) = (Tables::new(), topic("room:a"), client(1));
    let entry = |meta: &str| PresenceEntry { key: "k".into(), meta: Payload::from_json_text(meta.to_owned()) };
    let membership = Membership { entry: Some(entry("{}")), ..Membership::default() };
    join(&mut tables.state, &joining, room.clone(), membership);
    let change = PresenceChange::Track(entry(r#"{"n":1}"#));
    tables.state.change_presence(ChangePresence { member: member(&joining), topic: room.clone(), change });
    let (_, confirm) = tables.adapter.requests().subscriptions.pop_front().unwrap();
    confirm.send(()).unwrap();
    tables.settle();
    let list = tables.state.presence_list(&room);
    assert!(list["k"].len() == 1 && format!("{:?}", list["k"]).contains(r#"\"n\":1"#), "{list:?}");
}

/// One of the things that happen to three clients and a room or a watched name.
#[derive(Clone, Debug)]
enum Step {
    Join(usize),
    Leave(usize),
    Close(usize),
    Watch(usize, bool),
    Hold(usize),
    Confirm,
    Answer,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_usize).prop_map(Step::Join),
        2 => (0..3_usize).prop_map(Step::Leave),
        1 => (0..3_usize).prop_map(Step::Close),
        2 => (0..3_usize, any::<bool>()).prop_map(|(n, on)| Step::Watch(n, on)),
        1 => (0..3_usize).prop_map(Step::Hold),
        3 => Just(Step::Confirm),
        3 => Just(Step::Answer),
    ]
}

fn held_signal(from: &Arc<Connection>) -> HeldSignal {
    let to = topic("peer:a");
    let request = RequestRef { topic: topic("peer:b"), join: JOIN, reference: None };
    let broadcast = Broadcast { topic: to.clone(), event: "offer".into(), payload: Payload::empty() };
    let signal = Signal { to, event: "offer".into(), request, hold: Some(Duration::from_secs(5)) };
    HeldSignal { from: from.clone(), signal, delivery: Arc::new(Delivery::new(broadcast)) }
}

fn run_step(tables: &mut Tables, clients: &mut [Arc<Connection>], step: &Step, number: u64) {
    let leave = |connection: &Connection| MemberId { connection: connection.id, join: JOIN };
    match *step {
        Step::Join(n) => {
            tables.state.unsubscribe(leave(&clients[n]));
            join(&mut tables.state, &clients[n], topic("peer:a"), Membership::default());
        }
        Step::Leave(n) => tables.state.unsubscribe(leave(&clients[n])),
        Step::Close(n) => {
            let closed = std::mem::replace(&mut clients[n], client(number + 10));
            closed.close(&close::GONE);
            tables.state.connection_closed(closed.id);
        }
        Step::Watch(n, on) => watch(&mut tables.state, &clients[n], on),
        Step::Hold(n) => tables.state.hold_signal(held_signal(&clients[n])),
        Step::Confirm => {
            if let Some((_, confirm)) = tables.adapter.requests().subscriptions.pop_front() {
                let _ = confirm.send(());
            }
        }
        Step::Answer => {
            let mut requests = tables.adapter.requests();
            if let Some(answer) = requests.signals.pop_front() {
                let _ = answer.send(DeliveryStatus::Absent);
            }
            if let Some((_, answer)) = requests.lookups.pop_front() {
                let _ = answer.send(Ok(None));
            }
        }
    }
    tables.settle();
    assert_eq!(
        tables.adapter.requests().subscribed.contains(&topic("peer:a")),
        tables.state.is_interested(&topic("peer:a")),
        "subscribed exactly while it is needed"
    );
}

proptest! {
    /// Whatever leaves or closes while it waits leaves nothing behind, and a topic is subscribed while it is needed.
    #[test]
    fn what_waits_for_a_subscription_leaves_nothing_behind(steps in prop::collection::vec(step(), 1..60)) {
        let (mut tables, mut clients): (_, Vec<_>) = (Tables::new(), (0..3).map(client).collect());
        for (number, step) in steps.iter().enumerate() {
            run_step(&mut tables, &mut clients, step, number as u64);
        }
        for n in 0..clients.len() {
            run_step(&mut tables, &mut clients, &Step::Close(n), 1_000 + n as u64);
        }
        for _ in 0..2 * steps.len() {
            run_step(&mut tables, &mut clients, &Step::Confirm, 0);
            run_step(&mut tables, &mut clients, &Step::Answer, 0);
        }
        tables.state.expire_held(clients[0].now() + Duration::from_secs(60));
        prop_assert_eq!(tables.state.stats(), RegistryStats::default());
        prop_assert!(tables.adapter.requests().subscribed.is_empty());
        prop_assert!(!tables.state.subscriptions.has(&topic("peer:a")));
    }
}

// ---- watches and held signals

#[test]
fn a_watch_is_answered_after_its_subscription_and_a_lookup() {
    let (mut tables, watcher) = (Tables::new(), client(1));
    watch(&mut tables.state, &watcher, true);
    assert!(tables.adapter.requests().lookups.is_empty());
    let (_, confirm) = tables.adapter.requests().subscriptions.pop_front().unwrap();
    confirm.send(()).unwrap();
    tables.settle();
    assert!(received(&watcher).is_empty());
    let (_, answer) = tables.adapter.requests().lookups.pop_front().unwrap();
    answer.send(Ok(Some(4))).unwrap();
    tables.settle();
    assert_eq!(received(&watcher), ["online"]);
    // a later report of an earlier owner changes nothing
    for packet in [Packet::Down(3), Packet::Up(4), Packet::Up(2)] {
        tables.state.remote_packet(&topic("peer:a"), packet);
        tables.state.flush_watchers();
    }
    assert!(received(&watcher).is_empty());
}

/// The server's own code subscribes to the topic of a name, and stays longer than the name's owner.
#[test]
fn a_watched_name_is_offline_when_its_last_member_has_gone() {
    let (mut tables, owner, other, watcher) = (Tables::new(), client(1), client(2), client(3));
    claim(&mut tables.state, &owner, 1);
    tables.adapter.requests().claims.pop_front().unwrap().send(Claimed::Granted(5)).unwrap();
    tables.settle();
    join(&mut tables.state, &other, topic("peer:a"), Membership::default());
    watch(&mut tables.state, &watcher, true);
    let (_, confirm) = tables.adapter.requests().subscriptions.pop_front().unwrap();
    confirm.send(()).unwrap();
    tables.settle();
    for (leaving, expected) in [(&watcher, &["online"][..]), (&owner, &[]), (&other, &["offline"])] {
        if !Arc::ptr_eq(leaving, &watcher) {
            tables.state.connection_closed(leaving.id);
        }
        tables.state.flush_watchers();
        assert_eq!(received(&watcher), expected);
    }
}

#[test]
fn watched_names_are_looked_up_again_after_a_loss_and_only_changes_are_told() {
    let (mut tables, watcher) = (Tables::new(), client(1));
    watch(&mut tables.state, &watcher, true);
    let (_, confirm) = tables.adapter.requests().subscriptions.pop_front().unwrap();
    confirm.send(()).unwrap();
    tables.settle();
    let steps = [
        (Ok(None), &["offline"][..]),
        (Ok(None), &[]),
        (Ok(Some(1)), &["online"]),
        (Err(Unreachable), &[]),
        (Ok(None), &["offline"]),
    ];
    for (found, expected) in steps {
        let (_, answer) = tables.adapter.requests().lookups.pop_front().unwrap();
        answer.send(found).unwrap();
        tables.settle();
        tables.state.flush_watchers();
        assert_eq!(received(&watcher), expected);
        tables.state.resync();
        while tables.state.is_resyncing() {
            tables.state.continue_resync();
        }
    }
}

/// Answers the lookups that are under way, and returns how many they were.
fn answer_lookups(tables: &mut Tables, found: Result<Option<Epoch>, Unreachable>) -> usize {
    let lookups = std::mem::take(&mut tables.adapter.requests().lookups);
    let answered = lookups.into_iter().map(|(_, answer)| answer.send(found).unwrap()).count();
    tables.settle();
    tables.state.flush_watchers();
    answered
}

#[test]
fn a_lookup_that_fails_is_repeated_after_a_pause_until_the_directory_answers() {
    let (mut tables, watcher, leaving) = (Tables::new(), client(1), client(2));
    watch(&mut tables.state, &watcher, true);
    let (_, confirm) = tables.adapter.requests().subscriptions.pop_front().unwrap();
    confirm.send(()).unwrap();
    tables.settle();
    let steps =
        [(Err(Unreachable), &["offline"][..]), (Err(Unreachable), &[]), (Ok(Some(1)), &["online"]), (Ok(None), &[])];
    for (step, (found, expected)) in steps.into_iter().enumerate() {
        assert_eq!(answer_lookups(&mut tables, found), usize::from(step < 3), "no more than one is under way");
        assert_eq!(received(&watcher), expected);
        assert_eq!(tables.state.has_lookups_to_repeat(), step < 2);
        assert!(!tables.state.is_resyncing(), "a pause comes first");
        tables.state.repeat_lookups();
        while tables.state.is_resyncing() {
            tables.state.continue_resync();
        }
    }
    // nobody waits for it any more
    watch(&mut tables.state, &leaving, true);
    watch(&mut tables.state, &watcher, false);
    answer_lookups(&mut tables, Err(Unreachable));
    assert!(tables.state.has_lookups_to_repeat());
    watch(&mut tables.state, &leaving, false);
    assert!(!tables.state.has_lookups_to_repeat());
}

#[test]
fn few_of_many_lookups_that_are_repeated_are_under_way_at_a_time() {
    const NAMES: usize = 1_000;
    let (mut tables, watcher) = (Tables::new(), client(1));
    for n in 0..NAMES {
        tables.state.watch(Watch { member: member(&watcher), topic: topic(&format!("peer:{n}")), on: true });
    }
    let subscriptions = std::mem::take(&mut tables.adapter.requests().subscriptions);
    subscriptions.into_iter().for_each(|(_, confirm)| confirm.send(()).unwrap());
    tables.settle();
    assert_eq!(answer_lookups(&mut tables, Err(Unreachable)), NAMES);
    tables.state.repeat_lookups();
    let mut repeated = 0;
    while tables.state.is_resyncing() {
        (0..10).for_each(|_| tables.state.continue_resync());
        let answered = answer_lookups(&mut tables, Ok(Some(1)));
        assert!((1..=256).contains(&answered), "{answered} were under way");
        repeated += answered;
    }
    assert_eq!((repeated, tables.state.has_lookups_to_repeat()), (NAMES, false));
}

/// The limit of a name is for an absent peer.
#[test]
fn a_peer_on_another_node_may_get_more_signals_at_a_time_than_are_held_for_an_absent_one() {
    let most = Config::default().held_signals.signals_per_name;
    for status in [DeliveryStatus::Delivered, DeliveryStatus::Absent, DeliveryStatus::Unreachable] {
        let (mut tables, sender) = (Tables::new(), client(1));
        (0..most).for_each(|_| tables.state.hold_signal(held_signal(&sender)));
        let (_, confirm) = tables.adapter.requests().subscriptions.pop_front().unwrap();
        confirm.send(()).unwrap();
        tables.settle();
        (0..most).for_each(|_| tables.state.hold_signal(held_signal(&sender)));
        assert_eq!(received(&sender), [""; 0]);
        while let Some(answer) = { tables.adapter.requests().signals.pop_front() } {
            answer.send(status).unwrap();
            tables.settle();
        }
        match status {
            DeliveryStatus::Delivered => assert_eq!(received(&sender), vec!["Delivered"; 2 * most]),
            DeliveryStatus::Absent => assert_eq!(received(&sender), vec!["Overloaded"; most]),
            _ => assert_eq!(received(&sender)[..2], ["Unreachable", "Overloaded"]),
        }
        // whatever the answer was, no signal stays for ever
        tables.state.expire_held(sender.now() + Duration::from_secs(6));
        assert_eq!(tables.state.stats(), RegistryStats::default());
    }
}

/// The owner appears after the directory was asked, and before the answer arrives.
#[test]
fn a_signal_is_sent_again_if_an_owner_appears_while_the_first_answer_is_under_way() {
    let (mut tables, sender) = (Tables::new(), client(1));
    (0..3).for_each(|_| tables.state.hold_signal(held_signal(&sender)));
    assert!(tables.adapter.requests().signals.is_empty(), "the subscription comes first");
    let (_, confirm) = tables.adapter.requests().subscriptions.pop_front().unwrap();
    confirm.send(()).unwrap();
    tables.settle();
    assert_eq!(tables.adapter.requests().signals.len(), 1);
    tables.state.remote_packet(&topic("peer:a"), Packet::Up(1));
    for status in [DeliveryStatus::Absent, DeliveryStatus::Delivered] {
        tables.adapter.requests().signals.pop_front().unwrap().send(status).unwrap();
        tables.settle();
    }
    for answer in tables.adapter.requests().signals.drain(..) {
        answer.send(DeliveryStatus::Delivered).unwrap();
    }
    tables.settle();
    assert_eq!(received(&sender), ["Delivered"; 3]);
    assert_eq!(tables.state.stats(), RegistryStats::default());
}
