//! When a part of the node itself fails: a registry that dies takes the node with it, loudly.

mod common;

use std::sync::Arc;

use common::{Client, config};
use compact_str::CompactString;
use handclasp::adapter::{Adapter, Answer, Claimed, Epoch, Inbox, Local, Packet};
use handclasp::message::{Proof, Verdict};
use handclasp::{Endpoint, Topic};

/// A backplane whose code panics where the registry calls it.
struct Faulty;

impl Adapter for Faulty {
    fn start(&self, _: Arc<dyn Inbox>) {}
    fn node(&self) -> CompactString {
        "faulty".into()
    }
    fn claim(&self, name: &Topic, proof: Option<Proof>) -> Answer<Claimed> {
        Local.claim(name, proof)
    }
    fn release(&self, _: &Topic, _: Epoch) {}
    fn whereis(&self, name: &Topic) -> Answer<bool> {
        Local.whereis(name)
    }
    fn deliver(&self, name: &Topic, packet: Packet) -> Answer<Verdict> {
        Local.deliver(name, packet)
    }
    fn publish(&self, _: &Topic, _: Packet) {}
    fn interest(&self, _: &Topic, _: bool) {
        panic!("a fault in the registry's thread, for the test");
    }
}

#[actix_web::test]
async fn a_node_whose_registry_has_died_ends_with_an_error() {
    let node = Endpoint::new(config(&[])).adapter(Faulty).start().unwrap();
    let mut client = Client::new(node.address()).await;
    let serving = actix_web::rt::spawn(node.until_signal());
    client.say(r#"["1","1","room:r","phx_join",{}]"#).await;
    let ended = tokio::time::timeout(common::PATIENCE, serving).await.expect("the node ends").unwrap();
    assert_eq!(ended.unwrap_err().to_string(), "the registry has died");
}
