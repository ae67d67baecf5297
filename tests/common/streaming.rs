//! A client of PeerServer's HTTP transport: it reads a streaming response line by line.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::TIMEOUT;
use super::longpoll::{self, Response};

/// What a stream brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A whole line, without its end.
    Text(String),
    /// The response has ended as it should. There may be text after the last line.
    End(String),
    /// The connection was closed amid the response.
    Cut,
}

/// One streaming response.
pub struct Stream {
    pub head: String,
    reader: BufReader<TcpStream>,
    text: String,
    is_whole: bool,
}

impl Stream {
    /// Requests a stream. The response must be one, and begin with the preamble.
    pub async fn open(address: SocketAddr, path: &str) -> Self {
        let mut stream = Self::request(address, path).await;
        assert_eq!(stream.read().await, Line::Text("0".repeat(2_048)), "the preamble");
        stream
    }

    /// Requests a stream, and reads the head of the response.
    pub async fn request(address: SocketAddr, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\norigin: https://a.test\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(timeout(TIMEOUT, reader.read_line(&mut head)).await.unwrap().unwrap(), 0, "no response: {head}");
        }
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let head = head.to_lowercase();
        if let Some(length) = head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).await.unwrap();
            return Self { head, reader, text: String::from_utf8(body).unwrap(), is_whole: true };
        }
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        Self { head, reader, text: String::new(), is_whole: false }
    }

    /// The next line that does not consist of zeros.
    pub async fn next(&mut self) -> Line {
        let is_zeros = |text: &str| !text.is_empty() && text.chars().all(|zero| zero == '0');
        loop {
            match timeout(TIMEOUT, self.read()).await.expect("received nothing") {
                Line::Text(text) if is_zeros(&text) => {}
                Line::End(text) if is_zeros(&text) => return Line::End(String::new()),
                other => return other,
            }
        }
    }

    /// The next line must be this one.
    pub async fn expect(&mut self, expected: &str) {
        assert_eq!(self.next().await, Line::Text(expected.into()));
    }

    async fn read(&mut self) -> Line {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let (line, rest) = (line.to_owned(), rest.to_owned());
                self.text = rest;
                return Line::Text(line);
            }
            if self.is_whole {
                return Line::End(std::mem::take(&mut self.text));
            }
            match self.chunk().await {
                Some(chunk) if chunk.is_empty() => self.is_whole = true,
                Some(chunk) => self.text.push_str(&chunk),
                None => return Line::Cut,
            }
        }
    }

    /// The next chunk. Empty at the end of the response.
    async fn chunk(&mut self) -> Option<String> {
        let mut size = String::new();
        if self.reader.read_line(&mut size).await.unwrap_or(0) == 0 {
            return None;
        }
        let mut chunk = vec![0; usize::from_str_radix(size.trim(), 16).unwrap() + 2];
        self.reader.read_exact(&mut chunk).await.ok()?;
        chunk.truncate(chunk.len() - 2);
        Some(String::from_utf8(chunk).unwrap())
    }
}

/// Sends a client's message by HTTP.
pub async fn post(address: SocketAddr, path: &str, body: &str) -> Response {
    longpoll::request(address, "POST", path, &["content-type: application/json"], body.as_bytes()).await
}
