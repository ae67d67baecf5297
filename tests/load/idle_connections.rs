//! What an idle connection costs, even after it was busy: one descriptor and little memory.

use crate::common::process::Process;
use crate::common::{Client, get, id, wait_until};

const CONNECTIONS: usize = 400;
/// Twice what a debug build uses. The HTTP server's buffers alone would be 16 KiB.
const MAX_BYTES: u64 = 16 * 1024;

#[actix_web::test]
async fn an_idle_websocket_keeps_one_descriptor_and_no_buffers() {
    let process = Process::start(&["server.workers=1", "limits.sockets_per_ip=1000", "limits.connects_burst=1000"]);
    assert_eq!(get(process.address, "/healthz").await.0, 200);
    let (descriptors, resident) = (process.descriptors(), process.resident());
    let mut clients = Vec::new();
    for n in 0..CONNECTIONS {
        let mut client = Client::new(process.address).await;
        client.join("1", &format!("peer:{}", id(n)), "{}").await;
        clients.push(client);
    }
    for n in 0..CONNECTIONS {
        let to = (n + 1) % CONNECTIONS;
        let sdp = "x".repeat(1_500);
        let offer = format!(r#"["1","2","peer:{}","offer",{{"peer_id":"{}","sdp":"{sdp}"}}]"#, id(n), id(to));
        clients[n].send(&offer).await;
        clients[to].receive_until(&sdp).await;
    }
    assert!(process.descriptors() <= descriptors + CONNECTIONS, "{} of {CONNECTIONS}", process.descriptors());
    let each = (process.resident() - resident) / CONNECTIONS as u64;
    assert!(each < MAX_BYTES, "{each} bytes per connection");
    drop(clients);
    wait_until("the descriptors are closed", || async { process.descriptors() <= descriptors }).await;
}
