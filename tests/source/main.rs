//! Rules that are checked in the source files and in the dependencies, without running a node.

mod hashing;
mod layout;
mod licences;
mod wall_clock;
