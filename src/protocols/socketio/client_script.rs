//! Serves Socket.IO's JavaScript client where pages look for it: `<mount>/socket.io.js`, its minified forms and their
//! source maps.
//!
//! The binary contains no copy of it. `socketio.client_dir` names the folder of one; without it the response is 404
//! and explains the setting.

use actix_web::web::{self, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use crate::http::acceptor::Acceptor;
use crate::http::static_files;

/// The body of the 404 response.
const MISSING: &str = "this server has no copy of the Socket.IO client: set socketio.client_dir to the folder of one, \
                       such as node_modules/socket.io/client-dist\n";

pub(super) fn routes(acceptor: &Acceptor, app: &mut ServiceConfig) {
    let (path, acceptor) = (format!("{}/{{file:socket\\.io\\.[a-z.]+}}", acceptor.path()), acceptor.clone());
    app.route(&path, web::get().to(move |request, file| serve(acceptor.clone(), request, file)));
}

async fn serve(acceptor: Acceptor, request: HttpRequest, file: Path<String>) -> HttpResponse {
    let file = file.into_inner();
    let is_script = file.ends_with(".js") || file.ends_with(".js.map");
    match &acceptor.config().socketio.client_dir {
        Some(folder) if is_script => static_files::file(&request, folder, &file, &[]).await,
        _ => HttpResponse::NotFound().content_type("text/plain; charset=utf-8").body(MISSING),
    }
}
