//! Serves Socket.IO's JavaScript client where pages look for it: `<mount>/socket.io.js`, its minified forms and their
//! source maps. Pages of Socket.IO 0.9 may also ask for a version (`socket.io.v0.9.16.js`) or for some transports alone
//! (`socket.io+websocket+xhr-polling.js`). All of these names are the same file here.
//!
//! The binary contains no copy of it. `socketio.client_dir` names the folder of one; without it the response is 404
//! and explains the setting.

use actix_web::web::{Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use crate::http::acceptor::Acceptor;
use crate::http::{methods, static_files};

/// The body of the 404 response.
const MISSING: &str = "this server has no copy of the Socket.IO client: set socketio.client_dir to the folder of one, \
                       such as node_modules/socket.io/client-dist\n";
/// The client of all transports.
const SCRIPT: &str = "socket.io.js";

pub(super) fn routes(acceptor: &Acceptor, app: &mut ServiceConfig) {
    let path = acceptor.path();
    let built = r"socket\.io(?:\+[a-z]+(?:-[a-z]+)?)*(?:\.v[0-9.]+)?\.js";
    for pattern in [r"socket\.io\.[a-z.]+", built] {
        let (path, acceptor) = (format!("{path}/{{file:{pattern}}}"), acceptor.clone());
        app.service(methods::readable(&path, move |request, file| serve(acceptor.clone(), request, file)));
    }
}

async fn serve(acceptor: Acceptor, request: HttpRequest, file: Path<String>) -> HttpResponse {
    let is_built = file.contains('+') || file.starts_with("socket.io.v");
    let file = if is_built { SCRIPT.to_owned() } else { file.into_inner() };
    let is_script = file.ends_with(".js") || file.ends_with(".js.map");
    match &acceptor.config().socketio.client_dir {
        Some(folder) if is_script => static_files::file(&request, folder, &file, &[]).await,
        _ => HttpResponse::NotFound().content_type("text/plain; charset=utf-8").body(MISSING),
    }
}
