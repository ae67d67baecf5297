//! Frees memory when the node's [budget](crate::memory) is nearly used up: the clients that hold most and wait longest
//! are disconnected first, until there is room again.

use std::sync::Arc;
use std::time::Instant;

use crate::connections::connection::Connection;

/// Disconnects clients until about `excess` bytes are freed. Returns how many were disconnected. The rank of a client is
/// what it holds, multiplied by the time since when. A client that holds nothing stays connected.
pub(crate) fn relieve(connections: impl Iterator<Item = Arc<Connection>>, excess: usize, now: Instant) -> usize {
    let mut holders: Vec<(u128, usize, Arc<Connection>)> = connections
        .filter_map(|connection| {
            let (bytes, since) = connection.held();
            let rank = bytes as u128 * (now.saturating_duration_since(since).as_millis() + 1);
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
    use std::time::Duration;

    use super::*;
    use crate::connections::connection::tests::numbered;
    use crate::connections::envelope::{Envelope, SocketEvent};
    use crate::message::{Event, JoinId, Payload};

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
