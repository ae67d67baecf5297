//! What holds once several nodes are quiet, and what holds at any time, whatever clients and faults do: a model of the
//! whole broker over the shared adapter and an engine in memory.
//!
//! All nodes run on one thread, whose clock stands still while there is work and jumps to the next timer while there is
//! none. So leases of seconds pass in microseconds, and a failure can be repeated and shrunk.
//!
//! `CLUSTER_CASES=10000 cargo test --lib cluster::tests` tries more cases than `make test`.

#[expect(unreachable_pub, dead_code, reason = "the integration tests use it, too")]
#[path = "../../tests/common/memory_engine/mod.rs"]
mod memory_engine;
mod record;
#[expect(unreachable_pub, reason = "the integration tests use it, too")]
#[path = "../../tests/common/rng.rs"]
mod rng;
mod world;

use std::time::Duration;

use actix::System;
use memory_engine::Knobs;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError};
use tokio::runtime::Builder;
use tokio::time::sleep;
use world::{CLIENTS, NAMES, NODES, ROOMS, World};

/// The number of cases that are tried without `CLUSTER_CASES`.
const CASES: u32 = 40;
/// The longest fault.
const LONGEST_FAULT: Duration = Duration::from_secs(5);
/// A message that was sent so long before the first fault has arrived.
const CALM: Duration = Duration::from_secs(1);

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    Claim { client: usize, name: usize, secret: u8 },
    Release { client: usize, name: usize },
    Signal { client: usize, name: usize },
    Watch { client: usize, name: usize },
    Unwatch { client: usize, name: usize },
    Join { client: usize, room: usize },
    Leave { client: usize, room: usize },
    Shout { client: usize, room: usize },
    Reconnect { client: usize },
    Fault(Fault),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// A node does not run, or cannot be reached, and goes on.
    Freeze { node: usize, time: Duration },
    /// Messages to a node are lost. Then it notices.
    Lose { node: usize, time: Duration },
    /// A node loses its link, and cannot make another one for some time.
    Refuse { node: usize, time: Duration },
    /// The engine does not run, and goes on.
    Hang { time: Duration },
    /// The servers of the engine elect a leader: meanwhile requests are lost.
    Elect { time: Duration },
    /// The engine is started again, without its data.
    Empty,
    /// A node is killed, and started again.
    Crash { node: usize },
    /// A node is stopped, and started again.
    Restart { node: usize },
}

/// A run: how the engine behaves, and the steps, each after a pause.
#[derive(Clone, Debug)]
struct Case {
    seed: u64,
    delay: u64,
    reorders: bool,
    has_several_servers: bool,
    steps: Vec<(u64, Step)>,
}

