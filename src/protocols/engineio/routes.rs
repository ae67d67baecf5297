//! Engine.IO's HTTP routes: handshakes, polls, posts, and upgrades from polling to a WebSocket.
//!
//! All of them are requests to one path. Their query tells them apart: `EIO` is the revision, `transport` the
//! transport, and `sid` the session, absent in a handshake. The checks, their order and the responses are those of
//! npm's engine.io. The bodies are in `format.rs`. What a WebSocket does after the upgrade request is in `upgrade.rs`.

use std::time::Duration;

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use compact_str::format_compact;
use uuid::Uuid;

use super::error::EngineError;
use super::format::PollFormat;
use super::payload::Dialect;
use super::upgrade::UpgradeProbe;
use super::{CLOSE, EngineIo, MessageCodec, NOOP, OPEN, Revision, V2, V3, V4};
use crate::close::{self, Reason};
use crate::config::schema::{Config, SocketIo};
use crate::connections::hub::ConnectionSlot;
use crate::connections::limits::Timeouts;
use crate::http::acceptor::{Acceptor, mark_upgraded, pinged_timeouts};
use crate::http::body::{self, BodyError};
use crate::http::connect_info::ConnectInfo;
use crate::http::cors::{self, CorsRule, Readers};
use crate::http::longpoll as http_longpoll;
use crate::http::mount::{Mount, SocketInit};
use crate::http::request::{check_origin, check_upgrade, params};
use crate::http::token_check::{OfferedToken, token_of};
use crate::http::upgraded_socket::UpgradeOptions;
use crate::protocol::Frame;
use crate::transports::longpoll::handle::{Fetched, LongPollHandle, Via};
use crate::transports::longpoll::{self, LongPollOptions};
use crate::transports::websocket;

/// What separates the format of a session from the rest of its `sid`.
const SUFFIX_START: char = '.';
/// The methods that a preflight response allows.
const METHODS: &str = "GET,POST,OPTIONS";

/// The transport that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EngineTransport {
    Polling,
    WebSocket,
}

/// The timeouts of a mount. Those that the mount does not set come from the `socketio` section of the configuration.
pub(crate) fn timeouts(mount: &Mount, config: &Config) -> Timeouts {
    let SocketIo { ping_interval, ping_timeout, connect_timeout, .. } = config.socketio;
    pinged_timeouts(mount, ping_interval, ping_timeout, connect_timeout)
}

/// Serves the mount's path, with or without a trailing slash.
pub(crate) fn routes<C: MessageCodec>(acceptor: &Acceptor, app: &mut ServiceConfig) {
    for slash in ["/", ""] {
        let (path, acceptor) = (format!("{}{slash}", acceptor.path()), acceptor.clone());
        app.route(&path, web::to(move |request, payload| serve::<C>(acceptor.clone(), request, payload)));
    }
}

async fn serve<C: MessageCodec>(acceptor: Acceptor, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    match *request.method() {
        Method::OPTIONS => cors::preflight(&request, METHODS, METHODS),
        _ => respond::<C>(&acceptor, &request, payload).await.unwrap_or_else(|error| error.response(&acceptor)),
    }
}

/// Which pages may read the responses of a mount.
pub(crate) fn cors_rule(acceptor: &Acceptor) -> CorsRule {
    CorsRule::below(acceptor.path().to_owned(), Readers::WithCredentials(acceptor.origins().clone()))
}

async fn respond<C: MessageCodec>(
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
    if let Some(sid) = param("sid").filter(|sid| !sid.is_empty()) {
        let (session, format) = find(acceptor, sid).ok_or(EngineError::UnknownSession)?;
        check_origin(request, acceptor.origins())?;
        if param("EIO") != Some(format.dialect.revision()) {
            return Err(EngineError::BadRequest);
        }
        return match (transport, request.method()) {
            (EngineTransport::WebSocket, _) => upgrade(acceptor, request, payload, session),
            (_, &Method::GET) => poll(request, &session, format).await,
            (_, &Method::POST) => post(acceptor, request, payload, &session, format).await,
            _ => Err(EngineError::BadRequest),
        };
    }
    if request.method() != Method::GET {
        return Err(EngineError::BadHandshakeMethod);
    }
    if transport == EngineTransport::WebSocket {
        check_upgrade(request).map_err(|_| EngineError::BadUpgrade)?;
    }
    let format = PollFormat::of_handshake(param)?;
    let handshake = Handshake { acceptor, request, params, transport, format };
    match format.dialect {
        Dialect::V4 => handshake.run::<V4, C>(payload).await,
        Dialect::V3 | Dialect::V3Text => handshake.run::<V3, C>(payload).await,
        Dialect::V2 | Dialect::V2Text => handshake.run::<V2, C>(payload).await,
    }
}

// ---- the handshake

/// A request that opens a session.
struct Handshake<'a> {
    acceptor: &'a Acceptor,
    request: &'a HttpRequest,
    params: Vec<(String, String)>,
    transport: EngineTransport,
    format: PollFormat,
}

