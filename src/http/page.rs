//! The web page at `/`: the files of `web/`, embedded in the binary by `rust-embed`, or the files of a folder for
//! development. How a file becomes a response is in [`static_files`].
//!
//! `rust-embed` lists and hashes the files when this crate is compiled, in debug builds too. A changed file causes a
//! new build. So does a new file, as soon as an embedded file refers to it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use actix_web::http::{Method, header};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use rust_embed::Embed;

use crate::http::static_files::{self, Asset};

const INDEX: &str = "index.html";

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

/// Serves the page at `/`: from `folder` if it is set, otherwise from the binary.
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
        Some(folder) => static_files::file(request.clone(), folder, path).await,
        None => static_files::found(&request, ASSETS.get(path), path),
    }
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
