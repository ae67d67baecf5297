//! Reproducible random numbers for tests that do random work.

/// A xorshift generator: the same seed gives the same numbers. The seed must not be 0.
pub struct Rng(pub u64);

impl Rng {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}
