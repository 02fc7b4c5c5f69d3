//! Readers of the event feed over both protocols, and some who take nothing: those are cut, and nobody else notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use hyper::Method;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::agent_server::AgentServer;
use crate::support::director::Director;
use crate::support::follower::Follower;
use crate::support::network::{Home, Network};
use crate::support::plan::Plan;
use crate::support::wait;

const FEED: &str = "/v1/events?event=session_placed";
/// What the clients' sockets keep for them, in bytes.
const RECEIVED: u32 = 4096;

async fn connected(director: &Director, protocol: &str) -> TlsStream<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(RECEIVED).unwrap();
    let stream = socket.connect((director.address(), director.ports().internal).into()).await.unwrap();
    let mut config = (*director.certificates().client_config(Some("operator"))).clone();
    config.alpn_protocols = vec![protocol.into()];
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await.unwrap()
}

async fn ask(send: &mut SendRequest<Bytes>, path: &str) -> Result<RecvStream, h2::Error> {
    let request = http::Request::builder().uri(format!("https://127.0.0.1{path}")).body(()).unwrap();
    let mut ready = send.clone().ready().await?;
    let response = ready.send_request(request, true)?.0.await?;
    assert_eq!(response.status().as_u16(), 200, "{path}");
    Ok(response.into_body())
}

/// Everything of an answer, as it comes; says how it ended.
async fn read(body: &mut RecvStream, mut take: impl FnMut(&[u8])) -> Result<(), h2::Error> {
    while let Some(part) = body.data().await {
        let part = part?;
        take(&part);
        // Of a stream that is gone it fails.
        let _ = body.flow_control().release_capacity(part.len());
    }
    Ok(())
}

/// A thread with a runtime of its own, in the network of whoever starts it.
fn apart<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    thread::spawn(move || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work))
}

async fn until(stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_reader_who_takes_nothing_is_cut_on_either_protocol_and_the_others_hear_everything() {
    let _home = Home::here();
    let network = Network::of(&[("director", [10, 1, 0, 11]), ("servers", [10, 1, 0, 21]), ("clients", [10, 9, 0, 1])]);
    // A stuck reader is stuck after some kilobytes, not after the megabytes that a socket may keep.
    network.host("director").inside(|| std::fs::write("/proc/sys/net/ipv4/tcp_wmem", "4096 4096 4096").unwrap());
    network.host("clients").enter();
    let server = AgentServer::start("ua1", network.host("servers"), 8441);
    let plan = Plan::new().server_on("ua1", server.address(), "east").on(network.host("director"));
    let director = Arc::new(plan.with("end", "[limits]\nidle = \"2s\"").start());
    director.wait_for_usable(&["ua1"]);

    let stop = Arc::new(AtomicBool::new(false));
    let good = Follower::at(&director, None);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let reading = {
        let (director, stop, heard) = (Arc::clone(&director), Arc::clone(&stop), Arc::clone(&heard));
        apart(async move {
            let (mut send, connection) = h2::client::handshake(connected(&director, "h2").await).await.unwrap();
            tokio::spawn(connection);
            let mut body = ask(&mut send, FEED).await.unwrap();
            tokio::select! {
                ended = read(&mut body, |part| heard.lock().extend_from_slice(part)) => panic!("the feed ends: {ended:?}"),
                () = until(&stop) => {}
            }
        })
    };
    let stuck = {
        let (director, stop) = (Arc::clone(&director), Arc::clone(&stop));
        apart(async move {
            let mut stream = connected(&director, "http/1.1").await;
            stream.write_all(format!("GET {FEED} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").as_bytes()).await.unwrap();
            let mut first = [0; 12];
            stream.read_exact(&mut first).await.unwrap();
            assert_eq!(&first, b"HTTP/1.1 200");
            until(&stop).await;
        })
    };
    // It reads everything else on its connection, which is as lively as can be.
    let stuck_stream = {
        let (director, stop) = (Arc::clone(&director), Arc::clone(&stop));
        apart(async move {
            let mut small = h2::client::Builder::new();
            small.initial_window_size(RECEIVED);
            let (mut send, connection) = small.handshake(connected(&director, "h2").await).await.unwrap();
            tokio::spawn(connection);
            let mut body = ask(&mut send, FEED).await.unwrap();
            while !stop.load(Ordering::SeqCst) {
                let mut other = ask(&mut send, "/v1/pools/ua/active").await.unwrap();
                read(&mut other, |_| {}).await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            read(&mut body, |_| {}).await
        })
    };
    wait::for_equal("all four read", &Some(4.0), || director.metric("maitred_event_readers"));

    let mut keys: Vec<String> = Vec::new();
    wait::until("both who take nothing are cut", || {
        let key = format!("agent-{}", keys.len());
        let body = json!({"pool": "ua", "key": key}).to_string();
        let json = [("content-type", "application/json")];
        let url = director.url("/maitred/v1/sessions");
        // Where a machine is so busy that its handshake takes two seconds, it comes again.
        if let Ok(answer) = director.client().try_send(Method::POST, &url, &json, &body) {
            assert!((200..300).contains(&answer.status), "{answer:?}");
            keys.push(key);
        }
        director.lines_with(&["event=\"reader_cut\""]).len() == 2
    });
    assert_eq!(director.metric("maitred_event_readers_cut_total"), Some(2.0));
    wait::for_equal("those who read are still there", &Some(2.0), || director.metric("maitred_event_readers"));
    let last = keys.last().unwrap();
    wait::until("the reader of HTTP/1 hears the last one", || good.has("session_placed", last));
    let told = |key: &str| {
        let text = String::from_utf8_lossy(&heard.lock()).into_owned();
        text.matches(&format!("\"key\":\"{key}\"")).count()
    };
    wait::until("the reader of HTTP/2 as well", || told(last) > 0);
    for key in &keys {
        assert_eq!((told(key), good.told_of(key).len()), (1, 1), "{key}");
    }
    stop.store(true, Ordering::SeqCst);
    reading.join().unwrap();
    stuck.join().unwrap();
    // Of the stuck one's connection only that answer was cut.
    let ended = stuck_stream.join().unwrap().expect_err("its feed was cut");
    assert_eq!((ended.reason(), ended.is_reset()), (Some(Reason::CANCEL), true), "{ended}");
}
