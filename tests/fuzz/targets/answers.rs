//! What a node has said over a connection, read as strictly as a client may: answers of HTTP, and behind an upgrade the
//! frames of a WebSocket. The end may be cut off.

use actix_http::ws::{OpCode, Parser};
use bytes::BytesMut;

/// How large a frame of the server's is at most: a presence list, or a message and what is written around it.
const LARGEST: usize = 1_048_576;

/// # Panics
/// When it is neither, a fault of ours is among the answers, or something follows a goodbye.
pub(super) fn check(mut said: &[u8]) {
    while let Some(end) = said.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&said[..end]);
        assert!(head.starts_with("HTTP/1."), "no answer: {head:?}");
        let status: u16 = head.get(9..12).and_then(|digits| digits.parse().ok()).expect("a status");
        assert!((100..500).contains(&status), "a fault of ours: {head:?}");
        said = &said[end + 4..];
        if status == 101 {
            return check_frames(said);
        }
        said = &said[length(&head, status, said).min(said.len())..];
    }
    assert!(said.len() < 9 || said.starts_with(b"HTTP/1."), "no answer: {:?}", said.escape_ascii().to_string());
}

/// How long the body is. Who asked for the head alone gets none, whatever its length; and none begins as an answer does.
fn length(head: &str, status: u16, behind: &[u8]) -> usize {
    let written = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().expect("a length"))
    });
    match written {
        _ if behind.starts_with(b"HTTP/1.") => 0,
        Some(length) => length,
        None if matches!(status, 100 | 204 | 304) => 0,
        // it ends with the connection
        None => behind.len(),
    }
}

fn check_frames(said: &[u8]) {
    let (mut said, mut is_over) = (BytesMut::from(said), false);
    while let Some((_, opcode, payload)) = Parser::parse(&mut said, false, LARGEST).expect("frames") {
        assert!(!is_over, "{opcode:?} after a goodbye");
        let payload = payload.unwrap_or_default();
        assert!(opcode != OpCode::Text || str::from_utf8(&payload).is_ok(), "text that is none");
        is_over = opcode == OpCode::Close;
    }
}
