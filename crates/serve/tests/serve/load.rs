//! Overload, and graceful shutdown.

use std::time::{Duration, Instant};

use crate::client::{Client, form, get, post};
use crate::support::{Running, options, picture};

/// A form of as many pictures as a request may have.
fn many() -> (String, Vec<u8>) {
    let bytes = picture(1);
    let files: Vec<(&str, &[u8])> = (0..64).map(|_| ("p", bytes.as_slice())).collect();
    form(&files)
}

#[test]
fn a_picture_that_is_not_done_in_time_is_503_and_its_work_is_dropped() {
    let mut options = options();
    options.threads = 1;
    options.limits.time = Duration::from_millis(300);
    // One at a time, so that what is given up is not in a batch already.
    options.limits.batch = 1;
    let server = Running::start(&options);
    let bytes = large_picture();
    let files: Vec<(&str, &[u8])> = (0..64).map(|_| ("p", bytes.as_slice())).collect();
    let (kind, body) = form(&files);
    let reply = post(server.address, "/v1/predict", &kind, &body);
    assert_eq!((reply.status, reply.code().as_str()), (503, "timeout"));
    assert!(reply.header("retry-after").is_some());
    let start = Instant::now();
    let metrics = loop {
        let metrics = get(server.address, "/metrics").text();
        if metrics.contains("facefold_pictures_waiting 0\n") {
            break metrics;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{metrics}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let done = metrics.lines().find_map(|l| l.strip_prefix("facefold_batch_pictures_sum "));
    assert!(
        done.unwrap().parse::<f64>().unwrap() < 64.0,
        "requests of closed connections were processed"
    );
}

/// A picture that takes long to decode.
fn large_picture() -> Vec<u8> {
    let picture = image::RgbImage::from_fn(1900, 1900, |x, y| {
        image::Rgb([(x / 8) as u8, (y / 8) as u8, (x / 16 + y / 16) as u8])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let bytes = bytes.into_inner();
    assert!(bytes.len() * 64 < 32 << 20, "{} bytes", bytes.len());
    bytes
}

#[test]
fn a_stopping_server_finishes_its_requests_and_refuses_others() {
    let mut server = Running::start(&options());
    let address = server.address;
    let (kind, body) = many();
    let mut waiting = Client::connect(address);
    assert_eq!(waiting.request("GET", "/health", "", b"").status, 200);
    let long = std::thread::spawn(move || post(address, "/v1/predict", &kind, &body));
    while !get(address, "/metrics").text().contains("facefold_requests_in_work 1\n") {
        assert!(!long.is_finished(), "the request was done before it was seen");
        std::thread::yield_now();
    }
    server.stopper.stop();
    let mut refused = 0;
    while !long.is_finished() {
        // In the last moment the listener may be gone already.
        let Ok(stream) = std::net::TcpStream::connect(address) else { break };
        drop(stream);
        let reply = waiting.request("POST", "/v1/predict", "content-type: image/png\r\n", b"x");
        if reply.status == 503 {
            assert_eq!(reply.code(), "shutting-down");
            assert!(reply.header("retry-after").is_some());
            let ready = waiting.request("GET", "/ready", "", b"");
            let health = waiting.request("GET", "/health", "", b"");
            assert_eq!((ready.status, health.status), (503, 200));
            refused += 1;
            break;
        }
        // The word to stop has not come through yet.
        assert_eq!(reply.status, 415);
    }
    assert_eq!(refused, 1, "no request was refused while the server stopped");
    let reply = long.join().unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["pictures"].as_array().unwrap().len(), 64);
    server.join();
    assert!(std::net::TcpStream::connect(address).is_err(), "still listening");
}

#[test]
fn new_clients_do_not_delay_the_shutdown() {
    let mut options = options();
    options.limits.drain_time = Duration::from_mins(1);
    let mut server = Running::start(&options);
    let (address, stop) = (server.address, std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    // Each connection is given up at once.
                    drop(std::net::TcpStream::connect(address));
                }
            });
        }
        std::thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        server.stopper.stop();
        server.join();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    });
}

#[test]
fn stalled_clients_do_not_delay_the_shutdown() {
    let mut options = options();
    options.limits.drain_time = Duration::from_mins(1);
    let mut server = Running::start(&options);
    let head = "POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\n";
    let stalled = |text: &str| {
        let mut client = Client::connect(server.address);
        client.send(text.as_bytes());
        client
    };
    let mut uploading = [
        stalled(&format!("{head}content-length: 1000\r\n\r\nabc")),
        stalled(&format!("{head}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")),
    ];
    let _half_a_head = stalled(head);
    // More responses than the system's buffers hold, none of them read.
    let _reads_nothing =
        stalled(&"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(800));
    while get(server.address, "/metrics").text().contains("facefold_connections 4\n") {}
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    server.stopper.stop();
    for client in &mut uploading {
        let reply = client.reply().expect("a response");
        assert_eq!((reply.status, reply.code().as_str()), (503, "shutting-down"));
    }
    server.join();
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}
