//! PeerServer's HTTP transport, for clients of PeerJS 0.3 until their WebSocket is open. The answer to
//! `POST {key}/{id}/{token}/id` is a stream of messages (see [`stream`](super::stream)). The client sends its own
//! messages in a POST each.
//!
//! The statuses are those of `peer` 0.2. A client that cannot connect gets 200 and an `HTTP-ERROR`: clients up to 0.3.9
//! close their WebSocket at any other status, and the WebSocket receives the reason.

use std::time::Duration;

use actix_web::guard;
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytestring::ByteString;

use super::http_clients::{ClientKey, HttpClients, Registration, StreamRole};
use super::routes::{ConnectQuery, METHODS, check_credentials};
use super::stream::{self, HTTP_ERROR};
use super::{PeerJs, read};
use crate::connections::hub::ConnectionSlot;
use crate::http::acceptor::{Acceptor, http_connection_of};
use crate::http::body::{self, BodyError, close_after_response};
use crate::http::connect_error::ConnectError;
use crate::http::cors;
use crate::http::methods;
use crate::http::mount::SocketInit;
use crate::http::request::{check_origin, params};
use crate::protocol::Frame;
use crate::refusal::ConnectRefusal;
use crate::transports::longpoll::{self, LongPollOptions};

/// How long a message waits for its sender's session, whose request may arrive after the message.
const RETRY: Duration = Duration::from_millis(25);

/// What is requested: a stream, or a message's delivery.
pub(super) const REQUESTS: [&str; 5] = ["id", "offer", "candidate", "answer", "leave"];
/// The methods of these resources.
const POSTS: &str = "POST, OPTIONS";

/// The parts of the path: key, id, token, and what is requested.
type Path = (String, String, String, String);

pub(super) fn routes(acceptor: &Acceptor, app: &mut ServiceConfig) {
    let path = format!("{}/{{key}}/{{id}}/{{token}}/{{request:{}}}", acceptor.path(), REQUESTS.join("|"));
    let posts = acceptor.clone();
    let resource = web::resource(path)
        // requests to read may be for files of the page
        .guard(guard::Not(guard::Any(guard::Get()).or(guard::Head())))
        .route(web::post().to(move |request: HttpRequest, path: web::Path<Path>, payload: web::Payload| {
            let acceptor = posts.clone();
            async move { serve(&acceptor, &request, path.into_inner(), payload).await }
        }))
        .route(web::method(Method::OPTIONS).to(|request: HttpRequest| {
            let response = cors::preflight(&request, METHODS, POSTS);
            async { response }
        }));
    app.service(methods::with_others(resource, POSTS));
}

async fn serve(
    acceptor: &Acceptor,
    request: &HttpRequest,
    (key, id, token, requested): Path,
    payload: web::Payload,
) -> HttpResponse {
    if let Err(error) = check_origin(request, acceptor.origins()) {
        return acceptor.refuse(error);
    }
    let query = ConnectQuery { key, id, token, version: None };
    if requested == "id" {
        return open_stream(acceptor, request, query).await.unwrap_or_else(|error| {
            acceptor.count_refusal(&error);
            HttpResponse::Ok().body(HTTP_ERROR)
        });
    }
    let status = receive(acceptor, request, &query, payload).await;
    let reason = status.canonical_reason().unwrap_or_default();
    let response = HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(reason);
    if status == StatusCode::OK { response } else { close_after_response(request, response) }
}

// ---- messages from the server

/// The response to a request for a stream.
async fn open_stream(
    acceptor: &Acceptor,
    request: &HttpRequest,
    query: ConnectQuery,
) -> Result<HttpResponse, ConnectError> {
    let index = stream_index(request);
    let clients = acceptor.protocol_state::<HttpClients>();
    let key = ClientKey::new(&query.id, &query.token);
    let role = match check_key(acceptor, &query).map(|()| clients.role(key, index))? {
        StreamRole::Opens => open_session(acceptor, request, &query, index).await?,
        role => role,
    };
    match role {
        StreamRole::Continues(streams) => {
            let socket = http_connection_of(request)?.socket().clone();
            Ok(stream::respond(streams, socket, acceptor.timeouts().idle).await)
        }
        StreamRole::Opens | StreamRole::Unneeded => Ok(stream::empty()),
    }
}

