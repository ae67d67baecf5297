//! Which pages may open a socket: the words of `socket.check_origin` against what browsers and forgers send.

use handclasp::config::Origins;

fn admits(words: &[&str], origin: &str) -> bool {
    Origins::parse(words).unwrap().allows(Some(origin), Some("broker.test:4000"))
}

fn same(origin: &str, host: &str) -> bool {
    Origins::default().allows(Some(origin), Some(host))
}

#[test]
fn a_request_without_origin_is_no_browser_and_passes() {
    for words in [&["same"][..], &["any"], &["https://example.com"]] {
        assert!(Origins::parse(words).unwrap().allows(None::<&str>, Some("broker.test")));
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
fn same_knows_the_ports_that_nobody_writes() {
    assert!(same("https://broker.test", "broker.test"));
    assert!(same("https://broker.test", "broker.test:443"));
    assert!(same("http://broker.test:80", "broker.test"));
    assert!(!same("https://broker.test", "broker.test:80"));
    assert!(same("http://[::1]:4000", "[::1]:4000"));
    assert!(!same("http://[::1]:4000", "[::2]:4000"));
}

#[test]
fn a_scheme_implies_its_port() {
    let words = &["https://example.com"];
    assert!(admits(words, "https://example.com"));
    assert!(admits(words, "https://example.com:443"));
    assert!(!admits(words, "https://example.com:444"));
    assert!(!admits(words, "http://example.com"));
    assert!(!admits(words, "http://example.com:443"));
}

#[test]
fn what_an_entry_leaves_out_may_be_anything() {
    assert!(admits(&["//sub.example.org:8443"], "http://sub.example.org:8443"));
    assert!(admits(&["//sub.example.org:8443"], "https://sub.example.org:8443"));
    assert!(!admits(&["//sub.example.org:8443"], "https://sub.example.org"));
    assert!(admits(&["//example.org"], "http://example.org:1234"));
    assert!(admits(&["capacitor://localhost"], "capacitor://localhost"));
    assert!(!admits(&["//example.org:80"], "capacitor://example.org"));
}

#[test]
fn a_star_is_the_domain_and_any_depth_below_it() {
    for origin in ["https://wild.test", "http://a.wild.test:9", "https://a.b.c.wild.test", "https://A.WILD.test"] {
        assert!(admits(&["//*.wild.test"], origin), "{origin}");
    }
    for origin in ["https://awild.test", "https://wild.test.evil", "https://test", "https://.wild.test"] {
        assert!(!admits(&["//*.wild.test"], origin), "{origin}");
    }
    assert!(!admits(&["https://*.wild.test"], "http://a.wild.test"));
}

#[test]
fn look_alikes_are_strangers() {
    let words = &["https://example.com", "//other.example"];
    for origin in [
        "https://evil-example.com",
        "https://example.com.evil.test",
        "https://example.com.",
        "https://example.comm",
        "https://xn--xample-2of.com",
        "https://ехаmple.com",
    ] {
        assert!(!admits(words, origin), "{origin}");
    }
    assert!(admits(&["https://xn--bcher-kva.example"], "https://XN--bcher-kva.example"));
}

#[test]
fn upper_case_changes_nothing() {
    assert!(admits(&["https://example.com"], "HTTPS://EXAMPLE.com"));
    assert!(admits(&["HTTPS://Example.COM"], "https://example.com"));
    assert!(!admits(&["HTTPS://Example.COM"], "https://example.com:444"));
}

#[test]
fn what_is_no_page_passes_nothing_but_any() {
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
fn two_origins_are_one_too_many() {
    let origins = Origins::parse(&["https://example.com"]).unwrap();
    assert!(origins.allows(["https://example.com"], None));
    assert!(!origins.allows(["https://example.com", "https://example.com"], None));
    assert!(!origins.allows([&b"https://ex\xffample.com"[..]], None));
}

#[test]
fn same_stands_beside_others_and_any_stands_alone() {
    assert!(admits(&["same", "https://example.com"], "http://broker.test:4000"));
    assert!(admits(&["same", "https://example.com"], "https://example.com"));
    assert!(!admits(&["https://example.com"], "http://broker.test:4000"));
    assert!(Origins::parse(&["any", "same"]).is_err());
    assert!(Origins::parse(&[""; 0]).is_err());
}

#[test]
fn a_word_that_is_no_origin_is_named() {
    for word in [
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
        let error = Origins::parse(&[word]).unwrap_err();
        assert!(error.contains(&format!("{word:?}")), "{error}");
    }
}

#[test]
fn a_list_is_shown_as_it_was_meant() {
    let words = ["same", "https://example.com", "//*.wild.test:81", "http://[::1]:4000"];
    assert_eq!(Origins::parse(&words).unwrap().to_string(), words.join(", "));
}
