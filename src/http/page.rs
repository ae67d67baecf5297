//! The web page at `/`: the files of `web/`, embedded in the binary by `rust-embed`, or the files of a folder. How a file
//! becomes a response is in [`static_files`].
//!
//! The embedded page has security headers that are as strict as its own files allow. A folder may hold any page, with
//! inline scripts, scripts of other servers, or windows of other sites that it opens, so it is served without them. A
//! policy for it is `page.content_security_policy`; the other two can be set by the page itself or by a proxy.
//!
//! `rust-embed` lists and hashes the files when this crate is compiled, in debug builds too. A changed file causes a
//! new build. So does a new file, as soon as an embedded file refers to it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use rust_embed::Embed;

use crate::config::schema;
use crate::http::cors::{self, CorsRule, Readers};
use crate::http::methods;
use crate::http::static_files::{self, Asset, Headers};

const INDEX: &str = "index.html";
/// Below it, the web app's service worker answers the requests for downloads.
const DOWNLOADS: &str = "download/";
/// The path of the JavaScript library.
const LIBRARY: &str = "/lib";

/// Allows only files of this server, and nothing inline, so that data from a peer can never run as code.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; \
     connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// Keeps the ids in the page's links from other servers.
const REFERRER: (HeaderName, HeaderValue) = (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
/// Keeps the pages of other sites that open this one from its window.
const OPENER: (HeaderName, HeaderValue) =
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));

/// The page and its library, without the documentation and the files that only the npm package needs.
#[derive(Embed)]
#[folder = "web"]
#[exclude = "docs/**"]
#[exclude = "lib/README.md"]
#[exclude = "lib/package.json"]
#[exclude = "lib/cli/**"]
struct Files;

static ASSETS: LazyLock<HashMap<Cow<'static, str>, Asset>> =
    LazyLock::new(|| Files::iter().filter_map(|path| Some((path.clone(), embedded(&path)?))).collect());

fn embedded(path: &str) -> Option<Asset> {
    let file = Files::get(path)?;
    let bytes = match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    Some(Asset::new(bytes, &file.metadata.sha256_hash()))
}

/// The page that a node serves.
struct Page {
    /// The folder with its files. `None` means the files in the binary.
    folder: Option<PathBuf>,
    headers: Box<Headers>,
}

impl Page {
    fn new(config: &schema::Page) -> Self {
        let policy = |value| (header::CONTENT_SECURITY_POLICY, value);
        let set = config.content_security_policy.clone();
        let headers = match config.dir {
            Some(_) => set.map(policy).into_iter().collect(),
            None => [policy(set.unwrap_or(POLICY)), REFERRER, OPENER].into(),
        };
        Self { folder: config.dir.clone(), headers }
    }
}

/// Serves the page at `/`.
pub(crate) fn configure(app: &mut ServiceConfig, config: &schema::Page) {
    let page = Arc::new(Page::new(config));
    app.default_service(web::to(move |request: HttpRequest| serve(request, page.clone())));
}

async fn serve(request: HttpRequest, page: Arc<Page>) -> HttpResponse {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return methods::other(request.method(), methods::READ);
    }
    let path = match request.path().trim_start_matches('/') {
        "" => INDEX,
        path => path,
    };
    let mut response = match &page.folder {
        Some(folder) => static_files::file(&request, folder, path, &page.headers).await,
        // the worker is gone: a browser that gets no content stays on the page that started the download
        None if path.starts_with(DOWNLOADS) => HttpResponse::NoContent().finish(),
        None => static_files::found(&request, ASSETS.get(path), path, &page.headers),
    };
    if path == INDEX {
        // a PeerJS client that accepts no HTML finds PeerServer's description at the same path
        cors::vary(response.headers_mut(), &header::ACCEPT);
    }
    response
}

/// Pages of other origins may import the library. Files of a folder belong to its owner, who decides.
pub(crate) fn cors_rule(config: &schema::Page) -> Option<CorsRule> {
    config.dir.is_none().then(|| CorsRule::below(LIBRARY.to_owned(), Readers::All))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Files that no page requests: the reference pages, and the npm package's files other than its modules.
    const NOT_EMBEDDED: [&str; 4] = ["docs/", "lib/README.md", "lib/package.json", "lib/cli/"];

    fn files_below(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files_below(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_in_the_binary() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let mut found = Vec::new();
        files_below(&root, &root, &mut found);
        found.retain(|path| !NOT_EMBEDDED.iter().any(|start| path.starts_with(start)));
        found.sort();
        let mut embedded: Vec<&str> = ASSETS.keys().map(|path| &**path).collect();
        embedded.sort_unstable();
        assert_eq!(found, embedded, "the files of web/, and those in the binary");
    }
}
