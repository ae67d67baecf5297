//! A client that freezes, in whatever phase of its life, or goes on so slowly that it never comes to an end: within
//! the time of that phase it is told so, where it can be told, and its connection is gone, descriptor and all.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::common::process::Process;
use crate::common::{self, Client, Received, TIMEOUT, frame, get, node, wait_until, wait_until_empty};

const SETS: &[&str] = &[
    "server.workers=1",
    "server.header_timeout=1s",
    "server.keep_alive=1s",
    "socket.write_timeout=200ms",
    "socket.idle_timeout=1s",
    "socket.poll_window=1s",
    "peerjs.alive_timeout=1s",
    "hello.ping_interval=500ms",
    "hello.ping_timeout=500ms",
    "socketio.ping_interval=500ms",
    "socketio.ping_timeout=500ms",
];
const V2: &str = "/socket/websocket?vsn=2.0.0";
const UPGRADE: &str = "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A process to which nobody is connected, and how many descriptors it needs by itself.
async fn start(more: &[&str]) -> (Process, usize) {
    let process = Process::start(&[SETS, more].concat());
    let descriptors = process.descriptors();
    assert_eq!(get(process.address, "/healthz").await.0, 200);
    wait_until("no descriptor of ours", || async { process.descriptors() <= descriptors }).await;
    (process, descriptors)
}

