//! A client that does not read: senders get an error, the client is disconnected with a reason, and no other client
//! waits.

use handclasp::close;
use handclasp::metrics::DropReason;

use crate::common::tls::{ReachableNode, without_and_with_tls};
use crate::common::{Client, wait_until_empty};

const SENDER: &str = "00000000-0000-4000-8000-00000000000a";
const SLOW: &str = "00000000-0000-4000-8000-00000000000b";
const OTHER: &str = "00000000-0000-4000-8000-00000000000c";

async fn peer(node: &ReachableNode, id: &str) -> Client {
    let mut client = Client::new(node.address()).await;
    client.join("1", &format!("peer:{id}"), "{}").await;
    client
}

/// Sends an offer, and returns the reply.
async fn offer(sender: &mut Client, to: &str, pad: &str) -> String {
    sender.send(&format!(r#"["1","2","peer:{SENDER}","offer",{{"peer_id":"{to}","pad":"{pad}"}}]"#)).await;
    sender.receive_until("phx_reply").await
}

#[actix_web::test]
async fn a_peer_whose_queue_is_full_is_overloaded_and_then_gone() {
    for node in without_and_with_tls(&["limits.messages_burst=100000"]).await {
        let (mut sender, mut slow, mut other) =
            (peer(&node, SENDER).await, peer(&node, SLOW).await, peer(&node, OTHER).await);
        let pad = "x".repeat(40_000);
        let reply = loop {
            let reply = offer(&mut sender, SLOW, &pad).await;
            if !reply.contains(r#""status":"ok""#) {
                break reply;
            }
        };
        assert_eq!(
            reply,
            format!(
                r#"["1","2","peer:{SENDER}","phx_reply",{{"status":"error","response":{{"reason":"overloaded"}}}}]"#
            )
        );
        // other peers still receive signals, and the slow one is no longer a peer
        assert!(offer(&mut sender, OTHER, "").await.contains(r#""status":"ok""#));
        other.receive_until("offer").await;
        assert!(offer(&mut sender, SLOW, "").await.contains("peer_not_found"));
        // it receives the reason, once it reads
        assert_eq!(slow.close_code().await, 1008);
        assert_eq!(node.pubsub().metrics().connections_closed.of(&close::SLOW), 1);
        assert!(node.pubsub().metrics().messages_dropped.of(DropReason::SlowConsumer) > 1, "the queued messages");
        drop((sender, slow, other));
        wait_until_empty(&node).await;
    }
}

/// Messages to a client that does not read wait in three places: the kernel's buffer, the broker's queue, and the
/// half-written frame. Replies come from the client's session, broadcasts of other clients do not.
#[actix_web::test]
async fn a_client_that_pauses_receives_everything_in_order() {
    const MESSAGES: usize = 500;
    for node in without_and_with_tls(&["limits.messages_burst=100000", "limits.queue_bytes=16777216"]).await {
        let mut sender = peer(&node, SENDER).await;
        let mut slow = Client::with_small_window(node.address()).await;
        slow.join("1", &format!("peer:{SLOW}"), "{}").await;
        let pad = "x".repeat(8_000);
        for n in 0..MESSAGES {
            assert!(offer(&mut sender, SLOW, &format!("{n}{pad}")).await.contains(r#""status":"ok""#));
            slow.send(&format!(r#"[null,"{n}","phoenix","heartbeat",{{}}]"#)).await;
        }
        let (mut offers, mut beats) = (0, 0);
        while offers < MESSAGES || beats < MESSAGES {
            let received = slow.receive().await;
            if received.contains("heartbeat") || received.contains("phx_reply") {
                assert!(received.contains(&format!(r#""{beats}","phoenix""#)), "{received} after {beats} replies");
                beats += 1;
            } else {
                assert!(
                    received.contains(&format!(r#""pad":"{offers}{pad}""#)),
                    "{:.120} after {offers} offers",
                    received
                );
                offers += 1;
            }
        }
        assert_eq!(node.pubsub().metrics().messages_dropped.get(), 0);
    }
}
