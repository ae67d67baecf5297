//! The HTTP routes of Socket.IO 0.9: `<mount>/1/` is the handshake, and `<mount>/1/<transport>/<sid>` a request of a
//! session by one of its transports.
//!
//! The handshake starts a long-polling session, which every transport then uses. Its `sid` is the session's token. The
//! newest transport of a session replaces the one before.

use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use compact_str::format_compact;

use super::{SocketIo09, close_frame, frame, packet, polling, stream};
use crate::http::acceptor::Acceptor;
use crate::http::connect_error::ConnectError;
use crate::http::connect_info::ConnectInfo;
use crate::http::jsonp;
use crate::http::request::{check_origin, params};
use crate::http::token_check::{OfferedToken, token_of};
use crate::http::{cors, methods};
use crate::refusal::ConnectRefusal;
use crate::transports::longpoll::handle::{LongPollHandle, Via};
use crate::transports::longpoll::{self, LongPollOptions};

/// The version of the protocol in the URLs.
const VERSION: &str = "1";
/// The transports that the handshake offers, by the client's names.
const TRANSPORTS: &str = "websocket,htmlfile,xhr-polling,jsonp-polling";
/// Those whose response to an unknown session is a packet. A WebSocket may be refused for another reason first.
const POLLED: [&str; 3] = ["htmlfile", "xhr-polling", "jsonp-polling"];
/// The parameter of a handshake that asks for JSONP.
pub(in super::super) const CALLBACK_PARAM: &str = "jsonp";
/// The methods that a preflight response allows.
const METHODS: &str = "GET,POST,OPTIONS";
/// The end of each `sid`, which tells the sessions of this version from Engine.IO's.
const SID_SUFFIX: &str = ".0";

pub(in super::super) fn routes(acceptor: &Acceptor, app: &mut ServiceConfig) {
    let (path, acceptor) = (format!("{}/{{version:[0-9]+}}{{rest:(?:/.*)?}}", acceptor.path()), acceptor.clone());
    app.route(&path, web::to(move |request, path, payload| serve(acceptor.clone(), request, path, payload)));
}

async fn serve(
    acceptor: Acceptor,
    request: HttpRequest,
    path: Path<(String, String)>,
    payload: web::Payload,
) -> HttpResponse {
    match *request.method() {
        Method::OPTIONS => cors::preflight(&request, METHODS, METHODS),
        Method::GET | Method::POST => respond(&acceptor, &request, &path, payload).await,
        _ => methods::other(request.method(), METHODS),
    }
}

async fn respond(
    acceptor: &Acceptor,
    request: &HttpRequest,
    (version, rest): &(String, String),
    payload: web::Payload,
) -> HttpResponse {
    let Ok(params) = params(request.query_string()) else { return HttpResponse::BadRequest().finish() };
    if version != VERSION {
        let words = "Protocol version not supported.";
        return acceptor.refuse(ConnectError::new(StatusCode::BAD_REQUEST, words).with_reason(ConnectRefusal::Version));
    }
    let mut parts = rest.strip_prefix('/').unwrap_or_default().split('/');
    let (transport, sid) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if sid.is_empty() {
        return handshake(acceptor, request, params).await;
    }
    let is_script = transport == "jsonp-polling" && request.method() == Method::GET;
    let check = if is_script { jsonp::check_page } else { check_origin };
    if let Err(error) = check(request, acceptor.origins()) {
        return acceptor.refuse(error);
    }
    let session = find(acceptor, sid);
    if params.iter().any(|(name, _)| name == "disconnect") {
        return disconnect(session).await;
    }
    if session.is_none() && POLLED.contains(&transport) {
        acceptor.count_refused(ConnectRefusal::Session);
    }
    match (transport, request.method()) {
        ("websocket", _) => stream::websocket(acceptor, request, payload, session).await,
        ("xhr-polling", &Method::GET) => polling::poll(acceptor, request, session).await,
        ("jsonp-polling", &Method::GET) => {
            polling::poll_by_script(acceptor, request, session, index(&params, "i").unwrap_or(0)).await
        }
        ("htmlfile", &Method::GET) => stream::htmlfile(request, session),
        ("xhr-polling" | "htmlfile", _) => polling::post(acceptor, request, payload, session, polling::plain).await,
        ("jsonp-polling", _) => polling::post(acceptor, request, payload, session, polling::form).await,
        _ => {
            let words = "Transport unknown";
            acceptor.refuse(ConnectError::new(StatusCode::BAD_REQUEST, words).with_reason(ConnectRefusal::Request))
        }
    }
}

