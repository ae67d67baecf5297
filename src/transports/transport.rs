//! The seam between what is said and how it travels: a [`TransportHandler`] is carried by a transport, and speaks to
//! its client through a [`FrameSink`]. The transports are in `transports`.

use std::sync::Arc;

use futures_util::Stream;

use crate::close::Reason;
use crate::connections::connection::Connection;
use crate::connections::writer::Fastlane;
use crate::protocol::Frame;

/// The way to the client, while one thing is handled.
pub(crate) trait FrameSink {
    /// Sends one message.
    fn send(&mut self, frame: Frame);
    /// Asks for a sign of life in the transport's own way, if it has one.
    fn ping(&mut self) {}
    /// Says why, and ends.
    fn close(&mut self, reason: &'static Reason);
}

/// What a transport carries: one client's conversation. Dropping it ends it.
pub(crate) trait TransportHandler: Unpin + 'static {
    /// What it is told from within the broker.
    type Event: 'static;

    /// Whose life and whose limits it is.
    fn connection(&self) -> &Arc<Connection>;

    /// What it is told, fetched as fast as the client takes it. Asked for once.
    fn events(&self) -> impl Stream<Item = Self::Event> + 'static;

    /// The way to the client is open.
    fn open(&mut self, sink: &mut impl FrameSink);

    /// The client has sent a message.
    fn frame(&mut self, frame: &Frame, sink: &mut impl FrameSink);

    /// The client has sent something that carries no message, as a ping: it counts all the same.
    fn control(&mut self, sink: &mut impl FrameSink);

    /// The broker has something to say.
    fn handle_event(&mut self, event: Self::Event, sink: &mut impl FrameSink);

    /// Which broadcasts may go to the client as they are, when that has changed since this was last asked.
    fn take_fastlane_update(&mut self) -> Option<Fastlane> {
        None
    }

    /// Whether something that the client has asked for is not decided yet: a join. A transport on which each
    /// message is acknowledged may wait for that.
    fn is_unsettled(&self) -> bool {
        false
    }

    /// Ends the conversation.
    fn end(&mut self, reason: &'static Reason);
}