/// Sends this, and from then on nothing, or a byte now and then; the statuses of what is answered until the
/// connection ends.
async fn answers(process: &Process, phase: &str, bytes: &[u8], drips: bool) -> Vec<u16> {
    let mut stream = TcpStream::connect(process.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let drip = async {
        while drips && writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut heard = Vec::new();
    let end = async { drop(reader.read_to_end(&mut heard).await) };
    // who drips does not mind that nothing more is said to it: it goes on until it cannot
    let ended = timeout(TIMEOUT, async { tokio::join!(end, drip) });
    assert!(ended.await.is_ok(), "{phase}: still there");
    let text = String::from_utf8_lossy(&heard);
    text.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

#[actix_web::test]
async fn before_the_upgrade() {
    let (process, before) = start(&[]).await;
    let get = "GET /healthz HTTP/1.1\r\nHost: x\r\n";
    let post = "POST /socket/longpoll?token=x HTTP/1.1\r\nHost: x\r\n";
    let phases = [
        ("nothing said", String::new(), false, &[408][..]),
        ("half a head", "GET /heal".to_owned(), false, &[408]),
        ("a head that drips", "GET /heal".to_owned(), true, &[408]),
        ("nothing after the first answer", format!("{get}\r\n"), false, &[200]),
        ("half of the second head", format!("{get}\r\nGET /heal"), false, &[200]),
        ("a second head that drips", format!("{get}\r\nGET /heal"), true, &[200]),
        ("a body that does not come", format!("{get}Content-Length: 9\r\n\r\n"), false, &[200]),
        ("a body that drips", format!("{get}Content-Length: 1000000\r\n\r\n"), true, &[200]),
        ("a body without end that does not come", format!("{get}Transfer-Encoding: chunked\r\n\r\n"), false, &[200]),
        ("a body without end that drips", format!("{post}Transfer-Encoding: chunked\r\n\r\nfffff\r\n"), true, &[200]),
        (
            "a body that was not waited for",
            format!("{get}Expect: 100-continue\r\nContent-Length: 9\r\n\r\n"),
            false,
            &[100, 200],
        ),
        (
            "an upgrade that was refused",
            format!("GET {V2} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n"),
            true,
            &[400],
        ),
    ];
    let process = &process;
    let ends = phases.iter().map(async |(phase, bytes, drips, statuses)| {
        assert_eq!(answers(process, phase, bytes.as_bytes(), *drips).await, *statuses, "{phase}");
    });
    join_all(ends).await;
    wait_until("no descriptor of theirs", || async { process.descriptors() <= before }).await;
}

/// Opens a socket and says these bytes; the code that it is closed with before the connection ends.
async fn closed(process: &Process, phase: &str, path: &str, bytes: &[u8]) -> u16 {
    let mut client = Client::open(process.address, path, &[]).await;
    client.raw(bytes).await;
    let code = client.close_code().await;
    assert!(code == 1006 || client.receive_any().await == Received::Eof, "{phase}");
    code
}

#[actix_web::test]
async fn after_the_upgrade() {
    let (process, before) = start(&[]).await;
    let join = frame(0x81, br#"["1","1","room:r","phx_join",{}]"#);
    let phases = [
        ("nothing said", V2, vec![], 1001),
        ("nothing said to PeerJS", "/peerjs?key=peerjs&id=a&token=t", vec![], 1001),
        ("no sign of life for HelloWebRTC", "/hello", vec![], 1001),
        ("no sign of life for Socket.IO", "/socket.io/?EIO=4&transport=websocket", vec![], 1001),
        ("nothing after a join", V2, join.clone(), 1001),
        ("half of a frame's header", V2, vec![0x81, 0xFE, 0x01], 1001),
        ("half of a frame", V2, join[..20].to_vec(), 1001),
        ("half of a message", V2, frame(0x01, b"["), 1001),
        ("half of a message after a join", V2, [join, frame(0x01, b"[")].concat(), 1001),
        ("nothing after our goodbye", V2, frame(0x81, b"{"), 1011),
        ("nothing after its own goodbye", V2, frame(0x88, &[0x03, 0xE8]), 1000),
    ];
    let process = &process;
    let ends = phases.iter().map(async |(phase, path, bytes, code)| {
        assert_eq!(closed(process, phase, path, bytes).await, *code, "{phase}");
    });
    join_all(ends).await;
    wait_until("no descriptor of theirs", || async { process.descriptors() <= before }).await;
}

#[actix_web::test]
async fn after_a_close_frame() {
    let (process, before) = start(&[]).await;
    let phases = [
        ("after ours, since a message could not be read", frame(0x81, b"{")),
        ("after ours, since a frame was none", frame(0xC1, b"{")),
        ("after its own", frame(0x88, &[0x03, 0xE8])),
        ("after its own, half of which is here", frame(0x88, &[0x03, 0xE8])[..3].to_vec()),
    ];
    let process = &process;
    let ends = phases.iter().map(async |(phase, bytes)| {
        let bytes = [UPGRADE.as_bytes(), bytes].concat();
        assert_eq!(answers(process, phase, &bytes, true).await, [101], "{phase}");
    });
    join_all(ends).await;
    wait_until("no descriptor of theirs", || async { process.descriptors() <= before }).await;
}

#[actix_web::test]
async fn while_it_is_answered() {
    let (process, before) = start(&[]).await;
    let mut streams = Vec::new();
    for path in ["/", "/lib/socket.js", "/socket/longpoll?vsn=2.0.0"] {
        // as many as it takes until nothing more is taken, which is soon: what is answered is never read
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut stream = socket.connect(process.address).await.unwrap();
        let ask = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(5_000);
        let _ = timeout(Duration::from_millis(500), stream.write_all(ask.as_bytes())).await;
        streams.push(stream);
        wait_until("it is here", || async { process.descriptors() > before }).await;
    }
    wait_until("no descriptor of theirs", || async { process.descriptors() <= before }).await;
}

#[actix_web::test]
async fn after_it_has_hung_up_its_half() {
    // its silence is not what ends it
    let (process, before) = start(&["socket.idle_timeout=1h"]).await;
    let phases: [(&str, &[u8]); 6] = [
        ("at once", b""),
        ("in its head", b"GET /heal"),
        ("in its body", b"POST /socket/longpoll HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"),
        ("right behind its upgrade", UPGRADE.as_bytes()),
        ("in a frame", &[UPGRADE.as_bytes(), &[0x81, 0xFE]].concat()),
        ("in a message", &[UPGRADE.as_bytes(), &frame(0x01, b"[")].concat()),
    ];
    let ends = phases.map(|(phase, bytes)| {
        let address = process.address;
        let bytes = bytes.to_vec();
        async move {
            let mut client = Client::from_stream(TcpStream::connect(address).await.unwrap());
            client.raw(&bytes).await;
            client.stream.shutdown().await.unwrap();
            let mut heard = Vec::new();
            let ended = timeout(TIMEOUT, client.stream.read_to_end(&mut heard)).await;
            assert!(ended.is_ok(), "{phase}: still there");
        }
    });
    join_all(ends).await;
    wait_until("no descriptor of theirs", || async { process.descriptors() <= before }).await;
}

#[actix_web::test]
async fn a_connection_that_never_makes_a_request_is_counted() {
    let node = node(&["server.header_timeout=1s", "server.keep_alive=1s", "socket.write_timeout=100ms"]);
    let pubsub = node.pubsub();
    let mute = || pubsub.metrics().connections_without_request.get();
    // broken, too large, silent; and one whose second request never comes to its end
    let large = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "x".repeat(200_000));
    let (ok, half) = ("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "GET /heal");
    for (number, text) in [(1, "\0\r\n\r\n"), (2, &large), (3, half), (4, &format!("{ok}{half}"))] {
        let mut client = Client::from_stream(TcpStream::connect(node.address()).await.unwrap());
        client.raw(text.as_bytes()).await;
        if number == 4 {
            assert!(client.head().await.starts_with("HTTP/1.1 200"));
            // it drips, else the server would take it for one that rests
            let drip = async {
                while mute() < number {
                    client.raw(b"x").await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(TIMEOUT, drip).await.expect("to be cut");
        }
        wait_until("to be counted", || async { mute() == number }).await;
    }
    // one who asks is no such guest, nor one who rests after that, nor one who becomes a socket
    assert_eq!(get(node.address(), "/healthz").await.0, 200);
    let (mut resting, head) = Client::request(node.address(), ok).await;
    resting.body(&head).await;
    assert_eq!(resting.receive_any().await, Received::Eof, "it has rested long enough");
    drop(Client::new(node.address()).await);
    wait_until_empty(&node).await;
    assert_eq!(mute(), 4);
}

/// A guest is not sent away while it is answered, however long that takes.
#[actix_web::test]
async fn an_answer_that_takes_its_time_is_not_cut_off() {
    use actix_web::{HttpResponse, web};
    let slow = || async {
        let ticks = futures_util::stream::unfold(0, |n| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            (n < 40).then(|| (Ok::<_, actix_web::Error>(web::Bytes::from_static(b"tick ")), n + 1))
        });
        HttpResponse::Ok().streaming(ticks)
    };
    let large = || async { HttpResponse::Ok().body("x".repeat(45_000_000)) };
    let sets = ["server.header_timeout=1s", "server.keep_alive=1s", "socket.write_timeout=300ms"];
    let node = handclasp::Endpoint::new(common::config(&sets))
        .routes(move |app| {
            app.route("/slow", web::get().to(slow)).route("/large", web::get().to(large));
        })
        .start()
        .unwrap();
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let watched = async {
        let mut stream = TcpStream::connect(node.address()).await.unwrap();
        stream.write_all(ask("/slow").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text.matches("tick ").count(), 40);
    };
    let read_slowly = async {
        let mut stream = TcpStream::connect(node.address()).await.unwrap();
        stream.write_all(ask("/large").as_bytes()).await.unwrap();
        let (mut chunk, mut read) = (vec![0; 500_000], 0);
        loop {
            match stream.read(&mut chunk).await.unwrap() {
                0 => break,
                length => read += length,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(read > 45_000_000, "{read} bytes");
    };
    timeout(4 * TIMEOUT, async { tokio::join!(watched, read_slowly) }).await.expect("both answers, to their ends");
}
