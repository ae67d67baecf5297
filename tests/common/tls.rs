//! Certificates of test nodes, and clients of TLS.

use std::fs;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::rt::task::JoinHandle;
use handclasp::Node;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate::{self, CERTIFICATE, KEY};
use super::process::Process;

/// How much the kernel buffers for a client, in bytes: little, so that a client that does not read stalls soon.
const TUNNEL_BUFFER: u32 = 32 * 1024;

/// A folder with a certificate and its key, which are removed when this is dropped.
pub struct Certificate(PathBuf);

impl Certificate {
    pub fn create() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("handclasp-certificate-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        certificate::create(&folder);
        Self(folder)
    }

    pub fn cert(&self) -> PathBuf {
        self.0.join(CERTIFICATE)
    }

    pub fn key(&self) -> PathBuf {
        self.0.join(KEY)
    }

    /// The settings of a node that uses them.
    pub fn sets(&self) -> [String; 2] {
        [format!("tls.cert={:?}", self.cert()), format!("tls.key={:?}", self.key())]
    }

    /// A node that uses them, with these further settings.
    pub fn node(&self, sets: &[&str]) -> Node {
        super::node(&self.sets().iter().map(String::as_str).chain(sets.iter().copied()).collect::<Vec<_>>())
    }

    /// The same as a process.
    pub fn process(&self, sets: &[&str]) -> Process {
        Process::start(&self.sets().iter().map(String::as_str).chain(sets.iter().copied()).collect::<Vec<_>>())
    }

    /// Replaces the files by another certificate and its key.
    pub fn renew(&self) {
        certificate::create(&self.0);
    }

    /// The certificate, as it is sent to clients.
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.cert()).unwrap()
    }

    /// What clients need that trust this certificate alone.
    pub fn client(&self) -> Arc<ClientConfig> {
        self.client_with(rustls::DEFAULT_VERSIONS, &[b"http/1.1"])
    }

    /// The same, for clients with these versions of TLS and these protocols inside it.
    pub fn client_with(&self, versions: &[&'static SupportedProtocolVersion], alpn: &[&[u8]]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Connects to a node with TLS. The kernel buffers as little for the client as [`TUNNEL_BUFFER`].
pub async fn connect(address: SocketAddr, client: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(TUNNEL_BUFFER)?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(client.clone()).connect(name, stream).await
}

/// A port on which clients without TLS reach a node with TLS.
pub struct Tunnel {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Tunnel {
    pub async fn start(to: SocketAddr, client: Arc<ClientConfig>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(TUNNEL_BUFFER).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1_024).unwrap();
        let address = listener.local_addr().unwrap();
        let task = actix_web::rt::spawn(async move {
            loop {
                let (mut inside, _) = listener.accept().await.unwrap();
                let client = client.clone();
                actix_web::rt::spawn(async move {
                    let Ok(mut outside) = connect(to, &client).await else { return };
                    // an error ends the tunnel, which its client sees
                    let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
                });
            }
        });
        Self { address, task }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A node, and where clients without TLS reach it.
pub struct ReachableNode {
    node: Node,
    tls: Option<(Tunnel, Certificate)>,
}

impl ReachableNode {
    pub fn address(&self) -> SocketAddr {
        self.tls.as_ref().map_or_else(|| self.node.address(), |(tunnel, _)| tunnel.address)
    }
}

impl Deref for ReachableNode {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

/// Nodes for a test that must pass without TLS and with it.
pub async fn without_and_with_tls(sets: &[&str]) -> [ReachableNode; 2] {
    let certificate = Certificate::create();
    let node = certificate.node(sets);
    let tunnel = Tunnel::start(node.address(), certificate.client()).await;
    [ReachableNode { node: super::node(sets), tls: None }, ReachableNode { node, tls: Some((tunnel, certificate)) }]
}
