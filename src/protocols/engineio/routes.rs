//! Engine.IO's front door: handshakes, polls, posts, and upgrades from polling to a WebSocket.
//!
//! All of them are requests to one path and are told apart by their query: `EIO` is the revision, `transport`
//! the way, `sid` the session, if there is one already. What is checked, in which order, and what is answered, is as
//! npm's engine.io has it.

use actix_web::http::{Method, header};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use compact_str::{CompactString, format_compact};
use futures_util::future::{Either, select};
use tokio::time::timeout;
use uuid::Uuid;

use super::error::EngineError;
use super::payload::{Body, Dialect};
use super::upgrade::UpgradeProbe;
use super::{CLOSE, EngineIo, MessageCodec, NOOP, OPEN, Revision, V3, V4};
use crate::close::{self, Reason};
use crate::config::schema::Config;
use crate::connections::hub::ConnectionSlot;
use crate::connections::limits::Timeouts;
use crate::http::acceptor::{Acceptor, http_connection_of, mark_upgraded};
use crate::http::body::{self, BodyError};
use crate::http::cors::{self, Credentials};
use crate::http::idle_connections::hung_up;
use crate::http::mount::{ConnectInfo, Mount, SocketInit};
use crate::http::request::{check_origin, check_upgrade, params};
use crate::protocol::Frame;
use crate::transports::longpoll::handle::{Fetched, LongPollHandle, Via};
use crate::transports::longpoll::{self, LongPollOptions};
use crate::transports::websocket;

/// What a page of another origin may send.
const METHODS: &str = "GET,POST,OPTIONS";

/// How a client's bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EngineTransport {
    Polling,
    WebSocket,
}

/// A mount's own times, or those of the configuration for Socket.IO.
pub(crate) fn timeouts(mount: &Mount, config: &Config) -> Timeouts {
    let ping = mount.ping_interval.unwrap_or(config.socketio.ping_interval);
    Timeouts {
        idle: ping + mount.idle_timeout.unwrap_or(config.socketio.ping_timeout),
        join: mount.join_timeout.unwrap_or(config.socketio.connect_timeout),
        ping_interval: Some(ping),
    }
}

/// Serves the mount's path, with a trailing slash or without.
pub(crate) fn routes<L: MessageCodec>(acceptor: &Acceptor, app: &mut ServiceConfig) {
    for slash in ["/", ""] {
        let (path, acceptor) = (format!("{}{slash}", acceptor.path()), acceptor.clone());
        app.route(&path, web::to(move |request, payload| serve::<L>(acceptor.clone(), request, payload)));
    }
}

async fn serve<L: MessageCodec>(acceptor: Acceptor, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    let response = match *request.method() {
        Method::OPTIONS => cors::preflight(&request, METHODS),
        _ => answer::<L>(&acceptor, &request, payload).await.unwrap_or_else(|fault| fault.response(&acceptor)),
    };
    cors::allow(response, &request, acceptor.origins(), Credentials::Included)
}

