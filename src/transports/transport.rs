//! The traits between a transport and a session. A transport passes frames and events to a [`TransportHandler`], which
//! sends frames to its client through a [`FrameSink`].

use std::sync::Arc;

use futures_util::Stream;

use crate::close::Reason;
use crate::connections::connection::Connection;
use crate::connections::writer::Fastlane;
use crate::protocol::Frame;

/// Sends frames to the client while the handler handles one frame or event.
pub(crate) trait FrameSink {
    /// Sends one message.
    fn send(&mut self, frame: Frame);
    /// Makes the client send something, without a message to it: a WebSocket by a ping frame, long polling by an empty
    /// response, after which the client polls again.
    fn ping(&mut self) {}
    /// Closes the session with `reason`.
    fn close(&mut self, reason: &'static Reason);
}

/// The session of one client, as its transport sees it. Dropping it ends the session.
pub(crate) trait TransportHandler: Unpin + 'static {
    /// The events that the broker sends to the session.
    type Event: 'static;

    /// The client's connection, with its mailbox and its limits.
    fn connection(&self) -> &Arc<Connection>;

    /// The stream of events. The transport calls this once, and reads the stream only as fast as its client reads.
    fn events(&self) -> impl Stream<Item = Self::Event> + Unpin + 'static;

    /// The transport is ready to send.
    fn open(&mut self, sink: &mut impl FrameSink);

    /// The client has opened a transport of a session that outlives its transports: the first one, or another one.
    fn transport_opened(&mut self, _: &mut impl FrameSink) {}

    /// The client has sent a message.
    fn frame(&mut self, frame: &Frame, sink: &mut impl FrameSink);

    /// The client has sent a frame without a message, such as a ping. It counts against the rate limit all the same.
    fn control(&mut self, sink: &mut impl FrameSink);

    /// The broker has sent an event.
    fn handle_event(&mut self, event: Self::Event, sink: &mut impl FrameSink);

    /// The broadcasts that may bypass the session, if that has changed since the last call.
    fn take_fastlane_update(&mut self) -> Option<Fastlane> {
        None
    }

    /// Whether a join of the client is not decided yet. A transport that acknowledges each message may wait for that.
    fn is_unsettled(&self) -> bool {
        false
    }

    /// Ends the session.
    fn end(&mut self, reason: &'static Reason);
}