/// The index of a page's callback, in a parameter of the query. It becomes a part of a script, so it is a number.
fn index(params: &[(String, String)], name: &str) -> Option<u32> {
    jsonp::callback(&params.iter().find(|(key, _)| key == name)?.1)
}

// ---- the handshake

async fn handshake(acceptor: &Acceptor, request: &HttpRequest, params: Vec<(String, String)>) -> HttpResponse {
    let callback = index(&params, CALLBACK_PARAM);
    match (open_session(acceptor, request, params, callback.is_some()).await, callback) {
        (Ok(text), None) => polling::text(text),
        (Ok(text), Some(index)) => jsonp::script(&format!("io.j[{index}]"), &text),
        (Err(error), None) => acceptor.refuse(error),
        // a page cannot read the status of a script
        (Err(error), Some(index)) => {
            acceptor.count_refusal(&error);
            jsonp::script(&format!("(function(text){{io.j[{index}](new Error(text))}})"), &error.body)
        }
    }
}

/// Opens a session. Returns its `sid`, its two timeouts in seconds, and the transports: the fields of the response.
async fn open_session(
    acceptor: &Acceptor,
    request: &HttpRequest,
    params: Vec<(String, String)>,
    is_script: bool,
) -> Result<String, ConnectError> {
    let check = if is_script { jsonp::check_page } else { check_origin };
    check(request, acceptor.origins()).map_err(in_own_words)?;
    let client_ip = acceptor.client_ip(request)?;
    let token = OfferedToken::or_at_join(token_of(request, &params));
    let (request, transport) = (request.clone(), longpoll::NAME);
    let info = ConnectInfo { request, params, client_ip, auth_token: None, token, access: None, transport };
    let idle = acceptor.timeouts().idle;
    let (slot, init) = acceptor.admit_longpoll(info, idle).await.map_err(in_own_words)?;
    let options = LongPollOptions {
        close_frame: Some(close_frame),
        ping: Some(|| frame(packet::HEARTBEAT)),
        newest_transport: true,
        ..LongPollOptions::new(acceptor.config().limits.queue_bytes)
    };
    let protocol = SocketIo09::new(acceptor.pubsub().shared_metrics());
    let (sid, _) = acceptor.longpoll(SID_SUFFIX, slot, init, protocol, options);
    // a client that hears nothing for this long reconnects
    let timeout = idle.as_secs() + u64::from(idle.subsec_nanos() > 0);
    Ok(format!("{sid}:{timeout}:{timeout}:{TRANSPORTS}"))
}

/// A refusal in the words of npm's socket.io, unless the mount has words of its own.
fn in_own_words(mut error: ConnectError) -> ConnectError {
    let words = match (error.reason, error.status) {
        (ConnectRefusal::Origin, _) => format_compact!("handshake bad origin: {}", error.body),
        _ if !error.body.is_empty() => return error,
        (_, StatusCode::FORBIDDEN) => "handshake unauthorized".into(),
        _ => "handshake error".into(),
    };
    error.body = words;
    error
}

// ---- sessions

/// The session of a `sid`, if it is open on this node.
fn find(acceptor: &Acceptor, sid: &str) -> Option<LongPollHandle> {
    acceptor.longpoll_session(sid.ends_with(SID_SUFFIX).then_some(sid)?)
}

/// Ends a session as the client's own packet does.
async fn disconnect(session: Option<LongPollHandle>) -> HttpResponse {
    if let Some(session) = session {
        // a session that has ended in the meantime needs no packet
        let _ = session.post(Via::Http, vec![frame(packet::DISCONNECT)]).await;
    }
    polling::text("")
}
