//! The front door: what becomes a socket, and what is answered to everything else, status, headers and
//! body. Sections 1 to 3 of the protocol's specification, through the real server.

use actix_web::http::StatusCode;
use handclasp::config::Origins;
use handclasp::{ConnectError, Endpoint, Mount, Node, Router, SocketInit};

use crate::common::{self, Client, config, node, wait_until_empty};

/// A request for a socket, of which a test changes one thing.
#[derive(Clone)]
struct Ask {
    first: String,
    lines: Vec<(String, String)>,
}

impl Ask {
    fn to(path: &str) -> Self {
        let lines = [
            ("Host", "broker.test:4000"),
            ("Connection", "keep-alive, Upgrade"),
            ("Upgrade", "WebSocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let lines = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { first: format!("GET {path} HTTP/1.1"), lines }
    }

    fn first(mut self, line: &str) -> Self {
        line.clone_into(&mut self.first);
        self
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.lines.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.lines.retain(|(other, _)| other != name);
        self
    }

    fn instead(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// A request of a browser that wants no socket.
    fn plain(self) -> Self {
        ["Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Key"]
            .iter()
            .fold(self, |ask, name| ask.without(name))
            .instead("Connection", "keep-alive")
    }

    async fn send(&self, node: &Node) -> (Client, String) {
        let lines: String = self.lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Client::request(node.address(), &format!("{}\r\n{lines}\r\n", self.first)).await
    }

    /// Status and body; a socket that was opened is closed again.
    async fn answer(&self, node: &Node) -> (u16, String) {
        let (mut client, head) = self.send(node).await;
        let status = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("answered {head:?}"));
        let body = if status == 101 { Vec::new() } else { client.body(&head).await };
        (status, String::from_utf8(body).unwrap())
    }

    async fn is_answered(&self, node: &Node, status: u16, body: &str) {
        assert_eq!(self.answer(node).await, (status, body.to_owned()), "{} {:?}", self.first, self.lines);
    }
}

const PATH: &str = "/socket/websocket?vsn=2.0.0";

/// A node with a mount `/own`, made by `mount` out of one without channels.
fn own(mount: impl FnOnce(Mount) -> Mount) -> Node {
    Endpoint::new(config(&[])).mount(mount(Mount::new("/own", Router::new()))).start().unwrap()
}

#[actix_web::test]
async fn an_upgrade_has_phoenixs_headers_and_no_extension() {
    let node = node(&[]);
    let ask = Ask::to(PATH).with("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");
    let (mut client, head) = ask.send(&node).await;
    let mut lines: Vec<String> = head.trim_end().lines().map(str::to_lowercase).collect();
    lines.retain(|line| !line.starts_with("date: "));
    lines[1..].sort();
    let want = [
        "http/1.1 101 switching protocols",
        "cache-control: max-age=0, private, must-revalidate",
        "connection: upgrade",
        "content-type: application/octet-stream",
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
        "upgrade: websocket",
    ];
    assert_eq!(lines, want);
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    client.expect_nothing().await;
    drop(client);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn one_trailing_slash_is_the_same_path_and_anything_else_is_not_found() {
    let node = node(&[]);
    for path in ["/socket/websocket", "/socket/websocket/", "/ws/websocket", "/peer/websocket/?vsn=2.0.0"] {
        Ask::to(path).is_answered(&node, 101, "").await;
    }
    for path in ["/socket/websocket/more", "/socket/websocket//", "/socket", "/other/websocket", "/websocket"] {
        Ask::to(path).is_answered(&node, 404, "not found\n").await;
    }
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn vsn_is_1_0_x_or_2_0_x_and_missing_is_the_first() {
    let node = node(&[]);
    let with = |query: &str| Ask::to(&format!("/socket/websocket{query}"));
    for query in
        ["", "?", "?vsn=1.0.0", "?vsn=1.0.7", "?vsn=2.0.0", "?vsn=2.0.9", "?a=1&&vsn=2.0.0", "?vsn=abc&vsn=2.0.0"]
    {
        with(query).is_answered(&node, 101, "").await;
    }
    for query in ["1.1.0", "2.1.0", "3.0.0", "2", "2.0", "abc", "", "2.0.", "2.0.x", "2.0.0-rc", "+2.0.0"] {
        with(&format!("?vsn={query}")).is_answered(&node, 403, "").await;
    }
    for query in ["?vsn", "?vsn[]=2.0.0", "?vsn[a]=2.0.0&vsn=2.0.0", "?vsn=2.0.0&vsn=abc"] {
        with(query).is_answered(&node, 403, "").await;
    }
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_method_other_than_get_is_a_bad_request() {
    let node = node(&[]);
    for method in ["POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH"] {
        let ask = Ask::to(PATH).first(&format!("{method} {PATH} HTTP/1.1"));
        ask.is_answered(&node, 400, "").await;
        ask.plain().is_answered(&node, 400, "").await;
    }
}

#[actix_web::test]
async fn the_upgrades_headers_are_named_when_they_are_wrong() {
    let node = node(&[]);
    let ask = || Ask::to(PATH);
    let bad = async |ask: Ask, body: &str| ask.is_answered(&node, 400, body).await;
    let connection = |got: &str| format!("'connection' header must contain 'upgrade', got {got}");
    bad(ask().plain(), &connection(r#"["keep-alive"]"#)).await;
    bad(ask().without("Connection"), &connection("[]")).await;
    bad(ask().instead("Connection", "upgraded"), &connection(r#"["upgraded"]"#)).await;
    bad(ask().without("Upgrade"), "'upgrade' header must be 'websocket', got []").await;
    for other in ["h2c", "h2c, websocket"] {
        bad(ask().instead("Upgrade", other), &format!("'upgrade' header must be 'websocket', got [{other:?}]")).await;
    }
    let version = |got: &str| format!("'sec-websocket-version' header must be '13', got {got}");
    bad(ask().instead("Sec-WebSocket-Version", "12"), &version(r#"["12"]"#)).await;
    bad(ask().instead("Sec-WebSocket-Version", "14"), &version(r#"["14"]"#)).await;
    bad(ask().without("Sec-WebSocket-Version"), &version("[]")).await;
    let key = "'sec-websocket-key' header must be given once, 16 bytes in base64";
    bad(ask().without("Sec-WebSocket-Key"), key).await;
    bad(ask().with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), key).await;
    for short in ["", "dGhlIHNhbXBsZQ==", "not base64 of anything", "dGhlIHNhbXBsZSBub25jZSB0b28gbG9uZw=="] {
        bad(ask().instead("Sec-WebSocket-Key", short), key).await;
    }
    bad(ask().first(&format!("GET {PATH} HTTP/1.0")), "a websocket needs HTTP/1.1").await;
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_request_with_a_body_is_no_upgrade() {
    let node = node(&[]);
    for (name, value) in [("Content-Length", "5"), ("Transfer-Encoding", "chunked")] {
        let (status, body) = Ask::to(PATH).with(name, value).answer(&node).await;
        assert_eq!((status, &*body), (400, "a websocket's request has no body"), "{name}");
    }
    Ask::to(PATH).with("Content-Length", "0").is_answered(&node, 101, "").await;
    let (status, _) =
        Ask::to(PATH).with("Content-Length", "5").with("Transfer-Encoding", "chunked").answer(&node).await;
    assert_eq!(status, 400, "both at once");
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn the_checks_have_an_order() {
    let node = own(|mount| {
        mount
            .check_origin(Origins::parse(&["https://good.test"]).unwrap())
            .subprotocols(&["chat"])
            .connect(|_| Err(ConnectError::new(StatusCode::TOO_MANY_REQUESTS, "come back later")))
    });
    // everything is wrong: each line takes away what was wrong first
    let ask = Ask::to("/own/websocket?vsn=9&x=%ff").plain().with("Origin", "https://evil.test");
    let ask = ask.with("Sec-WebSocket-Protocol", "other");
    ask.clone().first("POST /own/websocket?vsn=9&x=%ff HTTP/1.1").is_answered(&node, 400, "").await;
    ask.is_answered(&node, 400, "the query is not UTF-8").await;
    let ask = ask.first("GET /own/websocket?vsn=9 HTTP/1.1");
    ask.is_answered(&node, 403, "").await; // the origin
    let ask = ask.instead("Origin", "https://good.test");
    ask.is_answered(&node, 403, "").await; // the subprotocol
    let ask = ask.instead("Sec-WebSocket-Protocol", "chat");
    ask.is_answered(&node, 403, "").await; // vsn
    let ask = ask.first("GET /own/websocket?vsn=2.0.0 HTTP/1.1");
    ask.is_answered(&node, 429, "come back later").await; // the mount's own word
    // and any one of them alone is enough to keep that word from being asked
    ask.clone().instead("Origin", "https://evil.test").is_answered(&node, 403, "").await;
    ask.clone().instead("Sec-WebSocket-Protocol", "other").is_answered(&node, 403, "").await;
    // the upgrade's headers come last: a plain request with a bad vsn is 403, with a good one 400
    let standard = |vsn: &str| Ask::to(&format!("/socket/websocket?vsn={vsn}")).plain();
    standard("9").is_answered(&node, 403, "").await;
    assert_eq!(standard("2.0.0").answer(&node).await.0, 400);
}

#[actix_web::test]
async fn connect_decides_with_what_the_client_says() {
    let node = own(|mount| {
        mount.connect(|info| match info.param("then") {
            Some("forbid") => Err(ConnectError::forbidden()),
            Some("crash") => std::panic::resume_unwind(Box::new("boom")),
            Some("say") => {
                let params: Vec<String> = info.params().map(|(name, value)| format!("{name}:{value}")).collect();
                let last = info.param("a").unwrap_or("(none)");
                Err(ConnectError::new(StatusCode::IM_A_TEAPOT, format!("{} a={last}", params.join(" "))))
            }
            _ => Ok(SocketInit::default()),
        })
    });
    let with = |query: &str| Ask::to(&format!("/own/websocket?{query}&vsn=2.0.0"));
    with("then=forbid").is_answered(&node, 403, "").await;
    with("then=crash").is_answered(&node, 500, "").await;
    with("then=nothing").is_answered(&node, 101, "").await;
    let said = async |query: &str, want: &str| with(&format!("then=say&{query}")).is_answered(&node, 418, want).await;
    said("a=1&a=2", "then:say a:1 a:2 vsn:2.0.0 a=2").await;
    said("u[a]=1&y[0]=1", "then:say u[a]:1 y[0]:1 vsn:2.0.0 a=(none)").await;
    said("u%5Ba%5D=%C3%A9+%2B", "then:say u[a]:é + vsn:2.0.0 a=(none)").await;
    said("a=%zz", "then:say a:%zz vsn:2.0.0 a=%zz").await;
    with("a=%ff").is_answered(&node, 400, "the query is not UTF-8").await;
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn only_the_pages_that_may_open_a_socket_do() {
    let node = node(&[]);
    Ask::to(PATH).is_answered(&node, 101, "").await;
    for origin in ["http://broker.test:4000", "https://broker.test:4000", "http://BROKER.test:4000"] {
        Ask::to(PATH).with("Origin", origin).is_answered(&node, 101, "").await;
    }
    let elsewhere = [
        "http://broker.test",
        "http://broker.test:4001",
        "http://evil-broker.test:4000",
        "http://broker.test:4000.evil.test",
        "http://me@broker.test:4000",
        "http://xn--brker-jua.test:4000",
        "null",
        "file://",
        "",
    ];
    for origin in elsewhere {
        Ask::to(PATH).with("Origin", origin).is_answered(&node, 403, "").await;
    }
    let twice = Ask::to(PATH).with("Origin", "http://broker.test:4000").with("Origin", "http://broker.test:4000");
    twice.is_answered(&node, 403, "").await;
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_list_of_origins_is_kept_to() {
    let list = r#"socket.check_origin=["https://example.com", "//sub.example.org:8443", "//*.wild.test"]"#;
    let node = node(&[list]);
    let cases = [
        ("https://example.com", 101),
        ("https://example.com:444", 403),
        ("http://example.com", 403),
        ("http://sub.example.org:8443", 101),
        ("https://sub.example.org", 403),
        ("https://wild.test", 101),
        ("http://a.b.wild.test:9", 101),
        ("https://awild.test", 403),
        ("http://broker.test:4000", 403),
        ("null", 403),
    ];
    for (origin, status) in cases {
        Ask::to(PATH).with("Origin", origin).is_answered(&node, status, "").await;
    }
    let any = common::node(&["socket.check_origin=any"]);
    for origin in ["null", "file://", "https://evil.test", "odd"] {
        Ask::to(PATH).with("Origin", origin).is_answered(&any, 101, "").await;
    }
}

/// Status, and the subprotocol that was answered.
async fn offered(ask: Ask, node: &Node) -> (u16, Option<String>) {
    let (_client, head) = ask.send(node).await;
    let line =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("sec-websocket-protocol: ").map(str::to_owned));
    (head[9..12].parse().unwrap(), line)
}

#[actix_web::test]
async fn of_the_subprotocols_the_servers_first_is_answered() {
    let node = own(|mount| mount.subprotocols(&["chat", "superchat"]));
    let offer = |names: &str| Ask::to("/own/websocket").with("Sec-WebSocket-Protocol", names);
    let chat = Some("chat".to_owned());
    assert_eq!(offered(offer("superchat, chat"), &node).await, (101, chat.clone()));
    assert_eq!(offered(offer("superchat").with("Sec-WebSocket-Protocol", "chat"), &node).await, (101, chat));
    assert_eq!(offered(Ask::to("/own/websocket"), &node).await, (101, None));
    assert_eq!(offered(offer("other"), &node).await, (403, None));
    // none configured: whatever is offered is ignored, 300 of them too
    let many: Vec<String> = (0..300).map(|n| format!("protocol-{n}")).collect();
    for names in ["chat", &many.join(", ")] {
        assert_eq!(offered(Ask::to(PATH).with("Sec-WebSocket-Protocol", names), &node).await, (101, None));
    }
}

#[actix_web::test]
async fn a_token_comes_as_a_subprotocol_in_either_alphabet() {
    let node = own(|mount| {
        mount.connect(|info| match info.auth_token() {
            Some("let me in") => Ok(SocketInit::default()),
            token => Err(ConnectError::new(StatusCode::UNAUTHORIZED, format!("{token:?}"))),
        })
    });
    let offer = |names: &str| Ask::to("/own/websocket?vsn=2.0.0").with("Sec-WebSocket-Protocol", names);
    let phoenix = Some("phoenix".to_owned());
    // "let me in" in base64, without and with padding
    assert_eq!(offered(offer("phoenix, base64url.bearer.phx.bGV0IG1lIGlu"), &node).await, (101, phoenix));
    assert_eq!(offered(offer("base64url.bearer.phx.bGV0IG1lIGlu"), &node).await, (101, None));
    for token in ["Pz8_Pj4-", "Pz8/Pj4+", "Pz8/Pj4-"] {
        let ask = offer(&format!("phoenix, base64url.bearer.phx.{token}"));
        ask.is_answered(&node, 401, r#"Some("???>>>")"#).await;
    }
    for token in ["YQ", "YQ=="] {
        offer(&format!("phoenix, base64url.bearer.phx.{token}")).is_answered(&node, 401, r#"Some("a")"#).await;
    }
    offer("phoenix").is_answered(&node, 401, "None").await;
    // 13: one that does not decode, or is no UTF-8, is refused before anybody is asked
    for token in ["!!!", "A", "_w"] {
        offer(&format!("phoenix, base64url.bearer.phx.{token}")).is_answered(&node, 403, "").await;
    }
}
