//! The wire formats, one a file. A new one is a file here and its line.

pub(crate) mod phoenix;
