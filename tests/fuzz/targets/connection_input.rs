//! The input format of the `connections` targets: the actions of several clients in one byte string. Also the seeds in
//! that format.

use super::app::local_path;
use super::http_requests::conversations;
use super::seeds::{Action, bytes_of, transcripts};
use crate::protocol::Frame;

/// Begins a part. The byte after it says what the part does.
pub(super) const SEPARATOR: &[u8] = b"\0=";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Splits an input at its separators. The bytes before the first separator belong to the first client.
pub(super) fn parts(input: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut parts = vec![(b'0', Vec::new())];
    let mut rest = input;
    while let Some((byte, tail)) = rest.split_first() {
        match rest.strip_prefix(SEPARATOR) {
            Some([letter, tail @ ..]) => {
                parts.push((*letter, Vec::new()));
                rest = tail;
            }
            _ => {
                parts.last_mut().expect("the first part is always there").1.push(*byte);
                rest = tail;
            }
        }
    }
    parts
}

fn part(letter: char, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [SEPARATOR, &[letter as u8], bytes.as_ref()].concat()
}

/// A request without a body, with further header lines.
fn request(line: &str, headers: &str) -> String {
    let host = if headers.to_ascii_lowercase().contains("host:") { "" } else { "Host: localhost\r\n" };
    format!("{line} HTTP/1.1\r\n{host}{headers}\r\n")
}

/// A request with a body.
fn request_with_body(line: &str, headers: &str, body: &str) -> String {
    request(line, &format!("{headers}Content-Length: {}\r\n", body.len())) + body
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    with_mode(&[from_transcripts(), from_polling(), rare()].concat())
}

/// Puts a different first byte before each input, so that each is split, and its clients close, in a different way.
fn with_mode(inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    inputs.iter().enumerate().map(|(n, input)| [&[(n * 37) as u8], &input[..]].concat()).collect()
}

/// What the clients of the transcripts send over WebSockets: some of it as frames, some as the raw bytes of frames.
fn from_transcripts() -> Vec<Vec<u8>> {
    let all = ["phoenix", "peerjs", "engineio", "socketio", "hello", "relay"].into_iter().flat_map(transcripts);
    all.map(|lines| lines.into_iter().map(encode).collect::<Vec<_>>().concat()).collect()
}

fn encode(line: Action) -> Vec<u8> {
    match line {
        Action::Connect(path) => part('c', request(&format!("GET {}", local_path(&path)), UPGRADE)),
        Action::Send(Frame::Text(text)) => part('m', text.replace("lab:", "room:")),
        Action::Send(frame) => part('b', bytes_of(&frame)),
        Action::Frame(first, payload) => part('f', [vec![first], payload].concat()),
        Action::Raw(bytes) => bytes,
    }
}

/// The long-polling sessions of `requests.txt`, each twice: with one connection per request, and with one for all.
fn from_polling() -> Vec<Vec<u8>> {
    let encode_request = |text: &str, letter| {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
        let headers: String = headers.lines().map(|header| format!("{header}\r\n")).collect();
        part(letter, if body.is_empty() { request(line, &headers) } else { request_with_body(line, &headers, body) })
    };
    let all = ['c', '0'].into_iter().flat_map(|letter| conversations().map(move |requests| (letter, requests)));
    all.map(|(letter, requests)| requests.into_iter().flat_map(|request| encode_request(request, letter)).collect())
        .collect()
}

/// A Socket.IO client that polls and then upgrades to a WebSocket.
fn upgrade_from_polling() -> Vec<u8> {
    let io = "/socket.io/?EIO=4&transport";
    let all = [
        part('0', request(&format!("GET {io}=polling"), "")),
        part(
            '0',
            request(&format!("POST {io}=polling&sid=SID"), "Transfer-Encoding: chunked\r\n") + "2\r\n40\r\n0\r\n\r\n",
        ),
        part('c', request(&format!("GET {io}=polling&sid=SID"), "")),
        part('c', request(&format!("GET {io}=websocket&sid=SID"), UPGRADE)),
        part('m', "2probe"),
        part('m', "5"),
        part('m', "421[\"join\",\"a\"]"),
        part('m', "451-[\"message\",{\"_placeholder\":true,\"num\":0}]"),
        part('b', "bytes"),
        part('t', ""),
        part('m', "1"),
    ];
    all.concat()
}

/// Rare HTTP requests, invalid ones, and clients that pause.
fn rare() -> Vec<Vec<u8>> {
    let poll = |token: &str| request(&format!("GET /socket/longpoll?vsn=2.0.0{token}"), "");
    let slow = [part('0', poll("")), part('t', ""), part('0', poll("&token=SID")), part('t', ""), part('h', "")];
    let close_frame_and_reset = [part('0', request("GET /hello", UPGRADE)), part('f', "\u{8}\u{3}"), part('r', "x")];
    let late = [part('0', request("GET /readyz", "")), part('0', "GET /rea")];
    let others = [
        request("GET /", "Accept-Encoding: gzip\r\n")
            + &request("HEAD /lib/rtc/peer.js", "")
            + "GET /healthz HTTP/1.0\r\n\r\n",
        request_with_body("POST /healthz", "Expect: 100-continue\r\n", "hello"),
        request("CONNECT /socket/websocket", "") + "bytes",
        request_with_body("GET /peerjs/id", "Transfer-Encoding: chunked\r\n", "abc"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        request("GET /socket/websocket", UPGRADE).replace("HTTP/1.1", "HTTP/1.0"),
        request("GET /hello", &UPGRADE.replace("Upgrade: websocket", "Upgrade: h2c, websocket")),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0".to_owned(),
        request("GET /readyz", "").repeat(20),
    ];
    let inputs = [upgrade_from_polling(), slow.concat(), close_frame_and_reset.concat()];
    inputs.into_iter().chain(others.map(String::into_bytes)).chain([late.concat()]).collect()
}

/// Messages, headers and bodies of the maximum size, and one byte or one item more.
pub(super) fn large() -> Vec<Vec<u8>> {
    let socket = part('0', request("GET /socket/websocket?vsn=2.0.0", UPGRADE));
    let heartbeat = "[null,\"1\",\"phoenix\",\"heartbeat\",{}]";
    let padded = |bytes: usize| heartbeat.to_owned() + &" ".repeat(bytes - heartbeat.len());
    let sized = |bytes| [socket.clone(), part('m', padded(bytes)), part('m', heartbeat)].concat();
    let pieces: Vec<u8> = (0..600).flat_map(|n| part('f', [u8::from(n == 0), b' '])).collect();
    let header = |bytes: usize| request("GET /healthz", &format!("X: {}\r\n", "x".repeat(bytes))).into_bytes();
    let headers = |count: usize| request("GET /healthz", &"x: y\r\n".repeat(count)).into_bytes();
    let io = "/socket.io/?EIO=4&transport=polling";
    let body = |bytes: usize| {
        let body = format!("4{}", "0".repeat(bytes - 1));
        [
            part('0', request(&format!("GET {io}"), "")),
            part('0', request_with_body(&format!("POST {io}&sid=SID"), "", &body)),
        ]
        .concat()
    };
    let sized = [sized(65_536), sized(65_537), [socket.clone(), pieces].concat(), body(80_000), body(80_001)];
    let all = sized.into_iter().chain([header(131_000), header(131_100), headers(95), headers(96)]);
    with_mode(&all.collect::<Vec<_>>())
}
