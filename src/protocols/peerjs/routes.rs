//! PeerServer's routes: a fresh id, the list of peers, the description at the base path, and the WebSocket upgrade with
//! PeerServer's own checks. The HTTP transport of older clients is in `http.rs`.

use actix_web::guard::{self, GuardContext};
use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use uuid::Uuid;

use super::http_clients::{ClientKey, HttpClients};
use super::{CONTROL, PeerJs};
use crate::auth::Access;
use crate::close;
use crate::connections::hub::ConnectionSlot;
use crate::http::acceptor::{Acceptor, mark_upgraded};
use crate::http::client_ip::ClientIp;
use crate::http::connect_error::ConnectError;
use crate::http::connect_info::ConnectInfo;
use crate::http::cors::{self, Readers};
use crate::http::mount::SocketInit;
use crate::http::request::{check_origin, check_upgrade};
use crate::http::token_check::OfferedToken;
use crate::http::upgraded_socket::{UpgradeOptions, UpgradedSocket};
use crate::protocol::Frame;
use crate::refusal::{ConnectRefusal, NOT_ALLOWED};
use crate::topic::{Realm, Topic};
use crate::transports::longpoll::handle::LongPollHandle;
use crate::transports::websocket;

/// The description that PeerServer returns at its base path.
const DESCRIPTION: &str = r#"{"name":"PeerJS Server","description":"A server side element to broker connections between PeerJS clients.","website":"https://peerjs.com/"}"#;
/// The methods that a preflight response allows, as PeerServer's does.
pub(super) const METHODS: &str = "GET,HEAD,PUT,PATCH,POST,DELETE";

pub(super) fn routes(acceptor: &Acceptor, app: &mut ServiceConfig) {
    let base = acceptor.path().to_owned();
    for slash in ["", "/"] {
        for (name, respond) in [("id", fresh_id as fn(&Acceptor) -> HttpResponse), ("peers", peers)] {
            let (path, acceptor) = (format!("{base}/{{key}}/{name}{slash}"), acceptor.clone());
            let get = move || {
                let response = respond(&acceptor);
                async { response }
            };
            app.service(cors::readable(&path, METHODS, get));
        }
    }
    let (for_upgrades, for_description) = (acceptor.clone(), readers(acceptor));
    app.route(
        &format!("{base}/peerjs"),
        web::get().guard(guard::fn_guard(is_upgrade)).to(move |request, query, payload| {
            let acceptor = for_upgrades.clone();
            async move { upgrade(&acceptor, &request, query, payload).await }
        }),
    );
    app.route(
        &format!("{base}/"),
        web::route().guard(guard::Any(guard::Get()).or(guard::Head())).guard(guard::fn_guard(wants_description)).to(
            move |request: HttpRequest| {
                let mut response = HttpResponse::Ok().content_type("application/json; charset=utf-8").body(DESCRIPTION);
                cors::vary(response.headers_mut(), &header::ACCEPT);
                cors::allow(response.headers_mut(), &request, &for_description);
                async { response }
            },
        ),
    );
}

fn is_upgrade(ctx: &GuardContext<'_>) -> bool {
    ctx.head().headers().contains_key(header::UPGRADE)
}

/// The page may have the same path: a request that accepts HTML comes from a browser and gets the page.
fn wants_description(ctx: &GuardContext<'_>) -> bool {
    let accept = ctx.head().headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    !accept.is_some_and(|accept| accept.contains("text/html")) && !is_upgrade(ctx)
}

/// The pages that may read the responses.
pub(super) fn readers(acceptor: &Acceptor) -> Readers {
    Readers::WithoutCredentials(acceptor.origins().clone())
}

fn fresh_id(_: &Acceptor) -> HttpResponse {
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(Uuid::new_v4().to_string())
}

fn peers(acceptor: &Acceptor) -> HttpResponse {
    if !acceptor.config().is_discovery_open() {
        return HttpResponse::Unauthorized().content_type("text/plain; charset=utf-8").body("Unauthorized");
    }
    let ids: Vec<String> = acceptor.pubsub().topics_of(Realm::PeerJs).iter().map(ToString::to_string).collect();
    HttpResponse::Ok().json(ids)
}

/// The query of an upgrade request.
#[derive(Deserialize)]
pub(crate) struct ConnectQuery {
    #[serde(default)]
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) token: String,
    /// The version of PeerJS, from 1.4 on.
    #[serde(default)]
    pub(crate) version: Option<String>,
}

impl ConnectQuery {
    pub(super) fn has_valid_key(&self, acceptor: &Acceptor) -> bool {
        acceptor.config().peerjs.accepts_key(&self.key)
    }

