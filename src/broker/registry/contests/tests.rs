//! After any sequence of claims, answers and pauses, each owner is pinged, kept and given up exactly when it must be.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::connections::connection::tests::numbered;
use crate::connections::envelope::Envelope;
use crate::connections::mailbox::Batch;

const TIMEOUT: Duration = Duration::from_secs(2);
const OWNERS: usize = 3;
/// Two for each owner.
const NAMES: usize = 2 * OWNERS;

#[derive(Clone, Debug)]
enum Step {
    Claim(usize),
    /// The client that claimed the name first does not wait any more.
    GiveUp(usize),
    /// The owner sends something.
    Answer(usize),
    /// Time passes, and the contests are checked.
    Check(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..NAMES).prop_map(Step::Claim),
        1 => (0..NAMES).prop_map(Step::GiveUp),
        1 => (0..OWNERS).prop_map(Step::Answer),
        4 => (0..1_500_u64).prop_map(Step::Check),
    ]
}

/// What is to be expected of an owner.
#[derive(Clone, Copy, Default)]
struct Model {
    pinged: Option<Instant>,
    has_sent: bool,
    found_alive: Option<Instant>,
}

struct World {
    contests: Contests,
    owners: Vec<Arc<Connection>>,
    models: [Model; OWNERS],
    /// The clients that wait for each name.
    waiting: Vec<Vec<oneshot::Receiver<bool>>>,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self {
            contests: Contests::new(TIMEOUT),
            owners: (0..OWNERS).map(|n| Arc::new(numbered(n as u64, usize::MAX))).collect(),
            models: [Model::default(); OWNERS],
            waiting: (0..NAMES).map(|_| Vec::new()).collect(),
            now: Instant::now(),
        }
    }

    /// Whether the owner has been pinged since the last call.
    fn takes_ping(&self, owner: usize) -> bool {
        let mut batch = Batch::new();
        self.owners[owner].mailbox.drain(&mut batch, std::task::Waker::noop());
        assert!(batch.len() < 2 && batch.iter().all(|envelope| matches!(envelope, Envelope::Probe)));
        !batch.is_empty()
    }

    fn claim(&mut self, n: usize) {
        let owner = n % OWNERS;
        let (decide, decision) = oneshot::channel();
        let wanted = |contender: &Contender| matches!(contender, Contender::Remote(_, decide) if !decide.is_closed());
        let contender = Contender::Remote(1, decide);
        let contest = self.contests.add(&name(n), &self.owners[owner], contender, wanted, self.now);
        let model = &mut self.models[owner];
        let is_new = model.pinged.is_none() && model.found_alive.is_none();
        if is_new {
            *model = Model { pinged: Some(self.now), has_sent: false, found_alive: None };
        }
        let found_alive = model.found_alive.is_some();
        assert_eq!(self.takes_ping(owner), is_new);
        let is_full = self.waiting[n].len() >= CLAIMS;
        assert_eq!(matches!(contest, Contest::Waiting), !found_alive && !is_full);
        if matches!(contest, Contest::Waiting) {
            self.waiting[n].push(decision);
        }
    }

    fn check(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        let findings = self.contests.findings(self.now);
        let decided: BTreeSet<u64> = findings.iter().map(|finding| finding.owner.id.0).collect();
        assert_eq!(decided.len(), findings.len(), "one finding for each owner");
        for (owner, model) in self.models.iter_mut().enumerate() {
            let elapsed = |since: Option<Instant>| since.is_some_and(|since| self.now - since >= TIMEOUT);
            let expected = match model {
                Model { pinged: Some(_), has_sent: true, .. } => {
                    *model = Model { found_alive: Some(self.now), ..Model::default() };
                    Some(true)
                }
                Model { pinged, .. } if elapsed(*pinged) => {
                    *model = Model::default();
                    Some(false)
                }
                Model { found_alive, .. } if elapsed(*found_alive) => {
                    *model = Model::default();
                    None
                }
                _ => None,
            };
            let finding = findings.iter().find(|finding| finding.owner.id.0 == owner as u64);
            assert_eq!(finding.map(|finding| finding.is_alive), expected);
            let claimed: BTreeSet<Topic> = finding.into_iter().flat_map(|finding| finding.names.clone()).collect();
            for n in (0..NAMES).filter(|n| n % OWNERS == owner && expected.is_some()) {
                assert!(self.waiting[n].is_empty() || claimed.contains(&name(n)));
                self.contests.take(&name(n));
                self.waiting[n].clear();
            }
        }
    }

    fn run_step(&mut self, step: &Step) {
        match *step {
            Step::Claim(n) => self.claim(n),
            Step::GiveUp(n) if !self.waiting[n].is_empty() => drop(self.waiting[n].remove(0)),
            Step::GiveUp(_) => {}
            Step::Answer(owner) => {
                self.owners[owner].activity.mark();
                self.models[owner].has_sent = true;
            }
            Step::Check(millis) => self.check(millis),
        }
    }
}

fn name(n: usize) -> Topic {
    Topic::parse(&format!("peer:{n}")).unwrap()
}

proptest! {
    #[test]
    fn contests_match_the_model(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.run_step(step));
        // nothing is left when all is quiet
        world.check(TIMEOUT.as_millis() as u64);
        world.check(TIMEOUT.as_millis() as u64);
        assert!(world.contests.is_empty() && world.contests.claims.is_empty());
    }
}

#[test]
fn an_owner_that_is_closing_is_not_pinged() {
    let mut world = World::new();
    world.owners[0].close(&crate::close::SLOW);
    let contender = Contender::Remote(1, oneshot::channel().0);
    let contest = world.contests.add(&name(0), &world.owners[0], contender, |_| true, world.now);
    assert!(matches!(contest, Contest::OwnerClosing(_)) && world.contests.is_empty());
}
