//! The suite for real NATS servers of the oldest and the newest version, and what is NATS' alone.

mod cluster;
mod faults;
mod order;
mod refusals;
mod tls;

use std::rc::Rc;
use std::time::Duration;

use handclasp::cluster::engine::{Engine, EngineEvents, LinkError};
use handclasp::cluster::nats::{Nats, NatsOptions};

use crate::common::TIMEOUT;
use crate::common::nats::NatsServer;
use crate::suite::{Recorder, Site, block_on};

/// How long a server may take to answer in tests that do not wait for a lost server: the machine may be busy.
const PATIENT: Duration = Duration::from_secs(8);
/// The same, in tests that do.
const SHORT: Duration = Duration::from_millis(500);
/// The lease of the suite's nodes.
const LEASE: Duration = Duration::from_secs(2);
/// One in tests that do not wait for its end.
const LONG_LEASE: Duration = Duration::from_secs(60);

fn engine(urls: &[String], timeout: Duration) -> Nats {
    engine_of(urls, timeout, LEASE)
}

fn engine_of(urls: &[String], timeout: Duration, lease: Duration) -> Nats {
    Nats::new(NatsOptions { urls: urls.to_vec(), prefix: "handclasp".into(), timeout, lease }).unwrap()
}

/// The result of linking, on a runtime of its own.
fn link(url: &str) -> Result<(), LinkError> {
    let urls = [url.to_owned()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let linked = async { engine(&urls, SHORT).link(&"a-1".into(), Rc::new(Recorder::default())).await };
    tokio::task::LocalSet::new().block_on(&runtime, linked)
}

/// Links until it works.
async fn link_again(engine: &Nats, events: &Rc<Recorder>) {
    let start = tokio::time::Instant::now();
    while let Err(error) = engine.link(&"a-1".into(), Rc::clone(events) as Rc<dyn EngineEvents>).await {
        assert!(start.elapsed() < 3 * TIMEOUT, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Site for NatsServer {
    fn engine(&self) -> Rc<dyn Engine> {
        Rc::new(engine(&[self.url()], PATIENT))
    }
}

mod newest {
    use super::*;

    engine_suite!(|case| block_on(async move { case(Rc::new(NatsServer::start())).await }));
}

mod oldest {
    use super::*;
    use crate::common::nats::OLDEST;

    engine_suite!(|case| block_on(async move { case(Rc::new(NatsServer::start_version(OLDEST))).await }));
}
