//! Static files over HTTP: reads a file from a folder, and makes a response with an ETag, gzip compression where the
//! client accepts it, and the security headers of a page. Which files are served is decided by the caller.

use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// Allows only files of this server, and nothing inline, so that data from a peer can never run as code.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                      connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// One file, ready to be sent.
pub(crate) struct Asset {
    bytes: Bytes,
    /// The compressed bytes, made when the first client accepts gzip. `None` if they are not smaller.
    gzip: OnceLock<Option<Bytes>>,
    tag: String,
}

impl Asset {
    /// A file and the SHA-256 of its content, from which its ETag is made.
    pub(crate) fn new(bytes: Bytes, sha256: &[u8; 32]) -> Self {
        let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&sha256[..12]));
        Self { bytes, gzip: OnceLock::new(), tag }
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
pub(crate) async fn file(request: HttpRequest, folder: PathBuf, path: &str) -> HttpResponse {
    let asset = from_folder(folder, path.to_owned()).await;
    found(&request, asset.as_ref(), path)
}

/// The response with `asset`, which was requested as `path`, or 404 if there is none.
pub(crate) fn found(request: &HttpRequest, asset: Option<&Asset>, path: &str) -> HttpResponse {
    match asset {
        Some(asset) => respond(request, asset, content_type(path)),
        None => protected(&mut HttpResponse::NotFound()).content_type("text/plain; charset=utf-8").body("not found\n"),
    }
}

/// Reads a file below `folder`. Hidden files, and paths that leave the folder, are not found.
async fn from_folder(folder: PathBuf, path: String) -> Option<Asset> {
    let path = below(&folder, &path)?;
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

fn respond(request: &HttpRequest, asset: &Asset, content_type: &str) -> HttpResponse {
    let has = |name: header::HeaderName, word: &str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(word))
    };
    if has(header::IF_NONE_MATCH, &asset.tag) {
        return caching(protected(&mut HttpResponse::NotModified()), asset).finish();
    }
    let mut response = HttpResponse::Ok();
    caching(protected(&mut response), asset).content_type(content_type);
    let gzip = if has(header::ACCEPT_ENCODING, "gzip") { asset.gzip() } else { None };
    match gzip {
        Some(gzip) => response.insert_header((header::CONTENT_ENCODING, "gzip")).body(gzip.clone()),
        None => response.body(asset.bytes.clone()),
    }
}

/// Lets a browser cache the file, and makes it revalidate the file each time.
fn caching<'a>(response: &'a mut HttpResponseBuilder, asset: &Asset) -> &'a mut HttpResponseBuilder {
    response
        .insert_header((header::ETAG, asset.tag.as_str()))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::VARY, "accept-encoding"))
}

fn protected(response: &mut HttpResponseBuilder) -> &mut HttpResponseBuilder {
    response
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header(("cross-origin-opener-policy", "same-origin"))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "md" | "txt" | "ts" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
