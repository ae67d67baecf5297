//! The web page at `/`: the web app as the build script has bundled it, and the files of `web/`, embedded in the binary by
//! `rust-embed`, or the files of a folder. How a file becomes a response is in [`static_files`].
//!
//! Beside them, the binary's own pages for developers are served below the paths of [`DEVELOPERS`], unless `page.dev` is
//! off. A file of the folder comes first.
//!
//! The embedded page has security headers that are as strict as its own files allow. A folder may hold any page, with
//! inline scripts, scripts of other servers, or windows of other sites that it opens, so it is served without them. A
//! policy for it is `page.content_security_policy`; the other two can be set by the page itself or by a proxy.
//!
//! `rust-embed` lists and hashes the files when this crate is compiled, in debug builds too. A changed file causes a
//! new build. So does a new file of the web app; another new file does as soon as an embedded file refers to it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use rust_embed::{Embed, EmbeddedFile};
use sha2::{Digest, Sha256};

use crate::config::schema::{self, Config};
use crate::http::acceptor::{Acceptor, ProtocolMount};
use crate::http::body::close_after_response;
use crate::http::cors::{self, CorsRule, Readers};
use crate::http::endpoints;
use crate::http::methods;
use crate::http::static_files::{self, Asset, Headers};

const INDEX: &str = "index.html";
/// Below it, the names of the bundle's files contain a hash of their content.
const HASHED: &str = "assets/";
/// Below it, the web app's service worker answers the requests for downloads.
const DOWNLOADS: &str = "download/";
/// To this path the installed app's share target posts what other apps share. The app's own service worker takes it before
/// it reaches a node.
const SHARED: &str = "shared/";
/// The response where that worker is missing. A redirect would not do: browsers follow none while they still send files.
const NOT_SHARED: &str = "<!doctype html><meta http-equiv=\"refresh\" content=\"0; url=../?not_shared\">\
    <title>Handclasp</title><a href=\"../?not_shared\">Choose the files in Handclasp</a>";
/// What this node serves, for the developers' page.
const ENDPOINTS: &str = "dev/endpoints.json";
/// The developers' pages, which `page.dev` turns off.
const DEVELOPERS: [&str; 3] = ["dev/", "examples/", "docs/"];
/// What the developers' pages load. A node with a folder has these files of the binary, too.
const FOR_DEVELOPERS: [&str; 3] = ["lib/", "style/", "icon.svg"];
/// The part of the index page that links to the developers' pages lies between these.
const LINKS: (&str, &str) = ("<!-- for developers -->", "<!-- end -->");
/// The picture in previews of links to the page.
const PREVIEW: &str = "preview.png";
/// The path of the JavaScript library.
const LIBRARY: &str = "/lib";

/// Allows only files of this server, and nothing inline, so that data from a peer can never run as code.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src blob:; \
     font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);
/// Keeps the ids in the page's links from other servers.
const REFERRER: (HeaderName, HeaderValue) = (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
/// Keeps the pages of other sites that open this one from its window.
const OPENER: (HeaderName, HeaderValue) =
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));

/// The page, its library and the documentation, without the pictures and the files that only the npm package needs.
#[derive(Embed)]
#[folder = "web"]
#[exclude = "docs/*.svg"]
#[exclude = "docs/*.png"]
#[exclude = "lib/package.json"]
#[exclude = "lib/cli/**"]
struct Files;

// the web app's index page and the files of HASHED, or nothing if it is not bundled
include!(concat!(env!("OUT_DIR"), "/bundle.rs"));

/// The files in the binary. Those of the bundle come before those of `web/`.
static ASSETS: LazyLock<HashMap<Cow<'static, str>, Arc<Asset>>> = LazyLock::new(|| {
    Files::iter().chain(Bundle::iter()).filter_map(|path| Some((path.clone(), asset(&path)?))).collect()
});

fn embedded(path: &str) -> Option<EmbeddedFile> {
    Bundle::get(path).or_else(|| Files::get(path))
}

fn asset(path: &str) -> Option<Arc<Asset>> {
    let file = embedded(path)?;
    let bytes = match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    let asset = Asset::new(bytes, &file.metadata.sha256_hash());
    Some(Arc::new(if path.starts_with(HASHED) { asset.immutable() } else { asset }))
}

