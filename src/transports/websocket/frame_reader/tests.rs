//! Tests of the frame reader: chunks of any size, invalid frames and texts, and the wait for a close frame.

use futures_util::{FutureExt, StreamExt, stream};

use super::*;
use crate::broker::topic_table::tests::crowd;
use crate::transports::websocket::close_reason;

/// A frame with a payload of `x`.
fn frame(first: u8, length: usize) -> Vec<u8> {
    frame_with(first, &vec![b'x'; length])
}

fn frame_with(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let length = payload.len();
    match length {
        0..126 => bytes.push(0x80 | length as u8),
        126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend([1, 2, 3, 4]);
    bytes.extend(payload.iter().enumerate().map(|(n, byte)| byte ^ (n % 4 + 1) as u8));
    bytes
}

fn frames<I>(chunks: I, limit: usize) -> FrameReader<stream::Iter<impl Iterator<Item = Result<Bytes, PayloadError>>>>
where
    I: IntoIterator<Item = Vec<u8>>,
{
    let chunks = chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk)));
    FrameReader::new(stream::iter(chunks), crowd(1).remove(0).connection, limit, Rc::default())
}

/// All messages of a client that has sent everything and disconnected. A reader that yields is polled again.
fn all(mut frames: impl Stream<Item = Result<Message, ProtocolError>> + Unpin) -> Vec<Result<Message, ProtocolError>> {
    let mut all = Vec::new();
    loop {
        match frames.next().now_or_never() {
            Some(Some(message)) => all.push(message),
            Some(None) => return all,
            None => {}
        }
    }
}

#[test]
fn frames_are_parsed_from_chunks_of_any_size() {
    let sizes = [(0x81, 5), (0x89, 125), (0x82, 70_000), (0x01, 300), (0x80, 0), (0x8A, 2)];
    let bytes: Vec<u8> = sizes.iter().flat_map(|(first, length)| frame(*first, *length)).collect();
    for size in [1, 2, 3, 7, 1000, bytes.len()] {
        let messages = all(frames(bytes.chunks(size).map(<[u8]>::to_vec), 70_000));
        let lengths = messages.into_iter().map(|message| match message.unwrap() {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
            Message::Continuation(Item::FirstText(bytes) | Item::Last(bytes)) => bytes.len(),
            other => panic!("{other:?}"),
        });
        assert_eq!(lengths.collect::<Vec<_>>(), sizes.map(|(_, length)| length), "in chunks of {size}");
    }
}

/// A client that floods has one chunk buffered, and a silent client nothing.
#[test]
fn a_chunk_is_read_only_after_the_last_one_is_handled_and_its_buffer_is_freed() {
    let read = Rc::new(Cell::new(0));
    let chunks = [[frame(0x89, 0), frame(0x81, 3)].concat(), frame(0x89, 0)];
    let counted = chunks.into_iter().inspect(|_| read.set(read.get() + 1));
    let mut frames = frames(counted, 1000);
    for has_read in [1, 1, 2] {
        assert!(matches!(frames.next().now_or_never(), Some(Some(Ok(_)))));
        assert_eq!(read.get(), has_read);
    }
    assert_eq!(frames.buffer.capacity(), 0);
}

#[test]
fn frames_before_an_invalid_header_are_handled_and_none_after_it() {
    let bytes = [frame(0x81, 5), frame(0x81, 7), vec![0xC1, 0x80], frame(0x81, 5)].concat();
    for size in [1, 25, 26, bytes.len()] {
        let messages = all(frames(bytes.chunks(size).map(<[u8]>::to_vec), 1000));
        assert!(matches!(messages[..], [Ok(_), Ok(_), Err(_)]), "in chunks of {size}: {messages:?}");
    }
}

#[test]
fn an_invalid_header_is_refused_before_its_payload_arrives() {
    let refused = |bytes: &[u8]| match &all(frames([bytes.to_vec()], 1000))[..] {
        [Err(error)] => close_reason(error).code,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&[0x82, 0xFE, 0x03, 0xE9]), 1009, "1,001 bytes");
    assert_eq!(refused(&[0x82, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0]), 1009, "a tebibyte");
    assert_eq!(refused(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]), 1002, "2^63 bytes");
    for (bad, why) in [
        ([0x81, 0x05], "unmasked"),
        ([0xC1, 0x85], "reserved bit"),
        ([0x83, 0x85], "reserved opcode"),
        ([0x8B, 0x80], "reserved control opcode"),
        ([0x09, 0x80], "a fragmented control frame"),
        ([0x89, 0xFE], "a control frame of more than 125 bytes"),
        ([0x88, 0x81], "a close code of one byte"),
    ] {
        assert_eq!(refused(&bad), 1002, "{why}");
    }
}