impl Handshake<'_> {
    async fn run<R: Revision, C: MessageCodec>(self, payload: web::Payload) -> Result<HttpResponse, EngineError> {
        self.format.check_origin(self.request, self.acceptor.origins())?;
        let client_ip = self.acceptor.client_ip(self.request)?;
        let name = if self.transport == EngineTransport::Polling { longpoll::NAME } else { websocket::NAME };
        let given = token_of(self.request, &self.params);
        let token = match C::HAS_TOKENS_AT_JOIN {
            true => OfferedToken::or_at_join(given),
            false => OfferedToken::new(given),
        };
        let (request, params, transport) = (self.request.clone(), self.params, name);
        let info = ConnectInfo { request, params, client_ip, auth_token: None, token, access: None, transport };
        match self.transport {
            EngineTransport::Polling => {
                let (slot, init) = self.acceptor.admit_longpoll(info, self.acceptor.timeouts().idle).await?;
                Ok(open_longpoll::<R, C>(self.acceptor, self.format, slot, init))
            }
            EngineTransport::WebSocket => {
                let (slot, init) = self.acceptor.admit(info).await?;
                let open_packet = open_packet(self.acceptor, &Uuid::new_v4().simple().to_string(), false);
                let protocol = EngineIo::<R, C>::new(self.acceptor.limits(), Some(open_packet));
                Ok(self.acceptor.websocket(self.request, payload, None, slot, init, protocol))
            }
        }
    }
}

fn open_longpoll<R: Revision, C: MessageCodec>(
    acceptor: &Acceptor,
    format: PollFormat,
    slot: ConnectionSlot,
    init: SocketInit,
) -> HttpResponse {
    let options = LongPollOptions {
        close_on_concurrent_poll: true,
        close_frame: Some(close_frame),
        ..LongPollOptions::new(acceptor.config().limits.queue_bytes)
    };
    let suffix = format_compact!("{SUFFIX_START}{format}");
    let protocol = EngineIo::<R, C>::new(acceptor.limits(), None);
    let (sid, _) = acceptor.longpoll(&suffix, slot, init, protocol, options);
    format.response(&[open_packet(acceptor, &sid, true)])
}

/// The packet that a waiting poll receives when its session ends: a close packet, or a noop if the client itself sent
/// the close packet.
fn close_frame(reason: &'static Reason) -> Frame {
    Frame::Text(if *reason == close::LEFT { NOOP } else { CLOSE })
}

/// The first packet of a session, with its parameters.
fn open_packet(acceptor: &Acceptor, sid: &str, can_upgrade: bool) -> Frame {
    let Timeouts { idle, ping_interval, .. } = acceptor.timeouts();
    let interval = ping_interval.unwrap_or_default();
    let upgrades = if can_upgrade { r#"["websocket"]"# } else { "[]" };
    let text = format!(
        r#"{OPEN}{{"sid":"{sid}","upgrades":{upgrades},"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
        interval.as_millis(),
        (idle - interval).as_millis(),
        acceptor.limits().message_bytes,
    );
    Frame::Text(text.into())
}

/// The session of a `sid`, if it is open on this node, and its format.
fn find(acceptor: &Acceptor, sid: &str) -> Option<(LongPollHandle, PollFormat)> {
    let (_, suffix) = sid.rsplit_once(SUFFIX_START)?;
    let format = PollFormat::of_suffix(suffix)?;
    Some((acceptor.longpoll_session(sid)?, format))
}

// ---- requests of a long-polling session

/// Waits for messages to the client.
async fn poll(
    request: &HttpRequest,
    session: &LongPollHandle,
    format: PollFormat,
) -> Result<HttpResponse, EngineError> {
    // the idle timeout of the session ends a poll
    match http_longpoll::fetch(request, session, Duration::MAX).await {
        Fetched::Frames(frames) => Ok(format.response(&frames)),
        Fetched::Nothing => Ok(format.response(&[Frame::Text(NOOP)])),
        Fetched::Gone => Err(EngineError::BadRequest),
    }
}

/// Reads the packets of a request and waits until the session has handled them.
async fn post(
    acceptor: &Acceptor,
    request: &HttpRequest,
    payload: web::Payload,
    session: &LongPollHandle,
    format: PollFormat,
) -> Result<HttpResponse, EngineError> {
    let _guard = session.lock_requests().await;
    let reading = body::read(request, payload, acceptor.limits().message_bytes, session.connection());
    let body = match acceptor.pubsub().clock().timeout(acceptor.timeouts().idle, reading).await {
        Ok(Ok(body)) => Some(body),
        Ok(Err(BodyError::TooLarge)) => return Err(EngineError::TooLarge),
        Ok(Err(BodyError::NoMemory)) => return Err(EngineError::Overloaded),
        Ok(Err(BodyError::Broken)) | Err(_) => None,
    };
    let frames = body.and_then(|body| format.read(&body, request.headers()).ok());
    let Some(frames) = frames else {
        session.end(&close::MALFORMED);
        return Err(EngineError::BadRequest);
    };
    session.post(Via::Http, frames).await.map_err(|_| EngineError::BadRequest)?;
    // the content type is that of npm's engine.io: old browsers offer text/plain as a download
    Ok(HttpResponse::Ok().content_type("text/html").body("ok"))
}

// ---- the upgrade from polling to a WebSocket

fn upgrade(
    acceptor: &Acceptor,
    request: &HttpRequest,
    payload: web::Payload,
    session: LongPollHandle,
) -> Result<HttpResponse, EngineError> {
    check_upgrade(request).map_err(|_| EngineError::BadUpgrade)?;
    let write_side = mark_upgraded(request)?;
    let config = acceptor.config();
    let probe = UpgradeProbe::new(
        session,
        write_side,
        UpgradeOptions::new(acceptor, Frame::Text(NOOP)),
        config.socketio.upgrade_timeout,
    );
    Ok(acceptor.upgrade(request, payload, probe))
}
