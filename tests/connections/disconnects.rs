//! However a client dies, within the configured time everything of it is gone, and who watched it knows.

use std::process::Stdio;
use std::time::Duration;

use handclasp::Node;

use crate::common::{self, Client, Received, frame, node, wait_until, wait_until_empty};

const VICTIM: &str = "20dd48ca-fdcf-41c9-9a3b-00000000000a";
const OBSERVER: &str = "20dd48ca-fdcf-41c9-9a3b-00000000000b";

/// What the victim says: it becomes a peer, goes on a room's list, watches somebody, joins a room.
fn last_words() -> [String; 4] {
    [
        format!(r#"["1","1","peer:{VICTIM}","phx_join",{{}}]"#),
        r#"["2","2","room:list","phx_join",{"meta":{"is":"victim"}}]"#.into(),
        format!(r#"["1","3","peer:{VICTIM}","watch",{{"peer_id":"{OBSERVER}"}}]"#),
        r#"["4","4","room:busy","phx_join",{}]"#.into(),
    ]
}

/// Somebody who watches the victim and sees the list.
async fn observer(node: &Node) -> Client {
    let mut observer = Client::new(node.address()).await;
    observer.join("o", &format!("peer:{OBSERVER}"), "{}").await;
    observer.send(&format!(r#"["o","w","peer:{OBSERVER}","watch",{{"peer_id":"{VICTIM}"}}]"#)).await;
    observer.receive_until("online").await;
    observer.join("l", "room:list", r#"{"presence":true}"#).await;
    observer.receive_until("presence_state").await;
    observer
}

/// The victim is all there.
async fn arrived(node: &Node, observer: &mut Client) {
    observer.receive_until("peer_up").await;
    observer.receive_until(r#""is":"victim""#).await;
    let pubsub = node.pubsub();
    wait_until("the victim's memberships", || async {
        let census = pubsub.census().await;
        (census.members, census.names, census.watches, census.rows) == (5, 2, 2, 1)
    })
    .await;
}

/// The victim is gone, and nothing but the observer is left.
async fn gone(node: &Node, observer: &mut Client) {
    let (mut down, mut off_the_list) = (false, false);
    while !(down && off_the_list) {
        let text = observer.receive().await;
        down |= text.contains("peer_down") && text.contains(VICTIM);
        off_the_list |= text.contains(r#""joins":{},"leaves":{"#) && text.contains("victim");
    }
    let pubsub = node.pubsub();
    wait_until("nothing of the victim", || async {
        let census = pubsub.census().await;
        (census.connections, census.members, census.names, census.watches, census.rows) == (1, 2, 1, 1, 0)
            && node.connections() == 1
    })
    .await;
}

async fn speak(victim: &mut Client) {
    for words in last_words() {
        victim.send(&words).await;
    }
}

#[actix_web::test]
async fn a_client_whose_process_is_killed() {
    let node = node(&[]);
    let mut observer = observer(&node).await;
    let request = "GET /socket/websocket?vsn=2.0.0 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let frames = last_words().map(|words| frame(0x81, words.as_bytes())).concat();
    let bytes: String = request.bytes().chain(frames).map(|byte| format!("\\x{byte:02x}")).collect();
    let port = node.address().port();
    let mut child = std::process::Command::new("bash")
        .args(["-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{bytes}' >&3; exec cat <&3")])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    arrived(&node, &mut observer).await;
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    gone(&node, &mut observer).await;
}

#[actix_web::test]
async fn a_client_that_resets_the_connection() {
    let node = node(&[]);
    let mut observer = observer(&node).await;
    let mut victim = Client::new(node.address()).await;
    speak(&mut victim).await;
    arrived(&node, &mut observer).await;
    socket2::SockRef::from(&victim.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(victim); // with no linger a close is a reset
    gone(&node, &mut observer).await;
}

#[actix_web::test]
async fn a_client_that_sends_a_close_frame() {
    let node = node(&[]);
    let mut observer = observer(&node).await;
    let mut victim = Client::new(node.address()).await;
    speak(&mut victim).await;
    arrived(&node, &mut observer).await;
    victim.raw(&frame(0x88, &4321_u16.to_be_bytes())).await;
    assert_eq!(victim.close_code().await, 4321, "the close frame comes back");
    assert_eq!(victim.receive_any().await, Received::Eof);
    gone(&node, &mut observer).await;
}

/// As the other end of a half-open connection looks from here: nothing comes any more, no end either.
#[actix_web::test]
async fn a_client_that_falls_silent() {
    let node = node(&["socket.idle_timeout=1s", "socket.write_timeout=200ms"]);
    let mut observer = observer(&node).await;
    let mut victim = Client::new(node.address()).await;
    speak(&mut victim).await;
    arrived(&node, &mut observer).await;
    let (done, mut watched) = tokio::sync::oneshot::channel::<()>();
    let beat = async {
        // the observer lives on; only who is silent is closed
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
    let node = node(&["socket.write_timeout=200ms", "limits.queue_age=500ms"]);
    let mut observer = observer(&node).await;
    let mut victim = Client::new(node.address()).await;
    speak(&mut victim).await;
    arrived(&node, &mut observer).await;
    // from here on the victim reads nothing, and the room it is in does not stop
    let mut talker = Client::new(node.address()).await;
    let talk = async {
        talker.join("1", "room:busy", "{}").await;
        let big = "x".repeat(40_000);
        let mut n = 0;
        while node.pubsub().count("room:busy") > 1 {
            n += 1;
            talker.send(&format!(r#"["1","{n}","room:busy","msg",{{"pad":"{big}"}}]"#)).await;
            talker.receive_until("phx_reply").await;
        }
    };
    tokio::time::timeout(common::TIMEOUT, talk).await.expect("the victim is cut off");
    drop(talker);
    gone(&node, &mut observer).await;
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
