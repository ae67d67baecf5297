//! Requests to a whole node, past the HTTP parser: every route, query, header and body. There is no socket, so a
//! WebSocket upgrade is checked but not carried out.
//!
//! The requests in an input are divided by a byte that never occurs in UTF-8. Each is `METHOD URI`, one header per
//! line, an empty line, and the body. `SID` stands for the id of the last session that was opened.

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode, Uri};
use actix_web::test::{TestRequest, init_service};
use actix_web::{App, Error};
use bytes::Bytes;
use tokio::time::timeout;

use super::app::{app, local_path};
use super::seeds::paths;
use super::{SMALL, Target};
use crate::config::schema::Config;

/// How long to wait for a response. Most are immediate; long polls wait for messages that never come.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(2);
/// The maximum size of a response. It exceeds the largest file of the page.
const MAX_RESPONSE: usize = 4 * 1_048_576;

const WORDS: &[&str] = &[
    "GET /socket/longpoll?vsn=2.0.0",
    "POST /socket/longpoll?token=SID",
    "GET /socket.io/?EIO=4&transport=polling",
    "GET /socket.io/?EIO=3&transport=polling&b64=1",
    "GET /socket.io/?EIO=2&transport=polling&b64=1&j=0",
    "d=1:2",
    "\nReferer: http://localhost/",
    "&sid=SID",
    "transport=websocket",
    "GET /peerjs?key=peerjs&id=a&token=b",
    "/peerjs/id",
    "/peerjs/peers",
    "GET /hello",
    "OPTIONS ",
    "\nOrigin: http://localhost",
    "\nHost: localhost",
    "\nUpgrade: websocket",
    "\nConnection: upgrade",
    "\nSec-WebSocket-Version: 13",
    "\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "\nContent-Type: application/x-ndjson",
    "\nContent-Type: application/octet-stream",
    "\nX-Phoenix-Longpoll-Token: SID",
    "\nX-Phoenix-AuthToken: a",
    "\nX-Forwarded-For: ",
    "[null,\"1\",\"room:a\",\"phx_join\",{}]",
    "\n\n",
];

pub(super) const TARGETS: &[Target] =
    &[Target { name: "http_requests", run, seeds, dictionary: WORDS, max_len: SMALL }];

/// The headers of an upgrade request.
const UPGRADE: &str = "Host: localhost\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

/// Upgrades to the paths of the transcripts, and the sequences of `requests.txt`: long-polling sessions, and others.
fn seeds() -> Vec<Vec<u8>> {
    let upgrades = paths().into_iter().map(|path| format!("GET {}\n{UPGRADE}", local_path(&path)).into_bytes());
    let input = |requests: Vec<&str>| requests.into_iter().map(str::as_bytes).collect::<Vec<_>>().join(&0xFF);
    upgrades.chain(conversations().map(input)).collect()
}

/// The sequences of `requests.txt`, each as its requests.
pub(super) fn conversations() -> impl Iterator<Item = Vec<&'static str>> {
    let all = include_str!("../requests.txt").trim_end().split("\n====\n");
    all.map(|requests| requests.split("\n----\n").collect())
}

fn run(data: &[u8]) {
    actix_web::rt::System::new().block_on(async {
        let factory = app(CONFIG.clone());
        let service = init_service(App::new().configure(|app| factory.configure(app))).await;
        let mut sid = String::new();
        for bytes in data.split(|byte| *byte == 0xFF) {
            let Some(request) = str::from_utf8(bytes).ok().and_then(|text| request(&text.replace("SID", &sid))) else {
                continue;
            };
            let Ok(Some((status, body))) = timeout(RESPONSE_TIMEOUT, respond(&service, request)).await else {
                continue;
            };
            assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(body.len() <= MAX_RESPONSE, "{} bytes", body.len());
            if let Some(name) = session_of(&String::from_utf8_lossy(&body)) {
                sid = name;
            }
        }
    });
}

/// A node that trusts the forwarded headers of its peer, and has low limits.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let sets = [
        "server.trusted_proxies=[\"127.0.0.1\"]",
        "peerjs.allow_discovery=true",
        "limits.message_bytes=2048",
        "limits.batch_bytes=3000",
        "socketio.max_payload=2048",
    ];
    Config::load(None, [], &sets.map(str::to_owned), None).expect("the settings are valid")
});

fn request(text: &str) -> Option<TestRequest> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, uri) = lines.next()?.split_once(' ')?;
    // an HTTP parser rejects other URIs before they get this far
    let uri = Uri::try_from(uri).ok().filter(|uri| uri.path().starts_with('/'))?;
    let peer = SocketAddr::from(([127, 0, 0, 1], 4711));
    let request = TestRequest::with_uri(&uri.to_string()).method(Method::from_bytes(method.as_bytes()).ok()?);
    let request = request.peer_addr(peer).set_payload(Bytes::copy_from_slice(body.as_bytes()));
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value.trim()).ok()?))
    });
    Some(headers.fold(request, TestRequest::append_header))
}

/// The response, or `None` where the server itself would not have responded.
async fn respond<S, B>(service: &S, request: TestRequest) -> Option<(StatusCode, Bytes)>
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let response = service.call(request.to_request()).await.ok()?;
    let status = response.status();
    Some((status, actix_web::body::to_bytes(response.into_body()).await.ok()?))
}

/// The id of the session that a response opens. The id of a Socket.IO namespace is not one; it has no dot.
pub(super) fn session_of(text: &str) -> Option<String> {
    let keys = ["\"sid\":\"", "\"token\":\"", "\\\"sid\\\":\\\""];
    let after = keys.iter().find_map(|key| text.split_once(key))?.1;
    after.split_once(['"', '\\']).map(|(name, _)| name.to_owned()).filter(|name| name.contains('.'))
}
