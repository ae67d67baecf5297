//! The web page and its library, from inside the binary or, for development, from a folder.
//!
//! Every file is listed here once; a test compares the list with the folder `web`.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use actix_web::http::{Method, header};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// Nothing but our own files, and nothing inline: what a peer sends can never run here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
                      connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
const INDEX: &str = "index.html";

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        /// The files of the page, by their path below `web`.
        const FILES: &[(&str, &[u8])] = &[$(($path, include_bytes!(concat!("../web/", $path)))),*];
    };
}

embedded! {
    "app.webmanifest",
    "app/active-share.js",
    "app/dom.js",
    "app/download-panel.js",
    "app/file-handles.js",
    "app/file-hash.js",
    "app/file-input.js",
    "app/file-selection.js",
    "app/i18n.js",
    "app/ice-advice.js",
    "app/link-panel.js",
    "app/locales/en.js",
    "app/locales/ja.js",
    "app/locales/zh.js",
    "app/main.js",
    "app/qr-code.js",
    "app/receive-view.js",
    "app/receiver-row.js",
    "app/saved-share.js",
    "app/share-view.js",
    "app/tab-identity.js",
    "app/tab-progress.js",
    "app/thumbnails.js",
    "apple-touch-icon.png",
    "download-worker.js",
    "examples/call.html",
    "examples/call.js",
    "examples/example.css",
    "examples/room.html",
    "examples/room.js",
    "examples/stage.js",
    "icon-192.png",
    "icon-512.png",
    "icon-maskable-512.png",
    "icon.svg",
    "index.html",
    "lib/channels/channel.js",
    "lib/channels/codec.js",
    "lib/channels/errors.js",
    "lib/channels/heartbeat.js",
    "lib/channels/pending-pushes.js",
    "lib/channels/presence.js",
    "lib/channels/socket.js",
    "lib/index.js",
    "lib/rtc/connection-table.js",
    "lib/rtc/connection.js",
    "lib/rtc/errors.js",
    "lib/rtc/fingerprints.js",
    "lib/rtc/ice-recovery.js",
    "lib/rtc/ice-report.js",
    "lib/rtc/identity.js",
    "lib/rtc/index.js",
    "lib/rtc/message-channel.js",
    "lib/rtc/negotiation.js",
    "lib/rtc/outgoing-call.js",
    "lib/rtc/peer.js",
    "lib/rtc/pool/connection-pool.js",
    "lib/rtc/pool/pooled-connection.js",
    "lib/rtc/signaling.js",
    "lib/rtc/watch-list.js",
    "lib/share/catalogue.js",
    "lib/share/derive-key.js",
    "lib/share/digest-in-worker.js",
    "lib/share/digest-worker.js",
    "lib/share/download-session.js",
    "lib/share/download-target.js",
    "lib/share/download.js",
    "lib/share/errors.js",
    "lib/share/file-digest.js",
    "lib/share/file-entry.js",
    "lib/share/file-fetch.js",
    "lib/share/file-part.js",
    "lib/share/file-share.js",
    "lib/share/index.js",
    "lib/share/key-proof.js",
    "lib/share/piece-hash.js",
    "lib/share/piece-layout.js",
    "lib/share/piece-reader.js",
    "lib/share/preview.js",
    "lib/share/protocol.js",
    "lib/share/rate-limit.js",
    "lib/share/receiver.js",
    "lib/share/remote-receiver.js",
    "lib/share/sanitize-filename.js",
    "lib/share/sender.js",
    "lib/share/share-link.js",
    "lib/share/targets/folder-target.js",
    "lib/share/targets/memory-target.js",
    "lib/share/targets/open-target.js",
    "lib/share/targets/opfs-target.js",
    "lib/share/targets/opfs-worker.js",
    "lib/share/targets/picked-file-target.js",
    "lib/share/targets/picked-place.js",
    "lib/share/targets/stream-target.js",
    "lib/share/targets/zip-bundle.js",
    "lib/share/targets/zip.js",
    "lib/share/throughput.js",
    "lib/util/abort.js",
    "lib/util/backoff.js",
    "lib/util/bytes.js",
    "lib/util/clock.js",
    "lib/util/condition.js",
    "lib/util/crc32.js",
    "lib/util/deferred.js",
    "lib/util/emitter.js",
    "lib/util/errors.js",
    "lib/util/network-change.js",
    "lib/util/sha256.js",
    "style.css",
}

static ASSETS: LazyLock<HashMap<&str, Asset>> =
    LazyLock::new(|| FILES.iter().map(|(path, bytes)| (*path, Asset::new(Bytes::from_static(bytes)))).collect());

/// One file, ready to be sent.
#[derive(Clone)]
struct Asset {
    bytes: Bytes,
    gzip: Option<Bytes>,
    tag: String,
}

impl Asset {
    fn new(bytes: Bytes) -> Self {
        let tag = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(&bytes)[..12]));
        let gzip = compress(&bytes).filter(|gzip| gzip.len() < bytes.len());
        Self { bytes, gzip, tag }
    }
}

fn compress(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Serves the page at `/`, from `folder` if there is one.
pub(crate) fn configure(app: &mut ServiceConfig, folder: Option<PathBuf>) {
    app.default_service(web::to(move |request: HttpRequest| serve(request, folder.clone())));
}

async fn serve(request: HttpRequest, folder: Option<PathBuf>) -> HttpResponse {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return HttpResponse::MethodNotAllowed().insert_header((header::ALLOW, "GET, HEAD")).finish();
    }
    let path = match request.path().trim_start_matches('/') {
        "" => INDEX,
        path => path,
    };
    match folder {
        Some(folder) => file(request.clone(), folder, path).await,
        None => found(&request, ASSETS.get(path), path),
    }
}

/// A file below `folder`.
pub(crate) async fn file(request: HttpRequest, folder: PathBuf, path: &str) -> HttpResponse {
    let asset = from_folder(folder, path.to_owned()).await;
    found(&request, asset.as_ref(), path)
}

fn found(request: &HttpRequest, asset: Option<&Asset>, path: &str) -> HttpResponse {
    match asset {
        Some(asset) => respond(request, asset, content_type(path)),
        None => protected(&mut HttpResponse::NotFound()).content_type("text/plain; charset=utf-8").body("not found\n"),
    }
}

/// A file below `folder`; hidden files and whatever leads out of the folder are not found.
async fn from_folder(folder: PathBuf, path: String) -> Option<Asset> {
    let path = below(&folder, &path)?;
    let read = web::block(move || std::fs::read(path)).await;
    read.ok()?.ok().map(|bytes| Asset::new(bytes.into()))
}

/// Where `path` is in `folder`, if that is where it leads.
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
    match &asset.gzip {
        Some(gzip) if has(header::ACCEPT_ENCODING, "gzip") => {
            response.insert_header((header::CONTENT_ENCODING, "gzip")).body(gzip.clone())
        }
        _ => response.body(asset.bytes.clone()),
    }
}

/// A browser keeps the file and asks each time whether it is still the one.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What the library's npm package has beside its modules, the command for node among it: no page ever asks for it.
    const FOR_NPM: [&str; 3] = ["lib/README.md", "lib/package.json", "lib/cli/"];

    fn below(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_in_the_binary() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let mut found = Vec::new();
        below(&root, &root, &mut found);
        found.retain(|path| !FOR_NPM.iter().any(|start| path.starts_with(start)));
        found.sort();
        let mut listed: Vec<&str> = FILES.iter().map(|(path, _)| *path).collect();
        listed.sort_unstable();
        assert_eq!(found, listed, "the folder web, and the list in page.rs");
    }
}
