//! Engine.IO, revisions 3 and 2: the clients of Socket.IO 1 and 2. Responses are binary, and some text is encoded in
//! UTF-8 twice.

use super::*;

pub(super) const V2: &str = "/echo/?EIO=2&transport=polling";
const OCTETS: &str = "Content-Type: application/octet-stream";

/// What a client sends if it encodes this text in UTF-8 twice.
fn twice(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

/// The bytes in the body of a response that must be binary.
fn binary(response: Response) -> Vec<u8> {
    assert_eq!(response.status, 200, "{response:?}");
    // clients of Socket.IO 1.0 compare the whole line
    assert!(response.head.contains("\r\ncontent-type: application/octet-stream\r\n"), "{}", response.head);
    response.body
}

fn text(response: &Response) -> &str {
    assert!(response.head.contains("content-type: text/plain; charset=utf-8\r\n"), "{}", response.head);
    response.text()
}

#[actix_web::test]
async fn every_response_is_binary_and_has_the_length_of_each_packet_in_digits() {
    let node = start(&["socketio.ping_interval=7s", "socketio.ping_timeout=9s"]);
    for path in [V3, V2] {
        let body = binary(poll(node.address(), path).await);
        let [0, 1, hundreds @ 0..=9, tens @ 0..=9, 255, packet @ ..] = &*body else { panic!("{body:?}") };
        assert_eq!(100 + usize::from(hundreds * 10 + tens), packet.len());
        let packet = std::str::from_utf8(packet).unwrap();
        let rest = r#"","upgrades":["websocket"],"pingInterval":7000,"pingTimeout":9000,"maxPayload":100000}"#;
        assert!(packet.starts_with(r#"0{"sid":""#) && packet.ends_with(rest), "{packet}");
        let session = open(node.address(), path).await;
        assert_eq!(post(node.address(), &session, "6:4hello").await.text(), "ok");
        assert_eq!(binary(poll(node.address(), &session).await), b"\x00\x06\xff4hello");
    }
}

#[actix_web::test]
async fn binary_data_is_sent_as_bytes_or_in_base64_as_the_client_asked() {
    let node = start(&[]);
    for path in [V3, V2] {
        let session = open(node.address(), path).await;
        post(node.address(), &session, "6:4hello10:b4AQIDBA==").await;
        let body = binary(poll(node.address(), &session).await);
        assert_eq!(body, b"\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04");
        assert_eq!(send(node.address(), "POST", &session, &[OCTETS], &body).await.text(), "ok");
        assert_eq!(binary(poll(node.address(), &session).await), body);
        let session = open(node.address(), &format!("{path}&b64=1")).await.replace("&b64=1", "");
        post(node.address(), &session, "6:4hello10:b4AQIDBA==").await;
        assert_eq!(text(&poll(node.address(), &session).await), "6:4hello10:b4AQIDBA==");
        post(node.address(), &session, "1:2").await;
        assert_eq!(text(&poll(node.address(), &session).await), "1:3");
    }
}

#[actix_web::test]
async fn text_is_decoded_whether_a_client_encodes_it_once_or_twice() {
    let node = start(&[]);
    let spoken = "4h\u{e9} \u{1f600}";
    let doubled = format!("9:{}", twice(spoken));
    assert_eq!(&doubled.as_bytes()[..8], b"9:4h\xc3\x83\xc2\xa9");
    for (path, bodies) in [(V3, vec![doubled.clone(), format!("6:{spoken}")]), (V2, vec![doubled.clone()])] {
        let session = open(node.address(), path).await;
        for body in bodies {
            assert_eq!(post(node.address(), &session, &body).await.text(), "ok");
            assert_eq!(binary(poll(node.address(), &session).await), packed(&[spoken]), "{path}: encoded once");
        }
        send(node.address(), "POST", &session, &[OCTETS], &packed(&[spoken])).await;
        assert_eq!(binary(poll(node.address(), &session).await), packed(&[spoken]), "{path}");
    }
    let session = open(node.address(), &format!("{V2}&b64=1")).await.replace("&b64=1", "");
    post(node.address(), &session, &doubled).await;
    assert_eq!(text(&poll(node.address(), &session).await), doubled, "a response of text is encoded twice");
}

#[actix_web::test]
async fn a_websocket_of_revision_2_encodes_text_twice_in_both_directions() {
    let node = start(&[]);
    let session = open(node.address(), V2).await;
    post(node.address(), &session, &format!("3:{}", twice("4é"))).await;
    let mut upgraded = probe(node.address(), &session).await;
    upgraded.send("5").await;
    upgraded.expect(&twice("4é")).await;
    let mut direct = Client::open(node.address(), &websocket(V2), &[]).await;
    direct.receive_until("0{").await;
    for client in [&mut upgraded, &mut direct] {
        client.exchange(&twice("4é😀"), &twice("4é😀")).await;
        client.exchange("2", "3").await;
    }
    // the characters of a frame are bytes of UTF-8
    for malformed in ["4\u{100}", "4\u{e9}", "4\u{c3}"] {
        let mut client = Client::open(node.address(), &websocket(V2), &[]).await;
        client.receive_until("0{").await;
        client.send(malformed).await;
        assert_eq!(client.close_code().await, 1011, "{malformed}");
    }
}

#[actix_web::test]
async fn a_session_of_revision_2_accepts_only_requests_of_revision_2() {
    let node = start(&[]);
    let session = open(node.address(), V2).await;
    for other in ["EIO=3", "EIO=4", "EIO=2b", "EIO="] {
        assert_eq!(poll(node.address(), &session.replace("EIO=2", other)).await.error_code(), 3, "{other}");
    }
    for other in ["EIO=1", "EIO=0", "EIO=22"] {
        assert_eq!(poll(node.address(), &V2.replace("EIO=2", other)).await.error_code(), 5, "{other}");
    }
    assert_eq!(post(node.address(), &session, "6:4hello").await.text(), "ok");
    let session = open(node.address(), V2).await;
    assert_eq!(post(node.address(), &session, "2:4\u{e9}").await.error_code(), 3, "not UTF-8");
    assert_eq!(poll(node.address(), &session).await.status, 400);
}
