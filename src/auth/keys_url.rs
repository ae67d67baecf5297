//! [`KeysUrl`]: reads the JWK Set at a URL again and again, on a thread of its own, so that no client waits for it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::jwks::{KeySet, MAX_BYTES};
use super::key::Key;
use crate::config::https_url::HttpsUrl;
use crate::http_client::HttpClient;

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The minimum pause between two requests, however many clients have unknown keys.
const PAUSE: Duration = Duration::from_secs(30);

/// The keys at a URL. Dropping it ends its thread.
pub(super) struct KeysUrl {
    shared: Arc<Shared>,
    /// Asks the thread to read the set before its time.
    ask: SyncSender<()>,
}

/// What the thread and the checks of tokens share.
struct Shared {
    url: HttpsUrl,
    client: HttpClient,
    keys: Mutex<Arc<[Key]>>,
    outcome: Mutex<Outcome>,
    started: Instant,
}

/// What has become of the latest requests.
#[derive(Default)]
struct Outcome {
    /// When the present keys were read, if there are any.
    read_at: Option<Instant>,
    /// The warnings of the last set, or why it could not be read. Each is logged when it is new.
    told: Vec<String>,
}

/// When the set is read.
#[derive(Clone, Copy)]
struct Times {
    refresh: Duration,
    pause: Duration,
}

impl KeysUrl {
    /// Reads the set once, and then each `refresh`. If the first attempt fails, there are no keys until one succeeds.
    pub(super) fn start(url: HttpsUrl, refresh: Duration) -> std::io::Result<Self> {
        Self::with(url, HttpClient::new(TIMEOUT), Times { refresh, pause: PAUSE })
    }

    fn with(url: HttpsUrl, client: HttpClient, times: Times) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            url,
            client,
            keys: Mutex::new(Arc::default()),
            outcome: Mutex::default(),
            started: Instant::now(),
        });
        shared.read();
        let (ask, asked) = sync_channel(1);
        let for_thread = shared.clone();
        thread::Builder::new().name("jwks".into()).spawn(move || run(&for_thread, &asked, times))?;
        Ok(Self { shared, ask })
    }

    pub(super) fn keys(&self) -> Arc<[Key]> {
        self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A token has a key that is not known. The set is read again soon.
    pub(super) fn key_unknown(&self) {
        // if the thread was asked already, once is enough
        let _ = self.ask.try_send(());
    }

    /// The time since the present keys were read. Without keys, the time since the first attempt.
    pub(super) fn age(&self) -> Duration {
        self.shared.outcome().read_at.unwrap_or(self.shared.started).elapsed()
    }

    /// Why there are no keys.
    pub(super) fn problem(&self) -> Option<String> {
        let outcome = self.shared.outcome();
        outcome.read_at.is_none().then(|| outcome.told.join("; "))
    }
}

impl Drop for KeysUrl {
    fn drop(&mut self) {
        self.shared.client.shut_down();
    }
}

/// Reads the set until the [`KeysUrl`] is dropped. A failed attempt is repeated after the pause.
fn run(shared: &Shared, asked: &Receiver<()>, Times { refresh, pause }: Times) {
    let mut has_keys = shared.outcome().read_at.is_some();
    loop {
        let tried_at = Instant::now();
        let mut due = tried_at + if has_keys { refresh } else { pause };
        loop {
            match asked.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Disconnected) => return,
                // what is asked later has the same answer
                Ok(()) if due > tried_at + pause => due = tried_at + pause,
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        has_keys = shared.read();
    }
}

impl Shared {
    /// Reads the set. If that fails, the present keys stay. Returns whether it has succeeded.
    fn read(&self) -> bool {
        let (told, is_read) = match self.fetch() {
            Ok(KeySet { keys, warnings }) => {
                *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys.into();
                (warnings, true)
            }
            Err(why) => (vec![why], false),
        };
        let mut outcome = self.outcome();
        let named = |what: &String| format!("auth.jwks: {}: {what}", self.url);
        told.iter().filter(|what| !outcome.told.contains(what)).for_each(|what| log::warn!("{}", named(what)));
        if is_read {
            if outcome.read_at.is_none() || outcome.told.iter().any(|what| !told.contains(what)) {
                log::info!("{}", named(&"the keys were read".to_owned()));
            }
            outcome.read_at = Some(Instant::now());
        }
        outcome.told = told;
        is_read
    }

