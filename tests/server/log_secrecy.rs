//! No log line, at any level, contains what clients send to each other, what they authenticate with, or the secrets in
//! the configuration. All of these contain a marker here, and take every path that fails.

use std::fs::File;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::longpoll::{self, LongPollClient};
use crate::common::process::Process;
use crate::common::streaming::{Line, Stream};
use crate::common::{Client, TIMEOUT, frame, wait_until};

const MARKER: &str = "xyzzyMARKxyzzy";
const ID: &str = "00000000-0000-4000-8000-00000000000a";
const OTHER: &str = "00000000-0000-4000-8000-00000000000b";

/// Sends a request unchanged, and waits until the server closes the connection.
async fn send_raw(process: &Process, text: &str) {
    let mut stream = TcpStream::connect(process.address).await.unwrap();
    let _ = stream.write_all(text.as_bytes()).await;
    stream.shutdown().await.unwrap();
    let _ = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut Vec::new())).await.expect("the connection closes");
}

async fn requests(process: &Process) {
    let upgrade = [
        ("Host", "localhost"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let path = format!("/socket/websocket?vsn=2.0.0&token={MARKER}");
    // not `Host` and `Origin`: the log shows those that are refused
    let wrong = ["Content-Length", "Transfer-Encoding", "Expect", "Cookie", "Authorization"];
    let more = ["X-Forwarded-For", "Sec-WebSocket-Protocol", "X-Phoenix-AuthToken", "X-Phoenix-LongPoll-Token"];
    for name in upgrade[1..].iter().map(|(name, _)| *name).chain(wrong).chain(more) {
        let kept = upgrade.iter().filter(|(other, _)| *other != name);
        let lines: String = kept.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        for version in ["1.1", "1.0"] {
            send_raw(process, &format!("GET {path} HTTP/{version}\r\n{lines}{name}: {MARKER}\r\n\r\n")).await;
        }
    }
    for text in [
        format!("{MARKER} / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET /{MARKER} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET /{MARKER} HTTP/{MARKER}\r\nHost: localhost\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{MARKER}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{MARKER}"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", MARKER.repeat(10_000)),
        format!("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{MARKER}\r\n{MARKER}"),
        format!("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;{MARKER}\r\n{MARKER}"),
        format!("GET /socket/longpoll?vsn={MARKER} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET /socket/longpoll?vsn=2.0.0&token={MARKER}%ff HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET /socket.io/?EIO={MARKER}&transport={MARKER}&sid={MARKER} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET /peerjs/id?{MARKER} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ] {
        send_raw(process, &text).await;
    }
    for token in [BASE64_URL_SAFE_NO_PAD.encode(MARKER), format!("{MARKER}!")] {
        let offer = format!("Sec-WebSocket-Protocol: phoenix, base64url.bearer.phx.{token}");
        drop(Client::try_open(process.address, "/socket/websocket", &[&offer]).await);
    }
}

async fn frames(process: &Process) {
    let text = MARKER.as_bytes();
    let close = |code: u16| [&code.to_be_bytes(), text].concat();
    let not_utf8 = [text, b"\xff"].concat();
    for path in [
        "/socket/websocket",
        "/peerjs?key=peerjs&id=x&token=t",
        "/hello",
        "/relay",
        "/socket.io/?EIO=4&transport=websocket",
    ] {
        for bytes in [
            frame(0x81, text),
            frame(0x82, text),
            frame(0x81, &not_utf8),
            frame(0x89, text),
            frame(0x8A, text),
            frame(0x88, &close(1000)),
            frame(0x88, &close(999)),
            frame(0x88, &[&close(1000), &b"\xff"[..]].concat()),
            frame(0xC1, text),
            frame(0x83, text),
            [frame(0x01, text), frame(0x81, text)].concat(),
            [&[0x81, 14], text].concat(),
            frame(0x81, &MARKER.repeat(10_000).into_bytes()),
            frame(0x81, format!(r#"{{"type":"OFFER","dst":"nobody","payload":"{MARKER}"}}"#).as_bytes()),
            frame(
                0x81,
                format!(r#"{{"_messageType":"unicast","_from":"a","_to":"b","_content":"{MARKER}"}}"#).as_bytes(),
            ),
            frame(0x81, format!(r#"40{{"token":"{MARKER}"}}"#).as_bytes()),
            frame(0x81, format!("40/{MARKER}").as_bytes()),
        ] {
            let mut client = Client::open(process.address, path, &[]).await;
            // half a frame closes the connections that are still open
            client.raw(&[bytes, vec![0x81]].concat()).await;
            client.stream.shutdown().await.unwrap();
            while client.close_code().await != 1006 {}
        }
    }
    for query in
        [format!("key={MARKER}&id=x&token=t"), format!("key=peerjs&id=y&token={MARKER}"), format!("key={MARKER}")]
    {
        drop(Client::open(process.address, &format!("/peerjs?{query}"), &[]).await);
    }
}

async fn messages(process: &Process) {
    let mut client = Client::new(process.address).await;
    let topic = format!("peer:{ID}");
    client.join("1", &topic, &format!(r#"{{"secret":"{}"}}"#, BASE64_URL_SAFE_NO_PAD.encode(MARKER.repeat(2)))).await;
    client.join("2", "room:r", &format!(r#"{{"meta":{{"name":"{MARKER}"}}}}"#)).await;
    for (at, event, payload) in [
        (&*topic, "offer", format!(r#"{{"peer_id":"{OTHER}","sdp":"{MARKER}"}}"#)),
        (&topic, "offer", format!(r#"{{"peer_id":"{ID}","sdp":"{MARKER}"}}"#)),
        (&topic, "offer", format!(r#"{{"peer_id":"{MARKER}"}}"#)),
        (&topic, "connect", format!(r#"["{MARKER}"]"#)),
        (&topic, "watch", format!(r#"{{"peer_id":"{MARKER}"}}"#)),
        (&topic, "phx_join", format!(r#"{{"secret":"{MARKER}"}}"#)),
        (&topic, "phx_join", format!(r#""{MARKER}""#)),
        ("room:r", "update_meta", format!(r#"{{"big":"{}"}}"#, MARKER.repeat(100))),
        ("room:r", "update_meta", format!(r#""{MARKER}""#)),
        ("room:r", MARKER, format!(r#""{MARKER}""#)),
        ("room:r", "phx_reply", format!(r#""{MARKER}""#)),
        ("room:not", MARKER, format!(r#""{MARKER}""#)),
    ] {
        client.send(&format!(r#"["{MARKER}","{MARKER}","{at}","{event}",{payload}]"#)).await;
        client.send(&format!(r#"["1","{MARKER}","{at}","{event}",{payload}]"#)).await;
        client.send(&format!(r#"["2","{MARKER}","{at}","{event}",{payload}]"#)).await;
    }
    client.send(&format!(r#"[null,"last","{}","x",{{}}]"#, "x".repeat(300))).await;
    client.receive_until(r#""last""#).await;
    client.send(&format!(r#"["1","1","room:r","x",{{"{MARKER}"}}]"#)).await;
    assert_eq!(client.close_code().await, 1011);
}

/// Long-polling requests. Returns the session ids, which also are credentials.
async fn polls(process: &Process) -> Vec<String> {
    let client = LongPollClient::open(process.address, "/socket", "2.0.0", &[]).await;
    client.send(&format!(r#"["1","1","room:r","phx_join",{{"meta":"{MARKER}"}}]"#)).await;
    client.get().await;
    for body in [MARKER, &format!("[{MARKER}")] {
        client.post(body).await;
    }
    let path = "/socket.io/?EIO=4&transport=polling";
    let opened = longpoll::request(process.address, "GET", path, &[], b"").await.body;
    let sid = opened.split('"').nth(3).unwrap().to_owned();
    for body in [format!("40{{\"a\":\"{MARKER}\"}}"), format!("42[\"message\",\"{MARKER}\"]"), MARKER.to_owned()] {
        longpoll::request(process.address, "POST", &format!("{path}&sid={sid}"), &[], body.as_bytes()).await;
    }
    vec![client.token, sid]
}

/// A stream that is cut, because its client is a slow consumer.
async fn streams(process: &Process) {
    let mut stream = Stream::open(process.address, &format!("/peerjs/slow/{MARKER}/id?i=0")).await;
    stream.expect(r#"{"type":"OPEN"}"#).await;
    let mut other = Client::open(process.address, "/peerjs?key=peerjs&id=fast&token=t", &[]).await;
    let offer = format!(r#"{{"type":"OFFER","dst":"slow","payload":"{}"}}"#, MARKER.repeat(2_000));
    other.raw(&frame(0x81, offer.as_bytes()).repeat(20)).await;
    while stream.next().await != Line::Cut {}
}

#[actix_web::test]
async fn no_log_line_contains_a_payload_a_secret_or_a_token() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("secrecy-{}.log", std::process::id()));
    let servers = format!(r#"peer.ice_servers=[{{ urls = ["turn:turn.test"], secret = "{MARKER}" }}]"#);
    let cluster = [
        "cluster.engine=redis",
        // the engine cannot be reached, and the test's clients own names
        "cluster.isolated=all",
        &format!("cluster.urls=redis://{MARKER}:{MARKER}@127.0.0.1:1"),
        &format!("cluster.secret={}", MARKER.repeat(3)),
    ];
    let sets = [
        "log.level=trace",
        "server.workers=1",
        "socket.write_timeout=200ms",
        "hello.enabled=true",
        "socket.close_timeout=200ms",
        "limits.queue_bytes=65536",
        "relay.enabled=true",
        &servers,
    ];
    let process = Process::logging_to(File::create(&path).unwrap(), &[&sets[..], &cluster].concat());
    requests(&process).await;
    frames(&process).await;
    messages(&process).await;
    streams(&process).await;
    let sessions = polls(&process).await;
    let log = || std::fs::read_to_string(&path).unwrap();
    // a thread of its own writes the lines in order, and no other client uses this mount
    drop(Client::open(process.address, "/peer/websocket", &[]).await);
    let is_complete = |log: &str| {
        log.contains(" to /peer\n") && log.matches("connected from").count() == log.matches(": closed\n").count()
    };
    wait_until("the last line", || async { is_complete(&log()) }).await;
    let (text, proof) = (log(), BASE64_URL_SAFE_NO_PAD.encode(MARKER));
    assert!(!text.contains("log lines dropped"), "no log line was dropped");
    let leaks: Vec<&str> = text
        .lines()
        .filter(|line| {
            line.contains(MARKER) || line.contains(&proof) || sessions.iter().any(|name| line.contains(name))
        })
        .collect();
    assert!(leaks.is_empty(), "{} of {} lines, as:\n{}", leaks.len(), text.lines().count(), leaks.join("\n"));
    // nothing that clients do is logged as an error
    assert!(!text.contains(" ERROR "), "{:?}", text.lines().find(|line| line.contains(" ERROR ")));
    std::fs::remove_file(&path).unwrap();
}
