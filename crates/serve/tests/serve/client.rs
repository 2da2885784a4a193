//! A plain HTTP/1.1 client that can also misbehave.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A boundary that no picture contains.
const BOUNDARY: &str = "a-boundary-of-the-tests";

/// A response.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The code of a problem.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().expect("a problem's code").to_owned()
    }
}

/// A connection, kept open from one request to the next.
pub struct Client {
    pub stream: TcpStream,
    waiting: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, waiting: Vec::new() }
    }

    /// Sends bytes as they are; a server that has hung up may refuse them.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    pub fn request(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        self.send(&[head.as_bytes(), body].concat());
        self.reply().unwrap_or_else(|| panic!("{method} {path}: the connection was closed"))
    }

    /// The next response; `None` where the connection is closed instead.
    pub fn reply(&mut self) -> Option<Reply> {
        let end = loop {
            if let Some(end) = self.waiting.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if !self.more() {
                return None;
            }
        };
        let rest = self.waiting.split_off(end + 4);
        let head = String::from_utf8(std::mem::replace(&mut self.waiting, rest)).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut reply = Reply { status, headers, body: Vec::new() };
        let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.waiting.len() < length {
            assert!(self.more(), "the response breaks off");
        }
        let rest = self.waiting.split_off(length);
        reply.body = std::mem::replace(&mut self.waiting, rest);
        Some(reply)
    }

    fn more(&mut self) -> bool {
        let mut buffer = [0; 1 << 13];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.waiting.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the server neither responds nor closes the connection")
            }
            // Hung up with bytes of ours unread.
            Err(_) => false,
        }
    }
}

/// One request on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> Reply {
    Client::connect(address).request("GET", path, "", b"")
}

/// One request with a body of this content type.
pub fn post(address: SocketAddr, path: &str, kind: &str, body: &[u8]) -> Reply {
    let headers = format!("content-type: {kind}\r\n");
    Client::connect(address).request("POST", path, &headers, body)
}

/// A form with these files: its content type and body.
pub fn form(files: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, bytes) in files {
        let head = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"picture\"; \
             filename=\"{name}\"\r\ncontent-type: image/png\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}
