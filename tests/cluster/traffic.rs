//! Traffic that goes on while something else happens, and must not notice it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::peer::{Peer, random_id};

/// The pause between two exchanges, so that the traffic leaves the machine to others.
const PAUSE: Duration = Duration::from_millis(5);

/// Two clients of one node, which signal each other, and speak in a room.
pub struct LocalTraffic {
    is_over: Rc<Cell<bool>>,
    exchanges: Rc<Cell<u64>>,
    task: JoinHandle<()>,
}

impl LocalTraffic {
    /// Starts the traffic. Each exchange must succeed.
    pub async fn start(node: SocketAddr) -> Self {
        let (mut one, mut other, room) = (Peer::new(node).await, Peer::new(node).await, random_id());
        one.join_room(&room, json!({})).await;
        other.join_room(&room, json!({})).await;
        let (is_over, exchanges) = <(Rc<Cell<bool>>, Rc<Cell<u64>>)>::default();
        let (stop, count) = (is_over.clone(), exchanges.clone());
        let task = actix_web::rt::spawn(async move {
            while !stop.get() {
                let n = count.get();
                let signalled = one.signal(&other.id.clone(), n).await;
                assert_eq!(signalled, Ok(()), "exchange {n} within one node");
                other.hear_number(n).await;
                other.say(&room, n).await;
                one.hear_number(n).await;
                count.set(n + 1);
                sleep(PAUSE).await;
            }
        });
        Self { is_over, exchanges, task }
    }

    pub fn exchanges(&self) -> u64 {
        self.exchanges.get()
    }

    /// Waits until some more exchanges have succeeded.
    pub async fn goes_on(&self) {
        let before = self.exchanges();
        crate::wait_until("local traffic goes on", || async {
            self.exchanges() > before + 5 || self.task.is_finished()
        })
        .await;
        assert!(!self.task.is_finished(), "local traffic has failed: see above");
    }

    /// Ends the traffic, and returns the number of exchanges.
    pub async fn end(self) -> u64 {
        self.is_over.set(true);
        self.task.await.expect("no exchange fails");
        self.exchanges.get()
    }
}
