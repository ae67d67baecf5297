//! What the server API costs: a message that a backend publishes, compared with one that a client sends, and a signal while
//! the API is on, compared with one while it is off. The column `limit` shows the latter of each.

use std::io::{self, Error};
use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_web::rt::System;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::dialect::{Dialect, Position, now};
use crate::growth::Questions;
use crate::load::Target;
use crate::meter::Meter;
use crate::results::Finding;
use crate::server::{Kind, Server};
use crate::work::{Figure, measure};

const MEMBERS: usize = 100;
/// How many messages the members may be behind.
const AHEAD: u64 = 4;
/// The size of a message, as in the other rows, in bytes.
const MESSAGE: usize = 200;
const PAIRS: usize = 50;
const IN_FLIGHT: usize = 200;

/// What happens on the server.
#[derive(Clone, Copy)]
enum Load {
    /// A client sends to a room.
    Client,
    /// A backend publishes to a room.
    Backend,
    Signals,
}

impl Questions {
    pub fn api(&self) -> io::Result<Vec<Finding>> {
        let measured = |load, has_api| measure_with(load, has_api, self.time);
        let (client, backend) = (measured(Load::Client, false)?, measured(Load::Backend, true)?);
        let (without, with) = (measured(Load::Signals, false)?, measured(Load::Signals, true)?);
        Ok(vec![
            finding(format!("publish by API, room of {MEMBERS}, a delivery"), backend, client, "of a client's message"),
            finding(format!("a signal with the API on, {PAIRS} pairs"), with, without, "with the API off"),
        ])
    }
}

fn finding(question: String, seen: Figure, compared: Figure, with: &str) -> Finding {
    Finding {
        question,
        seen: format!("{:.2} µs of CPU instead of {:.2} {with}", seen.cost, compared.cost),
        value: seen.cost,
        limit: Some(compared.cost),
        goal: None,
        unit: "µs of CPU".into(),
    }
}

fn measure_with(load: Load, has_api: bool, time: Duration) -> io::Result<Figure> {
    let socket = std::env::temp_dir().join(format!("handclasp-bench-{}.sock", std::process::id()));
    let mut settings = Vec::new();
    if has_api {
        settings = vec![format!("api.listen=unix:{}", socket.display()), "api.requests_per_second=100_000".into()];
    }
    System::new().block_on(async {
        let server = Server::start_with(Kind::Handclasp, Dialect::Phoenix, &settings)?;
        let target = Target::new(server.address, Dialect::Phoenix);
        let meter = Meter::new();
        match load {
            Load::Client => target.fan_out(MEMBERS, AHEAD, &meter).await?,
            Load::Backend => publish(target, &socket, &meter).await?,
            Load::Signals => target.relay(PAIRS, IN_FLIGHT, &meter).await?,
        }
        measure(&server, &meter, time).await
    })
}

/// A backend publishes to a room, one request after the other on one connection.
async fn publish(target: Target, socket: &Path, meter: &Meter) -> io::Result<()> {
    target.listen(target.connect_all(0..MEMBERS, |_| Position::Room(0)).await?, meter);
    let (socket, received): (PathBuf, _) = (socket.to_owned(), meter.clone());
    meter.run(async move {
        let (mut stream, mut sent) = (UnixStream::connect(socket).await?, 0);
        loop {
            while sent < received.all() / MEMBERS as u64 + AHEAD {
                let message = target.dialect.message(Position::Room(0), MESSAGE, now());
                let payload = message.find('{').zip(message.rfind('}')).map(|(from, to)| &message[from..=to]);
                let payload = payload.unwrap_or_default();
                request(&mut stream, &format!(r#"{{"topic":"room:0","event":"message","payload":{payload}}}"#)).await?;
                sent += 1;
            }
            received.change().await;
        }
    });
    Ok(())
}

async fn request(stream: &mut UnixStream, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ";
    stream.write_all(format!("{head}{length}\r\n\r\n{body}").as_bytes()).await?;
    let mut response = Vec::new();
    // its JSON has one object
    while !response.ends_with(b"}") {
        if stream.read_buf(&mut response).await? == 0 {
            break;
        }
    }
    match memmem::find(&response, b"HTTP/1.1 200 ") {
        Some(0) => Ok(()),
        _ => Err(Error::other(String::from_utf8_lossy(&response).into_owned())),
    }
}
