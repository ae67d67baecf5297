//! What no line of the log may hold, however much is logged: what clients say to each other, what they prove with who
//! they are, and what the node knows of others' secrets. Everything here carries a mark, and goes wrong where it can.

use std::fs::File;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::longpoll::{self, LongPollClient};
use crate::common::process::Process;
use crate::common::{Client, TIMEOUT, frame, wait_until};

const MARK: &str = "xyzzyMARKxyzzy";
const ID: &str = "00000000-0000-4000-8000-00000000000a";
const OTHER: &str = "00000000-0000-4000-8000-00000000000b";

/// Sends a request as it is, and waits until the connection ends or says no more.
async fn send_raw(process: &Process, text: &str) {
    let mut stream = TcpStream::connect(process.address).await.unwrap();
    let _ = stream.write_all(text.as_bytes()).await;
    stream.shutdown().await.unwrap();
    let _ = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut Vec::new())).await.expect("an end");
}

async fn requests(process: &Process) {
    let upgrade = [
        ("Host", "x"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let path = format!("/socket/websocket?vsn=2.0.0&token={MARK}");
    let wrong = ["Content-Length", "Transfer-Encoding", "Expect", "Origin", "Cookie", "Authorization"];
    let more = ["X-Forwarded-For", "Sec-WebSocket-Protocol", "X-Phoenix-AuthToken", "X-Phoenix-LongPoll-Token"];
    for name in upgrade.iter().map(|(name, _)| *name).chain(wrong).chain(more) {
        let kept = upgrade.iter().filter(|(other, _)| *other != name);
        let lines: String = kept.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        for version in ["1.1", "1.0"] {
            send_raw(process, &format!("GET {path} HTTP/{version}\r\n{lines}{name}: {MARK}\r\n\r\n")).await;
        }
    }
    for text in [
        format!("{MARK} / HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /{MARK} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /{MARK} HTTP/{MARK}\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{MARK}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{MARK}"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", MARK.repeat(10_000)),
        format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{MARK}\r\n{MARK}"),
        format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;{MARK}\r\n{MARK}"),
        format!("GET /socket/longpoll?vsn={MARK} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /socket/longpoll?vsn=2.0.0&token={MARK}%ff HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /socket.io/?EIO={MARK}&transport={MARK}&sid={MARK} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /peerjs/id?{MARK} HTTP/1.1\r\nHost: x\r\n\r\n"),
    ] {
        send_raw(process, &text).await;
    }
    for token in [BASE64_URL_SAFE_NO_PAD.encode(MARK), format!("{MARK}!")] {
        let offer = format!("Sec-WebSocket-Protocol: phoenix, base64url.bearer.phx.{token}");
        drop(Client::try_open(process.address, "/socket/websocket", &[&offer]).await);
    }
}

async fn frames(process: &Process) {
    let text = MARK.as_bytes();
    let goodbye = |code: u16| [&code.to_be_bytes(), text].concat();
    let not_utf8 = [text, b"\xff"].concat();
    for path in
        ["/socket/websocket", "/peerjs?key=peerjs&id=x&token=t", "/hello", "/socket.io/?EIO=4&transport=websocket"]
    {
        for bytes in [
            frame(0x81, text),
            frame(0x82, text),
            frame(0x81, &not_utf8),
            frame(0x89, text),
            frame(0x8A, text),
            frame(0x88, &goodbye(1000)),
            frame(0x88, &goodbye(999)),
            frame(0x88, &[&goodbye(1000), &b"\xff"[..]].concat()),
            frame(0xC1, text),
            frame(0x83, text),
            [frame(0x01, text), frame(0x81, text)].concat(),
            [&[0x81, 14], text].concat(),
            frame(0x81, &MARK.repeat(10_000).into_bytes()),
            frame(0x81, format!(r#"{{"type":"OFFER","dst":"nobody","payload":"{MARK}"}}"#).as_bytes()),
            frame(
                0x81,
                format!(r#"{{"_messageType":"unicast","_from":"a","_to":"b","_content":"{MARK}"}}"#).as_bytes(),
            ),
            frame(0x81, format!(r#"40{{"token":"{MARK}"}}"#).as_bytes()),
            frame(0x81, format!("40/{MARK}").as_bytes()),
        ] {
            let mut client = Client::open(process.address, path, &[]).await;
            // half a frame ends what is not ended by then
            client.raw(&[bytes, vec![0x81]].concat()).await;
            client.stream.shutdown().await.unwrap();
            while client.close_code().await != 1006 {}
        }
    }
    for query in [format!("key={MARK}&id=x&token=t"), format!("key=peerjs&id=y&token={MARK}"), format!("key={MARK}")] {
        drop(Client::open(process.address, &format!("/peerjs?{query}"), &[]).await);
    }
}

async fn messages(process: &Process) {
    let mut client = Client::new(process.address).await;
    let topic = format!("peer:{ID}");
    client.join("1", &topic, &format!(r#"{{"secret":"{}"}}"#, BASE64_URL_SAFE_NO_PAD.encode(MARK.repeat(2)))).await;
    client.join("2", "room:r", &format!(r#"{{"meta":{{"name":"{MARK}"}}}}"#)).await;
    for (at, event, payload) in [
        (&*topic, "offer", format!(r#"{{"peer_id":"{OTHER}","sdp":"{MARK}"}}"#)),
        (&topic, "offer", format!(r#"{{"peer_id":"{ID}","sdp":"{MARK}"}}"#)),
        (&topic, "offer", format!(r#"{{"peer_id":"{MARK}"}}"#)),
        (&topic, "connect", format!(r#"["{MARK}"]"#)),
        (&topic, "watch", format!(r#"{{"peer_id":"{MARK}"}}"#)),
        (&topic, "phx_join", format!(r#"{{"secret":"{MARK}"}}"#)),
        (&topic, "phx_join", format!(r#""{MARK}""#)),
        ("room:r", "update_meta", format!(r#"{{"big":"{}"}}"#, MARK.repeat(100))),
        ("room:r", "update_meta", format!(r#""{MARK}""#)),
        ("room:r", MARK, format!(r#""{MARK}""#)),
        ("room:r", "phx_reply", format!(r#""{MARK}""#)),
        ("room:not", MARK, format!(r#""{MARK}""#)),
    ] {
        client.send(&format!(r#"["{MARK}","{MARK}","{at}","{event}",{payload}]"#)).await;
        client.send(&format!(r#"["1","{MARK}","{at}","{event}",{payload}]"#)).await;
        client.send(&format!(r#"["2","{MARK}","{at}","{event}",{payload}]"#)).await;
    }
    client.send(&format!(r#"[null,"last","{}","x",{{}}]"#, "x".repeat(300))).await;
    client.receive_until(r#""last""#).await;
    client.send(&format!(r#"["1","1","room:r","x",{{"{MARK}"}}]"#)).await;
    assert_eq!(client.close_code().await, 1011);
}

/// What polling clients say; and their sessions' names, which are enough to speak for them.
async fn polls(process: &Process) -> Vec<String> {
    let client = LongPollClient::open(process.address, "/socket", "2.0.0", &[]).await;
    client.send(&format!(r#"["1","1","room:r","phx_join",{{"meta":"{MARK}"}}]"#)).await;
    client.get().await;
    for body in [MARK, &format!("[{MARK}")] {
        client.post(body).await;
    }
    let path = "/socket.io/?EIO=4&transport=polling";
    let opened = longpoll::request(process.address, "GET", path, &[], b"").await.body;
    let sid = opened.split('"').nth(3).unwrap().to_owned();
    for body in [format!("40{{\"a\":\"{MARK}\"}}"), format!("42[\"message\",\"{MARK}\"]"), MARK.to_owned()] {
        longpoll::request(process.address, "POST", &format!("{path}&sid={sid}"), &[], body.as_bytes()).await;
    }
    vec![client.token, sid]
}

#[actix_web::test]
async fn no_line_of_the_log_tells_what_was_said_or_proved() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("secrecy-{}.log", std::process::id()));
    let servers = format!(r#"peer.ice_servers=[{{ urls = ["turn:turn.test"], secret = "{MARK}" }}]"#);
    let sets = ["log.level=trace", "server.workers=1", "socket.write_timeout=200ms", &servers];
    let process = Process::logging_to(File::create(&path).unwrap(), &sets);
    requests(&process).await;
    frames(&process).await;
    messages(&process).await;
    let sessions = polls(&process).await;
    let log = || std::fs::read_to_string(&path).unwrap();
    // lines are written by a thread of their own, in order; nobody else comes to this mount
    drop(Client::open(process.address, "/peer/websocket", &[]).await);
    let is_over = |log: &str| {
        log.contains(" to /peer\n") && log.matches("connected from").count() == log.matches(": gone\n").count()
    };
    wait_until("the last line", || async { is_over(&log()) }).await;
    let (text, proof) = (log(), BASE64_URL_SAFE_NO_PAD.encode(MARK));
    assert!(!text.contains("log lines dropped"), "the log has all lines");
    let told: Vec<&str> = text
        .lines()
        .filter(|line| line.contains(MARK) || line.contains(&proof) || sessions.iter().any(|name| line.contains(name)))
        .collect();
    assert!(told.is_empty(), "{} of {} lines, as:\n{}", told.len(), text.lines().count(), told.join("\n"));
    // nor is anything that clients do an error of ours
    assert!(!text.contains(" ERROR "), "{:?}", text.lines().find(|line| line.contains(" ERROR ")));
    std::fs::remove_file(&path).unwrap();
}
