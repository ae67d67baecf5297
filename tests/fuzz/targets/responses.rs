//! Checks the bytes that a node sent on a connection, as strictly as a client may: HTTP responses and, after an
//! upgrade, WebSocket frames. The last response or frame may be incomplete.

use actix_http::ws::{OpCode, Parser};
use bytes::BytesMut;

/// The maximum size of a frame that the server sends: a presence list, or a message with its envelope.
const MAX_FRAME: usize = 1_048_576;

/// # Panics
/// Panics if the bytes are neither, if a response has a 5xx status, or if anything follows a close frame.
pub(super) fn check(mut bytes: &[u8]) {
    while let Some(end) = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]);
        assert!(head.starts_with("HTTP/1."), "not a response: {head:?}");
        let status: u16 = head.get(9..12).and_then(|digits| digits.parse().ok()).expect("a status");
        assert!((100..500).contains(&status), "a server error: {head:?}");
        bytes = &bytes[end + 4..];
        if status == 101 {
            return check_frames(bytes);
        }
        bytes = &bytes[length(&head, status, bytes).min(bytes.len())..];
    }
    assert!(bytes.len() < 9 || bytes.starts_with(b"HTTP/1."), "not a response: {:?}", bytes.escape_ascii().to_string());
}

/// The length of the body. The response to a HEAD request has no body, whatever its `content-length`. It is recognised
/// by what follows: no body of this server begins like a status line.
fn length(head: &str, status: u16, rest: &[u8]) -> usize {
    let declared = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().expect("a length"))
    });
    match declared {
        _ if rest.starts_with(b"HTTP/1.") => 0,
        Some(length) => length,
        None if matches!(status, 100 | 204 | 304) => 0,
        // the body ends when the connection closes
        None => rest.len(),
    }
}

fn check_frames(bytes: &[u8]) {
    let (mut bytes, mut is_closed) = (BytesMut::from(bytes), false);
    while let Some((_, opcode, payload)) = Parser::parse(&mut bytes, false, MAX_FRAME).expect("frames") {
        assert!(!is_closed, "{opcode:?} after a close frame");
        let payload = payload.unwrap_or_default();
        assert!(opcode != OpCode::Text || str::from_utf8(&payload).is_ok(), "text that is not UTF-8");
        is_closed = opcode == OpCode::Close;
    }
}