async fn answer<L: MessageCodec>(
    acceptor: &Acceptor,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, EngineError> {
    let params = params(request.query_string()).map_err(|_| EngineError::BadRequest)?;
    let param = |name: &str| params.iter().find(|(key, _)| key == name).map(|(_, value)| &**value);
    let transport = match param("transport") {
        Some("polling") => EngineTransport::Polling,
        Some("websocket") => EngineTransport::WebSocket,
        _ => return Err(EngineError::UnknownTransport),
    };
    let revision = param("EIO");
    if let Some(sid) = param("sid").filter(|sid| !sid.is_empty()) {
        let (session, dialect) = find(acceptor, sid).ok_or(EngineError::UnknownSession)?;
        check_origin(request.headers(), acceptor.origins())?;
        if revision != Some(dialect.revision()) {
            return Err(EngineError::BadRequest);
        }
        return match (transport, request.method()) {
            (EngineTransport::WebSocket, _) => upgrade(acceptor, request, payload, session),
            (_, &Method::GET) => poll(acceptor, request, &session, dialect).await,
            (_, &Method::POST) => post(acceptor, request, payload, &session, dialect).await,
            _ => Err(EngineError::BadRequest),
        };
    }
    if request.method() != Method::GET {
        return Err(EngineError::BadHandshakeMethod);
    }
    if transport == EngineTransport::WebSocket {
        check_upgrade(request).map_err(|_| EngineError::BadUpgrade)?;
    }
    let dialect = match (revision, param("b64")) {
        (Some("4"), _) => Dialect::V4,
        (Some("3"), None | Some("")) => Dialect::V3,
        (Some("3"), Some(_)) => Dialect::V3Text,
        _ => return Err(EngineError::UnsupportedVersion),
    };
    let handshake = Handshake { acceptor, request, params, transport, dialect };
    match dialect {
        Dialect::V4 => handshake.enter::<V4, L>(payload).await,
        Dialect::V3 | Dialect::V3Text => handshake.enter::<V3, L>(payload).await,
    }
}

// ---- the beginning of a session

/// A request that asks for a session.
struct Handshake<'a> {
    acceptor: &'a Acceptor,
    request: &'a HttpRequest,
    params: Vec<(String, String)>,
    transport: EngineTransport,
    dialect: Dialect,
}

impl Handshake<'_> {
    async fn enter<R: Revision, L: MessageCodec>(self, payload: web::Payload) -> Result<HttpResponse, EngineError> {
        check_origin(self.request.headers(), self.acceptor.origins())?;
        let client_ip = self.acceptor.client_ip(self.request)?;
        let name = if self.transport == EngineTransport::Polling { longpoll::NAME } else { websocket::NAME };
        let (request, params) = (self.request.clone(), self.params);
        let info = ConnectInfo { request, params, client_ip, auth_token: None, transport: name };
        match self.transport {
            EngineTransport::Polling => {
                let (slot, init) = self.acceptor.admit_longpoll(info, self.acceptor.timeouts().idle).await?;
                Ok(poll_session::<R, L>(self.acceptor, self.dialect, slot, init))
            }
            EngineTransport::WebSocket => {
                let (slot, init) = self.acceptor.admit(info).await?;
                let opening = opening(self.acceptor, &Uuid::new_v4().simple().to_string(), false);
                let protocol = EngineIo::<R, L>::new(self.acceptor.limits(), Some(opening));
                Ok(self.acceptor.websocket(self.request, payload, None, slot, init, protocol))
            }
        }
    }
}

fn poll_session<R: Revision, L: MessageCodec>(
    acceptor: &Acceptor,
    dialect: Dialect,
    slot: ConnectionSlot,
    init: SocketInit,
) -> HttpResponse {
    let options = LongPollOptions {
        bytes: acceptor.config().limits.queue_bytes,
        close_on_concurrent_poll: true,
        drain_after_close: false,
        close_frame: Some(close_frame),
    };
    let (token, _) = acceptor.longpoll(slot, init, EngineIo::<R, L>::new(acceptor.limits(), None), options);
    respond(dialect, &[opening(acceptor, &sid(&token, dialect), true)])
}

/// What a request that waits hears at the end of its session: that the other side has gone, or has been heard.
fn close_frame(reason: &'static Reason) -> Frame {
    Frame::Text(if *reason == close::LEFT { NOOP } else { CLOSE })
}

