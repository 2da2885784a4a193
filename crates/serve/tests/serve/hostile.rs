//! Clients that send too slowly, too much, or nonsense.

use std::time::{Duration, Instant};

use crate::client::{Client, get, post};
use crate::support::{Running, options};

#[test]
fn a_slow_request_head_is_disconnected() {
    let mut options = options();
    options.limits.head_time = Duration::from_millis(400);
    let server = Running::start(&options);
    let start = Instant::now();
    let mut client = Client::connect(server.address);
    client.send(b"GET /health HTTP/1.1\r\nhost: localhost\r\n");
    client.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let hung_up = loop {
        let is_sent = client.send(b"x: y\r\n");
        let mut byte = [0];
        let end = std::io::Read::read(&mut client.stream, &mut byte);
        if !is_sent || end.as_ref().is_ok_and(|&count| count == 0) {
            break true;
        }
        if start.elapsed() > Duration::from_secs(20) {
            break false;
        }
    };
    assert!(hung_up, "still listening after {:?}", start.elapsed());
    // A connection that waits for its next request is closed too, and others are served.
    let mut idle = Client::connect(server.address);
    assert_eq!(idle.request("GET", "/health", "", b"").status, 200);
    assert!(idle.reply().is_none(), "an idle connection stays open");
    assert_eq!(get(server.address, "/health").status, 200);
}

#[test]
fn a_missing_body_is_408() {
    let mut options = options();
    options.limits.time = Duration::from_millis(400);
    let server = Running::start(&options);
    for framing in ["content-length: 1000", "transfer-encoding: chunked"] {
        let mut client = Client::connect(server.address);
        let head = format!(
            "POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\n{framing}\r\n\r\n"
        );
        client.send(head.as_bytes());
        let reply = client.reply().expect("a response");
        assert_eq!((reply.status, reply.code().as_str()), (408, "request-timeout"), "{framing}");
    }
}

#[test]
fn too_many_bytes_are_413_announced_or_not() {
    let mut options = options();
    options.limits.body = 100_000;
    let server = Running::start(&options);
    let head = "POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\n";
    let mut client = Client::connect(server.address);
    client.send(format!("{head}content-length: 99999999999\r\n\r\n").as_bytes());
    assert_eq!(client.reply().expect("a response").status, 413);
    // Chunks without end: the server stops reading, and says so.
    let mut client = Client::connect(server.address);
    client.send(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes());
    let mut writer = client.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let chunk = [b"1000\r\n".as_slice(), &[0; 0x1000], b"\r\n"].concat();
        let mut sent = 0_usize;
        while sent < 1 << 30 && std::io::Write::write_all(&mut writer, &chunk).is_ok() {
            sent += chunk.len();
        }
        sent
    });
    assert_eq!(client.reply().expect("a response").status, 413);
    drop(client);
    let sent = sender.join().unwrap();
    assert!(sent < 1 << 28, "the server took {sent} bytes");
    // A body of exactly the limit is read.
    assert_eq!(post(server.address, "/v1/predict", "image/png", &vec![0; 100_000]).status, 415);
    assert_eq!(post(server.address, "/v1/predict", "image/png", &vec![0; 100_001]).status, 413);
}

#[test]
fn a_client_that_does_not_read_is_disconnected() {
    let mut options = options();
    options.limits.time = Duration::from_millis(400);
    let server = Running::start(&options);
    let mut client = Client::connect(server.address);
    client.stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    // More responses than the system's buffers hold, none of them read.
    let requests = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1000);
    client.send(&requests);
    let start = Instant::now();
    while !get(server.address, "/metrics").text().contains("facefold_connections 1\n") {
        assert!(start.elapsed() < Duration::from_secs(30), "still connected");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn bodies_share_one_memory() {
    let mut options = options();
    options.limits.memory = 64 << 10;
    let server = Running::start(&options);
    let reply = post(server.address, "/v1/predict", "image/png", &vec![0; 200_000]);
    assert_eq!((reply.status, reply.code().as_str()), (429, "too-many-requests"));
    assert!(reply.header("retry-after").is_some());
    // It is all free again.
    assert_eq!(post(server.address, "/v1/predict", "image/png", &vec![0; 60_000]).status, 415);
}

#[test]
fn heads_that_are_no_http_are_refused() {
    let server = Running::start(&options());
    let ask = |text: &[u8]| {
        let mut client = Client::connect(server.address);
        client.send(text);
        client.reply().map(|reply| reply.status)
    };
    assert_eq!(ask(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n"), Some(400));
    let huge = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(1_000_000));
    let status = ask(huge.as_bytes());
    assert!(matches!(status, Some(431) | None), "{status:?}");
    // Two framings of one body.
    let both = b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\
                 transfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    assert!(matches!(ask(both), Some(400 | 415) | None));
}

#[test]
fn idle_connections_are_closed_for_others_and_busy_ones_are_not() {
    let mut options = options();
    options.limits.connections = 8;
    options.limits.head_time = Duration::from_mins(1);
    let server = Running::start(&options);
    let mut busy = Client::connect(server.address);
    busy.send(
        b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\n\
          content-length: 3\r\n\r\nx",
    );
    let start = Instant::now();
    // Some have asked before, some never, some have half asked.
    let mut waiting: Vec<Client> = (0..20).map(|_| Client::connect(server.address)).collect();
    for client in waiting.iter_mut().step_by(3) {
        client.send(b"GET /health HTTP/1.1\r\n");
    }
    for _ in 0..30 {
        let mut client = Client::connect(server.address);
        assert_eq!(client.request("GET", "/health", "", b"").status, 200);
        waiting.push(client);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let open = |client: &Client| {
        client.stream.set_nonblocking(true).unwrap();
        let end = client.stream.peek(&mut [0]);
        client.stream.set_nonblocking(false).unwrap();
        end.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    let left = waiting.iter().filter(|client| open(client)).count();
    assert!((1..=8).contains(&left), "{left} of 50 are open still");
    busy.send(b"yz");
    assert_eq!(busy.reply().expect("a response").status, 415, "a busy one was cut off");
}
