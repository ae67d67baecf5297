//! Frees memory when the node's [budget](crate::memory) is nearly used up: the clients that hold most and wait longest
//! are disconnected first, until there is room again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connections::connection::Connection;

/// Disconnects clients until about `excess` bytes are freed. Returns how many were disconnected. The rank of a client is
/// what it holds, multiplied by the time since when. A client that holds nothing stays connected.
pub(crate) fn relieve(connections: impl Iterator<Item = Arc<Connection>>, excess: usize, now: Instant) -> usize {
    let mut holders: Vec<(u128, usize, Arc<Connection>)> = connections
        .filter_map(|connection| {
            let (bytes, since) = connection.held();
            let waited = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
            let rank = bytes as u128 * (waited.as_millis() + 1);
            (bytes > 0).then_some((rank, bytes, connection))
        })
        .collect();
    holders.sort_unstable_by_key(|(rank, ..)| std::cmp::Reverse(*rank));
    let (mut freed, mut count) = (0, 0);
    for (_, bytes, connection) in holders {
        if freed >= excess {
            break;
        }
        if connection.mailbox.is_closed() {
            // it is ending already
            connection.abort();
            continue;
        }
        connection.evict();
        freed += bytes;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    use crate::connections::connection::WriteSide;
    use crate::connections::connection::tests::numbered;
    use crate::connections::envelope::{Envelope, SocketEvent};
    use crate::connections::ready_queue::ReadyQueue;
    use crate::message::{Event, JoinId, Payload};
    use crate::protocol::Frame;

    /// A client that reads has some output or input at any moment. It does not have it since it has connected.
    #[test]
    fn the_age_of_a_connection_does_not_count() {
        let now = Instant::now();
        let mut old = numbered(1, usize::MAX);
        old.opened = now.checked_sub(Duration::from_secs(60)).unwrap();
        let (uploading, writing, waiting) = (Arc::new(old), numbered(2, usize::MAX), Arc::new(numbered(3, usize::MAX)));
        uploading.change_incomplete(0, 8_192);
        let mut writing = writing;
        writing.opened = uploading.opened;
        let writing = Arc::new(writing);
        writing.set_write_side(Arc::new(WriteSide::new(ReadyQueue::new(), writing.memory().clone())));
        writing.writer().unwrap().send(&Frame::Binary(Bytes::from(vec![0; 8_192])));
        let event = SocketEvent::Push(JoinId::SOCKET, Event::const_new("e"), Payload::binary(vec![0; 10_000]));
        let five_seconds_ago = now.checked_sub(Duration::from_secs(5)).unwrap();
        waiting.mailbox.push(Envelope::SocketEvent(Box::new(event)), five_seconds_ago).unwrap();
        let crowd = [uploading, writing, waiting];
        assert_eq!(relieve(crowd.iter().cloned(), 1, Instant::now()), 1);
        assert_eq!(crowd.each_ref().map(|connection| connection.mailbox.is_closed()), [false, false, true]);
    }

    #[test]
    fn the_clients_that_hold_most_for_the_longest_time_go_first() {
        let start = Instant::now();
        let seconds = |seconds| start + Duration::from_secs(seconds);
        let crowd: Vec<_> = (0..4).map(|n| Arc::new(numbered(n, usize::MAX))).collect();
        for (client, bytes, since) in [(0, 100_000, 99), (1, 20_000, 0), (2, 1_000, 90)] {
            let event = SocketEvent::Push(JoinId::SOCKET, Event::const_new("e"), Payload::binary(vec![0; bytes]));
            let pushed = crowd[client].mailbox.push(Envelope::SocketEvent(Box::new(event)), seconds(since));
            assert_eq!(pushed, Ok(()));
        }
        let closed = || crowd.iter().map(|connection| connection.mailbox.is_closed()).collect::<Vec<_>>();
        let relieve = |excess| relieve(crowd.iter().cloned(), excess, seconds(100));
        assert_eq!((relieve(0), closed()), (0, vec![false; 4]));
        assert_eq!((relieve(10_000), closed()), (1, vec![false, true, false, false]), "20 kB for 100 s");
        assert_eq!((relieve(10_000), closed()), (1, vec![true, true, false, false]), "100 kB for 1 s");
        assert_eq!((relieve(usize::MAX), closed()), (1, vec![true, true, true, false]), "the last one holds nothing");
    }
}