/// The first fragment ends in the middle of a character, and so does each of the chunks.
#[test]
fn a_text_may_be_split_in_the_middle_of_a_character() {
    let text = "\u{20ac}\u{1f600}".repeat(300);
    let (one, other) = text.as_bytes().split_at(1_000);
    let bytes = [
        frame_with(0x81, text.as_bytes()),
        frame_with(0x01, one),
        frame(0x89, 2),
        frame_with(0x80, other),
        frame_with(0x81, text.as_bytes()),
    ]
    .concat();
    for size in [1, 2, 3, 5, 1_030, bytes.len()] {
        let messages = all(frames(bytes.chunks(size).map(<[u8]>::to_vec), 10_000));
        assert!(messages.len() == 5 && messages.iter().all(Result::is_ok), "in chunks of {size}: {messages:?}");
    }
}

#[test]
fn a_text_is_refused_at_its_first_wrong_byte() {
    let begun = frame_with(0x01, b"\xe2\x82");
    for (before, first, right, wrong) in [
        (&[][..], 0x81, &b"right \xf0\x9f"[..], b'('),
        (&[], 0x01, b"right", 0xFF),
        (&begun, 0x00, b"\xac ", 0xC0),
        (&[&*begun, &frame(0x8A, 3)].concat(), 0x80, b"", b'('),
    ] {
        // the frame has more bytes, which do not arrive
        let more = [right, &[wrong], &[b'x'; 300]].concat();
        let bytes = [before, &frame_with(first, &more)].concat();
        let arrived = bytes.len() - 300;
        let messages = all(frames([bytes[..arrived - 1].to_vec()], 1_000));
        assert!(messages.iter().all(Result::is_ok), "refused too early: {messages:?}");
        for size in [1, 3, arrived] {
            let messages = all(frames(bytes[..arrived].chunks(size).map(<[u8]>::to_vec), 1_000));
            let last = messages.last().and_then(|last| last.as_ref().err());
            assert_eq!(last.map(|error| close_reason(error).code), Some(1007), "in chunks of {size}: {messages:?}");
        }
    }
}

#[test]
fn binary_fragments_are_no_text() {
    let bytes = [frame_with(0x02, b"\xff"), frame_with(0x00, b"\xff"), frame_with(0x80, b"\xff")].concat();
    let messages = all(frames(bytes.chunks(1).map(<[u8]>::to_vec), 1_000));
    assert!(matches!(messages[..], [Ok(_), Ok(_), Ok(_)]), "{messages:?}");
}

/// Whether the frame in which the close frame was sent had arrived in part makes no difference.
#[test]
fn while_closing_only_a_close_frame_is_returned() {
    let ignored = [
        frame(0x89, 4),
        frame_with(0x81, b"\xff"),
        frame(0x82, 900),
        frame(0x80, 3),
        frame(0x01, 3),
        frame(0x01, 3),
        frame(0x8A, 0),
    ];
    let bytes = [&ignored.concat()[..], &frame_with(0x88, &[0x0F, 0xA0]), &frame(0x89, 0)].concat();
    for size in [1, 2, 5, 100, bytes.len()] {
        let mut frames = frames(bytes.chunks(size).map(<[u8]>::to_vec), 1_000);
        frames.buffer.extend_from_slice(&frame(0x82, 50)[..20]);
        frames.closing.set(true);
        frames.add(Bytes::copy_from_slice(&frame(0x82, 50)[20..]));
        let first = std::iter::from_fn(|| Some(frames.next().now_or_never())).flatten().next();
        assert!(matches!(first, Some(Some(Ok(Message::Close(Some(_)))))), "in chunks of {size}: {first:?}");
    }
    let invalid = frames([[ignored.concat(), frame(0x83, 0), frame(0x88, 0)].concat()], 1_000);
    invalid.closing.set(true);
    assert!(matches!(all(invalid)[..], [Err(_)]), "a close frame after an invalid frame");
}

#[test]
fn a_client_that_floods_while_closing_is_not_waited_for() {
    let chunk = frame(0x82, 60_000);
    let count = MAX_DROPPED / chunk.len();
    let closes = |count| {
        let frames = frames(std::iter::repeat_n(chunk.clone(), count).chain([frame(0x88, 0)]), 60_000);
        frames.closing.set(true);
        all(frames).len()
    };
    assert_eq!((closes(count - 1), closes(count + 1)), (1, 0));
}

#[test]
fn a_client_that_sends_many_frames_while_closing_is_not_read_any_more() {
    let closes = |count: usize| {
        let read = Rc::new(Cell::new(0));
        let chunks = [frame(0x89, 1).repeat(count), frame(0x88, 0), frame(0x88, 0)];
        let counted = chunks.into_iter().inspect(|_| read.set(read.get() + 1));
        let frames = frames(counted, 1_000);
        frames.closing.set(true);
        (all(frames).len(), read.get())
    };
    let most = MAX_SKIPPED as usize;
    assert_eq!((closes(most), closes(most + 1)), ((2, 3), (0, 1)));
}

#[test]
fn the_start_of_a_frame_does_not_keep_the_frame_before_it_in_memory() {
    let bytes = [frame(0x82, 100_000), frame(0x82, 10)].concat();
    let mut frames = frames(bytes[..100_020].chunks(16 * 1024).map(<[u8]>::to_vec), 100_000);
    let Some(Some(Ok(Message::Binary(message)))) = frames.next().now_or_never() else { panic!() };
    assert!(message.is_unique());
}
