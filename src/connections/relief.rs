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
