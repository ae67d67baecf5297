//! The command line: output, error messages and exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::ENGINE;

/// A process that hangs must not hang the tests.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The binary, without this process's environment, whose variables would configure it.
fn handclasp(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handclasp"));
    command.args(args).env_clear().stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> (i32, String, String) {
    output_of(&mut handclasp(args))
}

/// Runs a command, and returns its exit code, stdout and stderr.
fn output_of(command: &mut Command) -> (i32, String, String) {
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let exit_code = exit_code(&mut process);
    let output = process.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (exit_code, text(output.stdout), text(output.stderr))
}

fn exit_code(process: &mut Child) -> i32 {
    let until = Instant::now() + TIMEOUT;
    loop {
        match process.try_wait().unwrap() {
            Some(status) => return status.code().unwrap(),
            None if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
            None => {
                process.kill().unwrap();
                panic!("the process does not exit");
            }
        }
    }
}

/// A broker on a free port, killed when the test ends.
struct Broker {
    process: Child,
    lines: Vec<String>,
}

impl Broker {
    fn start(args: &[&str]) -> Self {
        Self::with_output_lines(2, args)
    }

    /// Starts a broker that prints this many lines at startup.
    fn with_output_lines(lines: usize, args: &[&str]) -> Self {
        Self::with_args(lines, &[&["serve", "--listen", "127.0.0.1:0"], args].concat())
    }

    fn with_args(lines: usize, args: &[&str]) -> Self {
        let mut process = handclasp(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.as_mut().unwrap());
        let lines = stdout.lines().take(lines).map(Result::unwrap).collect();
        Self { process, lines }
    }

    fn address(&self) -> &str {
        let after = self.lines[1].strip_prefix("sockets  ws://").unwrap();
        after.split('/').next().unwrap()
    }

    /// The status line of the response to a request.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        BufReader::new(stream).lines().next().unwrap().unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn serve_prints_its_addresses_and_exits_on_sigterm() {
    let mut broker = Broker::start(&[]);
    let address = broker.address().to_owned();
    assert!(!address.ends_with(":0"), "{address}");
    assert_eq!(
        broker.lines,
        [format!("page     http://{address}/"), format!("sockets  ws://{address}/{{socket,ws,peer}}/websocket"),]
    );
    assert_eq!(broker.get("/healthz"), "HTTP/1.1 200 OK");
    broker.signal("TERM");
    assert_eq!(exit_code(&mut broker.process), 0);
    let mut rest = String::new();
    broker.process.stdout.as_mut().unwrap().read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

#[test]
fn serve_reports_that_the_page_is_off() {
    let broker = Broker::start(&["--set", "page.enabled=false", "--set", "socket.mounts=/one"]);
    let sockets = format!("sockets  ws://{}/one/websocket", broker.address());
    assert_eq!(broker.lines, ["page     off".to_owned(), sockets]);
}

#[test]
fn serve_names_the_engine_and_the_node() {
    let sets: Vec<&str> = ENGINE.iter().chain(&["cluster.node=web.1"]).flat_map(|set| ["--set", set]).collect();
    let broker = Broker::with_output_lines(3, &sets);
    assert_eq!(broker.lines[2], "cluster  redis, node web.1");
    let (exit_code, out, _) = run(&[&["check"], &sets[..]].concat());
    assert!(exit_code == 0 && !out.contains("cluster"), "{out}");
}

/// A browser chooses by itself which of the two loopback addresses it tries first.
#[test]
fn a_host_name_stands_for_all_of_its_addresses() {
    let broker = Broker::with_args(3, &["serve", "--listen", "localhost:0", "--set", "metrics.listen=localhost:0"]);
    let port = |line: &str| -> u16 {
        let rest = line.split("://localhost:").nth(1).unwrap_or_else(|| panic!("{line}"));
        rest.split('/').next().unwrap().parse().unwrap()
    };
    let ports: Vec<u16> = broker.lines.iter().map(|line| port(line)).collect();
    assert!(ports[0] == ports[1] && ports[0] != ports[2], "{ports:?}");
    for (port, path) in [(ports[0], "/healthz"), (ports[2], "/metrics")] {
        for loopback in ["127.0.0.1", "::1"] {
            if TcpListener::bind((loopback, 0)).is_err() {
                continue; // this machine has no IPv6
            }
            let mut stream = TcpStream::connect((loopback, port)).unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost:{port}\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut head = [0; 15];
            stream.read_exact(&mut head).unwrap();
            assert_eq!(&head, b"HTTP/1.1 200 OK", "{loopback}:{port}");
        }
    }
}

#[test]
fn a_port_that_one_address_of_a_host_name_has_lost_is_not_shared() {
    // the other program has the second address
    let Ok(taken) = TcpListener::bind("[::1]:0") else { return };
    let address = format!("localhost:{}", taken.local_addr().unwrap().port());
    let (exit_code, _, err) = run(&["serve", "--set", "log.level=error", "--listen", &address]);
    assert_eq!(exit_code, 1, "{err}");
    assert!(err.starts_with(&format!("handclasp: cannot listen on {address}: Address already in use")), "{err}");
}

#[test]
fn a_failed_start_prints_one_line_with_the_reason() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let metrics = format!("metrics.listen={address}");
    for (args, message) in [
        (["--listen", &address], format!("cannot listen on {address}: Address already in use")),
        (["--set", &metrics], format!("cannot listen on {address}: Address already in use")),
        (["--listen", "nowhere"], "--listen: server.listen: \"nowhere\" is not an ip address".into()),
        (["--listen", "192.0.2.1:80"], "cannot listen on 192.0.2.1:80: Cannot assign".into()),
        (["--config", "/none.toml"], "/none.toml: cannot be read: No such file".into()),
        (["--set", "log.level=loud"], "--set: log.level: \"loud\" is not off,".into()),
    ] {
        let (exit_code, out, err) =
            run(&[&["serve", "--set", "log.level=error", "--set", "server.listen=127.0.0.1:0"][..], &args].concat());
        assert_eq!((exit_code, out.as_str(), err.lines().count()), (1, "", 1), "{err}");
        assert!(err.starts_with(&format!("handclasp: {message}")), "{err}");
    }
}

#[test]
fn hello_the_relay_and_the_metrics_have_a_line_each_if_they_are_on() {
    let (exit_code, out, err) = run(&[
        "check",
        "--set",
        "hello.enabled=true",
        "--set",
        "relay.enabled=true",
        "--set",
        "relay.path=/all",
        "--set",
        "metrics.listen=127.0.0.1:4001",
    ]);
    assert_eq!(exit_code, 0, "{err}");
    assert_eq!(
        out.lines().skip(3).collect::<Vec<_>>(),
        [
            "hello    ws://127.0.0.1:4000/hello",
            "relay    ws://127.0.0.1:4000/all",
            "metrics  http://127.0.0.1:4001/metrics",
            "origins  same",
        ]
    );
}

#[test]
fn check_prints_what_would_start() {
    let (exit_code, out, err) = run(&["check", "--set", "socket.check_origin=//*.example.com"]);
    assert_eq!(exit_code, 0, "{err}");
    assert_eq!(
        out.lines().collect::<Vec<_>>(),
        [
            "ok",
            "page     http://127.0.0.1:4000/",
            "sockets  ws://127.0.0.1:4000/{socket,ws,peer}/websocket",
            "origins  //*.example.com",
        ]
    );
}

/// The warnings of `check` with these settings, without `handclasp: warning: `.
fn warnings(sets: &[&str]) -> Vec<String> {
    let args: Vec<&str> = ["check"].into_iter().chain(sets.iter().flat_map(|set| ["--set", set])).collect();
    let (exit_code, out, err) = run(&args);
    assert!(exit_code == 0 && out.starts_with("ok\n"), "{sets:?}: {out} {err}");
    let lines = err.lines().map(|line| line.strip_prefix("handclasp: warning: ").unwrap_or_else(|| panic!("{err}")));
    lines.map(str::to_owned).collect()
}

#[test]
fn check_warns_of_what_is_open() {
    const CLOSED: [&str; 2] = ["socketio.check_origin=same", "peerjs.cors=same"];
    const TURN: &str = r#"peer.ice_servers=[{ urls = "turn:a.test", secret = "s" }]"#;
    const URL: &str = "server.public_urls=https://a.test";
    let every_site = "pages of every web site may connect: ";
    assert_eq!(
        warnings(&[]),
        [format!("{every_site}socketio.check_origin (Socket.IO), peerjs.cors (PeerJS)")],
        "the defaults"
    );
    assert_eq!(warnings(&["socketio.enabled=false", "peerjs.enabled=false"]), [""; 0]);
    for (sets, expected) in [
        (&[][..], None),
        (&["hello.check_origin=any", "relay.check_origin=any", "ice.check_origin=any"], None),
        (&["socket.check_origin=any"], Some("pages of every web site may connect: socket.check_origin (Phoenix)")),
        (&["ice.check_origin=any", TURN], Some("pages of every web site may connect: ice.check_origin (credentials")),
        (&["hello.enabled=true", "hello.check_origin=same"], Some("hello.enabled: any client may take any name")),
        (&["relay.enabled=true", "relay.check_origin=same"], Some("relay.enabled: each client receives all")),
        (&["peerjs.allow_discovery=true"], Some("peerjs.allow_discovery: any client may list")),
        (&["server.listen=0.0.0.0:4000"], Some("server.listen: other machines can reach 0.0.0.0:4000, under any host")),
        (&["server.listen=[::]:4000"], Some("server.listen: other machines can reach [::]:4000")),
        (&["server.listen=broker.internal:4000"], Some("server.listen: other machines can reach broker.internal:4000")),
        (&["server.listen=0.0.0.0:4000", URL], None),
        (&["server.listen=localhost:4000"], None),
        (&["server.listen=[::1]:4000"], None),
        (&["server.trusted_proxies=127.0.0.1"], Some("server.public_urls: empty, so requests get 421 if a proxy")),
        (&["server.trusted_proxies=127.0.0.1", URL], None),
        (&["server.trusted_proxies=0.0.0.0/0", URL], Some("server.trusted_proxies: any client can pose as any other")),
        (
            &[r#"server.trusted_proxies=["0.0.0.0/1", "128.0.0.0/1", "::/0"]"#, URL],
            Some(
                "server.trusted_proxies: any client can pose as any other, because the list contains 0.0.0.0/0 and ::/0",
            ),
        ),
        (&["metrics.listen=0.0.0.0:9464"], Some("metrics.listen: other machines can read the metrics at 0.0.0.0:9464")),
        (&["metrics.listen=localhost:9464"], None),
    ] {
        let warnings = warnings(&[&CLOSED[..], sets].concat());
        let is_expected = match expected {
            Some(start) => warnings.len() == 1 && warnings[0].starts_with(start),
            None => warnings.is_empty(),
        };
        assert!(is_expected, "{sets:?}: {warnings:?}");
    }
    let all = warnings(&["server.listen=0.0.0.0:4000", "metrics.listen=0.0.0.0:9464", "hello.enabled=true"]);
    assert_eq!(all.len(), 4, "{all:?}");
}

#[test]
fn check_prints_each_error_with_its_place() {
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/cli.toml");
    std::fs::write(path, "[limits]\nfragment = 2\nqueue_age = 5\n").unwrap();
    let (exit_code, out, err) = run(&["check", "--config", path]);
    assert_eq!((exit_code, out.as_str()), (1, ""));
    assert_eq!(
        err.lines().collect::<Vec<_>>(),
        [
            format!("handclasp: {path}:2: limits.fragment: no such key; did you mean limits.fragments?"),
            format!("handclasp: {path}:3: limits.queue_age: 5 is not a duration from \"10ms\" to \"1h\""),
        ]
    );
}

#[test]
fn environment_variables_configure_the_broker() {
    let check = |name, value| output_of(handclasp(&["check"]).env(name, value));
    assert!(check("HANDCLASP_SERVER_LISTEN", "127.0.0.1:5000").1.contains("http://127.0.0.1:5000/"));
    let (exit_code, _, err) = check("HANDCLASP_SERVER_LISTENS", "127.0.0.1:5000");
    assert_eq!(exit_code, 1);
    assert!(err.contains("did you mean HANDCLASP_SERVER_LISTEN?"), "{err}");
    assert_eq!(check("HANDCLASP_CONFIG", "/none.toml").0, 1);
    assert_eq!(check("HANDCLASP_BIN", "target/debug/handclasp").0, 0);
}

#[test]
fn version_and_help_are_printed() {
    let version = concat!("handclasp ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(run(&["--version"]), (0, version.into(), String::new()));
    for args in [&["--help"][..], &["serve", "--help"], &["check", "--help"]] {
        let (exit_code, out, _) = run(args);
        assert_eq!(exit_code, 0);
        assert!(out.contains("Examples:") && out.contains("HANDCLASP_SECTION_KEY"), "{out}");
    }
    for args in [&[][..], &["sevre"], &["serve", "--port", "1"]] {
        assert_eq!(run(args).0, 2, "{args:?}");
    }
}

#[test]
fn the_log_is_json_if_configured() {
    let mut broker = Broker::start(&["--set", "log.format=json", "--set", "log.level=trace"]);
    broker.get("/");
    let mut lines = BufReader::new(broker.process.stderr.take().unwrap()).lines();
    let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    for field in ["ts", "level", "target", "msg"] {
        assert!(line[field].is_string(), "{field} in {line}");
    }
}

#[test]
fn serve_prints_the_metrics_address() {
    let metrics = ["--set", "metrics.listen=127.0.0.1:0"];
    let broker = Broker::with_output_lines(3, &metrics);
    let line = &broker.lines[2];
    let address = line.strip_prefix("metrics  http://").and_then(|rest| rest.strip_suffix("/metrics")).unwrap();
    assert!(!address.ends_with(":0") && TcpStream::connect(address).is_ok(), "{line}");
    assert_eq!(run(&[&["check"][..], &metrics].concat()).1.lines().nth(3), Some("metrics  http://127.0.0.1:0/metrics"));
}