/// The first packet of a session.
fn opening(acceptor: &Acceptor, sid: &str, may_upgrade: bool) -> Frame {
    let Timeouts { idle, ping_interval, .. } = acceptor.timeouts();
    let interval = ping_interval.unwrap_or_default();
    let upgrades = if may_upgrade { r#"["websocket"]"# } else { "[]" };
    let text = format!(
        r#"{OPEN}{{"sid":"{sid}","upgrades":{upgrades},"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
        interval.as_millis(),
        (idle - interval).as_millis(),
        acceptor.limits().message_bytes,
    );
    Frame::Text(text.into())
}

/// A session's name: its token, and how its bodies are written.
fn sid(token: &str, dialect: Dialect) -> CompactString {
    let mark = match dialect {
        Dialect::V4 => "4",
        Dialect::V3 => "3",
        Dialect::V3Text => "3b",
    };
    format_compact!("{token}.{mark}")
}

fn find(acceptor: &Acceptor, sid: &str) -> Option<(LongPollHandle, Dialect)> {
    let (token, mark) = sid.rsplit_once('.')?;
    let dialect = match mark {
        "4" => Dialect::V4,
        "3" => Dialect::V3,
        "3b" => Dialect::V3Text,
        _ => return None,
    };
    Some((acceptor.longpoll_session(token)?, dialect))
}

// ---- a session that polls

/// Waits for something to say. A client that hangs up instead of waiting has given its session up.
async fn poll(
    acceptor: &Acceptor,
    request: &HttpRequest,
    session: &LongPollHandle,
    dialect: Dialect,
) -> Result<HttpResponse, EngineError> {
    // the session ends before that, when its client falls silent
    let window = acceptor.timeouts().idle * 2;
    let asking = std::pin::pin!(session.fetch(window));
    let fetched = match http_connection_of(request) {
        Ok(connection) => match select(asking, std::pin::pin!(hung_up(connection.socket()))).await {
            Either::Left((fetched, _)) => fetched,
            Either::Right(_) => {
                session.end(&close::GONE);
                Fetched::Gone
            }
        },
        Err(_) => asking.await,
    };
    match fetched {
        Fetched::FrameReader(frames) => Ok(respond(dialect, &frames)),
        Fetched::Nothing => Ok(respond(dialect, &[Frame::Text(NOOP)])),
        Fetched::Gone => Err(EngineError::BadRequest),
    }
}

async fn post(
    acceptor: &Acceptor,
    request: &HttpRequest,
    payload: web::Payload,
    session: &LongPollHandle,
    dialect: Dialect,
) -> Result<HttpResponse, EngineError> {
    let _floor = session.lock_requests().await;
    let reading = body::read(request, payload, acceptor.limits().message_bytes);
    let body = match timeout(acceptor.timeouts().idle, reading).await {
        Ok(Ok(body)) => Some(body),
        Ok(Err(BodyError::TooLarge)) => return Err(EngineError::TooLarge),
        Ok(Err(BodyError::Broken)) | Err(_) => None,
    };
    let content_type = request.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    let as_bytes = content_type == Some(b"application/octet-stream");
    let frames = body.and_then(|body| dialect.read(&body, as_bytes).ok());
    let Some(frames) = frames else {
        session.end(&close::MALFORMED);
        return Err(EngineError::BadRequest);
    };
    session.post(Via::Http, frames).await.map_err(|_| EngineError::BadRequest)?;
    // as npm's engine.io: old browsers offer text/plain as a download
    Ok(HttpResponse::Ok().content_type("text/html").insert_header((header::CACHE_CONTROL, "no-store")).body("ok"))
}

fn respond(dialect: Dialect, frames: &[Frame]) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    match dialect.write(frames) {
        Body::Text(text) => response.content_type("text/plain; charset=UTF-8").body(text),
        Body::Bytes(bytes) => response.content_type("application/octet-stream").body(bytes),
    }
}

// ---- from polling to a WebSocket

fn upgrade(
    acceptor: &Acceptor,
    request: &HttpRequest,
    payload: web::Payload,
    session: LongPollHandle,
) -> Result<HttpResponse, EngineError> {
    check_upgrade(request).map_err(|_| EngineError::BadUpgrade)?;
    let wire = mark_upgraded(request)?;
    let config = acceptor.config();
    let most = acceptor.limits().message_bytes + config.limits.queue_bytes;
    let upgrade = UpgradeProbe::new(session, wire, most, config.socketio.upgrade_timeout, config.socket.write_timeout);
    Ok(acceptor.upgrade(request, payload, upgrade))
}
