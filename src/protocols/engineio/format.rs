//! The format of a long-polling session's requests and responses: a [`Dialect`], and JSONP if the handshake asked for it
//! (`j=<number>`). The session's `sid` ends with the format, so that every request has it.
//!
//! A JSONP response is a script, `___eio[<number>]("<payload>");`. A JSONP request is a form whose field `d` is the
//! payload, with escaped newlines: browsers change newlines in forms.

use std::fmt;

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse};

use super::error::EngineError;
use super::payload::{Body, Dialect};
use crate::config::origin::Origins;
use crate::http::connect_error::ConnectError;
use crate::http::jsonp;
use crate::http::request::check_origin;
use crate::protocol::{Frame, Malformed};

/// The parameter of a handshake that asks for JSONP.
pub(crate) const CALLBACK_PARAM: &str = "j";
/// The form field of a JSONP request.
const FORM_FIELD: &str = "d";
/// What separates the two parts of a suffix.
const CALLBACK: char = 'j';

/// The format of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PollFormat {
    pub(crate) dialect: Dialect,
    /// The number of the page's function that receives the payloads, with JSONP. A number, because it becomes script.
    callback: Option<u32>,
}

impl PollFormat {
    /// The format that a handshake asks for, by its parameters `EIO`, `b64` and `j`.
    pub(super) fn of_handshake<'a>(param: impl Fn(&str) -> Option<&'a str>) -> Result<Self, EngineError> {
        let callback =
            param(CALLBACK_PARAM).map(|number| jsonp::callback(number).ok_or(EngineError::BadRequest)).transpose()?;
        let is_text = callback.is_some() || param("b64").is_some_and(|value| !value.is_empty());
        let dialect = match (param("EIO"), is_text) {
            (Some("4"), _) => Dialect::V4,
            (Some("3"), false) => Dialect::V3,
            (Some("3"), true) => Dialect::V3Text,
            (Some("2"), false) => Dialect::V2,
            (Some("2"), true) => Dialect::V2Text,
            _ => return Err(EngineError::UnsupportedVersion),
        };
        Ok(Self { dialect, callback })
    }

    /// The format of a `sid` that ends with `suffix`.
    pub(crate) fn of_suffix(suffix: &str) -> Option<Self> {
        let (dialect, callback) = match suffix.split_once(CALLBACK) {
            Some((dialect, callback)) => (dialect, Some(jsonp::callback(callback)?)),
            None => (suffix, None),
        };
        let dialect = match dialect {
            "4" => Dialect::V4,
            "3" => Dialect::V3,
            "3b" => Dialect::V3Text,
            "2" => Dialect::V2,
            "2b" => Dialect::V2Text,
            _ => return None,
        };
        Some(Self { dialect, callback })
    }

    /// Checks the origin of the page that makes the handshake.
    pub(super) fn check_origin(self, request: &HttpRequest, origins: &Origins) -> Result<(), ConnectError> {
        match self.callback {
            Some(_) => jsonp::check_page(request, origins),
            None => check_origin(request, origins),
        }
    }

    /// Decodes the body of a request.
    pub(crate) fn read(self, body: &[u8], headers: &HeaderMap) -> Result<Vec<Frame>, Malformed> {
        if self.callback.is_some() {
            let payload = jsonp::form_field(body, FORM_FIELD).ok_or(Malformed)?;
            return self.dialect.read(unescaped_newlines(&payload).as_bytes(), false);
        }
        let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes());
        self.dialect.read(body, content_type == Some(b"application/octet-stream"))
    }

    pub(super) fn response(self, frames: &[Frame]) -> HttpResponse {
        let mut response = HttpResponse::Ok();
        match (self.dialect.write(frames), self.callback) {
            (Body::Text(text), Some(callback)) => jsonp::script(&format!("___eio[{callback}]"), &text),
            (Body::Text(text), None) => response.content_type("text/plain; charset=UTF-8").body(text),
            // exactly this type, without parameters: clients of Socket.IO 1.0 compare it
            (Body::Bytes(bytes), _) => response.content_type("application/octet-stream").body(bytes),
        }
    }
}

/// The suffix of a `sid`.
impl fmt::Display for PollFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.dialect {
            Dialect::V4 => "4",
            Dialect::V3 => "3",
            Dialect::V3Text => "3b",
            Dialect::V2 => "2",
            Dialect::V2Text => "2b",
        })?;
        self.callback.map_or(Ok(()), |callback| write!(f, "{CALLBACK}{callback}"))
    }
}

/// Undoes the escapes of a client: it sends a newline as `\n`, and the two characters `\n` with one more backslash.
fn unescaped_newlines(payload: &str) -> String {
    let mut pieces = payload.split("\\n");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        // the piece before ends with the backslash that the client has added
        text.push_str(if text.ends_with('\\') { "n" } else { "\n" });
        text.push_str(piece);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_of_a_sid_contains_the_format() {
        let dialects = [Dialect::V4, Dialect::V3, Dialect::V3Text, Dialect::V2, Dialect::V2Text];
        for format in dialects
            .into_iter()
            .flat_map(|dialect| [None, Some(0), Some(u32::MAX)].map(|callback| PollFormat { dialect, callback }))
        {
            assert_eq!(PollFormat::of_suffix(&format.to_string()), Some(format));
        }
        for suffix in ["", "5", "3j", "3j+1", "3j1j2", "3j4294967296", "3j1)", "j1", "b"] {
            assert_eq!(PollFormat::of_suffix(suffix), None, "{suffix}");
        }
    }

    #[test]
    fn the_newlines_of_a_form_are_restored() {
        for (escaped, text) in [
            (r"4a\nb", "4a\nb"),
            (r#"42["a\\nb"]"#, r#"42["a\nb"]"#),
            (r#"42["a\\\nb"]"#, r#"42["a\\nb"]"#),
            (r"\n\n\\n", "\n\n\\n"),
            (r"\\", r"\\"),
            ("", ""),
        ] {
            assert_eq!(unescaped_newlines(escaped), text, "{escaped}");
        }
    }
}
