//! One round: many clients at the same time, each for a short time or to the end; then quiet; then the model.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::clients::{self, Role};
use crate::common::TIMEOUT;
use crate::common::process::Process;
use crate::common::rng::Rng;
use crate::model;
use crate::record::Record;
use crate::wire::{Ending, Party, Wire};

/// How many clients act at the same time.
const CLIENTS: u64 = 20;
/// The clients that stay connected once all others have gone.
const STAYING: usize = 12;
/// How many faults a report shows.
const SHOWN: usize = 12;

/// What a round has done, or what is wrong.
pub struct Summary {
    pub clients: usize,
    pub messages: usize,
    pub arrivals: usize,
    pub faults: Vec<String>,
}

/// Runs a round. The same seed makes the same choices, but the schedule of the processes varies.
pub async fn run_round(nodes: &[Process], round: usize, seed: u64, time: Duration) -> Summary {
    let record = Rc::new(RefCell::new(Record::new(round, nodes.len())));
    let until = Instant::now() + time;
    let staying = RefCell::new(Vec::new());
    let clients = (0..CLIENTS).map(|n| {
        let rng = Rng((seed * CLIENTS + n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let role = match n {
            0..=1 => Role::TakesOver,
            2..=4 => Role::Flashes,
            5..=6 => Role::Sends,
            7..=8 => Role::ChangesTransport,
            _ => Role::Anything,
        };
        run_clients(nodes, role, rng, &record, &staying, until)
    });
    join_all(clients).await;
    let mut faults = settle(&record).await;
    faults.splice(0..0, model::faults(&record.borrow()));
    if !faults.is_empty() {
        report(&record.borrow(), seed, &faults);
    }
    let mut rng = Rng(seed + 1);
    for wire in staying.into_inner() {
        wire.end(Ending::Dropped, &mut rng).await;
    }
    let record = record.borrow();
    Summary { clients: record.clients, messages: record.messages.len(), arrivals: record.arrivals.len(), faults }
}

/// Waits until the model finds nothing that may still change. Returns what has not become true in time.
async fn settle(record: &RefCell<Record>) -> Vec<String> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let open = model::unsettled(&record.borrow());
        if open.is_empty() || Instant::now() > deadline {
            return open;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn run_clients(
    nodes: &[Process],
    role: Role,
    mut rng: Rng,
    record: &Rc<RefCell<Record>>,
    staying: &RefCell<Vec<Wire>>,
    until: Instant,
) {
    while Instant::now() < until {
        if let Some(wire) = run_client(nodes, role, &mut rng, record, until).await {
            let stays = role != Role::Anything || staying.borrow().len() < STAYING;
            if stays {
                staying.borrow_mut().push(wire);
            } else {
                wire.end(Ending::Dropped, &mut rng).await;
            }
        }
    }
}

/// Runs one client. Returns its connection if it stays.
async fn run_client(
    nodes: &[Process],
    role: Role,
    rng: &mut Rng,
    record: &Rc<RefCell<Record>>,
    until: Instant,
) -> Option<Wire> {
    let (number, speaker, transport) = clients::random(role, rng, &mut record.borrow_mut());
    let (speaker, is_ending) = (Rc::new(RefCell::new(speaker)), Rc::new(Cell::new(false)));
    let party = Party { number, speaker, record: record.clone(), is_ending };
    let first = segment(&party, rng);
    let wire = Wire::open(node_of(number, role, nodes).address, &transport, party.clone(), &first, rng).await;
    let mut segments = rng.below(12);
    while segments > 0 || role != Role::Anything && Instant::now() < until {
        segments = segments.saturating_sub(1);
        match rng.below(3) {
            _ if role == Role::ChangesTransport => sleep(Duration::from_micros(rng.below(40_000))).await,
            0 if role == Role::Anything => sleep(Duration::from_micros(rng.below(60_000))).await,
            _ => tokio::task::yield_now().await,
        }
        if wire.is_over() {
            return Some(wire);
        }
        if party.speaker.borrow().is_busy() && Instant::now() < until {
            sleep(Duration::from_millis(1)).await;
            continue;
        }
        let messages = segment(&party, rng);
        wire.send(&messages, rng).await;
    }
    let ending = match rng.below(6) {
        _ if role != Role::Anything => return Some(wire),
        0..=1 => Ending::Reset,
        2 => Ending::Dropped,
        3 => Ending::Closed,
        _ => return Some(wire),
    };
    wire.end(ending, rng).await;
    None
}

/// The node of a client. Those that take a name over from each other all the time are on one node: between nodes, a signal
/// meanwhile may get another outcome.
fn node_of(client: usize, role: Role, nodes: &[Process]) -> &Process {
    match role {
        Role::TakesOver | Role::Flashes => &nodes[0],
        _ => &nodes[client % nodes.len()],
    }
}

/// The next messages, which are sent together.
fn segment(party: &Party, rng: &mut Rng) -> Vec<String> {
    let record = &mut *party.record.borrow_mut();
    (0..1 + rng.below(12)).flat_map(|_| party.speaker.borrow_mut().speak(rng, record)).collect()
}

/// Prints the first faults, and writes all of them with everything that was said to a file.
fn report(record: &Record, seed: u64, faults: &[String]) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("checker-{seed}.txt"));
    let mut text = faults.join("\n");
    text.push_str("\n\n");
    for (at, client, what) in &record.trace {
        writeln!(text, "{at:>6} {client:>4} {what}").unwrap();
    }
    text.push('\n');
    for (at, join) in record.joins.iter().enumerate() {
        writeln!(text, "join {at}: {join:?}").unwrap();
    }
    for (at, message) in record.messages.iter().enumerate() {
        writeln!(text, "message {at}: {message:?}").unwrap();
    }
    for (at, watch) in record.watches.iter().enumerate() {
        writeln!(text, "watch {at}: {watch:?}").unwrap();
    }
    std::fs::write(&path, text).unwrap();
    println!("CHECKER_SEED={seed} repeats these choices; all that was said is in {}", path.display());
    faults.iter().take(SHOWN).for_each(|fault| println!("  {fault}"));
    println!("  {} faults in all", faults.len());
}
