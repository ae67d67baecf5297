//! The client against servers on loopback that behave, that do not, and over TLS.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{JoinHandle, spawn};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use ureq::tls::Certificate;

use super::*;
use crate::tls::tests::certificate::{self, CERTIFICATE, KEY};

/// Longer than any test takes that does not wait for a timeout.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(300);

/// Answers the requests of one connection each with `answer`, and returns the requests' heads.
fn serve(count: usize, answer: impl Fn(&mut TcpStream) + Send + 'static) -> (HttpsUrl, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hooks?key=1", listener.local_addr().unwrap()).parse().unwrap();
    let serve = move || {
        let connections = (0..count).map(|_| {
            let (mut stream, _) = listener.accept().unwrap();
            let head = head(&mut stream);
            answer(&mut stream);
            head
        });
        connections.collect()
    };
    (url, spawn(serve))
}

/// The lines before a request's body.
fn head(stream: &mut impl Read) -> String {
    let lines = BufReader::new(stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    lines.map(|line| line + "\n").collect()
}

fn text(text: &'static str) -> impl Fn(&mut TcpStream) + Send + 'static {
    move |stream| stream.write_all(text.as_bytes()).unwrap()
}

fn post(url: &HttpsUrl) -> Result<Response, FetchError> {
    HttpClient::new(LONG).post(url, &[("Content-Type", "application/json"), ("webhook-id", "a-1")], b"{}")
}

#[test]
fn a_request_has_only_the_headers_that_it_needs() {
    let (url, requests) = serve(1, text("HTTP/1.1 204 No Content\r\n\r\n"));
    assert_eq!(post(&url), Ok(Response { status: 204, retry_after: None }));
    let head = requests.join().unwrap().remove(0).to_ascii_lowercase();
    let mut names: Vec<&str> = head.lines().skip(1).map(|line| line.split(':').next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "content-length", "content-type", "host", "user-agent", "webhook-id"]);
    assert!(head.starts_with("post /hooks?key=1 http/1.1\n"), "{head}");
    assert!(head.contains(concat!("user-agent: handclasp/", env!("CARGO_PKG_VERSION"))), "{head}");
}

#[test]
fn a_redirect_is_not_followed() {
    let to_elsewhere = "HTTP/1.1 301 Moved Permanently\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let (url, _) = serve(1, text(to_elsewhere));
    assert_eq!(post(&url), Ok(Response { status: 301, retry_after: None }));
    let (url, _) = serve(1, text(to_elsewhere));
    assert_eq!(HttpClient::new(LONG).get(&url, 10), Err(FetchError::Status(301)));
}

#[test]
fn a_server_says_how_long_to_wait() {
    for (value, wait) in [
        ("7", Some(7)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ("soon", None),
        ("-1", None),
        ("99999999999999999999", None),
    ] {
        let answer = format!("HTTP/1.1 503 Busy\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n");
        let (url, _) = serve(1, move |stream| stream.write_all(answer.as_bytes()).unwrap());
        let wait = wait.map(Duration::from_secs);
        assert_eq!(post(&url), Ok(Response { status: 503, retry_after: wait }), "{value}");
    }
}

#[test]
fn a_body_is_read_up_to_the_limit() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let (url, _) = serve(2, text(answer));
    assert_eq!(HttpClient::new(LONG).get(&url, 5), Ok(b"hello".to_vec()));
    assert_eq!(HttpClient::new(LONG).get(&url, 4), Err(FetchError::TooLarge(4)));
    // without a length, until the server closes the connection
    let endless = |stream: &mut TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'a'; 64 * 1024]).is_ok() {}
    };
    let (url, server) = serve(2, endless);
    assert_eq!(HttpClient::new(LONG).get(&url, 1_000), Err(FetchError::TooLarge(1_000)));
    assert_eq!(post(&url), Ok(Response { status: 200, retry_after: None }));
    server.join().unwrap();
}

