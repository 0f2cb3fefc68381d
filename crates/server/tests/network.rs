//! Over real connections: time-outs, limits, and an orderly end.

mod common;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Api, TestKeys};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};
use zhiyin_server::{AuthMode, ServerConfig};

struct Server {
    api: Api,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

async fn start(change: impl FnOnce(&mut ServerConfig)) -> Server {
    let mut config = ServerConfig::new(AuthMode::Keys(Arc::new(TestKeys)));
    change(&mut config);
    let api = Api::with(config.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(zhiyin_server::serve(listener, api.engine.clone(), config, async {
        stopped.await.unwrap_or(());
    }));
    Server { api, address, stop, served }
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

/// Everything until the other side closes.
async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let _ =
        tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut text)).await.expect("the server closes");
    String::from_utf8_lossy(&text).into_owned()
}

const KEY: &str = "authorization: Bearer zy_all\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_never_ends_is_cut_off() {
    let server = start(|config| config.header_timeout = Duration::from_millis(100)).await;
    let mut stream = connect(&server).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-slow: ").await.unwrap();
    let start = Instant::now();
    read_all(&mut stream).await;
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_never_ends_gets_a_problem() {
    let server = start(|config| config.body_timeout = Duration::from_millis(100)).await;
    let mut stream = connect(&server).await;
    let head = format!("POST /v1/events HTTP/1.1\r\nhost: a\r\n{KEY}content-length: 100\r\n\r\n{{\"type\":");
    stream.write_all(head.as_bytes()).await.unwrap();
    let reply = read_all(&mut stream).await;
    assert!(reply.starts_with("HTTP/1.1 408") && reply.contains("application/problem+json"), "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_a_length_is_cut_at_the_limit() {
    let server = start(|config| config.body_bytes_max = 1_000).await;
    let mut stream = connect(&server).await;
    let head = format!("POST /v1/events HTTP/1.1\r\nhost: a\r\n{KEY}transfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..20 {
        // The server may answer and close before all is sent.
        let _ = stream.write_all(format!("64\r\n{}\r\n", " ".repeat(100)).as_bytes()).await;
    }
    let mut start = [0; 64];
    let length = stream.read(&mut start).await.unwrap();
    let reply = String::from_utf8_lossy(&start[..length]);
    assert!(reply.starts_with("HTTP/1.1 413"), "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_changes_nothing() {
    let server = start(|_| ()).await;
    let before = server.api.held();
    let mut stream = connect(&server).await;
    let head = format!("POST /v1/events HTTP/1.1\r\nhost: a\r\n{KEY}content-length: 500\r\n\r\n");
    let event = json!({"type": "view", "user": "user-42", "item": "mug"});
    stream.write_all(format!("{head}{event}").as_bytes()).await.unwrap();
    drop(stream);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(server.api.held(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_over_the_limit_wait_for_their_turn() {
    let server = start(|config| config.connections_max = 1).await;
    let request = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut buffer = [0; 512];
    let mut first = connect(&server).await;
    first.write_all(request).await.unwrap();
    assert!(first.read(&mut buffer).await.unwrap() > 0);
    let mut second = connect(&server).await;
    second.write_all(request).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(100), second.read(&mut buffer)).await;
    assert!(early.is_err(), "the second was served while the first had the only place");
    drop(first);
    let length = tokio::time::timeout(Duration::from_secs(5), second.read(&mut buffer)).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&buffer[..length]).starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_can_follow_each_other_on_one_connection() {
    let server = start(|_| ()).await;
    let mut stream = connect(&server).await;
    let one = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    let last = "GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(format!("{one}{one}{last}").as_bytes()).await.unwrap();
    let reply = read_all(&mut stream).await;
    assert_eq!(reply.matches("HTTP/1.1 200").count(), 3, "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_lets_running_requests_finish_and_stops_the_engine() {
    let server = start(|_| ()).await;
    let mut idle = connect(&server).await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut buffer = [0; 512];
    assert!(idle.read(&mut buffer).await.unwrap() > 0);
    server.api.storage.block(true);
    let mut running = connect(&server).await;
    let event = json!({"type": "view", "user": "user-42", "item": "mug"}).to_string();
    let head = format!("POST /v1/events HTTP/1.1\r\nhost: a\r\n{KEY}content-length: {}\r\n\r\n", event.len());
    running.write_all(format!("{head}{event}").as_bytes()).await.unwrap();
    server.api.until("the event waits", |engine| engine.status().queued_events > 0).await;
    server.stop.send(()).unwrap();
    assert_eq!(idle.read(&mut buffer).await.unwrap(), 0, "an idle connection is closed at once");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!server.served.is_finished(), "a request is still running");
    assert!(TcpStream::connect(server.address).await.is_err(), "no new connections are taken");
    server.api.storage.block(false);
    let reply = read_all(&mut running).await;
    assert!(reply.starts_with("HTTP/1.1 202"), "{reply}");
    server.served.await.unwrap().unwrap();
    assert!(!server.api.engine.ready());
    assert_eq!(server.api.held().events, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_take_too_long_are_cut_off_at_the_end() {
    let server = start(|config| config.shutdown_grace = Duration::from_millis(100)).await;
    let mut slow = connect(&server).await;
    let head = format!("POST /v1/events HTTP/1.1\r\nhost: a\r\n{KEY}content-length: 100\r\n\r\n{{");
    slow.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), server.served).await.expect("it ends").unwrap().unwrap();
}
