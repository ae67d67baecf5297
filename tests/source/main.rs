//! Rules for source files and dependencies, checked without running a node.

mod hashing;
mod licences;
mod wall_clock;