fn step() -> impl Strategy<Value = Step> {
    let (client, name, room) = (0..CLIENTS, 0..NAMES, 0..ROOMS);
    let (of_name, of_room) = ((client.clone(), name.clone()), (client.clone(), room));
    prop_oneof![
        20 => (client.clone(), name, 0..2_u8).prop_map(|(client, name, secret)| Step::Claim { client, name, secret }),
        8 => of_name.clone().prop_map(|(client, name)| Step::Release { client, name }),
        30 => of_name.clone().prop_map(|(client, name)| Step::Signal { client, name }),
        8 => of_name.clone().prop_map(|(client, name)| Step::Watch { client, name }),
        3 => of_name.prop_map(|(client, name)| Step::Unwatch { client, name }),
        12 => of_room.clone().prop_map(|(client, room)| Step::Join { client, room }),
        6 => of_room.clone().prop_map(|(client, room)| Step::Leave { client, room }),
        12 => of_room.prop_map(|(client, room)| Step::Shout { client, room }),
        4 => client.prop_map(|client| Step::Reconnect { client }),
        5 => fault().prop_map(Step::Fault),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    let node = 0..NODES;
    // shorter than the answer of another node may take, shorter than a lease, and longer
    let time =
        prop_oneof![Just(100), Just(900), Just(LONGEST_FAULT.as_millis() as u64)].prop_map(Duration::from_millis);
    let of_node = (node.clone(), time.clone());
    prop_oneof![
        3 => of_node.clone().prop_map(|(node, time)| Fault::Freeze { node, time }),
        3 => of_node.clone().prop_map(|(node, time)| Fault::Lose { node, time }),
        3 => of_node.prop_map(|(node, time)| Fault::Refuse { node, time }),
        1 => time.clone().prop_map(|time| Fault::Hang { time }),
        1 => time.prop_map(|time| Fault::Elect { time }),
        1 => Just(Fault::Empty),
        1 => node.clone().prop_map(|node| Fault::Crash { node }),
        1 => node.prop_map(|node| Fault::Restart { node }),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    // in milliseconds
    let pause = prop_oneof![4 => Just(0), 4 => 1..10_u64, 2 => 10..300_u64, 1 => 1_000..3_000_u64];
    let delay = prop_oneof![Just(0), Just(3), Just(30)];
    let steps = prop::collection::vec((pause, step()), 1..80);
    (1..u64::MAX, delay, any::<bool>(), any::<bool>(), steps).prop_map(
        |(seed, delay, reorders, has_several_servers, steps)| Case {
            seed,
            delay,
            reorders,
            has_several_servers,
            steps,
        },
    )
}

/// Runs a case. Returns what is wrong, and all that happened.
fn run(case: &Case) -> (Vec<String>, Vec<String>) {
    let knobs = Knobs {
        seed: case.seed,
        delay: Duration::ZERO..=Duration::from_millis(case.delay),
        reorders: case.reorders,
        has_several_servers: case.has_several_servers,
        ..Knobs::default()
    };
    run_with(knobs, &case.steps)
}

fn run_with(knobs: Knobs, steps: &[(u64, Step)]) -> (Vec<String>, Vec<String>) {
    let runtime = || Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    System::with_tokio_rt(runtime).block_on(async {
        let mut world = World::new(knobs).await;
        for (pause, step) in steps {
            sleep(Duration::from_millis(*pause)).await;
            world.run(step).await;
        }
        let mut faults = world.settle().await;
        if faults.is_empty() {
            faults = world.end().await;
        }
        (faults, world.trace())
    })
}

/// The same cases each time, or `CLUSTER_CASES` others.
fn config() -> ProptestConfig {
    let (cases, rng_seed) = match std::env::var("CLUSTER_CASES") {
        Ok(cases) => (cases.parse().unwrap(), RngSeed::Random),
        Err(_) => (CASES, RngSeed::Fixed(19)),
    };
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn nodes_agree_whatever_clients_and_faults_do(case in case()) {
        let (faults, trace) = run(&case);
        if !faults.is_empty() {
            let text = [faults, vec!["what happened:".to_owned()], trace].concat().join("\n");
            return Err(TestCaseError::fail(text));
        }
    }
}

/// Cases that have failed once.
fn check(delay: u64, has_several_servers: bool, steps: Vec<(u64, Step)>) {
    check_with(1, delay, has_several_servers, steps);
}

fn check_with(seed: u64, delay: u64, has_several_servers: bool, steps: Vec<(u64, Step)>) {
    let (faults, trace) = run(&Case { seed, delay, reorders: false, has_several_servers, steps });
    assert!(faults.is_empty(), "{faults:#?} {trace:#?}");
}

#[test]
fn a_name_that_two_nodes_hold_after_the_engine_returned_empty_has_one_owner_in_the_end() {
    let claim = |client| Step::Claim { client, name: 0, secret: 0 };
    let steps = vec![(0, claim(0)), (0, claim(0)), (0, claim(1)), (1, Step::Fault(Fault::Empty)), (0, claim(3))];
    check(0, false, steps);
}

#[test]
fn a_node_that_enters_a_name_while_another_takes_it_loses_it() {
    let claim = |client| Step::Claim { client, name: 0, secret: 0 };
    let ms = Duration::from_millis;
    let steps = vec![
        (92, claim(0)),
        (228, claim(3)),
        (1_448, claim(0)),
        (0, claim(0)),
        (203, claim(0)),
        (1_274, Step::Fault(Fault::Hang { time: ms(900) })),
        (0, Step::Fault(Fault::Refuse { node: 1, time: ms(100) })),
        (277, claim(0)),
        (120, claim(4)),
        (4, claim(2)),
    ];
    check(0, true, steps);
}

#[test]
fn a_name_that_is_given_up_in_vain_is_released() {
    let steps = vec![
        (0, Step::Fault(Fault::Lose { node: 0, time: Duration::from_millis(100) })),
        (0, Step::Claim { client: 1, name: 1, secret: 0 }),
        (0, Step::Claim { client: 0, name: 1, secret: 0 }),
    ];
    check(0, false, steps);
}

#[test]
fn a_presence_entry_whose_end_was_published_without_a_link_is_removed() {
    let steps = vec![
        (0, Step::Join { client: 0, room: 0 }),
        (0, Step::Join { client: 5, room: 0 }),
        (51, Step::Reconnect { client: 5 }),
        (0, Step::Fault(Fault::Refuse { node: 2, time: Duration::from_millis(100) })),
    ];
    check(0, false, steps);
}

#[test]
fn a_signal_that_is_sent_during_a_lookup_finds_an_owner_that_came_meanwhile() {
    let signal = || Step::Signal { client: 1, name: 1 };
    // some of these delays let the claim take effect between the lookup at the engine and its answer
    for seed in 1..20 {
        let steps = (0..40).map(|_| (2, signal()));
        let steps =
            [(0, signal()), (5, Step::Claim { client: 0, name: 1, secret: 0 })].into_iter().chain(steps).collect();
        check_with(seed, 30, false, steps);
    }
}

#[test]
fn a_watcher_learns_that_a_name_of_its_own_node_was_given_up_in_vain() {
    let steps = vec![
        (0, Step::Watch { client: 2, name: 2 }),
        (0, Step::Claim { client: 0, name: 0, secret: 0 }),
        (0, Step::Claim { client: 2, name: 2, secret: 1 }),
        (10, Step::Claim { client: 0, name: 2, secret: 1 }),
        (1, Step::Claim { client: 0, name: 0, secret: 0 }),
        (0, Step::Fault(Fault::Elect { time: Duration::from_millis(100) })),
    ];
    check(3, false, steps);
}

#[test]
fn a_watcher_learns_of_an_end_that_was_published_without_a_link() {
    let steps = vec![
        (0, Step::Claim { client: 2, name: 1, secret: 0 }),
        (0, Step::Fault(Fault::Lose { node: 1, time: Duration::from_millis(100) })),
        (0, Step::Watch { client: 2, name: 1 }),
        (0, Step::Claim { client: 4, name: 1, secret: 0 }),
    ];
    check(0, false, steps);
}

#[test]
fn no_node_is_called_dead_after_an_election_that_is_shorter_than_a_lease() {
    let mut called_dead = Vec::new();
    // the heartbeats of the two nodes have these times between them, and are lost at these times of the election
    for (offset, pause, timeout) in (0..500)
        .step_by(100)
        .flat_map(|offset| (0..500).step_by(100).map(move |pause| (offset, pause)))
        .flat_map(|(offset, pause)| [200, 400, 900].map(|timeout| (offset, pause, timeout)))
    {
        let claim = |client| Step::Claim { client, name: client, secret: 0 };
        let steps = vec![
            (offset, Step::Fault(Fault::Restart { node: 1 })),
            (2_000, claim(0)),
            (0, claim(1)),
            (500, Step::Watch { client: 0, name: 1 }),
            (0, Step::Watch { client: 1, name: 0 }),
            (pause + 10, Step::Fault(Fault::Elect { time: Duration::from_millis(1_700) })),
        ];
        let knobs = Knobs { seed: 1, timeout: Duration::from_millis(timeout), ..Knobs::default() };
        let (faults, trace) = run_with(knobs, &steps);
        assert!(faults.is_empty(), "{faults:#?} {trace:#?}");
        if trace.iter().any(|line| line.contains("is told") && line.ends_with("false")) {
            called_dead.push((offset, pause, timeout, trace));
        }
    }
    assert!(called_dead.is_empty(), "{} {:#?}", called_dead.len(), called_dead.first());
}
