//! The wire formats, one a file. A new one is a file here and its lines.

pub(crate) mod peerjs;
pub(crate) mod phoenix;

use crate::config::Config;
use crate::door::Entrance;
use crate::mount::Mount;

/// What every node offers beside Phoenix's mounts, as the configuration has it.
pub(crate) fn standard(config: &Config) -> impl Iterator<Item = (Mount, Entrance)> {
    [config.peerjs.enabled.then(|| peerjs::mount(&config.peerjs))].into_iter().flatten()
}