/// Each byte arrives long before a timeout for one read would end.
fn drip(stream: &mut TcpStream, start: &str) {
    let _ = stream.write_all(start.as_bytes());
    while stream.write_all(b"a").is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_server_that_drips_is_given_up_in_time() {
    let (url, server) = serve(3, |stream| drip(stream, "HTTP/1.1 200 OK\r\nX: "));
    let client = HttpClient::new(SHORT);
    assert_eq!(client.post(&url, &[], b""), Err(FetchError::Timeout));
    assert_eq!(client.get(&url, 1_000_000), Err(FetchError::Timeout));
    assert!(client.get(&url, 1_000_000).is_err());
    server.join().unwrap();
    let (url, server) = serve(2, |stream| drip(stream, "HTTP/1.1 200 OK\r\n\r\n"));
    assert_eq!(client.get(&url, 1_000_000), Err(FetchError::Timeout));
    assert_eq!(client.post(&url, &[], b""), Ok(Response { status: 200, retry_after: None }), "its status has arrived");
    server.join().unwrap();
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    let (go_on, wait) = mpsc::channel::<()>();
    let (url, server) = serve(1, move |_| {
        let _ = wait.recv();
    });
    assert_eq!(HttpClient::new(SHORT).post(&url, &[], b"{}"), Err(FetchError::Timeout));
    drop(go_on);
    server.join().unwrap();
}

#[test]
fn what_is_not_http_is_an_error_of_one_line() {
    for (answer, shown) in [
        ("", "Peer disconnected"),
        ("SSH-2.0-x\r\n\r\n", "the response is not valid HTTP"),
        ("HTTP/1.1 200 OK\r\nX: \0\u{7}secret\r\n\r\n", "the response is not valid HTTP"),
    ] {
        let (url, _) = serve(1, text(answer));
        assert_eq!(post(&url).unwrap_err().to_string(), shown, "{answer:?}");
    }
    let endless_header = |stream: &mut TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n").is_ok() {}
    };
    let (url, server) = serve(1, endless_header);
    assert!(matches!(post(&url), Err(FetchError::Failed(_))));
    server.join().unwrap();
}

#[test]
fn a_running_request_can_be_ended() {
    let (arrived, has_arrived) = mpsc::channel();
    let (url, server) = serve(1, move |stream| {
        arrived.send(()).unwrap();
        let _ = stream.read(&mut [0; 64]);
    });
    let client = HttpClient::new(LONG);
    let request = {
        let (client, url) = (client.clone(), url.clone());
        spawn(move || client.post(&url, &[], b""))
    };
    has_arrived.recv().unwrap();
    client.shut_down();
    assert!(matches!(request.join().unwrap(), Err(FetchError::Failed(_))));
    assert!(matches!(client.post(&url, &[], b""), Err(FetchError::Failed(_))));
    server.join().unwrap();
}

// ---- TLS

/// A certificate and its key, in PEM.
fn new_certificate() -> (Vec<u8>, Vec<u8>) {
    let folder = std::env::temp_dir().join(format!("handclasp-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder).unwrap();
    certificate::create(&folder);
    let files = (std::fs::read(folder.join(CERTIFICATE)).unwrap(), std::fs::read(folder.join(KEY)).unwrap());
    std::fs::remove_dir_all(folder).unwrap();
    files
}

/// A server with TLS, which answers each connection with 204 if its handshake succeeds.
fn tls_server(certificate: &[u8], key: &[u8], count: usize) -> (u16, JoinHandle<()>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move || {
        for _ in 0..count {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            if stream.conn.complete_io(&mut stream.sock).is_ok() {
                head(&mut stream);
                stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    };
    (port, spawn(serve))
}

#[test]
fn a_certificate_is_checked() {
    let (certificate, key) = new_certificate();
    let (port, server) = tls_server(&certificate, &key, 3);
    let localhost: HttpsUrl = format!("https://localhost:{port}/").parse().unwrap();
    let address: HttpsUrl = format!("https://127.0.0.1:{port}/").parse().unwrap();
    let roots = RootCerts::new_with_certs(&[Certificate::from_pem(&certificate).unwrap()]);
    let trusting = HttpClient::trusting(LONG, roots);
    assert_eq!(trusting.post(&localhost, &[], b"{}"), Ok(Response { status: 204, retry_after: None }));
    let of_another_host = trusting.post(&address, &[], b"{}").unwrap_err().to_string();
    assert!(of_another_host.contains("invalid peer certificate"), "{of_another_host}");
    let unknown = HttpClient::new(LONG).post(&localhost, &[], b"{}").unwrap_err().to_string();
    assert!(unknown.contains("invalid peer certificate"), "{unknown}");
    server.join().unwrap();
}

/// A server that sends the bytes of a handshake slowly, or none, does not get more time.
#[test]
fn a_handshake_counts_as_a_part_of_the_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url: HttpsUrl = format!("https://localhost:{}/", listener.local_addr().unwrap().port()).parse().unwrap();
    let server = spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // the header of a handshake record of 16,000 bytes
        let _ = stream.write_all(&[22, 3, 3, 0x3E, 0x80]);
        while stream.write_all(&[0]).is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    assert_eq!(HttpClient::new(SHORT).post(&url, &[], b""), Err(FetchError::Timeout));
    server.join().unwrap();
}
