//! The suite for a real Redis server, and what is Redis' alone.

mod faults;
mod refusals;
mod sentinel;
mod subscriptions;
mod tls;

use std::rc::Rc;
use std::time::Duration;

use handclasp::cluster::engine::{Engine, EngineEvents, LinkError};
use handclasp::cluster::redis::{Redis, RedisOptions};

use crate::common::TIMEOUT;
use crate::common::redis::RedisServer;
use crate::suite::{Recorder, Site, block_on};

/// How long a server may take to answer in tests that do not wait for a lost server: the machine may be busy.
const PATIENT: Duration = Duration::from_secs(8);
/// The same, in tests that do: the server still answers in time on a busy machine.
const SHORT: Duration = Duration::from_millis(1_500);

fn engine(urls: &[String], timeout: Duration) -> Redis {
    Redis::new(RedisOptions { urls: urls.to_vec(), prefix: "handclasp".into(), timeout }).unwrap()
}

/// The result of linking, on a runtime of its own.
fn link(url: &str) -> Result<(), LinkError> {
    let urls = [url.to_owned()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let linked = async { engine(&urls, PATIENT).link(&"a-1".into(), Rc::new(Recorder::default())).await };
    tokio::task::LocalSet::new().block_on(&runtime, linked)
}

/// Links until it works.
async fn link_again(engine: &Redis, events: &Rc<Recorder>) {
    let start = tokio::time::Instant::now();
    while let Err(error) = engine.link(&"a-1".into(), Rc::clone(events) as Rc<dyn EngineEvents>).await {
        assert!(start.elapsed() < 3 * TIMEOUT, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Site for RedisServer {
    fn engine(&self) -> Rc<dyn Engine> {
        Rc::new(engine(&[self.url()], PATIENT))
    }
}

engine_suite!(|case| block_on(async move { case(Rc::new(RedisServer::start(&[]))).await }));
