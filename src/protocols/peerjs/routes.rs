//! PeerServer's routes: an id for those who have none, the list of ids, its JSON at the base, and the way in.

use actix_web::guard::{self, GuardContext};
use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{self, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use uuid::Uuid;

use super::PeerJs;
use super::channel::PeerJsChannel;
use crate::channels::channel::Router;
use crate::config::schema::PeerJs as Terms;
use crate::http::acceptor::{Acceptor, ProtocolMount, default_timeouts};
use crate::http::cors::{self, Credentials};
use crate::http::mount::{ConnectError, ConnectInfo, Mount};
use crate::http::request::{check_origin, check_upgrade};
use crate::metrics::labels::ConnectRefusal;
use crate::topic::{Realm, Topic};
use crate::transports::websocket;

pub(crate) const MOUNT: ProtocolMount = ProtocolMount { realm: Realm::PeerJs, patience: default_timeouts, routes };

/// A key that lets clients name whatever they like, as the public PeerJS cloud does.
const ANY: &str = "any";
const ABOUT: &str = r#"{"name":"PeerJS Server","description":"A server side element to broker connections between PeerJS clients.","website":"https://peerjs.com/"}"#;
const METHODS: &str = "GET,HEAD,PUT,PATCH,POST,DELETE";

/// The standard mount.
pub(crate) fn mount(terms: &Terms) -> (Mount, ProtocolMount) {
    let patience = terms.expire_timeout;
    let router = Router::new().channel("*", move |_| PeerJsChannel::new(patience));
    (Mount::new(&terms.path, router).check_origin(terms.cors.clone()).idle_timeout(terms.alive_timeout), MOUNT)
}

fn routes(door: &Acceptor, app: &mut ServiceConfig) {
    let base = door.path().to_owned();
    for slash in ["", "/"] {
        for (name, answer) in [("id", fresh_id as fn(&Acceptor, &HttpRequest) -> HttpResponse), ("peers", peers)] {
            let (path, door) = (format!("{base}/{{key}}/{name}{slash}"), door.clone());
            let get = door.clone();
            let resource = web::resource(path)
                .route(web::get().to(move |request: HttpRequest| {
                    let answer = answer(&get, &request);
                    async { answer }
                }))
                .route(web::method(Method::OPTIONS).to(move |request: HttpRequest| {
                    let answer = readable(cors::preflight(&request, METHODS), &request, &door);
                    async { answer }
                }));
            app.service(resource);
        }
    }
    let (way_in, about) = (door.clone(), door.clone());
    app.route(
        &format!("{base}/peerjs"),
        web::get().guard(guard::fn_guard(is_upgrade)).to(move |request, query, payload| {
            let door = way_in.clone();
            async move { upgrade(&door, &request, query, payload) }
        }),
    );
    app.route(
        &format!("{base}/"),
        web::get().guard(guard::fn_guard(wants_no_page)).to(move |request: HttpRequest| {
            let answer = HttpResponse::Ok().content_type("application/json; charset=utf-8").body(ABOUT);
            let answer = readable(answer, &request, &about);
            async { answer }
        }),
    );
}

fn is_upgrade(ctx: &GuardContext<'_>) -> bool {
    ctx.head().headers().contains_key(header::UPGRADE)
}

/// The base may be the page's too: whoever asks for HTML is a person.
fn wants_no_page(ctx: &GuardContext<'_>) -> bool {
    let accept = ctx.head().headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    !accept.is_some_and(|accept| accept.contains("text/html")) && !is_upgrade(ctx)
}

/// Lets pages of other origins read it.
fn readable(answer: HttpResponse, request: &HttpRequest, door: &Acceptor) -> HttpResponse {
    cors::allow(answer, request, door.origins(), Credentials::Omitted)
}

fn fresh_id(door: &Acceptor, request: &HttpRequest) -> HttpResponse {
    let answer = HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(Uuid::new_v4().to_string());
    readable(answer, request, door)
}

fn peers(door: &Acceptor, request: &HttpRequest) -> HttpResponse {
    if !door.config().peerjs.allow_discovery {
        let answer = HttpResponse::Unauthorized().content_type("text/plain; charset=utf-8").body("Unauthorized");
        return readable(answer, request, door);
    }
    let ids: Vec<String> = door.pubsub().topics_of(Realm::PeerJs).iter().map(ToString::to_string).collect();
    readable(HttpResponse::Ok().json(ids), request, door)
}

/// What a client says in the URL.
#[derive(Deserialize)]
pub(crate) struct ConnectQuery {
    #[serde(default)]
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) token: String,
}

fn upgrade(
    door: &Acceptor,
    request: &HttpRequest,
    claim: Result<Query<ConnectQuery>, actix_web::Error>,
    payload: web::Payload,
) -> HttpResponse {
    match admit(door, request, claim) {
        Ok((seat, connected, protocol)) => door.websocket(request, payload, None, seat, connected, protocol),
        Err(refusal) => door.refuse(refusal),
    }
}

type AcceptedClient = (crate::connections::hub::ConnectionSlot, crate::http::mount::SocketInit, PeerJs);

fn admit(
    door: &Acceptor,
    request: &HttpRequest,
    claim: Result<Query<ConnectQuery>, actix_web::Error>,
) -> Result<AcceptedClient, ConnectError> {
    let caller = door.caller(request)?;
    let Ok(Query(claim)) = claim else {
        return Err(
            ConnectError::new(StatusCode::BAD_REQUEST, "the query cannot be read").because(ConnectRefusal::Request)
        );
    };
    check_origin(request.headers(), door.origins())?;
    let params = [("key", &claim.key), ("id", &claim.id)].map(|(name, value)| (name.to_owned(), value.clone()));
    let info = ConnectInfo { request, params: &params, caller, auth_token: None, transport: websocket::NAME };
    let connected = door.connect(&info)?;
    check_upgrade(request)?;
    let seat = door.enter(request, caller)?;
    let protocol =
        check_credentials(door, &claim).unwrap_or_else(|words| PeerJs::refused(words, door.pubsub().shared_metrics()));
    Ok((seat, connected, protocol))
}

/// PeerServer's own checks, in its order. Whether the id is taken is the registry's to say.
fn check_credentials(door: &Acceptor, claim: &ConnectQuery) -> Result<PeerJs, &'static str> {
    let terms = &door.config().peerjs;
    if claim.key.is_empty() || claim.id.is_empty() || claim.token.is_empty() {
        return Err("No id, token, or key supplied to websocket server");
    }
    if terms.key != ANY && claim.key != terms.key {
        return Err("Invalid key provided");
    }
    let id: Topic = Realm::PeerJs.topic(&claim.id).map_err(|_| "Invalid id provided")?;
    if id.key().len() > door.limits().topic_bytes {
        return Err("Invalid id provided");
    }
    let (others, visit) = door.visit();
    if others >= terms.concurrent_limit && door.pubsub().count(id.key()) == 0 {
        return Err("Server has reached its concurrent user limit");
    }
    Ok(PeerJs::new(id, &claim.token, Some(visit), door.pubsub().shared_metrics()))
}
