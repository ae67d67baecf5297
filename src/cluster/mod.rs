//! Several nodes as one broker: the adapter that all engines share, and the engines.

pub mod engine;
