//! A server that misbehaves on purpose, down to the bytes on the wire.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

/// What the server does with one request.
pub enum Act {
    /// Responds with this status and JSON.
    Json(u16, Value),
    /// Responds with these headers, status and body.
    Full(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Writes these bytes and closes: no HTTP need be in them.
    Wire(Vec<u8>),
    /// Announces more bytes than it sends, then closes.
    Truncated(Value),
    /// One byte of a good response every so often.
    Drip(Value, Duration),
    /// Says nothing until the client gives up.
    Hang,
}

impl Act {
    pub fn ok(body: Value) -> Self {
        Self::Json(200, body)
    }
}

/// A request as it came.
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A running server; it stops when dropped.
pub struct Mock {
    pub address: SocketAddr,
    stopped: Arc<AtomicBool>,
    most_at_once: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

impl Mock {
    pub fn start(behaviour: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), behaviour)
    }

    pub fn start_at(
        address: SocketAddr,
        behaviour: impl Fn(&Asked) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let mock = Self {
            address: listener.local_addr().unwrap(),
            stopped: Arc::default(),
            most_at_once: Arc::default(),
            requests: Arc::default(),
            listening: Mutex::default(),
        };
        let (stopped, most) = (Arc::clone(&mock.stopped), Arc::clone(&mock.most_at_once));
        let requests = Arc::clone(&mock.requests);
        let (behaviour, now) = (Arc::new(behaviour), Arc::new(AtomicUsize::new(0)));
        let listening = thread::spawn(move || {
            for connection in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(connection) = connection else { continue };
                let (behaviour, most) = (Arc::clone(&behaviour), Arc::clone(&most));
                let (now, requests) = (Arc::clone(&now), Arc::clone(&requests));
                let stopped = Arc::clone(&stopped);
                thread::spawn(move || {
                    let Some(asked) = read(&connection) else { return };
                    requests.fetch_add(1, Ordering::SeqCst);
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let act = behaviour(&asked);
                    now.fetch_sub(1, Ordering::SeqCst);
                    // A killed server sends no response.
                    if !stopped.load(Ordering::SeqCst) {
                        response(connection, act);
                    }
                });
            }
        });
        *mock.listening.lock().unwrap() = Some(listening);
        mock
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Most requests that were under way at once.
    pub fn most_at_once(&self) -> usize {
        self.most_at_once.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Stops it; connections are refused from now on.
    pub fn kill(&self) {
        if !self.stopped.swap(true, Ordering::SeqCst) {
            // Wakes the listener, which then ends; until it has, it would still accept.
            drop(TcpStream::connect(self.address));
            if let Some(listening) = self.listening.lock().unwrap().take() {
                listening.join().unwrap();
            }
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read(connection: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked { method, path, headers, body: Vec::new() };
    let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    asked.body = vec![0; length];
    reader.read_exact(&mut asked.body).ok()?;
    Some(asked)
}

fn head(status: u16, headers: &[(&str, String)], length: usize) -> Vec<u8> {
    let named: String =
        headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    let head = format!(
        "HTTP/1.1 {status} Status\r\nconnection: close\r\n{named}content-length: {length}\r\n\r\n"
    );
    head.into_bytes()
}

fn response(mut connection: TcpStream, act: Act) {
    let json = |body: &Value| {
        (vec![("content-type", "application/json".to_owned())], body.to_string().into_bytes())
    };
    // A client that gave up has closed the connection; writing to it may fail.
    let mut send = |bytes: &[u8]| connection.write_all(bytes).and_then(|()| connection.flush());
    let sent = match act {
        Act::Json(status, body) => {
            let (headers, body) = json(&body);
            send(&[head(status, &headers, body.len()), body].concat())
        }
        Act::Full(status, headers, body) => {
            send(&[head(status, &headers, body.len()), body].concat())
        }
        Act::Wire(bytes) => send(&bytes),
        Act::Truncated(body) => {
            let (headers, body) = json(&body);
            send(&[head(200, &headers, body.len()), body[..body.len() / 2].to_vec()].concat())
        }
        Act::Drip(body, pause) => {
            let (headers, body) = json(&body);
            let sent = send(&head(200, &headers, body.len()));
            body.iter().fold(sent, |sent, byte| {
                sent?;
                thread::sleep(pause);
                send(&[*byte])
            })
        }
        Act::Hang => {
            let mut rest = Vec::new();
            connection.read_to_end(&mut rest).map(drop)
        }
    };
    drop(sent);
}
