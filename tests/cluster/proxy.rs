//! A TCP proxy between a node and its engine, which breaks the connections through it.

use std::time::Duration;

use actix_web::rt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// What happens to the bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weather {
    /// They pass.
    Fair,
    /// Each chunk is late by this time.
    Slow(Duration),
    /// All connections are closed, and new ones too.
    Cut,
    /// The server's side ends, the node's side stays open. New connections are closed.
    HalfClosed,
    /// Nothing arrives, in both directions, and no connection is closed. Those that were open then do not recover.
    BlackHole,
}

pub struct Proxy {
    pub port: u16,
    weather: watch::Sender<Weather>,
}

impl Proxy {
    /// A proxy to a port of this host.
    pub async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (weather, forecast) = watch::channel(Weather::Fair);
        rt::spawn(async move {
            while let Ok((node, _)) = listener.accept().await {
                if !matches!(*forecast.borrow(), Weather::Cut | Weather::HalfClosed) {
                    rt::spawn(connect(node, to, forecast.clone()));
                }
            }
        });
        Self { port, weather }
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn connect(node: TcpStream, to: u16, weather: watch::Receiver<Weather>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    node.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let ((from_node, to_node), (from_server, to_server)) = (node.into_split(), server.into_split());
    rt::spawn(pump(from_node, to_server, weather.clone(), false));
    rt::spawn(pump(from_server, to_node, weather, true));
}

/// Moves bytes in one direction until the connection ends. Dropping the sides closes them.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
    is_from_server: bool,
) {
    let mut chunk = vec![0; 65_536];
    loop {
        let now = *weather.borrow_and_update();
        match now {
            Weather::Cut => return,
            Weather::HalfClosed if is_from_server => {
                let _ = to.shutdown().await;
                while weather.changed().await.is_ok() {}
                return;
            }
            Weather::BlackHole => {
                let _ = weather.changed().await;
                return;
            }
            Weather::Fair | Weather::Slow(_) | Weather::HalfClosed => {}
        }
        let read = tokio::select! {
            read = from.read(&mut chunk) => read,
            changed = weather.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Ok(size @ 1..) = read else { return };
        if let Weather::Slow(time) = now {
            sleep(time).await;
        }
        if *weather.borrow() == Weather::BlackHole {
            continue;
        }
        if to.write_all(&chunk[..size]).await.is_err() {
            return;
        }
    }
}
