//! Tests of the ownership of peer ids: the first client owns an id, its secret takes the id over, a UUIDv8 id needs its
//! secret, and no client can send under another's id.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::common::{Client, node, wait_until_empty};

const ID: &str = "20dd48ca-fdcf-41c9-9a3b-2a1ab2a0f1c4";
const OTHER: &str = "20dd48ca-fdcf-41c9-9a3b-2a1ab2a0f1c5";

/// A secret of 32 bytes, and the UUIDv8 id that can be joined only with it.
fn certified(byte: u8) -> (String, String) {
    let secret = [byte; 32];
    let hash: [u8; 32] = Sha256::digest(secret).into();
    let id = uuid::Builder::from_custom_bytes(*hash.first_chunk().unwrap()).into_uuid();
    (id.to_string(), BASE64_URL_SAFE_NO_PAD.encode(secret))
}

fn join(join_ref: &str, id: &str, payload: &str) -> String {
    format!(r#"["{join_ref}","{join_ref}","peer:{id}","phx_join",{payload}]"#)
}

fn refused(join_ref: &str, id: &str, reason: &str) -> String {
    format!(
        r#"["{join_ref}","{join_ref}","peer:{id}","phx_reply",{{"status":"error","response":{{"reason":"{reason}"}}}}]"#
    )
}

#[actix_web::test]
async fn an_id_belongs_to_the_first_client_until_it_leaves() {
    let node = node(&[]);
    let (mut first, mut second) = (Client::new(node.address()).await, Client::new(node.address()).await);
    first.join("1", &format!("peer:{ID}"), "{}").await;
    second.exchange_while_alive(&mut first, &join("1", ID, "{}"), &refused("1", ID, "taken")).await;
    second.exchange(&join("2", ID, r#"{"secret":"AAAAAAAAAAAAAAAAAAAAAA"}"#), &refused("2", ID, "taken")).await;
    first.expect_nothing().await;
    first.send(&format!(r#"["1","9","peer:{ID}","phx_leave",{{}}]"#)).await;
    first.receive_until("phx_close").await;
    second.join("3", &format!("peer:{ID}"), "{}").await;
    drop((first, second));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn the_same_secret_takes_a_random_id_over_and_another_does_not() {
    let node = node(&[]);
    let (mut first, mut second) = (Client::new(node.address()).await, Client::new(node.address()).await);
    let (_, secret) = certified(1);
    let (_, wrong) = certified(2);
    first.join("1", &format!("peer:{ID}"), &format!(r#"{{"secret":"{secret}"}}"#)).await;
    let with_wrong = join("1", ID, &format!(r#"{{"secret":"{wrong}"}}"#));
    second.exchange_while_alive(&mut first, &with_wrong, &refused("1", ID, "taken")).await;
    second.join("2", &format!("peer:{ID}"), &format!(r#"{{"secret":"{secret}"}}"#)).await;
    first.expect(&format!(r#"["1","1","peer:{ID}","phx_close",{{}}]"#)).await;
    // what is said to the id from now on reaches the new owner alone
    let mut third = Client::new(node.address()).await;
    third.join("1", &format!("peer:{OTHER}"), "{}").await;
    third.send(&format!(r#"["1","2","peer:{OTHER}","offer",{{"peer_id":"{ID}"}}]"#)).await;
    second.expect(&format!(r#"[null,null,"peer:{ID}","offer",{{"peer_id":"{OTHER}"}}]"#)).await;
    first.expect_nothing().await;
    drop((first, second, third));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn an_id_of_version_8_can_be_joined_only_with_its_secret() {
    let node = node(&[]);
    let (id, secret) = certified(3);
    let (_, wrong) = certified(4);
    let mut thief = Client::new(node.address()).await;
    for (n, payload) in
        ["{}", &format!(r#"{{"secret":"{wrong}"}}"#), r#"{"secret":"short"}"#, r#"{"secret":"!"}"#].iter().enumerate()
    {
        thief.exchange(&join(&n.to_string(), &id, payload), &refused(&n.to_string(), &id, "unproven")).await;
    }
    let huge = format!(r#"{{"secret":"{}"}}"#, "A".repeat(60_000));
    thief.exchange(&join("9", &id, &huge), &refused("9", &id, "unproven")).await;
    let mut owner = Client::new(node.address()).await;
    let payload = format!(r#"{{"secret":"{secret}"}}"#);
    owner.join("1", &format!("peer:{id}"), &payload).await;
    // without the secret, a claim does not even cause a ping
    thief.exchange(&join("10", &id, "{}"), &refused("10", &id, "unproven")).await;
    owner.expect_nothing().await;
    let mut again = Client::new(node.address()).await;
    again.join("1", &format!("peer:{id}"), &payload).await;
    owner.expect(&format!(r#"["1","1","peer:{id}","phx_close",{{}}]"#)).await;
    drop((thief, owner, again));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_name_that_is_no_canonical_uuid_is_refused() {
    let node = node(&[]);
    let mut client = Client::new(node.address()).await;
    let upper = ID.to_uppercase();
    let plain = ID.replace('-', "");
    for id in ["", "x", &upper, &plain, &format!("{ID}x"), &format!("{{{ID}}}"), &format!("urn:uuid:{ID}")] {
        client.exchange(&join("1", id, "{}"), &refused("1", id, "invalid peer id")).await;
    }
}

#[actix_web::test]
async fn a_client_cannot_send_under_another_clients_id() {
    let node = node(&[]);
    let (mut a, mut b) = (Client::new(node.address()).await, Client::new(node.address()).await);
    a.join("1", &format!("peer:{ID}"), "{}").await;
    b.join("1", &format!("peer:{OTHER}"), "{}").await;
    let third = "20dd48ca-fdcf-41c9-9a3b-2a1ab2a0f1c6";
    for event in ["offer", "connect"] {
        let spoof = format!(r#"["1","2","peer:{ID}","{event}",{{"peer_id":"{OTHER}","sender_id":"{third}"}}]"#);
        a.send(&spoof).await;
        assert!(a.receive().await.contains(r#"{"reason":"invalid sender_id"}"#));
    }
    for event in ["phx_close", "phx_error", "presence_diff", "peer_connect", "error_connect", "peer_up", "peer_down"] {
        a.send(&format!(r#"["1","3","peer:{ID}","{event}",{{"peer_id":"{OTHER}"}}]"#)).await;
        assert!(a.receive().await.contains(r#"{"reason":"reserved event"}"#), "{event}");
    }
    // another's topic cannot be spoken for without having joined it
    a.send(&format!(r#"["1","4","peer:{OTHER}","offer",{{"peer_id":"{ID}"}}]"#)).await;
    assert!(a.receive().await.contains("unmatched topic"));
    b.expect_nothing().await;
    let honest = format!(r#"["1","5","peer:{ID}","offer",{{"sdp":1,"peer_id":"{OTHER}","sender_id":"{ID}"}}]"#);
    a.send(&honest).await;
    b.expect(&format!(r#"[null,null,"peer:{OTHER}","offer",{{"peer_id":"{ID}","sdp":1}}]"#)).await;
}
