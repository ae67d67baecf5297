//! Which origins may open a WebSocket: the entries of `socket.check_origin` against real and forged `Origin` headers.

use handclasp::config::Origins;

fn admits(entries: &[&str], origin: &str) -> bool {
    Origins::parse(entries).unwrap().allows(Some(origin), Some("broker.test:4000"))
}

fn same(origin: &str, host: &str) -> bool {
    Origins::default().allows(Some(origin), Some(host))
}

#[test]
fn a_request_without_an_origin_is_allowed() {
    for entries in [&["same"][..], &["any"], &["https://example.com"]] {
        assert!(Origins::parse(entries).unwrap().allows(None::<&str>, Some("broker.test")));
    }
}

#[test]
fn same_compares_host_and_port_with_the_host_header() {
    assert!(same("http://broker.test:4000", "broker.test:4000"));
    assert!(same("http://Broker.TEST:4000", "bROKER.test:4000"));
    assert!(!same("http://broker.test:4001", "broker.test:4000"));
    assert!(!same("http://broker.test", "broker.test:4000"));
    assert!(!same("http://localhost:4000", "127.0.0.1:4000"));
    assert!(!same("http://sub.broker.test:4000", "broker.test:4000"));
    assert!(!Origins::default().allows(Some("http://broker.test"), None));
}

#[test]
fn same_knows_the_default_ports() {
    assert!(same("https://broker.test", "broker.test"));
    assert!(same("https://broker.test", "broker.test:443"));
    assert!(same("http://broker.test:80", "broker.test"));
    assert!(!same("https://broker.test", "broker.test:80"));
    assert!(same("http://[::1]:4000", "[::1]:4000"));
    assert!(!same("http://[::1]:4000", "[::2]:4000"));
}

#[test]
fn a_scheme_implies_its_port() {
    let entries = &["https://example.com"];
    assert!(admits(entries, "https://example.com"));
    assert!(admits(entries, "https://example.com:443"));
    assert!(!admits(entries, "https://example.com:444"));
    assert!(!admits(entries, "http://example.com"));
    assert!(!admits(entries, "http://example.com:443"));
}

#[test]
fn an_entry_without_a_scheme_or_port_allows_any() {
    assert!(admits(&["//sub.example.org:8443"], "http://sub.example.org:8443"));
    assert!(admits(&["//sub.example.org:8443"], "https://sub.example.org:8443"));
    assert!(!admits(&["//sub.example.org:8443"], "https://sub.example.org"));
    assert!(admits(&["//example.org"], "http://example.org:1234"));
    assert!(admits(&["capacitor://localhost"], "capacitor://localhost"));
    assert!(!admits(&["//example.org:80"], "capacitor://example.org"));
}

#[test]
fn a_star_matches_the_domain_and_all_subdomains() {
    for origin in ["https://wild.test", "http://a.wild.test:9", "https://a.b.c.wild.test", "https://A.WILD.test"] {
        assert!(admits(&["//*.wild.test"], origin), "{origin}");
    }
    for origin in ["https://awild.test", "https://wild.test.evil", "https://test", "https://.wild.test"] {
        assert!(!admits(&["//*.wild.test"], origin), "{origin}");
    }
    assert!(!admits(&["https://*.wild.test"], "http://a.wild.test"));
}

#[test]
fn similar_domains_are_rejected() {
    let entries = &["https://example.com", "//other.example"];
    for origin in [
        "https://evil-example.com",
        "https://example.com.evil.test",
        "https://example.com.",
        "https://example.comm",
        "https://xn--xample-2of.com",
        "https://ехаmple.com",
    ] {
        assert!(!admits(entries, origin), "{origin}");
    }
    assert!(admits(&["https://xn--bcher-kva.example"], "https://XN--bcher-kva.example"));
}

#[test]
fn case_is_ignored() {
    assert!(admits(&["https://example.com"], "HTTPS://EXAMPLE.com"));
    assert!(admits(&["HTTPS://Example.COM"], "https://example.com"));
    assert!(!admits(&["HTTPS://Example.COM"], "https://example.com:444"));
}

#[test]
fn an_invalid_origin_is_allowed_only_by_any() {
    for origin in [
        "null",
        "file://",
        "",
        " ",
        "https://",
        "//example.com",
        "example.com",
        "https:example.com",
        "https://user@example.com",
        "https://user:pw@example.com",
        "https://example.com@evil.test",
        "https://example.com/",
        "https://example.com/path",
        "https://example.com?q",
        "https://example.com#f",
        "https://example.com\\@evil.test",
        "https://example.com:",
        "https://example.com:0",
        "https://example.com:+443",
        "https://example.com:65536",
        "https://example.com:443:443",
        "https://example.com https://example.com",
        "https://example.com, https://example.com",
        " https://example.com",
        "https://example.com\0",
        "https://[::1",
        "https://[::1]x",
        "https://[example.com]",
        "1https://example.com",
        "://example.com",
    ] {
        assert!(!admits(&["same", "https://example.com", "//example.com"], origin), "{origin:?}");
        assert!(!same(origin, origin.trim_start_matches("https://")), "{origin:?} as its own host");
        assert!(admits(&["any"], origin), "{origin:?}");
    }
}

#[test]
fn a_repeated_origin_header_is_rejected() {
    let origins = Origins::parse(&["https://example.com"]).unwrap();
    assert!(origins.allows(["https://example.com"], None));
    assert!(!origins.allows(["https://example.com", "https://example.com"], None));
    assert!(!origins.allows([&b"https://ex\xffample.com"[..]], None));
}

#[test]
fn same_can_be_combined_with_entries_and_any_cannot() {
    assert!(admits(&["same", "https://example.com"], "http://broker.test:4000"));
    assert!(admits(&["same", "https://example.com"], "https://example.com"));
    assert!(!admits(&["https://example.com"], "http://broker.test:4000"));
    assert!(Origins::parse(&["any", "same"]).is_err());
    assert!(Origins::parse(&[""; 0]).is_err());
}

#[test]
fn an_invalid_entry_is_named_in_the_error() {
    for entry in [
        "",
        "*",
        "null",
        "example.com",
        "https://",
        "https:/example.com",
        "https://a.test/path",
        "//*.",
        "//*",
        "https://*example.com",
        "//u@a.test",
        "//a.test:0",
        "//*.[::1]",
        "//*.127.0.0.1",
        "ht tp://a.test",
        "Same",
    ] {
        let error = Origins::parse(&[entry]).unwrap_err().to_string();
        assert!(error.contains(&format!("{entry:?}")), "{error}");
    }
}

#[test]
fn a_list_is_displayed_as_it_was_written() {
    let entries = ["same", "https://example.com", "//*.wild.test:81", "http://[::1]:4000"];
    assert_eq!(Origins::parse(&entries).unwrap().to_string(), entries.join(", "));
}
