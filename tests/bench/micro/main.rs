//! What a message costs inside the broker, in nanoseconds, without any input or output: `make bench`. The steps are in
//! `steps`; the bench `cost` measures a whole broker.

use divan::Bencher;
use handclasp::benching::{self, FORMATS};

fn main() {
    divan::main();
}

#[divan::bench(args = FORMATS)]
fn decode(bencher: Bencher<'_, '_>, format: &str) {
    bencher.bench_local(benching::decode(format));
}

#[divan::bench(args = FORMATS)]
fn encode(bencher: Bencher<'_, '_>, format: &str) {
    bencher.bench_local(benching::encode(format));
}

/// Routes a message to this many members.
#[divan::bench(args = [1, 1_000])]
fn route(bencher: Bencher<'_, '_>, members: u32) {
    bencher.bench_local(benching::route(members));
}