/// A file that was made when the node started.
fn generated(bytes: Vec<u8>) -> Arc<Asset> {
    let sha256 = Sha256::digest(&bytes).into();
    Arc::new(Asset::new(bytes.into(), &sha256))
}

/// The index page in the binary: its links to the developers' pages only if these are served, the whole address of
/// its preview picture if the node knows one, because most messengers do not resolve a relative one, and the path where
/// it gets its token.
fn index(config: &Config) -> Option<Arc<Asset>> {
    let file = embedded(INDEX)?;
    let mut html = Cow::Borrowed(str::from_utf8(&file.data).ok()?);
    if !config.page.dev {
        let (before, rest) = html.split_once(LINKS.0)?;
        let (_, after) = rest.split_once(LINKS.1)?;
        html = Cow::Owned([before, after].concat());
    }
    if let Some(url) = config.server.public_urls.first() {
        let folder = url.folder().replace('&', "&amp;").replace('"', "&quot;");
        let picture = format!("content=\"{folder}{PREVIEW}\"");
        html = Cow::Owned(html.replace(&format!("content=\"{PREVIEW}\""), &picture));
    }
    if let Some(path) = &config.page.token_url {
        let path = path.replace('&', "&amp;");
        html =
            Cow::Owned(html.replacen("</head>", &format!("<meta name=\"token-url\" content=\"{path}\">\n</head>"), 1));
    }
    Some(generated(html.into_owned().into()))
}

/// The page that a node serves.
struct Page {
    /// The folder with its files, and the headers of these. `None` means the files in the binary.
    folder: Option<(PathBuf, Box<Headers>)>,
    /// The headers of the files in the binary.
    headers: Box<Headers>,
    /// Files that the node has made, and that come before those in the binary.
    generated: HashMap<&'static str, Arc<Asset>>,
    has_developers_pages: bool,
}

impl Page {
    fn new(config: &Config, acceptors: &[(Acceptor, ProtocolMount)]) -> Self {
        let schema::Page { dir, content_security_policy, dev, .. } = &config.page;
        let policy = |value| (header::CONTENT_SECURITY_POLICY, value);
        let set = content_security_policy.clone();
        let built_in = |value| [policy(value), REFERRER, OPENER].into();
        let (folder, headers) = match dir {
            Some(dir) => (Some((dir.clone(), set.map(policy).into_iter().collect())), built_in(POLICY)),
            None => (None, built_in(set.unwrap_or(POLICY))),
        };
        let endpoints = dev.then(|| (ENDPOINTS, generated(endpoints::document(config, acceptors))));
        let generated = index(config).map(|index| (INDEX, index)).into_iter().chain(endpoints).collect();
        Self { folder, headers, generated, has_developers_pages: *dev }
    }

    /// The headers of a response without a file.
    fn own_headers(&self) -> &Headers {
        self.folder.as_ref().map_or(&self.headers, |(_, headers)| headers)
    }

    /// The file with its headers.
    async fn find(&self, path: &str) -> Option<(Arc<Asset>, &Headers)> {
        if let Some((folder, headers)) = &self.folder
            && let Some(asset) = static_files::from_folder(folder, path).await
        {
            return Some((Arc::new(asset), headers));
        }
        let asset = self.is_served(path).then(|| self.generated.get(path).or_else(|| ASSETS.get(path))).flatten()?;
        Some((asset.clone(), &self.headers))
    }

    /// Whether a file in the binary is served.
    fn is_served(&self, path: &str) -> bool {
        let starts_with = |starts: &[&str]| starts.iter().any(|start| path.starts_with(start));
        match (starts_with(&DEVELOPERS), &self.folder) {
            (true, _) => self.has_developers_pages,
            (false, Some(_)) => self.has_developers_pages && starts_with(&FOR_DEVELOPERS),
            (false, None) => true,
        }
    }
}

/// Serves the page at `/`.
pub(crate) fn configure(app: &mut ServiceConfig, config: &Config, acceptors: &[(Acceptor, ProtocolMount)]) {
    let page = Arc::new(Page::new(config, acceptors));
    app.default_service(web::to(move |request: HttpRequest| serve(request, page.clone())));
}

