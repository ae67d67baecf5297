//! The budget of a node for everything that waits: queues, output, request bodies, fragments, held signals.
//!
//! It only counts. A buffer that keeps bytes for a client takes them from the budget and gives them back. When the budget is
//! nearly used up, the node [frees memory](crate::connections::relief): it disconnects the clients that hold most and
//! wait longest. When nothing is left, new clients and new messages are refused.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use bytes::Bytes;
use tokio::sync::Notify;

/// The step in which buffers count that often grow and shrink, in bytes. A buffer that is smaller counts as nothing: it
/// belongs to what every connection costs.
const STEP: usize = 4 * 1024;

/// The default limit is this part of the machine's memory, or of the memory that the process may use.
const SHARE_OF_MACHINE: usize = 4;
/// The highest default limit, in bytes.
const DEFAULT_MAX: usize = 512 * 1024 * 1024;

/// Counts the bytes that wait on a node, up to a limit.
#[derive(Debug)]
pub(crate) struct MemoryBudget {
    limit: usize,
    /// It may be below zero for a moment: two threads that change what one connection holds tell it in any order.
    used: AtomicIsize,
    /// Notified when more than [`high`](Self::high) is used.
    is_high: Notify,
}

impl MemoryBudget {
    /// A budget of `limit` bytes, or the default if that is 0.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let limit = if limit == 0 { default_limit() } else { limit };
        Arc::new(Self { limit, used: AtomicIsize::new(0), is_high: Notify::new() })
    }

    /// The limit, in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The number of bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed).max(0).cast_unsigned()
    }

    /// Whether nothing is left.
    pub(crate) fn is_full(&self) -> bool {
        self.used() >= self.limit
    }

    /// How many bytes are used when the node starts to free memory.
    fn high(&self) -> usize {
        self.limit - self.limit / 8
    }

    /// How many bytes must be freed now. The node frees more than it has to, so that it does not start again soon.
    pub(crate) fn excess(&self) -> usize {
        let used = self.used();
        if used <= self.high() { 0 } else { used - (self.limit - self.limit / 4) }
    }

    /// Waits until the node must free memory.
    pub(crate) async fn excess_exists(&self) {
        while self.excess() == 0 {
            self.is_high.notified().await;
        }
    }

    /// Changes what a holder uses. It never fails: bytes that are already in memory count even above the limit.
    pub(crate) fn resize(&self, from: usize, to: usize) {
        let added = to.wrapping_sub(from).cast_signed();
        let used = self.used.fetch_add(added, Ordering::Relaxed) + added;
        if added > 0 && used > self.high().cast_signed() {
            self.is_high.notify_one();
        }
    }

    /// Takes `bytes`, even if they exceed the limit.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Reservation {
        self.resize(0, bytes);
        Reservation { memory: self.clone(), bytes }
    }

    /// The same bytes. They count against the budget until the last clone is dropped.
    pub(crate) fn hold(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        let reservation = self.take(bytes.len());
        keep_with(bytes, reservation)
    }
}

/// Bytes of a budget, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    memory: Arc<MemoryBudget>,
    bytes: usize,
}

impl Reservation {
    /// The budget.
    pub(crate) fn memory(&self) -> &Arc<MemoryBudget> {
        &self.memory
    }

    /// Changes the number of bytes.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            self.memory.resize(self.bytes, bytes);
            self.bytes = bytes;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.memory.resize(self.bytes, 0);
        }
    }
}

/// What a buffer of `bytes` counts for.
pub(crate) fn about(bytes: usize) -> usize {
    bytes / STEP * STEP
}

/// The same bytes. `kept` is dropped with the last clone.
pub(crate) fn keep_with<T: Send + 'static>(bytes: Bytes, kept: T) -> Bytes {
    Bytes::from_owner(Owner { bytes, _kept: kept })
}

struct Owner<T> {
    bytes: Bytes,
    _kept: T,
}

impl<T> AsRef<[u8]> for Owner<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The default limit, in bytes.
fn default_limit() -> usize {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
    // the limit of a container, in control groups of version 2 and of version 1
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let groups = groups.iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    machine
        .into_iter()
        .chain(groups)
        .min()
        .map_or(DEFAULT_MAX, |bytes: usize| DEFAULT_MAX.min(bytes / SHARE_OF_MACHINE))
}

/// The machine's memory in bytes, from the text of `/proc/meminfo`.
fn total_of(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn what_is_taken_is_given_back() {
        let memory = MemoryBudget::new(100_000);
        let mut reservation = memory.take(1_000);
        reservation.set(500);
        assert_eq!((memory.used(), about(STEP - 1), about(STEP + 100)), (500, 0, STEP));
        let held = memory.hold(Bytes::from(vec![0; 10_000]));
        let slice = held.slice(5..10);
        drop((reservation, held));
        assert_eq!(memory.used(), 10_000, "a slice keeps all of it");
        drop(slice);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn memory_is_freed_before_the_limit_is_reached() {
        let memory = MemoryBudget::new(1_000);
        let mut reservation = memory.take(875);
        assert!(memory.excess() == 0 && memory.excess_exists().now_or_never().is_none());
        reservation.set(876);
        assert_eq!(memory.excess(), 126);
        assert!(memory.excess_exists().now_or_never().is_some() && !memory.is_full());
        reservation.set(1_000);
        assert!(memory.is_full());
    }

    /// The threads that change what one connection holds tell the budget in any order.
    #[test]
    fn bytes_may_be_given_back_before_they_are_taken() {
        let memory = MemoryBudget::new(1_000);
        memory.resize(500, 0);
        assert_eq!((memory.used(), memory.excess(), memory.is_full()), (0, 0, false));
        memory.resize(0, 900);
        assert_eq!(memory.used(), 400);
    }

    #[test]
    fn the_default_is_a_part_of_the_memory() {
        let limit = MemoryBudget::new(0).limit();
        assert!(limit > 0 && limit <= DEFAULT_MAX);
        assert_eq!(total_of("MemTotal:       24000000 kB\nMemFree: 1 kB"), Some(24_000_000 * 1024));
        assert_eq!(total_of("MemFree: 1 kB"), None);
    }
}
