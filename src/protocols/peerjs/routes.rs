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
use crate::http::request::check_origin;
use crate::metrics::labels::ConnectRefusal;
use crate::topic::{Realm, Topic};
use crate::transports::websocket;

pub(crate) const MOUNT: ProtocolMount = ProtocolMount { realm: Realm::PeerJs, timeouts: default_timeouts, routes };

/// A key that lets clients name whatever they like, as the public PeerJS cloud does.
const ANY: &str = "any";
const ABOUT: &str = r#"{"name":"PeerJS Server","description":"A server side element to broker connections between PeerJS clients.","website":"https://peerjs.com/"}"#;
const METHODS: &str = "GET,HEAD,PUT,PATCH,POST,DELETE";

/// The standard mount.
pub(crate) fn mount(terms: &Terms) -> (Mount, ProtocolMount) {
    let hold_time = terms.expire_timeout;
    let router = Router::new().channel("*", move |_| PeerJsChannel::new(hold_time));
    (Mount::new(&terms.path, router).check_origin(terms.cors.clone()).idle_timeout(terms.alive_timeout), MOUNT)
}

fn routes(acceptor: &Acceptor, app: &mut ServiceConfig) {
    let base = acceptor.path().to_owned();
    for slash in ["", "/"] {
        for (name, answer) in [("id", fresh_id as fn(&Acceptor, &HttpRequest) -> HttpResponse), ("peers", peers)] {
            let (path, acceptor) = (format!("{base}/{{key}}/{name}{slash}"), acceptor.clone());
            let get = acceptor.clone();
            let resource = web::resource(path)
                .route(web::get().to(move |request: HttpRequest| {
                    let answer = answer(&get, &request);
                    async { answer }
                }))
                .route(web::method(Method::OPTIONS).to(move |request: HttpRequest| {
                    let answer = readable(cors::preflight(&request, METHODS), &request, &acceptor);
                    async { answer }
                }));
            app.service(resource);
        }
    }
    let (way_in, about) = (acceptor.clone(), acceptor.clone());
    app.route(
        &format!("{base}/peerjs"),
        web::get().guard(guard::fn_guard(is_upgrade)).to(move |request, query, payload| {
            let acceptor = way_in.clone();
            async move { upgrade(&acceptor, &request, query, payload).await }
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
fn readable(answer: HttpResponse, request: &HttpRequest, acceptor: &Acceptor) -> HttpResponse {
    cors::allow(answer, request, acceptor.origins(), Credentials::Omitted)
}

fn fresh_id(acceptor: &Acceptor, request: &HttpRequest) -> HttpResponse {
    let answer = HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(Uuid::new_v4().to_string());
    readable(answer, request, acceptor)
}

fn peers(acceptor: &Acceptor, request: &HttpRequest) -> HttpResponse {
    if !acceptor.config().peerjs.allow_discovery {
        let answer = HttpResponse::Unauthorized().content_type("text/plain; charset=utf-8").body("Unauthorized");
        return readable(answer, request, acceptor);
    }
    let ids: Vec<String> = acceptor.pubsub().topics_of(Realm::PeerJs).iter().map(ToString::to_string).collect();
    readable(HttpResponse::Ok().json(ids), request, acceptor)
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

async fn upgrade(
    acceptor: &Acceptor,
    request: &HttpRequest,
    query: Result<Query<ConnectQuery>, actix_web::Error>,
    payload: web::Payload,
) -> HttpResponse {
    match admit(acceptor, request, query).await {
        Ok((slot, init, protocol)) => acceptor.websocket(request, payload, None, slot, init, protocol),
        Err(refusal) => acceptor.refuse(refusal),
    }
}

type AcceptedClient = (crate::connections::hub::ConnectionSlot, crate::http::mount::SocketInit, PeerJs);

async fn admit(
    acceptor: &Acceptor,
    request: &HttpRequest,
    query: Result<Query<ConnectQuery>, actix_web::Error>,
) -> Result<AcceptedClient, ConnectError> {
    let client_ip = acceptor.client_ip(request)?;
    let Ok(Query(query)) = query else {
        return Err(
            ConnectError::new(StatusCode::BAD_REQUEST, "the query cannot be read").with_reason(ConnectRefusal::Request)
        );
    };
    check_origin(request.headers(), acceptor.origins())?;
    let params = [("key", &query.key), ("id", &query.id)].map(|(name, value)| (name.to_owned(), value.clone()));
    let (request, params) = (request.clone(), params.into());
    let info = ConnectInfo { request, params, client_ip, auth_token: None, transport: websocket::NAME };
    let (slot, init) = acceptor.admit(info).await?;
    let protocol = check_credentials(acceptor, &query)
        .unwrap_or_else(|words| PeerJs::refused(words, acceptor.pubsub().shared_metrics()));
    Ok((slot, init, protocol))
}

/// PeerServer's own checks, in its order. Whether the id is taken is the registry's to say.
fn check_credentials(acceptor: &Acceptor, query: &ConnectQuery) -> Result<PeerJs, &'static str> {
    let terms = &acceptor.config().peerjs;
    if query.key.is_empty() || query.id.is_empty() || query.token.is_empty() {
        return Err("No id, token, or key supplied to websocket server");
    }
    if terms.key != ANY && query.key != terms.key {
        return Err("Invalid key provided");
    }
    let id: Topic = Realm::PeerJs.topic(&query.id).map_err(|_| "Invalid id provided")?;
    if id.key().len() > acceptor.limits().topic_bytes {
        return Err("Invalid id provided");
    }
    let (others, client_count) = acceptor.count_client();
    if others >= terms.concurrent_limit && acceptor.pubsub().count(id.key()) == 0 {
        return Err("Server has reached its concurrent user limit");
    }
    Ok(PeerJs::new(id, &query.token, Some(client_count), acceptor.pubsub().shared_metrics()))
}
