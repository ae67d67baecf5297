//! A client that stalls in any phase, or proceeds so slowly that it never finishes. Within the timeout of that phase it
//! is disconnected, with a reason where possible, and its descriptor is closed.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::SHORT_TIMEOUTS;
use crate::common::process::Process;
use crate::common::{self, Client, Received, TIMEOUT, frame, get, node, upgrade, wait_until, wait_until_empty};

const SETS: &[&str] = &[
    "server.workers=1",
    "server.header_timeout=1s",
    "server.keep_alive=1s",
    "socket.write_timeout=200ms",
    "socket.close_timeout=200ms",
];
const V2: &str = "/socket/websocket?vsn=2.0.0";

/// A process without clients, and the number of descriptors that it uses itself.
async fn start(more: &[&str]) -> (Process, usize) {
    let process = Process::start(&[SETS, &SHORT_TIMEOUTS, more].concat());
    let descriptors = process.descriptors();
    assert_eq!(get(process.address, "/healthz").await.0, 200);
    wait_until("no descriptor of the test's connection", || async { process.descriptors() <= descriptors }).await;
    (process, descriptors)
}

/// Sends the bytes, and then nothing, or one byte now and then. Returns the statuses of the responses until the
/// connection closes.
async fn response_statuses(process: &Process, phase: &str, bytes: &[u8], is_slow: bool) -> Vec<u16> {
    let mut stream = TcpStream::connect(process.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let send_slowly = async {
        while is_slow && writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut received = Vec::new();
    let end = async { drop(reader.read_to_end(&mut received).await) };
    // a client that keeps sending ignores responses, and goes on until a write fails
    let result = timeout(TIMEOUT, async { tokio::join!(end, send_slowly) });
    assert!(result.await.is_ok(), "{phase}: still open");
    let text = String::from_utf8_lossy(&received);
    text.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

#[actix_web::test]
async fn a_client_that_stalls_before_the_upgrade_is_disconnected() {
    let (process, before) = start(&[]).await;
    let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n";
    let post = "POST /socket/longpoll?token=x HTTP/1.1\r\nHost: localhost\r\n";
    let phases = [
        ("nothing sent", String::new(), false, &[408][..]),
        ("half of a request head", "GET /heal".to_owned(), false, &[408]),
        ("a slow request head", "GET /heal".to_owned(), true, &[408]),
        ("nothing after the first response", format!("{get}\r\n"), false, &[200]),
        ("half of a second request head", format!("{get}\r\nGET /heal"), false, &[200]),
        ("a slow second request head", format!("{get}\r\nGET /heal"), true, &[200]),
        ("a missing body", format!("{get}Content-Length: 9\r\n\r\n"), false, &[200]),
        ("a slow body", format!("{get}Content-Length: 1000000\r\n\r\n"), true, &[200]),
        ("a missing chunked body", format!("{get}Transfer-Encoding: chunked\r\n\r\n"), false, &[200]),
        ("a slow chunked body", format!("{post}Transfer-Encoding: chunked\r\n\r\nfffff\r\n"), true, &[200]),
        (
            "a body that the server does not wait for",
            format!("{get}Expect: 100-continue\r\nContent-Length: 9\r\n\r\n"),
            false,
            &[100, 200],
        ),
        (
            "a rejected upgrade",
            format!("GET {V2} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n"),
            true,
            &[400],
        ),
    ];
    let process = &process;
    let checks = phases.iter().map(async |(phase, bytes, is_slow, statuses)| {
        assert_eq!(response_statuses(process, phase, bytes.as_bytes(), *is_slow).await, *statuses, "{phase}");
    });
    join_all(checks).await;
    wait_until("the descriptors are closed", || async { process.descriptors() <= before }).await;
}

/// Opens a WebSocket and sends the bytes. Returns the close code.
async fn close_code(process: &Process, phase: &str, path: &str, bytes: &[u8]) -> u16 {
    let mut client = Client::open(process.address, path, &[]).await;
    client.raw(bytes).await;
    let code = client.close_code().await;
    assert!(code == 1006 || client.receive_any().await == Received::Eof, "{phase}");
    code
}

#[actix_web::test]
async fn a_client_that_stalls_after_the_upgrade_is_disconnected() {
    let (process, before) = start(&[]).await;
    let join = frame(0x81, br#"["1","1","room:r","phx_join",{}]"#);
    let phases = [
        ("nothing sent", V2, vec![], 1001),
        ("nothing sent to PeerJS", "/peerjs?key=peerjs&id=a&token=t", vec![], 1001),
        ("no pong to HelloWebRTC", "/hello", vec![], 1001),
        ("no pong to Socket.IO", "/socket.io/?EIO=4&transport=websocket", vec![], 1001),
        ("nothing after a join", V2, join.clone(), 1001),
        ("half of a frame header", V2, vec![0x81, 0xFE, 0x01], 1001),
        ("half of a frame", V2, join[..20].to_vec(), 1001),
        ("half of a message", V2, frame(0x01, b"["), 1001),
        ("half of a message after a join", V2, [join, frame(0x01, b"[")].concat(), 1001),
        ("nothing after the server's close frame", V2, frame(0x81, b"{"), 1011),
        ("nothing after its own close frame", V2, frame(0x88, &[0x03, 0xE8]), 1000),
    ];
    let process = &process;
    let checks = phases.iter().map(async |(phase, path, bytes, code)| {
        assert_eq!(close_code(process, phase, path, bytes).await, *code, "{phase}");
    });
    join_all(checks).await;
    wait_until("the descriptors are closed", || async { process.descriptors() <= before }).await;
}

#[actix_web::test]
async fn a_client_that_keeps_sending_after_a_close_frame_is_disconnected() {
    let (process, before) = start(&[]).await;
    let phases = [
        ("after the server's, because of a malformed message", frame(0x81, b"{")),
        ("after the server's, because of an invalid frame", frame(0xC1, b"{")),
        ("after its own close frame", frame(0x88, &[0x03, 0xE8])),
        ("after half of its own close frame", frame(0x88, &[0x03, 0xE8])[..3].to_vec()),
    ];
    let process = &process;
    let checks = phases.iter().map(async |(phase, bytes)| {
        let bytes = [upgrade(V2).as_bytes(), bytes].concat();
        assert_eq!(response_statuses(process, phase, &bytes, true).await, [101], "{phase}");
    });
    join_all(checks).await;
    wait_until("the descriptors are closed", || async { process.descriptors() <= before }).await;
}

#[actix_web::test]
async fn a_client_that_does_not_read_responses_is_disconnected() {
    let (process, before) = start(&[]).await;
    let mut streams = Vec::new();
    for path in ["/", "/lib/channels/socket.js", "/socket/longpoll?vsn=2.0.0"] {
        // more requests than fit into the buffers, since the client never reads a response
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut stream = socket.connect(process.address).await.unwrap();
        wait_until("the connection is accepted", || async { process.descriptors() > before }).await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(5_000);
        let _ = timeout(Duration::from_millis(500), stream.write_all(request.as_bytes())).await;
        streams.push(stream);
    }
    wait_until("the descriptors are closed", || async { process.descriptors() <= before }).await;
}

#[actix_web::test]
async fn a_half_closed_connection_is_closed() {
    // no idle timeout: the connection must close for another reason
    let (process, before) = start(&["socket.idle_timeout=1h"]).await;
    let upgrade = upgrade(V2);
    let phases: [(&str, &[u8]); 6] = [
        ("immediately", b""),
        ("in a request head", b"GET /heal"),
        ("in a body", b"POST /socket/longpoll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx"),
        ("after the upgrade request", upgrade.as_bytes()),
        ("in a frame", &[upgrade.as_bytes(), &[0x81, 0xFE]].concat()),
        ("in a message", &[upgrade.as_bytes(), &frame(0x01, b"[")].concat()),
    ];
    let checks = phases.map(|(phase, bytes)| {
        let address = process.address;
        let bytes = bytes.to_vec();
        async move {
            let mut client = Client::from_stream(TcpStream::connect(address).await.unwrap());
            client.raw(&bytes).await;
            client.stream.shutdown().await.unwrap();
            let mut received = Vec::new();
            let result = timeout(TIMEOUT, client.stream.read_to_end(&mut received)).await;
            assert!(result.is_ok(), "{phase}: still open");
        }
    });
    join_all(checks).await;
    wait_until("the descriptors are closed", || async { process.descriptors() <= before }).await;
}

#[actix_web::test]
async fn a_connection_that_never_makes_a_request_is_counted() {
    let node = node(&[
        "server.header_timeout=1s",
        "server.keep_alive=1s",
        "socket.write_timeout=100ms",
        "socket.close_timeout=100ms",
    ]);
    let pubsub = node.pubsub();
    let without_request = || pubsub.metrics().connections_without_request.get();
    // three first requests that are broken, too large or incomplete, then an incomplete second request
    let large = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Large: {}\r\n\r\n", "x".repeat(200_000));
    let (ok, half) = ("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /heal");
    for (number, text) in [(1, "\0\r\n\r\n"), (2, &large), (3, half), (4, &format!("{ok}{half}"))] {
        let mut client = Client::from_stream(TcpStream::connect(node.address()).await.unwrap());
        client.raw(text.as_bytes()).await;
        if number == 4 {
            assert!(client.head().await.starts_with("HTTP/1.1 200"));
            // it keeps sending, or the server would treat the connection as idle
            let send_slowly = async {
                while without_request() < number {
                    client.raw(b"x").await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(TIMEOUT, send_slowly).await.expect("the connection is closed");
        }
        wait_until("the connection is counted", || async { without_request() == number }).await;
    }
    // connections with a request are not counted, whether they become idle or a WebSocket
    assert_eq!(get(node.address(), "/healthz").await.0, 200);
    let (mut idle, head) = Client::request(node.address(), ok).await;
    idle.body(&head).await;
    assert_eq!(idle.receive_any().await, Received::Eof, "the keep-alive timeout has passed");
    drop(Client::new(node.address()).await);
    wait_until_empty(&node).await;
    assert_eq!(without_request(), 4);
}

/// An HTTP connection is not closed as idle during a response, however long that takes.
#[actix_web::test]
async fn a_long_response_is_not_cut_off() {
    use actix_web::{HttpResponse, web};
    let slow = || async {
        let ticks = futures_util::stream::unfold(0, |n| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            (n < 40).then(|| (Ok::<_, actix_web::Error>(web::Bytes::from_static(b"tick ")), n + 1))
        });
        HttpResponse::Ok().streaming(ticks)
    };
    let large = || async { HttpResponse::Ok().body("x".repeat(45_000_000)) };
    let sets = [
        "server.header_timeout=1s",
        "server.keep_alive=1s",
        "socket.write_timeout=300ms",
        "socket.close_timeout=300ms",
    ];
    let node = handclasp::Endpoint::new(common::config(&sets))
        .routes(move |app| {
            app.route("/slow", web::get().to(slow)).route("/large", web::get().to(large));
        })
        .start()
        .unwrap();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let read_all = async {
        let mut stream = TcpStream::connect(node.address()).await.unwrap();
        stream.write_all(request("/slow").as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text.matches("tick ").count(), 40);
    };
    let read_slowly = async {
        let mut stream = TcpStream::connect(node.address()).await.unwrap();
        stream.write_all(request("/large").as_bytes()).await.unwrap();
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
    timeout(4 * TIMEOUT, async { tokio::join!(read_all, read_slowly) }).await.expect("both responses are complete");
}
