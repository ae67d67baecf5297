//! How what clients do is written in one input, and what clients do who know what they want.

use super::requests::conversations;
use super::seeds::{Writer, bytes_of, transcripts};
use super::site::here;
use crate::protocol::Frame;

/// Begins a part; a letter follows.
pub(super) const MARK: &[u8] = b"\0=";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Cuts a tape at its marks; what stands before the first is said by the first client.
pub(super) fn parts(tape: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut parts = vec![(b'0', Vec::new())];
    let mut rest = tape;
    while let Some((byte, behind)) = rest.split_first() {
        match rest.strip_prefix(MARK) {
            Some([letter, behind @ ..]) => {
                parts.push((*letter, Vec::new()));
                rest = behind;
            }
            _ => {
                parts.last_mut().expect("there is a first").1.push(*byte);
                rest = behind;
            }
        }
    }
    parts
}

fn part(letter: char, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [MARK, &[letter as u8], bytes.as_ref()].concat()
}

/// A request, with more headers, a line each.
fn asks(line: &str, headers: &str) -> String {
    let host = if headers.to_ascii_lowercase().contains("host:") { "" } else { "Host: localhost\r\n" };
    format!("{line} HTTP/1.1\r\n{host}{headers}\r\n")
}

/// One with a body.
fn says(line: &str, headers: &str, body: &str) -> String {
    asks(line, &format!("{headers}Content-Length: {}\r\n", body.len())) + body
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    ended(&[transcribed(), polled(), odd()].concat())
}

/// Has each of them be cut, and end, in its own way.
fn ended(tapes: &[Vec<u8>]) -> Vec<Vec<u8>> {
    tapes.iter().enumerate().map(|(n, tape)| [&[(n * 37) as u8], &tape[..]].concat()).collect()
}

/// What the clients of the transcripts say, over sockets; some as frames, some as the bytes of frames.
fn transcribed() -> Vec<Vec<u8>> {
    let all = ["phoenix", "peerjs", "engineio", "socketio", "hello"].into_iter().flat_map(transcripts);
    all.map(|lines| lines.into_iter().map(does).collect::<Vec<_>>().concat()).collect()
}

fn does(line: Writer) -> Vec<u8> {
    match line {
        Writer::Connect(path) => part('c', asks(&format!("GET {}", here(&path)), UPGRADE)),
        Writer::Say(Frame::Text(text)) => part('m', text.replace("lab:", "room:")),
        Writer::Say(frame) => part('b', bytes_of(&frame)),
        Writer::Frame(first, payload) => part('f', [vec![first], payload].concat()),
        Writer::Raw(bytes) => bytes,
    }
}

/// The conversations of those who poll, each request by a client of its own, or all of them by one.
fn polled() -> Vec<Vec<u8>> {
    let asked = |request: &str, letter| {
        let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
        let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
        let headers: String = headers.lines().map(|header| format!("{header}\r\n")).collect();
        part(letter, if body.is_empty() { asks(line, &headers) } else { says(line, &headers, body) })
    };
    let all = ['c', '0'].into_iter().flat_map(|letter| conversations().map(move |requests| (letter, requests)));
    all.map(|(letter, requests)| requests.into_iter().flat_map(|request| asked(request, letter)).collect()).collect()
}

/// A client of Socket.IO that polls, and changes to a WebSocket.
fn changed() -> Vec<u8> {
    let io = "/socket.io/?EIO=4&transport";
    let all = [
        part('0', asks(&format!("GET {io}=polling"), "")),
        part(
            '0',
            asks(&format!("POST {io}=polling&sid=SID"), "Transfer-Encoding: chunked\r\n") + "2\r\n40\r\n0\r\n\r\n",
        ),
        part('c', asks(&format!("GET {io}=polling&sid=SID"), "")),
        part('c', asks(&format!("GET {io}=websocket&sid=SID"), UPGRADE)),
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

/// What HTTP has besides, and those who take their time.
fn odd() -> Vec<Vec<u8>> {
    let poll = |token: &str| asks(&format!("GET /socket/longpoll?vsn=2.0.0{token}"), "");
    let slow = [part('0', poll("")), part('t', ""), part('0', poll("&token=SID")), part('t', ""), part('h', "")];
    let parting = [part('0', asks("GET /hello", UPGRADE)), part('f', "\u{8}\u{3}"), part('r', "x")];
    let late = [part('0', asks("GET /readyz", "")), part('0', "GET /rea")];
    let others = [
        asks("GET /", "Accept-Encoding: gzip\r\n")
            + &asks("HEAD /lib/rtc/peer.js", "")
            + "GET /healthz HTTP/1.0\r\n\r\n",
        says("POST /healthz", "Expect: 100-continue\r\n", "hello"),
        asks("CONNECT /socket/websocket", "") + "bytes",
        says("GET /peerjs/id", "Transfer-Encoding: chunked\r\n", "abc"),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        asks("GET /socket/websocket", UPGRADE).replace("HTTP/1.1", "HTTP/1.0"),
        asks("GET /hello", &UPGRADE.replace("Upgrade: websocket", "Upgrade: h2c, websocket")),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0".to_owned(),
        asks("GET /readyz", "").repeat(20),
    ];
    let tapes = [changed(), slow.concat(), parting.concat()];
    tapes.into_iter().chain(others.map(String::into_bytes)).chain([late.concat()]).collect()
}

/// What is as large as it may be, and what is larger by a byte.
pub(super) fn large() -> Vec<Vec<u8>> {
    let socket = part('0', asks("GET /socket/websocket?vsn=2.0.0", UPGRADE));
    let heartbeat = "[null,\"1\",\"phoenix\",\"heartbeat\",{}]";
    let padded = |bytes: usize| heartbeat.to_owned() + &" ".repeat(bytes - heartbeat.len());
    let sized = |bytes| [socket.clone(), part('m', padded(bytes)), part('m', heartbeat)].concat();
    let pieces: Vec<u8> = (0..600).flat_map(|n| part('f', [u8::from(n == 0), b' '])).collect();
    let header = |bytes: usize| asks("GET /healthz", &format!("X: {}\r\n", "x".repeat(bytes))).into_bytes();
    let headers = |count: usize| asks("GET /healthz", &"x: y\r\n".repeat(count)).into_bytes();
    let io = "/socket.io/?EIO=4&transport=polling";
    let body = |bytes: usize| {
        let body = format!("4{}", "0".repeat(bytes - 1));
        [part('0', asks(&format!("GET {io}"), "")), part('0', says(&format!("POST {io}&sid=SID"), "", &body))].concat()
    };
    let sized = [sized(65_536), sized(65_537), [socket.clone(), pieces].concat(), body(80_000), body(80_001)];
    let all = sized.into_iter().chain([header(131_000), header(131_100), headers(95), headers(96)]);
    ended(&all.collect::<Vec<_>>())
}
