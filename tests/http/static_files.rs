//! The page and the health checks over plain HTTP: headers, caching, compression, and paths that are not found.

use std::io::Read;

use handclasp::Node;

use crate::common::{self, Client, node};

/// Sends a request, and returns the head (in lower case) and the body of the response.
async fn request(node: &Node, first: &str, lines: &str) -> (String, Vec<u8>) {
    let request = format!("{first} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html,*/*;q=0.8\r\n{lines}\r\n");
    let (mut client, head) = Client::request(node.address(), &request).await;
    let body = if first.starts_with("HEAD") { Vec::new() } else { client.body(&head).await };
    (head, body)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[actix_web::test]
async fn health_checks_return_one_word() {
    let node = node(&[]);
    for (path, word) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let (head, body) = request(&node, &format!("GET {path}"), "").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(body, word.as_bytes());
    }
}

#[actix_web::test]
async fn the_page_may_run_only_its_own_files() {
    let node = node(&[]);
    let (head, body) = request(&node, "GET /", "").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(!body.is_empty());
    assert_eq!(header(&head, "content-type"), Some("text/html; charset=utf-8"));
    let policy = header(&head, "content-security-policy").unwrap();
    for rule in
        ["default-src 'none'", "script-src 'self'", "font-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cache-control", "no-cache"),
        ("vary", "accept-encoding"),
    ] {
        assert_eq!(header(&head, name), Some(value));
    }
    let (same, _) = request(&node, "GET /index.html?peer_id=x", "").await;
    assert_eq!(header(&same, "etag"), header(&head, "etag"));
    let (empty, _) = request(&node, "HEAD /", "").await;
    assert!(empty.starts_with("HTTP/1.1 200"), "{empty}");
    assert_eq!(header(&empty, "etag"), header(&head, "etag"));
}

