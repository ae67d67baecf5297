//! What comes before HTTP on a connection of the public listener: its limits, and with TLS its handshake.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use actix_http::error::DispatchError;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use crate::connections::client_stream::ClientStream;
use crate::http::client_ip::ClientIp;
use crate::http::hosts;
use crate::http::node_state::NodeState;
use crate::server::workers::Accepted;
use crate::tls::ServerTls;

/// The type of the first record of each TLS connection (RFC 8446, 5.1).
const HANDSHAKE: u8 = 0x16;
/// What a client without TLS receives.
const SPEAKS_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n\
    this port speaks TLS: use https:// or wss://\n";

/// Makes the stream of a connection that was accepted. With TLS, this ends when the handshake does.
pub(super) async fn open(
    (stream, from): Accepted,
    node: Arc<NodeState>,
) -> Result<(ClientStream, Option<SocketAddr>), DispatchError> {
    let stream = match &node.tls {
        None => ClientStream::Plain(stream),
        Some(tls) => {
            let timeout = node.config.server.header_timeout;
            // boxed: a handshake is large, and the memory of this future is kept as long as the connection
            let shaken = node.pubsub.clock().timeout(timeout, Box::pin(shake_hands(stream, &node, tls))).await;
            let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            shaken.map_err(|error| refused(&node, from, error))?
        }
    };
    Ok((stream, from))
}

fn refused(node: &NodeState, from: Option<SocketAddr>, error: io::Error) -> DispatchError {
    node.pubsub.metrics().tls_handshakes_failed.inc();
    let from = from.map_or_else(|| "a client".to_owned(), |from| from.to_string());
    log::debug!("no TLS connection with {from}: {error}");
    DispatchError::Io(error)
}

async fn shake_hands(mut stream: TcpStream, node: &NodeState, tls: &ServerTls) -> io::Result<ClientStream> {
    let mut extensions = Extensions::new();
    note(&stream, &mut extensions, node);
    let mut first = [0];
    if stream.peek(&mut first).await? > 0 && first != [HANDSHAKE] {
        // unread bytes would reset the connection, and the client would lose the response
        let _ = stream.try_read(&mut [0; 1024]);
        stream.write_all(SPEAKS_TLS).await?;
        stream.shutdown().await?;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the client does not speak TLS"));
    }
    let stream = TlsAcceptor::from(tls.config()).accept(stream).await?;
    Ok(ClientStream::tls(stream, extensions))
}

/// Keeps what the requests of a connection need to know of it.
pub(super) fn on_connect(stream: &ClientStream, extensions: &mut Extensions, node: &NodeState) {
    match stream {
        ClientStream::Plain(stream) => note(stream, extensions, node),
        ClientStream::Tls(client) => extensions.extend(client.take_notes()),
    }
}

/// Sets up a connection that was just accepted. The kernel drops it when the client accepts no bytes for
/// `socket.write_timeout`. Until it becomes a WebSocket, a second handle to its socket is kept, by which
/// [`idle_connections`](crate::http::idle_connections) can close it. If the client IP has too many connections, this
/// one is closed immediately, without a response: the client might never send a request.
fn note(stream: &TcpStream, extensions: &mut Extensions, node: &NodeState) {
    let socket = SockRef::from(stream);
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
    let client_ip = ClientIp::new(peer.ip(), [].into_iter(), &node.config.server.trusted_proxies);
    hosts::accepted(extensions, local, client_ip.is_proxied, node.tls.is_some());
    if !client_ip.is_proxied {
        let Some(ip_slot) = node.ip_table.admit_tcp(client_ip.address, Instant::now()) else {
            node.pubsub.metrics().connections_without_request.inc();
            log::debug!("closed a connection from {}: too many connections from this address", client_ip.address);
            return drop(socket.shutdown(Shutdown::Both)); // an error means that it is closed already
        };
        extensions.insert(Arc::new(ip_slot));
    }
    let tracked = socket.set_tcp_user_timeout(Some(node.config.socket.write_timeout)).and_then(|()| socket.try_clone());
    match tracked {
        Ok(socket) => drop(extensions.insert(node.idle_connections.track(Arc::new(socket)))),
        Err(error) => log::debug!(
            "this connection cannot become a WebSocket, because its write timeout could not be set: {error}"
        ),
    }
}