async fn serve(request: HttpRequest, page: Arc<Page>) -> HttpResponse {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return match (request.method(), request.path().trim_start_matches('/')) {
            (&Method::POST, SHARED) if page.folder.is_none() => not_shared(&request),
            (method, _) => methods::other(method, methods::READ),
        };
    }
    let path = match request.path().trim_start_matches('/') {
        folder if folder.is_empty() || folder.ends_with('/') => Cow::Owned(format!("{folder}{INDEX}")),
        path => Cow::Borrowed(path),
    };
    if page.folder.is_none() && path.starts_with(DOWNLOADS) {
        // the worker is gone: a browser that gets no content stays on the page that started the download
        return HttpResponse::NoContent().finish();
    }
    let found = page.find(&path).await;
    if found.is_none()
        && page.find(&format!("{path}/{INDEX}")).await.is_some()
        && let Some(response) = add_slash(&request)
    {
        return response;
    }
    let (asset, headers) = found.map_or((None, page.own_headers()), |(asset, headers)| (Some(asset), headers));
    let mut response = static_files::found(&request, asset.as_deref(), &path, headers);
    if path == INDEX {
        // a PeerJS client that accepts no HTML finds PeerServer's description at the same path
        cors::vary(response.headers_mut(), &header::ACCEPT);
    }
    response
}

/// Leads to the page, which asks for the files. They are not read: the server never sees files.
fn not_shared(request: &HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::MethodNotAllowed();
    response.insert_header((header::ALLOW, methods::READ)).content_type("text/html; charset=utf-8");
    close_after_response(request, response.body(NOT_SHARED))
}

/// Sends a browser that asks for a folder to the same path with a slash, where the page's relative links are right. The
/// address is relative, so that it is right behind a proxy that serves the node below a path.
fn add_slash(request: &HttpRequest) -> Option<HttpResponse> {
    let (_, name) = request.path().rsplit_once('/')?;
    let query = request.uri().query().map_or(String::new(), |query| format!("?{query}"));
    let location = HeaderValue::try_from(format!("./{name}/{query}")).ok()?;
    Some(HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, location)).finish())
}

/// Pages of other origins may import the library. Files of a folder belong to its owner, who decides.
pub(crate) fn cors_rule(config: &schema::Page) -> Option<CorsRule> {
    config.dir.is_none().then(|| CorsRule::below(LIBRARY.to_owned(), Readers::All))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Files that no page requests: pictures of the documentation, and the npm package's files other than its modules.
    fn is_embedded(path: &str) -> bool {
        let is_picture = path.starts_with("docs/") && !path.ends_with(".md");
        !is_picture && !["lib/package.json", "lib/cli/"].iter().any(|start| path.starts_with(start))
    }

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
        found.retain(|path| is_embedded(path));
        found.extend(Bundle::iter().filter(|path| path != INDEX).map(Cow::into_owned));
        found.sort();
        let mut embedded: Vec<&str> = ASSETS.keys().map(|path| &**path).collect();
        embedded.sort_unstable();
        assert_eq!(found, embedded, "the files of web/ and of the bundle, and those in the binary");
    }

    /// Also the scripts of workers, which the page loads late.
    #[test]
    fn the_files_of_the_bundle_name_all_its_files_and_no_others() {
        let is_part_of_path = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let mut named = Vec::new();
        for path in Bundle::iter() {
            let file = Bundle::get(&path).unwrap();
            let Ok(text) = str::from_utf8(&file.data) else { continue };
            let paths = text.split(|c| !is_part_of_path(c)).map(|path| path.trim_start_matches("./"));
            let is_file = |path: &&str| {
                path.rsplit_once('.')
                    .is_some_and(|(stem, end)| !stem.is_empty() && ["js", "css", "woff2"].contains(&end))
            };
            named.extend(paths.filter(is_file).map(str::to_owned));
        }
        let below = |path: &str| format!("{HASHED}{path}");
        let is_there = |path: &&String| ASSETS.contains_key(&***path) || ASSETS.contains_key(&*below(path));
        assert_eq!(named.iter().find(|path| !is_there(path)), None, "named, and not there");
        let is_named = |path: &str| path == INDEX || named.iter().any(|name| name == path || below(name) == path);
        assert_eq!(Bundle::iter().find(|path| !is_named(path)), None, "there, and not named");
    }
}
