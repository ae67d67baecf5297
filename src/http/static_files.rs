//! Static files over HTTP: reads a file from a folder, and makes a response with an ETag, and with gzip compression where
//! the client accepts it. Which files are served, and with which further headers, is decided by the caller.

use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// Headers that the caller adds to all responses.
pub(crate) type Headers = [(HeaderName, HeaderValue)];

/// One file, ready to be sent.
pub(crate) struct Asset {
    bytes: Bytes,
    /// The compressed bytes, made when the first client accepts gzip. `None` if they are not smaller.
    gzip: OnceLock<Option<Bytes>>,
    tag: String,
    cache_control: &'static str,
}

impl Asset {
    /// A file and the SHA-256 of its content, from which its ETag is made. A browser may cache it, and asks each time
    /// whether it has changed.
    pub(crate) fn new(bytes: Bytes, sha256: &[u8; 32]) -> Self {
        let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&sha256[..12]));
        Self { bytes, gzip: OnceLock::new(), tag, cache_control: "no-cache" }
    }

    /// A file whose content never changes under its path. A browser that has it does not ask again.
    #[cfg(feature = "page")]
    pub(crate) fn immutable(self) -> Self {
        Self { cache_control: "public, max-age=31536000, immutable", ..self }
    }

    fn gzip(&self) -> Option<&Bytes> {
        let compressed = || compress(&self.bytes).filter(|gzip| gzip.len() < self.bytes.len());
        self.gzip.get_or_init(compressed).as_ref()
    }
}

fn compress(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// The response with the file `path` below `folder`.
pub(crate) async fn file(request: &HttpRequest, folder: &Path, path: &str, headers: &Headers) -> HttpResponse {
    let asset = from_folder(folder, path).await;
    found(request, asset.as_ref(), path, headers)
}

/// The response with `asset`, which was requested as `path`, or 404 if there is none.
pub(crate) fn found(request: &HttpRequest, asset: Option<&Asset>, path: &str, headers: &Headers) -> HttpResponse {
    match asset {
        Some(asset) => respond(request, asset, content_type(path), headers),
        None => {
            let mut response = HttpResponse::NotFound();
            with(&mut response, headers).content_type("text/plain; charset=utf-8").body("not found\n")
        }
    }
}

/// Reads a file below `folder`. Hidden files, and paths that leave the folder, are not found.
pub(crate) async fn from_folder(folder: &Path, path: &str) -> Option<Asset> {
    let path = below(folder, path)?;
    let read = web::block(move || std::fs::read(path)).await;
    let bytes = read.ok()?.ok()?;
    let sha256 = Sha256::digest(&bytes).into();
    Some(Asset::new(bytes.into(), &sha256))
}

/// `path` below `folder`, unless it leaves the folder or names a hidden file.
pub(crate) fn below(folder: &Path, path: &str) -> Option<PathBuf> {
    let is_plain =
        |part: Component<'_>| matches!(part, Component::Normal(name) if !name.as_encoded_bytes().starts_with(b"."));
    Path::new(path).components().all(is_plain).then(|| folder.join(path))
}

fn respond(request: &HttpRequest, asset: &Asset, content_type: &str, headers: &Headers) -> HttpResponse {
    let has = |name: header::HeaderName, word: &str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(word))
    };
    if has(header::IF_NONE_MATCH, &asset.tag) {
        return caching(with(&mut HttpResponse::NotModified(), headers), asset).finish();
    }
    let mut response = HttpResponse::Ok();
    caching(with(&mut response, headers), asset).content_type(content_type);
    let gzip = if has(header::ACCEPT_ENCODING, "gzip") { asset.gzip() } else { None };
    match gzip {
        Some(gzip) => response.insert_header((header::CONTENT_ENCODING, "gzip")).body(gzip.clone()),
        None => response.body(asset.bytes.clone()),
    }
}

fn caching<'a>(response: &'a mut HttpResponseBuilder, asset: &Asset) -> &'a mut HttpResponseBuilder {
    response
        .insert_header((header::ETAG, asset.tag.as_str()))
        .insert_header((header::CACHE_CONTROL, asset.cache_control))
        .insert_header((header::VARY, "accept-encoding"))
}

/// Adds the caller's headers. No browser may guess another content type than the one that is sent.
fn with<'a>(response: &'a mut HttpResponseBuilder, headers: &Headers) -> &'a mut HttpResponseBuilder {
    for header in headers.iter().cloned() {
        response.insert_header(header);
    }
    response.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "ico" => "image/x-icon",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "md" | "txt" | "ts" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
