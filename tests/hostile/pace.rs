//! No state of a connection is outside the pace: in each of them, any kind of frame counts as a message, and a client
//! that floods is closed after its burst.

use handclasp::close;

use super::Scene;
use crate::common::longpoll::request;
use crate::common::streaming::Stream;
use crate::common::{Client, Received, frame, wait_until};

const BURST: usize = 20;
const SETS: [&str; 2] = ["limits.messages_per_second=1", "limits.messages_burst=20"];
const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// The states of a connection in which a WebSocket is open, by the entry point and what leads there.
const STATES: [&str; 13] = [
    "/socket/websocket?vsn=2.0.0",
    "/socket/websocket?vsn=1.0.0",
    "joined",
    "/peerjs?key=peerjs&id=mallory&token=t",
    "/hello",
    "/relay",
    "/socket.io/?EIO=4&transport=websocket",
    "/socket.io/?EIO=3&transport=websocket",
    "/socket.io/?EIO=2&transport=websocket",
    "probing",
    "upgraded",
    "socket.io 0.9",
    "peerjs 0.3",
];

/// The path of a new Engine.IO session, with this transport.
async fn session(scene: &Scene, transport: &str) -> String {
    let opened = request(scene.node.address(), "GET", POLLING, &[], b"").await.body;
    format!("{}&sid={}", POLLING.replace("polling", transport), opened.split('"').nth(3).unwrap())
}

async fn in_state(scene: &Scene, state: &str) -> (Client, Option<Stream>) {
    let address = scene.node.address();
    let open = async |path: &str| Client::open(address, path, &[]).await;
    let client = match state {
        "joined" => {
            let mut client = scene.client().await;
            client.join("1", "room:a", "{}").await;
            client
        }
        "probing" => open(&session(scene, "websocket").await).await,
        "upgraded" => {
            let mut client = open(&session(scene, "websocket").await).await;
            client.exchange("2probe", "3probe").await;
            client.send("5").await;
            client.send("40").await;
            client.receive_until("40{").await;
            client
        }
        "socket.io 0.9" => {
            let opened = request(address, "GET", "/socket.io/1/", &[], b"").await.body;
            let sid = opened.split(':').next().unwrap();
            let mut client = open(&format!("/socket.io/1/websocket/{sid}")).await;
            client.expect("1::").await;
            client
        }
        "peerjs 0.3" => {
            let mut stream = Stream::open(address, "/peerjs/mallory/t/id?i=0").await;
            stream.expect(r#"{"type":"OPEN"}"#).await;
            return (open("/peerjs?key=peerjs&id=mallory&token=t").await, Some(stream));
        }
        path => open(path).await,
    };
    (client, None)
}

/// Sends the bytes, and returns how many answers come before the close frame, and the code of that.
async fn answers(client: &mut Client, bytes: &[u8], is_answer: impl Fn(&Received) -> bool) -> (usize, u16) {
    client.raw(bytes).await;
    let mut count = 0;
    loop {
        match client.receive_any().await {
            Received::Close(code, _) => return (count, code),
            Received::Eof => return (count, 1006),
            received => count += usize::from(is_answer(&received)),
        }
    }
}

fn floods_closed(scene: &Scene) -> u64 {
    scene.node.pubsub().metrics().connections_closed.of(&close::FLOOD)
}

/// A session may end after its WebSocket.
async fn wait_until_flooded(scene: &Scene, count: u64) {
    wait_until("the flood is counted", || async { floods_closed(scene) == count }).await;
}

#[actix_web::test]
async fn a_flood_of_control_frames_is_closed_after_its_burst_in_every_state() {
    let scene = Scene::new(&SETS).await;
    for state in STATES {
        let floods = [
            frame(0x89, b"?").repeat(200),
            frame(0x8A, b"").repeat(200),
            [frame(0x02, b""), frame(0x00, b"").repeat(200)].concat(),
        ];
        for (number, flood) in floods.iter().enumerate() {
            let (mut client, _stream) = in_state(&scene, state).await;
            let before = floods_closed(&scene);
            let (pongs, code) = answers(&mut client, flood, |received| matches!(received, Received::Pong(_))).await;
            assert_eq!(code, 1008, "{state}: {number}");
            assert!(pongs <= 2 * BURST, "{state}: {number}: {pongs} pongs");
            wait_until_flooded(&scene, before + 1).await;
        }
    }
    scene.finish().await;
}

#[actix_web::test]
async fn all_probes_of_a_session_share_its_pace() {
    let scene = Scene::new(&SETS).await;
    let path = session(&scene, "websocket").await;
    let is_pong = |received: &Received| *received == Received::Text("3probe".into());
    let (mut pongs, mut probes) = (0, 0);
    loop {
        let (mut client, head) = Client::try_open(scene.node.address(), &path, &[]).await;
        if !head.starts_with("HTTP/1.1 101") {
            break; // the session is closed
        }
        // less than a flood, and then what ends the probe
        let bytes = [frame(0x81, b"2probe").repeat(BURST / 2), frame(0x81, b"4")].concat();
        pongs += answers(&mut client, &bytes, is_pong).await.0;
        probes += 1;
        assert!(probes < 20, "{pongs} answers");
    }
    assert!((BURST..=2 * BURST + 1).contains(&pongs), "{pongs} answers to {probes} probes");
    wait_until_flooded(&scene, 1).await;
    scene.finish().await;
}
