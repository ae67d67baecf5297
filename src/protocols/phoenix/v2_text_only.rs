//! V2 for long-polling clients. They receive no binary frames, because the response of a poll is JSON.

use super::V2;
use crate::message::{Broadcast, Outbound};
use crate::protocol::{Decoded, Frame, Malformed, Protocol, Unencodable};

/// V2 that encodes text frames only. It decodes binary frames as well.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct V2TextOnly(V2);

impl Protocol for V2TextOnly {
    fn decode<'a>(&'a mut self, frame: &'a Frame) -> Result<Option<Decoded<'a>>, Malformed> {
        self.0.decode(frame)
    }

    fn encode(&mut self, outbound: &Outbound) -> Result<Option<Frame>, Unencodable> {
        match self.0.encode(outbound)? {
            Some(Frame::Text(text)) => Ok(Some(Frame::Text(text))),
            None => Ok(None),
            Some(_) => Err(Unencodable),
        }
    }

    fn broadcast(broadcast: &Broadcast) -> Option<Frame> {
        V2::broadcast(broadcast).filter(|frame| matches!(frame, Frame::Text(_)))
    }
}
