//! Tests of the built-in Socket.IO relay: which clients receive a message, the limits of one client, and hostile
//! clients.

use handclasp::{Channel, Context, Endpoint, Mount, Node, Payload, Reply, Router};

use crate::common::longpoll::request;
use crate::common::{self, Client, config, get, node, wait_until_empty};

const PATH: &str = "/socket.io/?EIO=4&transport=websocket";
const END: (&str, &str) = ("40/end", r#"44/end,{"message":"Invalid namespace"}"#);

/// A client that has connected to `/`, and its sid.
async fn connect(node: &Node) -> (Client, String) {
    let mut client = Client::open(node.address(), PATH, &[]).await;
    client.receive().await;
    client.send("40").await;
    let answer = client.receive_until("40{").await;
    let sid = answer.strip_prefix(r#"40{"sid":""#).and_then(|rest| rest.strip_suffix(r#""}"#)).unwrap().to_owned();
    (client, sid)
}

async fn expect_nothing(client: &mut Client) {
    client.exchange(END.0, END.1).await;
}

#[actix_web::test]
async fn a_message_goes_to_all_others_or_to_those_in_the_same_rooms() {
    let node = node(&["server.workers=2"]);
    let ((mut a, me), (mut b, _), (mut c, _)) = (connect(&node).await, connect(&node).await, connect(&node).await);
    a.send(r#"421["message","x",{"n":1.50}]"#).await;
    b.expect(r#"42["message","x",{"n":1.50}]"#).await;
    c.expect(r#"42["message","x",{"n":1.50}]"#).await;
    expect_nothing(&mut a).await;
    a.exchange(r#"422["join",{"room":"one"}]"#, "432[{}]").await;
    b.exchange(r#"422["join","one"]"#, "432[{}]").await;
    a.send(r#"42["message","in one"]"#).await;
    b.expect(r#"42["message","in one"]"#).await;
    // members of a second room receive it too
    c.exchange(r#"422["join","two"]"#, "432[{}]").await;
    a.exchange(r#"423["join","two"]"#, "433[{}]").await;
    a.send(r#"42["message","in both"]"#).await;
    b.expect(r#"42["message","in both"]"#).await;
    c.expect(r#"42["message","in both"]"#).await;
    b.exchange(r#"424["leave","one"]"#, "434[{}]").await;
    a.send("41").await;
    c.expect(&format!(r#"42["user disconnected",{{"id":"{me}"}}]"#)).await;
    expect_nothing(&mut b).await;
    b.send(r#"42["message","to all"]"#).await;
    c.expect(r#"42["message","to all"]"#).await;
    expect_nothing(&mut a).await;
    drop((a, b, c));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn the_others_are_notified_when_a_client_disconnects() {
    let node = node(&[]);
    let ((a, id), (mut b, _)) = (connect(&node).await, connect(&node).await);
    drop(a);
    b.expect(&format!(r#"42["user disconnected",{{"id":"{id}"}}]"#)).await;
    drop(b);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_signal_reaches_a_client_by_its_id_alone() {
    let node = node(&[]);
    let ((mut a, me), (mut b, you), (mut c, _)) = (connect(&node).await, connect(&node).await, connect(&node).await);
    assert_ne!(me, you);
    a.exchange(&format!(r#"421["signal",{{"to":"{you}","from":"x","sdp":1.50}}]"#), "431[{}]").await;
    b.expect(&format!(r#"42["signal",{{"from":"{me}","sdp":1.50}}]"#)).await;
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    a.send(&format!(r#"451-2["signal",{{"to":"{you}","b":{placeholder}}}]"#)).await;
    a.send_binary(&[7]).await;
    a.expect("432[{}]").await;
    b.expect(&format!(r#"451-["signal",{{"b":{placeholder},"from":"{me}"}}]"#)).await;
    assert_eq!(b.receive_any().await, common::Received::Binary(vec![7]));
    for (signal, reason) in [
        (r#"{"to":"nobody"}"#, "peer_not_found"),
        (r#"{"to":"a\nb"}"#, "invalid payload"),
        (r#"{"to":7}"#, "invalid payload"),
        ("{}", "invalid payload"),
        ("7", "invalid payload"),
        (r#"{"to":"x"},2"#, "invalid payload"),
    ] {
        a.exchange(&format!(r#"423["signal",{signal}]"#), &format!(r#"433[{{"reason":"{reason}"}}]"#)).await;
    }
    // an id is no room, nor a namespace
    c.exchange(&format!(r#"424["join","{you}"]"#), "434[{}]").await;
    c.exchange(&format!("40/#sid:{you}"), &format!(r#"44/#sid:{you},{{"message":"Invalid namespace"}}"#)).await;
    a.exchange(&format!(r#"425["signal",{{"to":"{you}"}}]"#), "435[{}]").await;
    b.expect(&format!(r#"42["signal",{{"from":"{me}"}}]"#)).await;
    expect_nothing(&mut c).await;
}

#[actix_web::test]
async fn a_message_that_is_an_object_says_who_sent_it() {
    let node = node(&[]);
    let ((mut a, me), (mut b, _)) = (connect(&node).await, connect(&node).await);
    a.send(r#"421["message",{"type":"call","n":1.50},{"more" : 1},"x"]"#).await;
    b.expect(&format!(r#"42["message",{{"type":"call","n":1.50,"from":"{me}"}},{{"more" : 1}},"x"]"#)).await;
    a.send(r#"42["message",{"from":"forged","type":"call","\u0066rom":1}]"#).await;
    b.expect(&format!(r#"42["message",{{"from":"{me}","type":"call"}}]"#)).await;
    // any other first argument, and its text, stay as they are
    for arguments in [r#""{\"from\":1}""#, r#"["a",{"from":"x"}]"#, "7,{}", "null"] {
        a.send(&format!(r#"42["message",{arguments}]"#)).await;
        b.expect(&format!(r#"42["message",{arguments}]"#)).await;
    }
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    a.send(&format!(r#"451-["message",{{"b":{placeholder}}}]"#)).await;
    a.send_binary(&[7]).await;
    b.expect(&format!(r#"451-["message",{{"b":{placeholder},"from":"{me}"}}]"#)).await;
    assert_eq!(b.receive_any().await, common::Received::Binary(vec![7]));
    // bytes are no object
    a.send(&format!(r#"451-["message",{placeholder},{{"n":1}}]"#)).await;
    a.send_binary(&[8]).await;
    b.expect(&format!(r#"451-["message",{placeholder},{{"n":1}}]"#)).await;
    assert_eq!(b.receive_any().await, common::Received::Binary(vec![8]));
    expect_nothing(&mut a).await;
}

#[actix_web::test]
async fn a_message_with_sendto_reaches_that_client_alone() {
    let node = node(&["server.workers=2"]);
    let ((mut a, me), (mut b, you), (mut c, _)) = (connect(&node).await, connect(&node).await, connect(&node).await);
    // the recipient does not have to be in the same room
    b.exchange(r#"421["enter","elsewhere"]"#, "431[{}]").await;
    a.exchange(&format!(r#"422["message",{{"sendto":"{you}","sdp":1.50}},2]"#), "432[{}]").await;
    b.expect(&format!(r#"42["message",{{"sendto":"{you}","sdp":1.50,"from":"{me}"}},2]"#)).await;
    a.send(&format!(r#"42["message",{{"sendto":"{you}"}}]"#)).await;
    b.expect(&format!(r#"42["message",{{"sendto":"{you}","from":"{me}"}}]"#)).await;
    for (to, reason) in [(r#""nobody""#, "peer_not_found"), (r#""a\nb""#, "invalid payload"), ("7", "invalid payload")]
    {
        let reply = format!(r#"433[{{"reason":"{reason}"}}]"#);
        a.exchange(&format!(r#"423["message",{{"sendto":{to}}}]"#), &reply).await;
    }
    expect_nothing(&mut b).await;
    expect_nothing(&mut c).await;
    b.exchange(r#"424["leave","elsewhere"]"#, "434[{}]").await;
    a.send(r#"425["message",{"sendto":null}]"#).await;
    for other in [&mut b, &mut c] {
        other.expect(&format!(r#"42["message",{{"sendto":null,"from":"{me}"}}]"#)).await;
    }
    expect_nothing(&mut a).await;
}

#[actix_web::test]
async fn entering_a_room_leaves_the_room_entered_before() {
    let node = node(&["server.workers=2"]);
    let ((mut a, me), (mut b, _), (mut c, _)) = (connect(&node).await, connect(&node).await, connect(&node).await);
    b.exchange(r#"421["enter","one"]"#, "431[{}]").await;
    c.exchange(r#"421["enter",{"room":"two"}]"#, "431[{}]").await;
    a.exchange(r#"421["enter","one"]"#, "431[{}]").await;
    a.exchange(r#"422["enter","one"]"#, "432[{}]").await;
    a.send(r#"42["message","first"]"#).await;
    b.expect(r#"42["message","first"]"#).await;
    // a page sends at once, without waiting for the acknowledgement
    a.send(r#"42["enter","two"]"#).await;
    a.send(r#"42["message","second"]"#).await;
    c.expect(r#"42["message","second"]"#).await;
    b.send(r#"42["message","in one"]"#).await;
    expect_nothing(&mut a).await;
    expect_nothing(&mut b).await;
    // a room that was joined is not left
    a.exchange(r#"423["join","one"]"#, "433[{}]").await;
    a.exchange(r#"424["enter","one"]"#, "434[{}]").await;
    a.exchange(r#"425["enter","three"]"#, "435[{}]").await;
    a.send("41").await;
    b.expect(&format!(r#"42["user disconnected",{{"id":"{me}"}}]"#)).await;
    expect_nothing(&mut c).await;
    drop((a, b, c));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_client_that_gets_no_room_does_not_speak_to_all() {
    // the client's own id is one of the topics
    for (limit, reached) in [("limits.joins_per_socket=1", false), ("limits.joins_per_socket=2", true)] {
        let node = node(&[limit]);
        let ((mut a, _), (mut b, _), (mut c, _)) = (connect(&node).await, connect(&node).await, connect(&node).await);
        if reached {
            a.exchange(r#"421["enter","first"]"#, "431[{}]").await;
            b.exchange(r#"421["enter","first"]"#, "431[{}]").await;
        }
        a.exchange(r#"422["enter","second"]"#, r#"432[{"reason":"too many rooms"}]"#).await;
        a.send(r#"423["message","in the first room, or nowhere"]"#).await;
        a.exchange(r#"424["leave","first"]"#, "434[{}]").await;
        if reached {
            b.expect(r#"42["message","in the first room, or nowhere"]"#).await;
        }
        a.send(r#"42["message","to all"]"#).await;
        c.expect(r#"42["message","to all"]"#).await;
        drop((a, b, c));
        wait_until_empty(&node).await;
    }
}

/// The key to a polling session is in its requests only: a client that knew it could read and end the session.
#[actix_web::test]
async fn the_id_told_to_others_is_not_the_key_to_a_polling_session() {
    let node = node(&["socketio.ping_interval=10s"]);
    let (mut other, _) = connect(&node).await;
    for revision in ["3", "4"] {
        let path = format!("/socket.io/?EIO={revision}&transport=polling&b64=1");
        let opened = request(node.address(), "GET", &path, &[], b"").await.body;
        let key = opened.split('"').nth(3).unwrap().to_owned();
        let session = format!("{path}&sid={key}");
        let post = async |packet: &str| {
            let body = if revision == "3" { format!("{}:{packet}", packet.len()) } else { packet.to_owned() };
            assert_eq!(request(node.address(), "POST", &session, &[], body.as_bytes()).await.body, "ok");
        };
        if revision == "4" {
            post("40").await;
        }
        post(r#"42["message",{}]"#).await;
        let message = other.receive().await;
        let id = message.split('"').nth(5).unwrap();
        assert!(id.len() == 32 && !key.contains(id), "{key} is told as {message}");
        for suffix in ["", ".3", ".3b", ".4"] {
            let stolen = format!("{path}&sid={id}{suffix}");
            assert_eq!(request(node.address(), "GET", &stolen, &[], b"").await.http, 400, "{stolen}");
        }
        post(if revision == "3" { "1" } else { "41" }).await;
        other.expect(&format!(r#"42["user disconnected",{{"id":"{id}"}}]"#)).await;
    }
}

/// Every page may use the relay, but not every page may have credentials for the TURN servers.
#[actix_web::test]
async fn the_ice_servers_are_sent_on_request_to_pages_that_may_have_them() {
    let turn = r#"peer.ice_servers=[{ urls = "turn:turn.test", secret = "north" }]"#;
    let node = node(&[turn]);
    let (mut client, id) = connect(&node).await;
    client.send(r#"421["ice"]"#).await;
    let reply = client.receive().await;
    assert!(reply.starts_with(r#"431[{"iceServers":[{"urls":["turn:turn.test"],"username":""#), "{reply}");
    assert!(reply.contains(&format!(r#":{id}","credential":""#)) && !reply.contains("north"), "{reply}");
    let own = format!("http://{}", node.address());
    for (origin, is_allowed) in [("null", false), ("https://page.test", false), (&own, true)] {
        let mut client = Client::open(node.address(), PATH, &[&format!("origin: {origin}")]).await;
        client.receive().await;
        client.send("40").await;
        client.receive_until("40{").await;
        client.send(r#"421["ice"]"#).await;
        let reply = client.receive().await;
        assert_eq!(reply.contains("turn.test"), is_allowed, "{origin}: {reply}");
        assert_eq!(reply == r#"431[{"reason":"origin not allowed"}]"#, !is_allowed, "{origin}: {reply}");
    }
    let address = node.address();
    // a page that connects by a script, of Engine.IO or of Socket.IO 0.9: its request has no origin
    for (referer, is_allowed) in [("https://page.test/", false), ("", false), (&format!("{own}/page"), true)] {
        let headers = [&*format!("Referer: {referer}")];
        let send = |method, path: String, body: &'static str| {
            let body = body.as_bytes();
            async move { request(address, method, &path, &headers, body).await.body }
        };
        let opened = send("GET", "/socket.io/?EIO=3&transport=polling&j=0".to_owned(), "").await;
        let sid = opened.split('\\').nth(3).unwrap().trim_matches('"');
        let path = format!("/socket.io/?EIO=3&transport=polling&j=0&sid={sid}");
        assert!(send("GET", path.clone(), "").await.contains("40"));
        assert_eq!(send("POST", path.clone(), "d=10:420%5B%22ice%22%5D").await, "ok");
        let reply = send("GET", path, "").await;
        assert_eq!((reply.contains("turn.test"), reply.contains("origin not")), (is_allowed, !is_allowed), "{reply}");
        let opened = send("GET", "/socket.io/1/?jsonp=0".to_owned(), "").await;
        let path = format!("/socket.io/1/jsonp-polling/{}", opened.split(['"', ':']).nth(1).unwrap());
        assert!(send("GET", path.clone(), "").await.contains("1::"));
        assert_eq!(send("POST", path.clone(), "d=%225:1%2B::%7B%5C%22name%5C%22:%5C%22ice%5C%22%7D%22").await, "1");
        let reply = send("GET", path, "").await;
        assert_eq!((reply.contains("turn.test"), reply.contains("origin not")), (is_allowed, !is_allowed), "{reply}");
    }
    let (mut client, _) = connect(&common::node(&[])).await;
    client.exchange(r#"421["ice"]"#, r#"431[{"iceServers":[]}]"#).await;
    let (mut client, _) = connect(&common::node(&[turn, "ice.enabled=false"])).await;
    client.exchange(r#"421["ice"]"#, r#"431[{"reason":"unknown event"}]"#).await;
}

#[actix_web::test]
async fn rooms_are_bounded_and_end_with_their_clients() {
    let node = node(&["limits.joins_per_socket=3"]);
    let (mut client, _) = connect(&node).await;
    // its own id is one of the three
    client.exchange(r#"421["join",{"room":"a"}]"#, "431[{}]").await;
    client.exchange(r#"422["join","b"]"#, "432[{}]").await;
    client.exchange(r#"423["join","b"]"#, "433[{}]").await;
    client.exchange(r#"424["join","c"]"#, r#"434[{"reason":"too many rooms"}]"#).await;
    client.exchange(r#"425["leave","a"]"#, "435[{}]").await;
    client.exchange(r#"426["join","c"]"#, "436[{}]").await;
    for room in ["", r#","""#, ",7", ",null", r#",{"room":7}"#, r#","a\n""#, &format!(",{:?}", "x".repeat(256))] {
        client.exchange(&format!(r#"427["join"{room}]"#), r#"437[{"reason":"invalid room"}]"#).await;
    }
    drop(client);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_client_is_in_so_many_namespaces_at_most() {
    struct Quiet;
    impl Channel for Quiet {}
    let mount = Mount::new("/many", Router::new().channel("/*", |_| Quiet)).joins_per_socket(3);
    let node = Endpoint::new(config(&[])).socketio(mount).start().unwrap();
    let mut client = Client::open(node.address(), &PATH.replace("/socket.io", "/many"), &[]).await;
    client.receive().await;
    for name in ["/a", "/b", "/c"] {
        client.send(&format!("40{name}")).await;
        client.receive_until(&format!("40{name},{{")).await;
    }
    client.exchange("40/d", r#"44/d,{"message":"too many channels joined"}"#).await;
    client.send("41/a").await;
    client.send("40/d").await;
    client.receive_until("40/d,{").await;
    drop(client);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_client_that_floods_is_closed_and_the_others_are_notified() {
    let node = node(&["limits.messages_per_second=10", "limits.messages_burst=20"]);
    let (mut talker, id) = connect(&node).await;
    let (mut watcher, _) = connect(&node).await;
    for _ in 0..1_000 {
        talker.send("3").await;
    }
    assert_eq!(talker.close_code().await, 1008);
    watcher.expect(&format!(r#"42["user disconnected",{{"id":"{id}"}}]"#)).await;
    drop((talker, watcher));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_message_above_max_payload_is_refused_by_what_it_declares() {
    let node = node(&["socketio.max_payload=2_000"]);
    let (mut client, _) = connect(&node).await;
    client.raw(&[0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0]).await;
    assert_eq!(client.close_code().await, 1009);
    let (mut client, _) = connect(&node).await;
    let most = format!(r#"421["join","{}"]"#, "x".repeat(1_900));
    client.exchange(&most, r#"431[{"reason":"invalid room"}]"#).await;
}

#[actix_web::test]
async fn a_namespace_and_a_phoenix_topic_of_one_name_never_meet() {
    struct Shout;
    impl Channel for Shout {
        fn handle_in(&mut self, event: &str, payload: &Payload, ctx: &mut Context<'_>) -> Reply {
            ctx.broadcast(event, payload.clone());
            Reply::NoReply
        }
    }
    let router = || Router::new().channel("/", |_| Shout);
    let endpoint = Endpoint::new(config(&[])).mount(Mount::new("/p", router())).engineio(Mount::new("/e", router()));
    let node = endpoint.socketio(Mount::new("/s", router())).start().unwrap();
    let mut phoenix = Client::open(node.address(), "/p/websocket?vsn=2.0.0", &[]).await;
    phoenix.join("1", "/", "{}").await;
    let mut engine = Client::open(node.address(), "/e/?EIO=4&transport=websocket", &[]).await;
    engine.receive().await;
    engine.exchange("4x", "4x").await;
    let mut socket = Client::open(node.address(), "/s/?EIO=4&transport=websocket", &[]).await;
    socket.receive().await;
    socket.send("40").await;
    socket.receive_until("40{").await;
    phoenix.send(r#"["1","2","/","e",{}]"#).await;
    phoenix.expect(r#"[null,null,"/","e",{}]"#).await;
    socket.exchange(r#"42["e",1]"#, r#"42["e",1]"#).await;
    engine.exchange("4y", "4y").await;
    socket.exchange(r#"42["f"]"#, r#"42["f"]"#).await;
    phoenix.expect_nothing().await;
    drop((phoenix, engine, socket));
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn the_client_script_is_missing_in_words_that_help() {
    let node = node(&[]);
    for file in ["socket.io.js", "socket.io.min.js", "socket.io.js.map"] {
        let (status, body) = get(node.address(), &format!("/socket.io/{file}")).await;
        assert_eq!(status, 404);
        assert!(body.contains("socketio.client_dir"), "{body}");
    }
}

/// Its acknowledgement came before the registry knew: what was said right after it was lost.
#[actix_web::test]
async fn a_message_right_after_the_acknowledgement_arrives() {
    let node = node(&["server.workers=2", "limits.joins_per_socket=1000", "limits.messages_burst=10000"]);
    let ((mut a, _), (mut b, _)) = (connect(&node).await, connect(&node).await);
    for n in 0..100 {
        a.exchange(&format!(r#"421["join","{n}"]"#), "431[{}]").await;
        b.exchange(&format!(r#"421["join","{n}"]"#), "431[{}]").await;
        a.send(&format!(r#"42["message",{n}]"#)).await;
        b.expect(&format!(r#"42["message",{n}]"#)).await;
        a.exchange(&format!(r#"421["leave","{n}"]"#), "431[{}]").await;
        b.exchange(&format!(r#"421["leave","{n}"]"#), "431[{}]").await;
    }
    let (mut late, id) = connect(&node).await;
    a.exchange(&format!(r#"421["signal",{{"to":"{id}"}}]"#), "431[{}]").await;
    late.receive_until("signal").await;
    drop((a, b, late));
    wait_until_empty(&node).await;
}