/// A page of 2015 has inline scripts, opens windows of other sites, and may need to tell them where it comes from.
#[actix_web::test]
async fn a_page_of_ones_own_gets_only_the_policy_that_is_set() {
    let folder = folder("own");
    std::fs::write(folder.join("index.html"), "<script>1</script>").unwrap();
    let own = format!("page.dir={}", folder.display());
    let policy = "page.content_security_policy=script-src 'self' 'unsafe-inline'";
    for (settings, expected) in [(vec![&*own], None), (vec![&*own, policy], Some("script-src 'self' 'unsafe-inline'"))]
    {
        let node = node(&settings);
        for path in ["/", "/none"] {
            let (head, _) = request(&node, &format!("GET {path}"), "").await;
            assert_eq!(header(&head, "content-security-policy"), expected, "{path}");
            assert_eq!(header(&head, "x-content-type-options"), Some("nosniff"), "{path}");
            for name in ["referrer-policy", "cross-origin-opener-policy", "x-frame-options"] {
                assert_eq!(header(&head, name), None, "{path}");
            }
        }
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[actix_web::test]
async fn the_policy_of_the_web_app_can_be_replaced() {
    let node = node(&["page.content_security_policy=default-src 'self'; frame-ancestors https://intranet.test"]);
    let (head, _) = request(&node, "GET /", "").await;
    let policy = "default-src 'self'; frame-ancestors https://intranet.test";
    assert_eq!(header(&head, "content-security-policy"), Some(policy));
    assert_eq!(head.matches("content-security-policy").count(), 1, "{head}");
    assert_eq!(header(&head, "referrer-policy"), Some("no-referrer"));
}

#[actix_web::test]
async fn an_unchanged_page_is_not_sent_again() {
    let node = node(&[]);
    let (head, _) = request(&node, "GET /", "").await;
    let tag = header(&head, "etag").unwrap();
    let (head, body) = request(&node, "GET /", &format!("If-None-Match: \"other\", {tag}\r\n")).await;
    assert!(head.starts_with("HTTP/1.1 304"), "{head}");
    assert!(body.is_empty());
    assert_eq!(header(&head, "etag"), Some(tag));
    let (head, _) = request(&node, "GET /", "If-None-Match: \"other\"\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

/// The bundled page loads all its scripts and styles from `assets/`, where each name contains a hash of the content.
#[actix_web::test]
async fn a_browser_keeps_the_files_of_the_page_only_if_their_names_change_with_their_content() {
    let node = node(&[]);
    let (_, body) = request(&node, "GET /", "").await;
    let html = String::from_utf8(body).unwrap();
    let mut named: Vec<&str> = Vec::new();
    for attribute in [" href=\"", " src=\""] {
        named.extend(html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()));
    }
    let scripts = named.iter().filter(|path| path.ends_with(".js")).count();
    assert!(scripts >= 2 && named.contains(&"app.webmanifest"), "{named:?}");
    for path in named {
        let (head, _) = request(&node, &format!("GET /{}", path.trim_start_matches("./")), "").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        let expected = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
        assert_eq!(header(&head, "cache-control"), Some(expected), "{path}");
    }
    let (head, _) = request(&node, "GET /assets/main-00000000.js", "").await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    assert_eq!(header(&head, "cache-control"), None, "{head}");
}

/// Nothing is known about the names in a folder.
#[actix_web::test]
async fn the_files_of_a_folder_are_asked_for_each_time() {
    let folder = folder("assets");
    std::fs::create_dir_all(folder.join("assets")).unwrap();
    std::fs::write(folder.join("assets/a.js"), "1").unwrap();
    let node = node(&[&format!("page.dir={}", folder.display())]);
    let (head, _) = request(&node, "GET /assets/a.js", "").await;
    assert_eq!(header(&head, "cache-control"), Some("no-cache"), "{head}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[actix_web::test]
async fn compressible_files_are_gzipped_for_clients_that_accept_it() {
    let folder = folder("gzip");
    let text = "the same again ".repeat(100);
    std::fs::write(folder.join("a.js"), &text).unwrap();
    std::fs::write(folder.join("tiny.txt"), "x").unwrap();
    let node = node(&[&format!("page.dir={}", folder.display())]);
    let (head, body) = request(&node, "GET /a.js", "Accept-Encoding: br, gzip\r\n").await;
    assert_eq!(header(&head, "content-encoding"), Some("gzip"));
    assert_eq!(header(&head, "content-type"), Some("text/javascript; charset=utf-8"));
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&*body).read_to_string(&mut plain).unwrap();
    assert_eq!(plain, text);
    let (head, body) = request(&node, "GET /a.js", "").await;
    assert_eq!((header(&head, "content-encoding"), body), (None, text.into_bytes()));
    let (head, body) = request(&node, "GET /tiny.txt", "Accept-Encoding: gzip\r\n").await;
    assert_eq!((header(&head, "content-encoding"), &*body), (None, &b"x"[..]), "compression would make it larger");
    std::fs::remove_dir_all(folder).unwrap();
}

#[actix_web::test]
async fn missing_files_are_not_found() {
    let node = node(&[]);
    for path in ["/nothing", "/index.html/", "/%00", "/lib/../index.html", "//etc/passwd"] {
        let (head, body) = request(&node, &format!("GET {path}"), "").await;
        assert!(head.starts_with("HTTP/1.1 404"), "{path}: {head}");
        assert_eq!(body, b"not found\n", "{path}");
        assert!(header(&head, "content-security-policy").is_some(), "{path}");
    }
    let (head, _) = request(&node, "POST /", "Content-Length: 0\r\n").await;
    assert!(head.starts_with("HTTP/1.1 405"), "{head}");
    assert_eq!(header(&head, "allow"), Some("GET, HEAD, OPTIONS"));
    let off = common::node(&["page.enabled=false"]);
    let (head, _) = request(&off, "GET /", "").await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

#[actix_web::test]
async fn a_download_that_misses_the_service_worker_leaves_the_page_in_its_window() {
    let (head, body) = request(&node(&[]), "GET /download/3f0c", "").await;
    assert!(head.starts_with("HTTP/1.1 204"), "{head}");
    assert_eq!(body, b"");
}

#[actix_web::test]
async fn no_path_leads_out_of_the_folder() {
    let outside = folder("outside");
    let inside = outside.join("page");
    std::fs::create_dir_all(inside.join("sub")).unwrap();
    for (file, text) in [("secret.txt", "secret"), ("page/index.html", "page"), ("page/sub/b.css", "b{}")] {
        std::fs::write(outside.join(file), text).unwrap();
    }
    std::fs::write(inside.join(".hidden"), "secret").unwrap();
    let node = node(&[&format!("page.dir={}", inside.display())]);
    let found = async |path: &str| {
        let (head, body) = request(&node, &format!("GET {path}"), "").await;
        (head[9..12].to_owned(), String::from_utf8(body).unwrap())
    };
    assert_eq!(found("/").await, ("200".into(), "page".into()));
    assert_eq!(found("/sub/b.css").await, ("200".into(), "b{}".into()));
    let absolute = outside.join("secret.txt");
    for path in [
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/sub/../../secret.txt",
        "/..\\secret.txt",
        "/.hidden",
        "/sub",
        &format!("/{}", absolute.display()),
        &format!("/%2f{}", absolute.display()),
    ] {
        let (status, body) = found(path).await;
        assert!(matches!(&*status, "404" | "400"), "{path}: {status} {body}");
        assert!(!body.contains("secret"), "{path}");
    }
    std::fs::remove_dir_all(outside).unwrap();
}

/// Messengers fetch the page of a link without its key, and show what the page says of itself beside the link.
#[actix_web::test]
async fn the_preview_of_a_link_names_its_picture_and_not_the_share() {
    let id = "79ea407f-8a68-8900-b2d1-3e186ef3ce57";
    let public = "server.public_urls=[\"https://broker.example.com/share/\", \"http://other.example.com\"]";
    for (settings, picture) in [
        (&[][..], "preview.png"),
        (&[public][..], "https://broker.example.com/share/preview.png"),
        (&[public, "page.dev=false"][..], "https://broker.example.com/share/preview.png"),
        (&["server.public_urls=https://a.test?x"][..], "https://a.test/preview.png"),
    ] {
        let node = node(settings);
        let (_, body) = request(&node, &format!("GET /?peer_id={id}"), "").await;
        let html = String::from_utf8(body).unwrap();
        assert!(html.contains(&format!("<meta property=\"og:image\" content=\"{picture}\">")), "{html}");
        for name in ["og:title", "og:description", "og:type", "twitter:card"] {
            assert_eq!(html.matches(name).count(), 1, "{name}");
        }
        assert!(!html.contains(id) && !html.contains("og:url"), "{html}");
        let (head, body) = request(&node, "GET /preview.png", "").await;
        assert_eq!(header(&head, "content-type"), Some("image/png"));
        assert_eq!(body[16..24], [1200_u32, 630].map(u32::to_be_bytes).concat(), "its width and height");
    }
}

#[actix_web::test]
async fn the_page_says_where_it_gets_its_token() {
    let meta = "<meta name=\"token-url\"";
    for (settings, expected) in [
        (&[][..], None),
        (&["page.token_url=/app/token"][..], Some("/app/token")),
        (&["page.token_url=/token?app=a&for=b", "page.dev=false"][..], Some("/token?app=a&amp;for=b")),
    ] {
        let (_, body) = request(&node(settings), "GET /", "").await;
        let html = String::from_utf8(body).unwrap();
        let found = html.split_once(meta).map(|(_, rest)| rest.split('"').nth(1).unwrap());
        assert_eq!(found, expected, "{html}");
        assert!(html.find(meta) < html.find("</head>") && html.matches("</head>").count() == 1, "{html}");
    }
}

/// The installed app's own service worker takes what other apps share. Without it, the files would go to the server.
#[actix_web::test]
async fn files_that_another_app_shares_are_not_read_and_the_page_asks_for_them() {
    let folder = folder("shared");
    let own = format!("page.dir={}", folder.display());
    for (settings, leads) in [(vec![], true), (vec![&*own], false)] {
        // the body never comes
        let node = node(&settings);
        let post = "POST /shared/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n";
        let (mut client, head) = Client::request(node.address(), post).await;
        assert!(head.starts_with("HTTP/1.1 405"), "{head}");
        let body = String::from_utf8(client.body(&head).await).unwrap();
        assert_eq!(body.contains("content=\"0; url=../?not_shared\""), leads, "{body}");
        assert_eq!(header(&head, "connection"), Some("close"), "{head}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

fn folder(name: &str) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("handclasp-page-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
