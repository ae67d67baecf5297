//! Engine.IO over JSONP: responses are scripts, and requests are forms.

use super::old_revisions::V2;
use super::*;

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
/// Without a `Referer`, the origin of a page is unknown.
const ANY: &str = r#"socket.check_origin=["any", "null"]"#;

/// The text that a script gives to the page's function.
fn given(response: &Response, function: &str) -> String {
    assert_eq!(response.status, 200, "{response:?}");
    for line in ["content-type: text/javascript; charset=utf-8\r\n", "x-content-type-options: nosniff\r\n"] {
        assert!(response.head.contains(line), "{line} in {}", response.head);
    }
    let literal = response.text().strip_prefix(function).and_then(|rest| rest.strip_prefix('(')?.strip_suffix(");"));
    serde_json::from_str(literal.unwrap_or_else(|| panic!("{function} in {}", response.text()))).unwrap()
}

/// Opens a session, and returns the path of its requests.
async fn open_jsonp(address: SocketAddr, path: &str, function: &str) -> String {
    let text = given(&poll(address, path).await, function);
    let open: Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
    format!("{path}&sid={}", open["sid"].as_str().unwrap())
}

async fn submit(address: SocketAddr, path: &str, form: &str) -> Response {
    send(address, "POST", path, &[FORM], form.as_bytes()).await
}

#[actix_web::test]
async fn a_response_is_a_script_and_a_request_is_a_form() {
    let node = start(&[ANY]);
    for (path, posted, received) in [
        (V2, "6:4hello10:b4AQIDBA==", "6:4hello10:b4AQIDBA=="),
        (V3, "6:4hello10:b4AQIDBA==", "6:4hello10:b4AQIDBA=="),
        (V4, "4hello%1EbAQIDBA==", "4hello\u{1e}bAQIDBA=="),
    ] {
        let response = poll(node.address(), &format!("{path}&b64=1&j=7")).await;
        assert!(given(&response, "___eio[7]").contains(r#"0{"sid":""#));
        assert!(response.head.contains("cache-control: no-store"), "{}", response.head);
        let session = open_jsonp(node.address(), &format!("{path}&b64=1&j=12"), "___eio[12]").await;
        let answer = submit(node.address(), &session, &format!("d={posted}")).await;
        assert_eq!((answer.status, answer.text()), (200, "ok"));
        assert!(answer.head.contains("content-type: text/html"), "{}", answer.head);
        let response = poll(node.address(), &session).await;
        assert_eq!(given(&response, "___eio[12]"), received);
        // the number is that of the handshake
        submit(node.address(), &session, &format!("d={posted}")).await;
        let other = session.replace("&j=12", "&j=alert(1)").replace("&b64=1", "");
        assert_eq!(given(&poll(node.address(), &other).await, "___eio[12]"), received);
    }
    let session = open_jsonp(node.address(), &format!("{V3}&j=0"), "___eio[0]").await;
    submit(node.address(), &session, "d=1:2").await;
    assert_eq!(given(&poll(node.address(), &session).await, "___eio[0]"), "1:3", "without b64 too");
}

#[actix_web::test]
async fn the_text_of_a_script_cannot_end_it_and_newlines_in_forms_are_escaped() {
    let node = start(&[ANY]);
    let session = open_jsonp(node.address(), &format!("{V3}&j=0"), "___eio[0]").await;
    submit(node.address(), &session, "d=13:4</script>%22%5C%E2%80%A8").await;
    let response = poll(node.address(), &session).await;
    assert_eq!(response.text(), r#"___eio[0]("13:4<\/script>\"\\\u2028");"#);
    for (escaped, packet) in [("4a%5Cnb", "4a\nb"), ("4a%5C%5Cnb", "4a\\nb"), ("4+%2B", "4 +")] {
        submit(node.address(), &session, &format!("d={}:{escaped}", packet.len())).await;
        let received = given(&poll(node.address(), &session).await, "___eio[0]");
        assert_eq!(received, format!("{}:{packet}", packet.len()));
    }
    let session = open_jsonp(node.address(), &format!("{V2}&j=0"), "___eio[0]").await;
    submit(node.address(), &session, "d=3:4%C3%83%C2%A9").await;
    assert_eq!(given(&poll(node.address(), &session).await, "___eio[0]"), "3:4\u{c3}\u{a9}", "encoded twice");
}

#[actix_web::test]
async fn the_function_is_named_by_digits_alone() {
    let node = start(&[ANY]);
    for number in ["", "x", "-1", "+1", "1.0", "1]", "0;alert(1)", "4294967296", "%31%00"] {
        assert_eq!(poll(node.address(), &format!("{V3}&j={number}")).await.error_code(), 3, "{number}");
    }
    given(&poll(node.address(), &format!("{V3}&j=007")).await, "___eio[7]");
    let session = open_jsonp(node.address(), &format!("{V3}&j=7"), "___eio[7]").await;
    for suffix in ["j7]", "j", "j-7", "jx"] {
        let path = session.replace("&j=7", "").replace("j7", suffix);
        assert_eq!(poll(node.address(), &path).await.error_code(), 1, "{path}");
    }
}

#[actix_web::test]
async fn a_malformed_form_closes_the_session() {
    let node = start(&[ANY]);
    for form in ["", "d", "d=", "e=1:2", "d=%ff", "d=1:", "1:2", "d=2:4"] {
        let session = open_jsonp(node.address(), &format!("{V3}&j=0"), "___eio[0]").await;
        let response = submit(node.address(), &session, form).await;
        assert_eq!((response.status, response.error_code()), (400, 3), "{form}");
        assert_eq!(poll(node.address(), &session).await.status, 400, "{form}");
    }
    wait_until_empty(&node).await;
}

/// A page of any origin can run a script, and the browser sends no `Origin` with its request.
#[actix_web::test]
async fn a_session_is_opened_for_pages_of_allowed_origins_alone() {
    let node = start(&["socket.check_origin=[\"same\", \"https://friend.test\"]"]);
    let path = format!("{V3}&j=0");
    let opens = async |headers: &[&str]| send(node.address(), "GET", &path, headers, b"").await.status;
    for allowed in
        ["Referer: http://node.localhost/page", "Referer: https://friend.test/", "Origin: https://friend.test"]
    {
        assert_eq!(opens(&[allowed]).await, 200, "{allowed}");
    }
    for foreign in ["Referer: https://evil.test/?https://friend.test/", "Referer: x", "Origin: null", "X: y"] {
        assert_eq!(opens(&[foreign]).await, 403, "{foreign}");
    }
    let node = start(&[ANY]);
    assert_eq!(poll(node.address(), &path).await.status, 200, "a page that hides its origin");
}
