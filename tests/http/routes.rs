//! HTTP routes of the application, beside the mounts: their responses, and WebSockets that they handle themselves.

use actix::{Actor, StreamHandler};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws::{self, Message, ProtocolError, WebsocketContext};
use handclasp::{Endpoint, Node};

use crate::common::{self, Client, Received, config, get};

/// Sends every text message back.
struct Echo;

impl Actor for Echo {
    type Context = WebsocketContext<Self>;
}

impl StreamHandler<Result<Message, ProtocolError>> for Echo {
    fn handle(&mut self, message: Result<Message, ProtocolError>, ctx: &mut Self::Context) {
        match message {
            Ok(Message::Text(text)) => ctx.text(text),
            Ok(Message::Close(reason)) => ctx.close(reason),
            _ => {}
        }
    }
}

async fn echo(request: HttpRequest, payload: web::Payload) -> actix_web::Result<HttpResponse> {
    ws::start(Echo, &request, payload)
}

fn node() -> Node {
    Endpoint::new(config(&[]))
        .routes(|app| {
            app.route("/echo", web::get().to(echo));
            app.route("/greeting", web::get().to(|| async { "hello" }));
        })
        .start()
        .unwrap()
}

#[actix_web::test]
async fn a_route_can_handle_its_own_websockets() {
    let node = node();
    let mut client = Client::open(node.address(), "/echo", &[]).await;
    let large = "x".repeat(60_000);
    for text in ["one", "two", &large] {
        client.send(text).await;
        client.expect(text).await;
    }
    client.raw(&common::frame(0x88, &1000_u16.to_be_bytes())).await;
    assert_eq!(client.receive_any().await, Received::Close(1000, String::new()));
}

#[actix_web::test]
async fn an_upgrade_request_to_a_plain_route_gets_the_routes_response() {
    let node = node();
    assert_eq!(get(node.address(), "/greeting").await.0, 200);
    let (mut client, head) = Client::try_open(node.address(), "/greeting", &[]).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(client.body(&head).await, b"hello");
    let (_, head) = Client::try_open(node.address(), "/nothing", &[]).await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

#[actix_web::test]
async fn routes_that_panic_make_the_start_fail() {
    let node = Endpoint::new(config(&[])).routes(|_| panic!("no routes today")).start();
    assert_eq!(node.unwrap_err().to_string(), "a worker could not start");
}
