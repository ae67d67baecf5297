//! A request's body, read within a limit. How long that may take, and what it says, are for whoever asks.

use actix_web::http::header;
use actix_web::{HttpRequest, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

/// Why a body is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It is larger than it may be, or says so.
    TooLarge,
    /// The client has gone, or broken HTTP, before its end.
    Broken,
}

/// Reads a body of up to `most` bytes, and never keeps more of it.
pub(crate) async fn read(request: &HttpRequest, mut payload: web::Payload, most: usize) -> Result<Bytes, BodyError> {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > most as u64) {
        return Err(BodyError::TooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| BodyError::Broken)?;
        if body.len() + chunk.len() > most {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
