//! A wire format of the application's own, mounted through the public API: the example `lines`.

use crate::common::{Client, config, wait_until_empty};

#[path = "../examples/lines.rs"]
#[allow(dead_code, reason = "its main is not run here")]
mod lines;

#[actix_web::test]
async fn a_protocol_of_the_application_is_mounted_through_the_public_api() {
    let node = lines::endpoint(config(&[])).start().unwrap();
    let mut ann = Client::open(node.address(), "/lines", &[]).await;
    let mut ben = Client::open(node.address(), "/lines", &[]).await;
    for client in [&mut ann, &mut ben] {
        client.exchange("join room:a", "room:a: ok").await;
    }
    ann.send("room:a hello").await;
    ben.expect("room:a hello").await;
    ben.send("nothing").await;
    assert_eq!(ben.close_code().await, 1011);
    drop((ann, ben));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn its_topics_never_meet_those_of_other_protocols() {
    let node = lines::endpoint(config(&[])).start().unwrap();
    let mut lines = Client::open(node.address(), "/lines", &[]).await;
    lines.exchange("join room:a", "room:a: ok").await;
    let mut phoenix = Client::open(node.address(), "/socket/websocket?vsn=2.0.0", &[]).await;
    phoenix.join("1", "room:a", "{}").await;
    phoenix
        .exchange(r#"["1","2","room:a","line","x"]"#, r#"["1","2","room:a","phx_reply",{"status":"ok","response":{}}]"#)
        .await;
    lines.send("room:a hello").await;
    lines.exchange("join room:b", "room:b: ok").await;
    phoenix.expect_nothing().await;
    assert_eq!(node.pubsub().metrics().joins.get(), 3);
}
