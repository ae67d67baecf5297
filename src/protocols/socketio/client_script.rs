//! The client's own script, where pages look for it: `<mount>/socket.io.js`, its smaller forms and their maps.
//!
//! Nothing of it is in the binary: a folder with a copy is named by `socketio.client_dir`, and without one the
//! answer says so.

use actix_web::web::{self, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use crate::http::acceptor::Acceptor;
use crate::http::static_files;

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
        Some(folder) if is_script => static_files::file(request, folder.clone(), &file).await,
        _ => HttpResponse::NotFound().content_type("text/plain; charset=utf-8").body(MISSING),
    }
}
