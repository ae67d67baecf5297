//! Rules for source files and dependencies, checked without running a node.

mod hashing;
mod layout;
mod licences;
mod wall_clock;