fn check_key(acceptor: &Acceptor, query: &ConnectQuery) -> Result<(), ConnectError> {
    match query.has_valid_key(acceptor) {
        true => Ok(()),
        false => Err(ConnectError::forbidden().with_reason(ConnectRefusal::Token)),
    }
}

/// The number of streams that the client has opened before.
fn stream_index(request: &HttpRequest) -> u64 {
    let params = params(request.query_string()).unwrap_or_default();
    let index = params.iter().find(|(name, _)| name == "i").map(|(_, index)| index.parse());
    index.and_then(Result::ok).unwrap_or(0)
}

/// Opens the session of a client, unless its WebSocket does so at the same time.
async fn open_session(
    acceptor: &Acceptor,
    request: &HttpRequest,
    query: &ConnectQuery,
    index: u64,
) -> Result<StreamRole, ConnectError> {
    let client_ip = acceptor.client_ip(request)?;
    let info = query.connect_info(request, client_ip, longpoll::NAME);
    let (slot, init) = acceptor.admit_longpoll(info, acceptor.timeouts().idle).await?;
    let protocol = check_credentials(acceptor, query, slot.connection.access().as_ref())
        .map_err(|message| ConnectError::new(StatusCode::OK, message).with_reason(ConnectRefusal::Request))?;
    let connection = slot.connection.clone();
    let start = |registration| start_session(acceptor, slot, init, protocol, registration);
    let key = ClientKey::new(&query.id, &query.token);
    Ok(acceptor.protocol_state::<HttpClients>().add_stream(key, index, &connection, start))
}

fn start_session(
    acceptor: &Acceptor,
    slot: ConnectionSlot,
    init: SocketInit,
    protocol: PeerJs,
    registration: Registration,
) -> longpoll::handle::LongPollHandle {
    let options = LongPollOptions {
        drain_after_close: true,
        one_frame_per_poll: true,
        ..LongPollOptions::new(acceptor.config().limits.queue_bytes)
    };
    acceptor.longpoll("", slot, init, protocol.registered(registration), options).1
}

// ---- messages from the client

/// Passes a client's message to its session. The status tells whether the session has taken it.
async fn receive(
    acceptor: &Acceptor,
    request: &HttpRequest,
    query: &ConnectQuery,
    payload: web::Payload,
) -> StatusCode {
    let clients = acceptor.protocol_state::<HttpClients>();
    let key = ClientKey::new(&query.id, &query.token);
    if !query.has_valid_key(acceptor) {
        return refuse(acceptor);
    }
    let mut client = clients.find(key);
    if client.is_none() {
        acceptor.pubsub().clock().sleep(RETRY).await;
        client = clients.find(key);
    }
    let Some(target) = client else { return refuse(acceptor) };
    let message = acceptor.pubsub().clock().timeout(acceptor.poll_window(), async {
        // one body is read after the other, so that a session never has several in memory
        let guard = target.lock.clone().lock_owned().await;
        let reading = body::read(request, payload, acceptor.limits().message_bytes, &target.connection);
        let body = reading.await.map_err(|error| match error {
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::NoMemory => StatusCode::SERVICE_UNAVAILABLE,
            BodyError::Broken => StatusCode::BAD_REQUEST,
        })?;
        let frame = Frame::Text(ByteString::try_from(body).map_err(|_| StatusCode::BAD_REQUEST)?);
        read(&frame).ok_or(StatusCode::BAD_REQUEST)?;
        Ok((frame, guard))
    });
    match message.await {
        Ok(Ok((frame, _guard))) => match target.post(frame).await {
            Ok(()) => StatusCode::OK,
            Err(_) => refuse(acceptor),
        },
        Ok(Err(status)) => status,
        Err(_) => StatusCode::REQUEST_TIMEOUT,
    }
}

/// The status for a client that is not connected, or has another token.
fn refuse(acceptor: &Acceptor) -> StatusCode {
    acceptor.count_refused(ConnectRefusal::Session);
    StatusCode::UNAUTHORIZED
}
