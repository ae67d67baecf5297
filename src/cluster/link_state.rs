//! What every thread may ask about the cluster: whether the node is linked to its engine, why it is not, and which other
//! nodes it knows. The cluster's thread notes when it has run, so that others notice that it hangs.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::adapter::NodeId;

/// What is wrong once the work of the cluster's thread has ended.
pub(super) const ENDED: &str = "the cluster's thread has stopped";

/// The state of the link. It is shared by the adapter and its thread.
pub(super) struct LinkState {
    lease: Duration,
    report: Mutex<Report>,
}

struct Report {
    /// When the cluster's thread has run last. `None` once its work has ended.
    ran_at: Option<Instant>,
    is_linked: bool,
    /// When the link was lost. `None` if there was none yet.
    lost_at: Option<Instant>,
    problem: String,
    /// The other live nodes.
    nodes: Vec<NodeId>,
}

impl LinkState {
    pub(super) fn new(lease: Duration) -> Self {
        let problem = "the cluster's engine has not been reached yet".to_owned();
        let report =
            Report { ran_at: Some(Instant::now()), is_linked: false, lost_at: None, problem, nodes: Vec::new() };
        Self { lease, report: Mutex::new(report) }
    }

    /// Notes that the cluster's thread runs.
    pub(super) fn set_running(&self) {
        self.report().ran_at = Some(Instant::now());
    }

    /// Notes that the work of the cluster's thread has ended.
    pub(super) fn set_ended(&self) {
        self.report().ran_at = None;
    }

    /// Notes which other nodes are alive.
    pub(super) fn set_nodes(&self, nodes: Vec<NodeId>) {
        self.report().nodes = nodes;
    }

    /// The other nodes that were alive when the list was read last.
    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.report().nodes.clone()
    }

    /// Notes that the node is linked.
    pub(super) fn set_linked(&self) {
        self.report().is_linked = true;
    }

    /// Notes why the node is not linked. Returns whether that is news.
    pub(super) fn set_problem(&self, problem: String) -> bool {
        let mut report = self.report();
        if std::mem::replace(&mut report.is_linked, false) {
            report.lost_at = Some(Instant::now());
        } else if report.problem == problem {
            return false;
        }
        report.problem = problem;
        true
    }

    /// Whether the node can serve: the cluster's thread has run within one lease, it was linked once, and has not been
    /// without the engine for longer than one lease.
    pub(super) fn ready(&self) -> Result<(), String> {
        let report = self.report();
        let Some(ran_at) = report.ran_at else { return Err(ENDED.to_owned()) };
        if ran_at.elapsed() >= self.lease {
            return Err(format!("the cluster's thread has not run for {}", humantime::format_duration(self.lease)));
        }
        let is_recent = report.lost_at.is_some_and(|at| at.elapsed() < self.lease);
        if report.is_linked || is_recent { Ok(()) } else { Err(report.problem.clone()) }
    }

    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