    fn outcome(&self) -> MutexGuard<'_, Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch(&self) -> Result<KeySet, String> {
        let text = self.client.get(&self.url, MAX_BYTES).map_err(|error| error.to_string())?;
        let set = KeySet::parse(&text)?.without_secrets();
        match set.keys.is_empty() {
            true => Err(format!("no key can be used. {}", set.warnings.join("; "))),
            false => Ok(set),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);
    const SET: &str =
        r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"KID"}]}"#;

    /// A server that answers each request with the next response, and tells that it has.
    struct Server {
        url: HttpsUrl,
        responses: Sender<String>,
        asked: Receiver<()>,
    }

    impl Server {
        fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/keys?secret", listener.local_addr().unwrap()).parse().unwrap();
            let (responses, next) = channel::<String>();
            let (tell, asked) = channel();
            thread::spawn(move || {
                for response in next {
                    let (mut stream, _) = listener.accept().unwrap();
                    let mut lines = BufReader::new(&mut stream).lines().map(Result::unwrap);
                    while lines.next().is_some_and(|line| !line.is_empty()) {}
                    // the client may have given up
                    let _ = stream.write_all(response.as_bytes());
                    tell.send(()).unwrap();
                }
            });
            Self { url, responses, asked }
        }

        fn will_answer(&self, status: &str, body: &str) {
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            self.responses.send(head + body).unwrap();
        }

        fn reader(&self, times: Times) -> KeysUrl {
            KeysUrl::with(self.url.clone(), HttpClient::new(TIMEOUT), times).unwrap()
        }
    }

    fn with_key(id: &str) -> String {
        SET.replace("KID", id)
    }

    fn ids(keys: &KeysUrl) -> Vec<String> {
        keys.keys().iter().map(|key| key.id.clone().unwrap()).collect()
    }

    fn wait_for(keys: &KeysUrl, id: &str) {
        while ids(keys) != [id] {
            thread::yield_now();
        }
    }

    #[test]
    fn keys_are_replaced_and_a_failure_keeps_them() {
        let server = Server::start();
        server.will_answer("200 OK", &with_key("a"));
        let keys = server.reader(Times { refresh: Duration::from_millis(10), pause: Duration::from_millis(10) });
        assert_eq!((ids(&keys), keys.problem()), (vec!["a".to_owned()], None));
        server.asked.recv().unwrap();
        let secret = r#"{"keys":[{"kty":"oct","k":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","kid":"s"}]}"#;
        for (status, body) in
            [("500 No", "x"), ("302 Found", ""), ("200 OK", "x"), ("200 OK", secret), ("200 OK", r#"{"keys":[]}"#)]
        {
            server.will_answer(status, body);
            server.asked.recv().unwrap();
        }
        assert_eq!(ids(&keys), ["a"]);
        server.will_answer("200 OK", &with_key("b"));
        wait_for(&keys, "b");
    }

    #[test]
    fn without_a_first_answer_there_are_no_keys_until_one_comes() {
        let server = Server::start();
        server.will_answer("404 No", "");
        let keys = server.reader(Times { refresh: LONG, pause: Duration::from_millis(10) });
        assert_eq!(keys.problem().as_deref(), Some("the status of the response is 404"));
        server.will_answer("200 OK", &with_key("a"));
        wait_for(&keys, "a");
    }

    #[test]
    fn many_unknown_keys_cause_one_request() {
        let server = Server::start();
        server.will_answer("200 OK", &with_key("a"));
        let keys = server.reader(Times { refresh: LONG, pause: Duration::from_millis(200) });
        server.asked.recv().unwrap();
        for id in ["b", "c"] {
            server.will_answer("200 OK", &with_key(id));
            (0..1_000).for_each(|_| keys.key_unknown());
            wait_for(&keys, id);
            server.asked.recv().unwrap();
            assert!(server.asked.try_recv().is_err());
        }
    }

    #[test]
    fn a_dropped_reader_ends_its_thread() {
        let server = Server::start();
        server.will_answer("200 OK", &with_key("a"));
        let keys = server.reader(Times { refresh: LONG, pause: LONG });
        let shared = Arc::downgrade(&keys.shared);
        keys.key_unknown();
        drop(keys);
        while shared.strong_count() > 0 {
            thread::yield_now();
        }
    }
}
