//! Which nodes are alive.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use handclasp::cluster::engine::{ClaimResult, Lease};
use tokio::time::{Instant, sleep};

use super::{Member, PAUSE, Site, pair};
use crate::common::TIMEOUT;

/// The shortest lease that can be configured.
const LEASE: Duration = Duration::from_secs(2);
/// How often a node renews its lease while it waits.
const INTERVAL: Duration = Duration::from_millis(200);

async fn beat(member: &Member, status: &'static str) -> Lease {
    member.engine.heartbeat(LEASE, Bytes::from_static(status.as_bytes())).await.unwrap().lease
}

/// The live nodes, with what they say about themselves.
async fn live(member: &Member) -> BTreeMap<String, Bytes> {
    let nodes = member.engine.nodes().await.unwrap();
    let count = nodes.len();
    let live: BTreeMap<_, _> = nodes.into_iter().map(|node| (node.id.to_string(), node.status)).collect();
    assert_eq!(live.len(), count, "each node once");
    live
}

fn nodes(nodes: &[(&Member, &'static str)]) -> BTreeMap<String, Bytes> {
    nodes.iter().map(|(member, status)| (member.id.to_string(), Bytes::from_static(status.as_bytes()))).collect()
}

/// Waits until the live nodes are these. The first one renews its lease meanwhile.
async fn until_live(expected: &[(&Member, &'static str)]) {
    let ((witness, status), expected) = (expected[0], nodes(expected));
    let start = Instant::now();
    loop {
        let live = live(witness).await;
        if live == expected {
            return;
        }
        assert!(start.elapsed() < TIMEOUT, "{live:?} instead of {expected:?}");
        beat(witness, status).await;
        sleep(INTERVAL).await;
    }
}

pub async fn a_lease_is_new_then_kept_and_runs_out(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    assert_eq!(live(&a).await, BTreeMap::new());
    let start = Instant::now();
    assert_eq!((beat(&a, "").await, beat(&b, "of b").await), (Lease::New, Lease::New));
    assert_eq!((beat(&a, "of a").await, beat(&b, "of b").await), (Lease::Kept, Lease::Kept));
    assert_eq!(live(&b).await, nodes(&[(&a, "of a"), (&b, "of b")]));
    until_live(&[(&a, "of a")]).await;
    assert!(start.elapsed() >= LEASE, "b was dead before its lease was over");
    assert_eq!(beat(&b, "again").await, Lease::New);
    assert_eq!(beat(&b, "again").await, Lease::Kept);
    assert_eq!(live(&a).await, nodes(&[(&a, "of a"), (&b, "again")]));
}

pub async fn a_lease_is_kept_when_a_node_links_again(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    b.granted("peer:x").await;
    beat(&a, "").await;
    assert_eq!(beat(&b, "").await, Lease::New);
    for _ in 0..3 {
        b.link_again().await;
        assert_eq!(beat(&b, "again").await, Lease::Kept);
        assert_eq!(live(&a).await, nodes(&[(&a, ""), (&b, "again")]));
    }
    b.link_again().await;
    until_live(&[(&a, "")]).await;
    assert_eq!(beat(&b, "").await, Lease::New, "its lease is over");
    b.engine.end_lease().await.unwrap();
    b.link_again().await;
    assert_eq!(beat(&b, "").await, Lease::New, "it has ended its lease");
}

pub async fn a_lease_that_is_ended_is_over_at_once(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    for _ in 0..3 {
        beat(&a, "").await;
        assert_eq!(beat(&b, "").await, Lease::New);
        assert_eq!(beat(&b, "").await, Lease::Kept);
        b.engine.end_lease().await.unwrap();
        assert_eq!(live(&b).await, nodes(&[(&a, "")]));
    }
    // also without a lease
    b.engine.end_lease().await.unwrap();
}

pub async fn a_heartbeat_tells_an_epoch_that_no_earlier_grant_exceeds(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    let epoch = async |member: &Member| member.engine.heartbeat(LEASE, Bytes::new()).await.unwrap().epoch;
    for n in 0..3 {
        let granted = a.engine.claim(&format!("peer:{n}")).await;
        let Ok(ClaimResult::Granted(granted)) = granted else { panic!("{granted:?}") };
        assert!(epoch(&b).await >= granted && epoch(&a).await >= granted);
        // the epoch of a name that was granted without the engine
        let isolated = epoch(&b).await + 1;
        let replaced = b.engine.enter(&[(&format!("peer:{n}"), isolated)]).await.unwrap();
        assert_eq!(replaced.iter().map(|(_, holder)| holder.epoch).collect::<Vec<_>>(), [granted]);
    }
}

pub async fn the_status_of_a_node_is_its_last(site: Rc<dyn Site>) {
    const BINARY: &str = "\0\u{1}\r\n:, \"{}\u{7F}ö";
    let (a, b) = pair(&*site).await;
    for status in ["first", "", BINARY] {
        beat(&a, status).await;
        beat(&b, "b").await;
        assert_eq!(live(&b).await, nodes(&[(&a, status), (&b, "b")]));
        sleep(PAUSE).await;
    }
}
