//! The WebSocket handshake: what is upgraded, and the status, headers and body of every other response. Sections 1 to 3
//! of the protocol's specification, tested on the real server.

use actix_web::http::StatusCode;
use handclasp::config::Origins;
use handclasp::{ConnectError, Endpoint, Mount, Node, Router, SocketInit};

use crate::common::{self, Client, config, node, wait_until_empty};

/// An upgrade request, which a test changes in one place.
#[derive(Clone)]
struct Upgrade {
    first: String,
    lines: Vec<(String, String)>,
}

impl Upgrade {
    fn to(path: &str) -> Self {
        let lines = [
            ("Host", "broker.localhost:4000"),
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

    fn replace(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// The same request from a browser that does not ask for an upgrade.
    fn plain(self) -> Self {
        ["Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Key"]
            .iter()
            .fold(self, |upgrade, name| upgrade.without(name))
            .replace("Connection", "keep-alive")
    }

    async fn send(&self, node: &Node) -> (Client, String) {
        let lines: String = self.lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Client::request(node.address(), &format!("{}\r\n{lines}\r\n", self.first)).await
    }

    /// The status and the body. If the upgrade succeeds, the connection is closed again.
    async fn response(&self, node: &Node) -> (u16, String) {
        let (mut client, head) = self.send(node).await;
        let status =
            head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("the response is {head:?}"));
        let body = if status == 101 { Vec::new() } else { client.body(&head).await };
        (status, String::from_utf8(body).unwrap())
    }

    async fn expect_status(&self, node: &Node, status: u16) {
        assert_eq!(self.response(node).await.0, status, "{} {:?}", self.first, self.lines);
    }

    async fn expect_response(&self, node: &Node, status: u16, body: &str) {
        assert_eq!(self.response(node).await, (status, body.to_owned()), "{} {:?}", self.first, self.lines);
    }
}

const PATH: &str = "/socket/websocket?vsn=2.0.0";

/// A node with a mount at `/own`, built by `mount` from one without channels.
fn own(mount: impl FnOnce(Mount) -> Mount) -> Node {
    Endpoint::new(config(&[])).mount(mount(Mount::new("/own", Router::new()))).start().unwrap()
}

#[actix_web::test]
async fn an_upgrade_has_phoenix_headers_and_no_extension() {
    let node = node(&[]);
    let upgrade = Upgrade::to(PATH).with("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");
    let (mut client, head) = upgrade.send(&node).await;
    let mut lines: Vec<String> = head.trim_end().lines().map(str::to_lowercase).collect();
    lines.retain(|line| !line.starts_with("date: "));
    lines[1..].sort();
    let expected = [
        "http/1.1 101 switching protocols",
        "cache-control: max-age=0, private, must-revalidate",
        "connection: upgrade",
        "content-type: application/octet-stream",
        "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
        "upgrade: websocket",
    ];
    assert_eq!(lines, expected);
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    client.expect_nothing().await;
    drop(client);
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn one_trailing_slash_is_allowed_and_other_paths_are_not_found() {
    let node = node(&[]);
    for path in ["/socket/websocket", "/socket/websocket/", "/ws/websocket", "/peer/websocket/?vsn=2.0.0"] {
        Upgrade::to(path).expect_response(&node, 101, "").await;
    }
    for path in ["/socket/websocket/more", "/socket/websocket//", "/socket", "/other/websocket", "/websocket"] {
        Upgrade::to(path).expect_response(&node, 404, "not found\n").await;
    }
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn vsn_is_1_0_x_or_2_0_x_and_defaults_to_1_0_0() {
    let node = node(&[]);
    let with = |query: &str| Upgrade::to(&format!("/socket/websocket{query}"));
    for query in
        ["", "?", "?vsn=1.0.0", "?vsn=1.0.7", "?vsn=2.0.0", "?vsn=2.0.9", "?a=1&&vsn=2.0.0", "?vsn=abc&vsn=2.0.0"]
    {
        with(query).expect_response(&node, 101, "").await;
    }
    for query in ["1.1.0", "2.1.0", "3.0.0", "2", "2.0", "abc", "", "2.0.", "2.0.x", "2.0.0-rc", "+2.0.0"] {
        with(&format!("?vsn={query}")).expect_response(&node, 403, "").await;
    }
    for query in ["?vsn", "?vsn[]=2.0.0", "?vsn[a]=2.0.0&vsn=2.0.0", "?vsn=2.0.0&vsn=abc"] {
        with(query).expect_response(&node, 403, "").await;
    }
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_method_other_than_get_is_a_bad_request() {
    let node = node(&[]);
    for method in ["POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH"] {
        let upgrade = Upgrade::to(PATH).first(&format!("{method} {PATH} HTTP/1.1"));
        upgrade.expect_response(&node, 400, "").await;
        upgrade.plain().expect_response(&node, 400, "").await;
    }
}

#[actix_web::test]
async fn an_invalid_upgrade_header_is_named_in_the_response() {
    let node = node(&[]);
    let upgrade = || Upgrade::to(PATH);
    let bad = async |upgrade: Upgrade, body: &str| upgrade.expect_response(&node, 400, body).await;
    let connection = |got: &str| format!("'connection' header must contain 'upgrade', got {got}");
    bad(upgrade().plain(), &connection(r#"["keep-alive"]"#)).await;
    bad(upgrade().without("Connection"), &connection("[]")).await;
    bad(upgrade().replace("Connection", "upgraded"), &connection(r#"["upgraded"]"#)).await;
    bad(upgrade().without("Upgrade"), "'upgrade' header must be 'websocket', got []").await;
    for other in ["h2c", "h2c, websocket"] {
        bad(upgrade().replace("Upgrade", other), &format!("'upgrade' header must be 'websocket', got [{other:?}]"))
            .await;
    }
    let version = |got: &str| format!("'sec-websocket-version' header must be '13', got {got}");
    bad(upgrade().replace("Sec-WebSocket-Version", "12"), &version(r#"["12"]"#)).await;
    bad(upgrade().replace("Sec-WebSocket-Version", "14"), &version(r#"["14"]"#)).await;
    bad(upgrade().without("Sec-WebSocket-Version"), &version("[]")).await;
    let key = "'sec-websocket-key' header must be given once, 16 bytes in base64";
    bad(upgrade().without("Sec-WebSocket-Key"), key).await;
    bad(upgrade().with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), key).await;
    for short in ["", "dGhlIHNhbXBsZQ==", "not base64 of anything", "dGhlIHNhbXBsZSBub25jZSB0b28gbG9uZw=="] {
        bad(upgrade().replace("Sec-WebSocket-Key", short), key).await;
    }
    bad(upgrade().first(&format!("GET {PATH} HTTP/1.0")), "a websocket needs HTTP/1.1").await;
    wait_until_empty(&node).await;
}

/// A proxy that opens a connection for each client adds `close`. It asks for the end of HTTP on this connection, as the
/// upgrade does (RFC 9110, 7.6.1 and 7.8), and RFC 6455, 4.2.1 asks for a list that contains `Upgrade`.
#[actix_web::test]
async fn a_connection_header_may_ask_for_the_close_as_well() {
    let node = node(&["relay.enabled=true"]);
    for path in [PATH, "/relay", "/socket.io/?EIO=4&transport=websocket", "/peerjs?key=peerjs&id=a&token=t"] {
        for both in ["close, Upgrade", "Upgrade, close", "close\r\nConnection: upgrade", "upgrade, keep-alive, close"] {
            let (mut client, head) = Upgrade::to(path).replace("Connection", both).send(&node).await;
            assert!(head.starts_with("HTTP/1.1 101"), "{path}, {both:?}: {head}");
            assert!(head.to_lowercase().contains("\r\nconnection: upgrade\r\n"), "{path}: {head}");
            client.raw(&common::frame(0x89, b"still here")).await;
            while client.receive_any().await != common::Received::Pong(b"still here".to_vec()) {}
        }
    }
}

#[actix_web::test]
async fn an_upgrade_with_a_body_is_rejected() {
    let node = node(&[]);
    for (name, value) in [("Content-Length", "5"), ("Transfer-Encoding", "chunked")] {
        let (status, body) = Upgrade::to(PATH).with(name, value).response(&node).await;
        assert_eq!((status, &*body), (400, "a websocket's request has no body"), "{name}");
    }
    Upgrade::to(PATH).with("Content-Length", "0").expect_response(&node, 101, "").await;
    let (status, _) =
        Upgrade::to(PATH).with("Content-Length", "5").with("Transfer-Encoding", "chunked").response(&node).await;
    assert_eq!(status, 400, "with both headers");
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn the_checks_run_in_order() {
    let node = own(|mount| {
        mount
            .check_origin(Origins::parse(&["https://good.test"]).unwrap())
            .subprotocols(&["chat"])
            .connect(|_| Err(ConnectError::new(StatusCode::TOO_MANY_REQUESTS, "come back later")))
    });
    // every part is wrong; each step corrects the part that was reported first
    let upgrade = Upgrade::to("/own/websocket?vsn=9&x=%ff").plain().with("Origin", "https://evil.test");
    let upgrade = upgrade.with("Sec-WebSocket-Protocol", "other");
    upgrade.clone().first("POST /own/websocket?vsn=9&x=%ff HTTP/1.1").expect_response(&node, 400, "").await;
    upgrade.expect_response(&node, 400, "the query is not UTF-8").await;
    let upgrade = upgrade.first("GET /own/websocket?vsn=9 HTTP/1.1");
    upgrade.expect_status(&node, 403).await; // the origin
    let upgrade = upgrade.replace("Origin", "https://good.test");
    upgrade.expect_response(&node, 403, "").await; // the subprotocol
    let upgrade = upgrade.replace("Sec-WebSocket-Protocol", "chat");
    upgrade.expect_response(&node, 403, "").await; // vsn
    let upgrade = upgrade.first("GET /own/websocket?vsn=2.0.0 HTTP/1.1");
    upgrade.expect_response(&node, 429, "come back later").await; // the mount's callback
    // and each of these errors alone keeps the mount's callback from being called
    upgrade.clone().replace("Origin", "https://evil.test").expect_status(&node, 403).await;
    upgrade.clone().replace("Sec-WebSocket-Protocol", "other").expect_response(&node, 403, "").await;
    // the upgrade headers are checked last: a plain request with a bad vsn gets 403, with a good one 400
    let standard = |vsn: &str| Upgrade::to(&format!("/socket/websocket?vsn={vsn}")).plain();
    standard("9").expect_response(&node, 403, "").await;
    assert_eq!(standard("2.0.0").response(&node).await.0, 400);
}

#[actix_web::test]
async fn the_connect_callback_decides_by_the_params() {
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
    let with = |query: &str| Upgrade::to(&format!("/own/websocket?{query}&vsn=2.0.0"));
    with("then=forbid").expect_response(&node, 403, "").await;
    with("then=crash").expect_response(&node, 500, "").await;
    with("then=nothing").expect_response(&node, 101, "").await;
    let expect_text = async |query: &str, expected: &str| {
        with(&format!("then=say&{query}")).expect_response(&node, 418, expected).await
    };
    expect_text("a=1&a=2", "then:say a:1 a:2 vsn:2.0.0 a=2").await;
    expect_text("u[a]=1&y[0]=1", "then:say u[a]:1 y[0]:1 vsn:2.0.0 a=(none)").await;
    expect_text("u%5Ba%5D=%C3%A9+%2B", "then:say u[a]:é + vsn:2.0.0 a=(none)").await;
    expect_text("a=%zz", "then:say a:%zz vsn:2.0.0 a=%zz").await;
    with("a=%ff").expect_response(&node, 400, "the query is not UTF-8").await;
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn only_allowed_origins_can_open_a_socket() {
    let node = node(&[]);
    Upgrade::to(PATH).expect_response(&node, 101, "").await;
    for origin in ["http://broker.localhost:4000", "https://broker.localhost:4000", "http://BROKER.localhost:4000"] {
        Upgrade::to(PATH).with("Origin", origin).expect_response(&node, 101, "").await;
    }
    let other_origins = [
        "http://broker.localhost",
        "http://broker.localhost:4001",
        "http://evil-broker.localhost:4000",
        "http://broker.localhost:4000.evil.test",
        "http://me@broker.localhost:4000",
        "http://xn--brker-jua.localhost:4000",
        "null",
        "file://",
        "",
    ];
    for origin in other_origins {
        Upgrade::to(PATH).with("Origin", origin).expect_status(&node, 403).await;
    }
    let twice =
        Upgrade::to(PATH).with("Origin", "http://broker.localhost:4000").with("Origin", "http://broker.localhost:4000");
    twice.expect_status(&node, 403).await;
    wait_until_empty(&node).await;
}

#[actix_web::test]
async fn a_list_of_origins_is_enforced() {
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
        ("http://broker.localhost:4000", 403),
        ("null", 403),
    ];
    for (origin, status) in cases {
        Upgrade::to(PATH).with("Origin", origin).expect_status(&node, status).await;
    }
    let any = common::node(&["socket.check_origin=any"]);
    for origin in ["file://", "https://evil.test", "odd"] {
        Upgrade::to(PATH).with("Origin", origin).expect_status(&any, 101).await;
    }
    Upgrade::to(PATH).with("Origin", "null").expect_status(&any, 403).await;
}

/// The status, and the subprotocol in the response.
async fn upgrade_with_subprotocol(upgrade: Upgrade, node: &Node) -> (u16, Option<String>) {
    let (_client, head) = upgrade.send(node).await;
    let line =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("sec-websocket-protocol: ").map(str::to_owned));
    (head[9..12].parse().unwrap(), line)
}

#[actix_web::test]
async fn the_server_selects_its_first_matching_subprotocol() {
    let node = own(|mount| mount.subprotocols(&["chat", "superchat"]));
    let offer = |names: &str| Upgrade::to("/own/websocket").with("Sec-WebSocket-Protocol", names);
    let chat = Some("chat".to_owned());
    assert_eq!(upgrade_with_subprotocol(offer("superchat, chat"), &node).await, (101, chat.clone()));
    assert_eq!(
        upgrade_with_subprotocol(offer("superchat").with("Sec-WebSocket-Protocol", "chat"), &node).await,
        (101, chat)
    );
    assert_eq!(upgrade_with_subprotocol(Upgrade::to("/own/websocket"), &node).await, (101, None));
    assert_eq!(upgrade_with_subprotocol(offer("other"), &node).await, (403, None));
    // without configured subprotocols every offer is ignored, even 300 of them
    let many: Vec<String> = (0..300).map(|n| format!("protocol-{n}")).collect();
    for names in ["chat", &many.join(", ")] {
        assert_eq!(
            upgrade_with_subprotocol(Upgrade::to(PATH).with("Sec-WebSocket-Protocol", names), &node).await,
            (101, None)
        );
    }
}

/// A browser tells a page nothing of the response to an upgrade. Without the upgrade, the page can read it.
#[actix_web::test]
async fn a_page_can_ask_why_its_token_is_refused() {
    let sets =
        ["auth.mode=required", "auth.secrets=a secret of at least 32 bytes, for tests", "socket.check_origin=any"];
    let node = common::node(&sets);
    let ask = |token: &str| {
        let plain = Upgrade::to(PATH).plain().with("Origin", "https://page.test");
        if token.is_empty() { plain } else { plain.with("X-Phoenix-AuthToken", token) }
    };
    for (token, reason) in [("", "token missing"), ("a.b", "token invalid")] {
        ask(token).expect_response(&node, 403, reason).await;
        let (_, head) = ask(token).send(&node).await;
        assert!(head.contains("access-control-allow-origin: *\r\n"), "{head}");
    }
    let preflight = ask("").first(&format!("OPTIONS {PATH} HTTP/1.1"));
    let (_, head) = preflight
        .with("Access-Control-Request-Method", "GET")
        .with("Access-Control-Request-Headers", "x-phoenix-authtoken")
        .send(&node)
        .await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("allow-headers: x-phoenix-authtoken"), "{head}");
    let own = own(|mount| {
        mount.connect(|info| Err(ConnectError::new(StatusCode::UNAUTHORIZED, format!("{:?}", info.auth_token()))))
    });
    let upgrade = Upgrade::to("/own/websocket").with("X-Phoenix-AuthToken", "header");
    upgrade.clone().expect_response(&own, 401, r#"Some("header")"#).await;
    let both = upgrade.with("Sec-WebSocket-Protocol", "phoenix, base64url.bearer.phx.YQ");
    both.expect_response(&own, 401, r#"Some("a")"#).await;
}

#[actix_web::test]
async fn a_token_in_a_subprotocol_may_use_either_base64_alphabet() {
    let node = own(|mount| {
        mount.connect(|info| match info.auth_token() {
            Some("let me in") => Ok(SocketInit::default()),
            token => Err(ConnectError::new(StatusCode::UNAUTHORIZED, format!("{token:?}"))),
        })
    });
    let offer = |names: &str| Upgrade::to("/own/websocket?vsn=2.0.0").with("Sec-WebSocket-Protocol", names);
    let phoenix = Some("phoenix".to_owned());
    // "let me in" in base64, without and with padding
    assert_eq!(
        upgrade_with_subprotocol(offer("phoenix, base64url.bearer.phx.bGV0IG1lIGlu"), &node).await,
        (101, phoenix)
    );
    assert_eq!(upgrade_with_subprotocol(offer("base64url.bearer.phx.bGV0IG1lIGlu"), &node).await, (101, None));
    for token in ["Pz8_Pj4-", "Pz8/Pj4+", "Pz8/Pj4-"] {
        let upgrade = offer(&format!("phoenix, base64url.bearer.phx.{token}"));
        upgrade.expect_response(&node, 401, r#"Some("???>>>")"#).await;
    }
    for token in ["YQ", "YQ=="] {
        offer(&format!("phoenix, base64url.bearer.phx.{token}")).expect_response(&node, 401, r#"Some("a")"#).await;
    }
    offer("phoenix").expect_response(&node, 401, "None").await;
    // section 13: a token that does not decode, or is not UTF-8, is rejected before the callback is called
    for token in ["!!!", "A", "_w"] {
        offer(&format!("phoenix, base64url.bearer.phx.{token}")).expect_response(&node, 403, "").await;
    }
}
