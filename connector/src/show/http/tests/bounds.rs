//! What a server over sockets bears.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const HEAD: &str = "HTTP/1.1\r\nHost: localhost\r\n";

/// A server within `bounds`, and what keeps it.
async fn served(bounds: Bounds) -> (Scene, watch::Sender<bool>, SocketAddr) {
    let mut scene = scene().await;
    let mut config = Config::clone(&scene.shown.config);
    config.http.listen = "127.0.0.1:0".parse().unwrap();
    scene.shown.config = Arc::new(config);
    let (stop, stopped) = watch::channel(false);
    let address = serve_within(bounds, scene.shown.clone(), stopped).await.unwrap();
    (scene, stop, address)
}

/// All that comes back until the server closes the connection.
async fn closed(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // A connection that was refused may be reset.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut said)).await.unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

async fn ask(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_request_that_never_becomes_whole_is_ended() {
    let bounds = Bounds { request: Duration::from_millis(300), ..Bounds::default() };
    let (_scene, _stop, address) = served(bounds).await;
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        format!("PUT /api/v1/speed {HEAD}Content-Type: application/json\r\nContent-Length: 40\r\n\r\n");
    ask(&mut stream, &format!("{head}{{\"bytes_per_second\":")).await;
    let said = closed(&mut stream).await;
    assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("application/problem+json"), "{said}");
    assert!(said.contains("content-security-policy"), "{said}");
    // Long before a head that is not whole would have ended it.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_those_before_are_served() {
    let (_scene, _stop, address) = served(Bounds { connections: 3, ..Bounds::default() }).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        ask(&mut stream, &format!("GET /livez {HEAD}\r\n")).await;
        let mut said = [0; 12];
        stream.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"HTTP/1.1 200");
        held.push(stream);
    }
    let mut beyond = TcpStream::connect(address).await.unwrap();
    assert_eq!(closed(&mut beyond).await, "");
    ask(&mut held[0], &format!("GET /livez {HEAD}Connection: close\r\n\r\n")).await;
    assert!(closed(&mut held[0]).await.contains("HTTP/1.1 200"));
    // Its place is free again.
    let mut next = String::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(format!("GET /livez {HEAD}Connection: close\r\n\r\n").as_bytes()).await;
        next = closed(&mut stream).await;
        if !next.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(next.starts_with("HTTP/1.1 200"), "{next}");
}
