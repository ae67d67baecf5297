//! However a client disconnects, everything it had is removed within the configured time, and its watchers are
//! notified.

use std::process::Stdio;
use std::time::Duration;

use handclasp::Node;

use crate::common::{self, Client, Received, frame, node, upgrade, wait_until, wait_until_empty};

const VICTIM: &str = "20dd48ca-fdcf-41c9-9a3b-00000000000a";
const OBSERVER: &str = "20dd48ca-fdcf-41c9-9a3b-00000000000b";

/// What the victim sends: it becomes a peer, enters a presence list, watches a peer, and joins a room.
fn victim_messages() -> [String; 4] {
    [
        format!(r#"["1","1","peer:{VICTIM}","phx_join",{{}}]"#),
        r#"["2","2","room:list","phx_join",{"meta":{"is":"victim"}}]"#.into(),
        format!(r#"["1","3","peer:{VICTIM}","watch",{{"peer_id":"{OBSERVER}"}}]"#),
        r#"["4","4","room:busy","phx_join",{}]"#.into(),
    ]
}

/// A client that watches the victim and sees the presence list.
async fn observer(node: &Node) -> Client {
    let mut observer = Client::new(node.address()).await;
    observer.join("o", &format!("peer:{OBSERVER}"), "{}").await;
    observer.send(&format!(r#"["o","w","peer:{OBSERVER}","watch",{{"peer_id":"{VICTIM}"}}]"#)).await;
    observer.receive_until("online").await;
    observer.join("l", "room:list", r#"{"presence":true}"#).await;
    observer.receive_until("presence_state").await;
    observer
}

/// Waits until all memberships of the victim exist.
async fn wait_until_arrived(node: &Node, observer: &mut Client) {
    observer.receive_until("peer_up").await;
    observer.receive_until(r#""is":"victim""#).await;
    let pubsub = node.pubsub();
    wait_until("all memberships of the victim exist", || async {
        let stats = pubsub.stats().await;
        (stats.members, stats.names, stats.watches, stats.presence_entries) == (5, 2, 2, 1)
    })
    .await;
}

/// Waits until the victim's memberships are removed, and only the observer's are left.
async fn wait_until_gone(node: &Node, observer: &mut Client) {
    let (mut down, mut left) = (false, false);
    while !(down && left) {
        let text = observer.receive().await;
        down |= text.contains("peer_down") && text.contains(VICTIM);
        left |= text.contains(r#""joins":{},"leaves":{"#) && text.contains("victim");
    }
    let pubsub = node.pubsub();
    wait_until("all memberships of the victim are removed", || async {
        let stats = pubsub.stats().await;
        (stats.connections, stats.members, stats.names, stats.watches, stats.presence_entries) == (1, 2, 1, 1, 0)
            && node.connections() == 1
    })
    .await;
}

async fn send_all(victim: &mut Client) {
    for message in victim_messages() {
        victim.send(&message).await;
    }
}

#[actix_web::test]
async fn a_client_whose_process_is_killed() {
    let node = node(&[]);
    let mut observer = observer(&node).await;
    let request = upgrade("/socket/websocket?vsn=2.0.0");
    let frames = victim_messages().map(|message| frame(0x81, message.as_bytes())).concat();
    let bytes: String = request.bytes().chain(frames).map(|byte| format!("\\x{byte:02x}")).collect();
    let port = node.address().port();
    let mut child = std::process::Command::new("bash")
        .args(["-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{bytes}' >&3; exec cat <&3")])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until_arrived(&node, &mut observer).await;
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    wait_until_gone(&node, &mut observer).await;
}

#[actix_web::test]
async fn a_client_that_resets_the_connection() {
    let node = node(&[]);
    let mut observer = observer(&node).await;
    let mut victim = Client::new(node.address()).await;
    send_all(&mut victim).await;
    wait_until_arrived(&node, &mut observer).await;
    socket2::SockRef::from(&victim.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(victim); // without linger, closing sends a reset
    wait_until_gone(&node, &mut observer).await;
}

#[actix_web::test]
async fn a_client_that_sends_a_close_frame() {
    let node = node(&[]);
    let mut observer = observer(&node).await;
    let mut victim = Client::new(node.address()).await;
    send_all(&mut victim).await;
    wait_until_arrived(&node, &mut observer).await;
    victim.raw(&frame(0x88, &4321_u16.to_be_bytes())).await;
    assert_eq!(victim.close_code().await, 4321, "the close frame is returned");
    assert_eq!(victim.receive_any().await, Received::Eof);
    wait_until_gone(&node, &mut observer).await;
}

/// A half-open connection, as the server sees it: nothing arrives any more, and no close either.
#[actix_web::test]
async fn a_client_that_falls_silent() {
    let node = node(&["socket.idle_timeout=1s", "socket.write_timeout=200ms", "socket.close_timeout=200ms"]);
    let mut observer = observer(&node).await;
    let mut victim = Client::new(node.address()).await;
    send_all(&mut victim).await;
    wait_until_arrived(&node, &mut observer).await;
    let (done, mut watched) = tokio::sync::oneshot::channel::<()>();
    let beat = async {
        // another client stays active; only the silent ones are closed
        let mut heart = Client::new(node.address()).await;
        heart.join("1", "room:heart", "{}").await;
        while watched.try_recv().is_err() {
            heart.expect_nothing().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let wait = async {
        assert_eq!(victim.close_code().await, 1001);
        done.send(()).unwrap();
    };
    tokio::join!(beat, wait);
    drop((victim, observer));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_client_that_neither_reads_nor_answers_the_close_frame() {
    let node = node(&["socket.write_timeout=200ms", "socket.close_timeout=200ms", "limits.queue_age=500ms"]);
    let mut observer = observer(&node).await;
    let mut victim = Client::new(node.address()).await;
    send_all(&mut victim).await;
    wait_until_arrived(&node, &mut observer).await;
    // from here on the victim reads nothing, while its room stays busy
    let mut sender = Client::new(node.address()).await;
    let send_until_gone = async {
        sender.join("1", "room:busy", "{}").await;
        let big = "x".repeat(40_000);
        let mut n = 0;
        while node.pubsub().count("room:busy") > 1 {
            n += 1;
            sender.send(&format!(r#"["1","{n}","room:busy","msg",{{"pad":"{big}"}}]"#)).await;
            sender.receive_until("phx_reply").await;
        }
    };
    tokio::time::timeout(common::TIMEOUT, send_until_gone).await.expect("the victim is disconnected");
    drop(sender);
    wait_until_gone(&node, &mut observer).await;
}

#[actix_web::test]
async fn a_client_that_never_joins_anything() {
    let node = node(&["socket.join_timeout=300ms"]);
    let mut idler = Client::new(node.address()).await;
    let mut member = Client::new(node.address()).await;
    member.join("1", "room:r", "{}").await;
    idler.expect_nothing().await;
    assert_eq!(idler.close_code().await, 1008);
    member.expect_nothing().await;
}