    /// What is checked before the client is admitted. The mount's `connect` sees the key and the id.
    pub(super) fn connect_info(
        &self,
        request: &HttpRequest,
        client_ip: ClientIp,
        transport: &'static str,
    ) -> ConnectInfo {
        let params = [("key", &self.key), ("id", &self.id)].map(|(name, value)| (name.to_owned(), value.clone()));
        ConnectInfo {
            request: request.clone(),
            params: params.into(),
            client_ip,
            auth_token: None,
            token: OfferedToken::or_random(&self.token),
            access: None,
            transport,
        }
    }

    /// Identifies the client for PeerServer's HTTP transport, if its version may use that.
    fn http_client(&self, acceptor: &Acceptor) -> Option<ClientKey> {
        (self.version.is_none() && self.has_valid_key(acceptor)).then(|| ClientKey::new(&self.id, &self.token))
    }
}

/// How a WebSocket is used.
enum Admitted {
    /// It opens a session.
    New(ConnectionSlot, SocketInit, PeerJs),
    /// It takes over the session that the client has opened by HTTP.
    TakesOver(LongPollHandle),
}

async fn upgrade(
    acceptor: &Acceptor,
    request: &HttpRequest,
    query: Result<Query<ConnectQuery>, actix_web::Error>,
    payload: web::Payload,
) -> HttpResponse {
    let admitted = match admit(acceptor, request, query).await {
        Ok(admitted) => admitted,
        Err(error) => return acceptor.refuse(error),
    };
    match admitted {
        Admitted::New(slot, init, protocol) => acceptor.websocket(request, payload, None, slot, init, protocol),
        Admitted::TakesOver(session) => match mark_upgraded(request) {
            Ok(write_side) => {
                let options = UpgradeOptions::new(acceptor, Frame::Text(CONTROL));
                acceptor.upgrade(request, payload, UpgradedSocket::start(session, write_side, options))
            }
            Err(error) => {
                session.end(&close::GONE);
                acceptor.refuse(error)
            }
        },
    }
}

/// Runs the checks before the upgrade. A client with wrong credentials is upgraded as well, and then receives the
/// error.
async fn admit(
    acceptor: &Acceptor,
    request: &HttpRequest,
    query: Result<Query<ConnectQuery>, actix_web::Error>,
) -> Result<Admitted, ConnectError> {
    let client_ip = acceptor.client_ip(request)?;
    let Ok(Query(query)) = query else {
        return Err(
            ConnectError::new(StatusCode::BAD_REQUEST, "the query cannot be read").with_reason(ConnectRefusal::Request)
        );
    };
    check_origin(request, acceptor.origins())?;
    let registration = match query.http_client(acceptor) {
        Some(key) => {
            check_upgrade(request)?;
            match acceptor.protocol_state::<HttpClients>().add_socket(key) {
                Ok(registration) => Some(registration),
                Err(session) => return Ok(Admitted::TakesOver(session)),
            }
        }
        None => None,
    };
    let info = query.connect_info(request, client_ip, websocket::NAME);
    let refused = |message| PeerJs::refused(message, acceptor.pubsub().shared_metrics());
    let (slot, init, told) = acceptor.admit_or_tell(info, |refusal| Some(refused(refusal.text()))).await?;
    if let Some(protocol) = told {
        return Ok(Admitted::New(slot, init, protocol));
    }
    let access = slot.connection.access();
    let protocol = match (check_credentials(acceptor, &query, access.as_ref()), registration) {
        (Ok(protocol), Some(registration)) => {
            registration.admitted(&slot.connection);
            protocol.registered(registration)
        }
        (Ok(protocol), None) => protocol,
        (Err(message), _) => refused(message),
    };
    Ok(Admitted::New(slot, init, protocol))
}

/// PeerServer's own checks, in its order, and then whether the client's token permits the id. Whether the id is taken is
/// checked later, by the registry when it handles the join.
pub(super) fn check_credentials(
    acceptor: &Acceptor,
    query: &ConnectQuery,
    access: Option<&Access>,
) -> Result<PeerJs, &'static str> {
    if query.key.is_empty() || query.id.is_empty() || query.token.is_empty() {
        return Err("No id, token, or key supplied to websocket server");
    }
    if !query.has_valid_key(acceptor) {
        return Err("Invalid key provided");
    }
    let id: Topic = Realm::PeerJs.topic(&query.id).map_err(|_| "Invalid id provided")?;
    if id.key().len() > acceptor.limits().topic_bytes {
        return Err("Invalid id provided");
    }
    if access.is_some_and(|access| !access.may_own(&query.id)) {
        return Err(NOT_ALLOWED);
    }
    let (others, client_count) = acceptor.count_client();
    if others >= acceptor.config().peerjs.concurrent_limit && acceptor.pubsub().count(id.key()) == 0 {
        return Err("Server has reached its concurrent user limit");
    }
    Ok(PeerJs::new(id, &query.token, Some(client_count), acceptor.pubsub().shared_metrics()))
}
