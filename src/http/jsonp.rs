//! JSONP, long polling by script elements and forms, for pages in browsers whose scripts cannot read other responses.
//!
//! A response is a script that calls a function of the page with one string. A request is a form with one field. Which
//! function that is, and what the texts mean, is the business of the wire formats in `protocols`.
//!
//! A page needs no permission to run a script of another origin, and the browser sends no `Origin` header with its
//! request. So [`check_page`] reads the page's origin from the `Referer` header.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

use crate::config::origin::Origins;
use crate::http::connect_error::ConnectError;
use crate::http::request::{check_origin, check_origin_of, form_decoded};
use crate::json::push_string;

/// The number of a page's function, in a request. It must have only digits: `parse` alone would take a sign.
pub(crate) fn callback(number: &str) -> Option<u32> {
    if number.bytes().all(|byte| byte.is_ascii_digit()) { number.parse().ok() } else { None }
}

/// A script that calls `function` with `text`. The function's name must not contain text from the client, except
/// digits: all of it is run as script.
pub(crate) fn script(function: &str, text: &str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/javascript; charset=UTF-8")
        .insert_header((header::VARY, "referer"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(format!("{function}({});", quoted(text)))
}

/// A JavaScript string literal. It is a JSON string, without the two line separators that JSON allows and older
/// JavaScript does not, and without the start of an end tag.
pub(crate) fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    push_string(&mut literal, text);
    if literal.contains(['\u{2028}', '\u{2029}']) || literal.contains("</") {
        literal = literal.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029").replace("</", "<\\/");
    }
    literal
}

/// The value of a form's field, from a body of `application/x-www-form-urlencoded`. If several fields have the name,
/// the first one counts. `None` if there is no such field, or its value is not UTF-8.
pub(crate) fn form_field(body: &[u8], name: &str) -> Option<String> {
    let mut fields = body.split(|byte| *byte == b'&');
    let value = fields.find_map(|field| field.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    form_decoded(value)
}

/// Checks the origin of the page that requests a script. Without an `Origin` header, it is that of the `Referer`. A
/// page can hide both: then its origin is `null`.
pub(crate) fn check_page(request: &HttpRequest, origins: &Origins) -> Result<(), ConnectError> {
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) {
        return check_origin(request, origins);
    }
    let referer = headers.get(header::REFERER).and_then(|referer| referer.to_str().ok());
    check_origin_of(referer.map_or("null", origin_of), request, origins)
}

/// The origin of a URL: its scheme, host and port.
fn origin_of(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find(['/', '?', '#']).map_or(url.len(), |at| authority + at);
    &url[..end]
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_string_cannot_end_its_literal_or_its_script() {
        assert_eq!(quoted("a\"b\\\n"), r#""a\"b\\\n""#);
        assert_eq!(quoted("é</script>\u{2028}\u{2029}"), r#""é<\/script>\u2028\u2029""#);
        assert_eq!(serde_json::from_str::<String>(&quoted("</\u{2028}\u{1e}\0")).unwrap(), "</\u{2028}\u{1e}\0");
    }

    #[test]
    fn a_form_field_is_found_and_decoded() {
        let value = |body: &str| form_field(body.as_bytes(), "d");
        assert_eq!(value("d=4%22+%C3%A9%2B").as_deref(), Some("4\" é+"));
        assert_eq!(value("c=1&dd=2&d=3&d=4").as_deref(), Some("3"));
        assert_eq!(value("d=").as_deref(), Some(""));
        assert_eq!(value("d=%2&e=%").as_deref(), Some("%2"), "a malformed escape stays as it is");
        for body in ["", "d", "e=d=1", "d=%ff", "D=1"] {
            assert_eq!(value(body), None, "{body}");
        }
        assert_eq!(form_field(b"d=\xff", "d"), None);
    }

    #[test]
    fn a_script_is_given_to_pages_of_allowed_origins_alone() {
        let allows = |name: header::HeaderName, value: &'static str, origins: &[&str]| {
            let request =
                TestRequest::default().insert_header((header::HOST, "node.test")).insert_header((name, value));
            check_page(&request.to_http_request(), &Origins::parse(origins).unwrap()).is_ok()
        };
        for referer in ["http://node.test/page?x=//a", "http://node.test", "http://node.test?x", "http://node.test#x"] {
            assert!(allows(header::REFERER, referer, &["same"]), "{referer}");
        }
        for referer in ["http://evil.test/node.test", "http://node.test@evil.test/", "node.test", "", "about:blank"] {
            assert!(!allows(header::REFERER, referer, &["same"]), "{referer}");
        }
        assert!(allows(header::ORIGIN, "http://node.test", &["same"]));
        assert!(!allows(header::ORIGIN, "http://evil.test", &["same"]));
        assert!(!allows(header::ACCEPT, "*/*", &["same"]), "a page can hide where it is from");
        assert!(!allows(header::ACCEPT, "*/*", &["any"]));
        assert!(allows(header::ACCEPT, "*/*", &["any", "null"]));
        assert!(allows(header::REFERER, "file:///home/ann/page.html", &["file://"]));
    }
}
