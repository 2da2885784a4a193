//! Stores at `s3://…`, on moto's S3 server, which can be killed, behind a proxy that can be cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use facefold_testing::{Need, given};

use crate::support::{Dir, drawn, drawn_store, fail, json, line, succeed};

/// Moto's server with what it has in a file, written before a request is answered: a server that is killed and
/// started again has all that it had confirmed, parts of uploads too.
const MAIN: &str = r#"
import os, pickle, sys, threading
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

path, port = sys.argv[1], int(sys.argv[2])
buckets = s3_backends["123456789012"]["aws"].buckets
if os.path.exists(path):
    with open(path, "rb") as file:
        buckets.update(pickle.load(file))
application, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()

def answer(request, start):
    with lock:
        body = application(request, start)
        if request["REQUEST_METHOD"] not in ("GET", "HEAD"):
            with open(path + ".new", "wb") as file:
                pickle.dump(dict(buckets), file)
            os.replace(path + ".new", path)
        return body

run_simple("127.0.0.1", port, answer, threaded=True)
"#;

/// The server, ended with the test.
struct Server {
    python: PathBuf,
    state: PathBuf,
    child: Child,
    port: u16,
}

impl Server {
    /// A server with the bucket `faces`, which keeps what it has at `state`.
    fn start(python: &Path, state: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        let child = Self::spawn(python, state, port);
        let server = Self { python: python.to_owned(), state: state.to_owned(), child, port };
        server.wait_for(Self::make_bucket);
        server
    }

    fn spawn(python: &Path, state: &Path, port: u16) -> Child {
        Command::new(python)
            .args(["-c", MAIN])
            .arg(state)
            .arg(port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("python starts")
    }

    fn kill(&mut self) {
        self.child.kill().expect("a running server");
        self.child.wait().expect("an exit code");
    }

    /// After [`Self::kill`], on the same port.
    fn start_again(&mut self) {
        self.child = Self::spawn(&self.python, &self.state, self.port);
        self.wait_for(|server| TcpStream::connect(("127.0.0.1", server.port)).is_ok());
    }

    fn wait_for(&self, ready: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !ready(self) {
            assert!(start.elapsed() < Duration::from_mins(1), "moto does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn make_bucket(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let request = "PUT /faces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let mut answer = String::new();
        let done =
            stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
        done.is_ok() && answer.starts_with("HTTP/1.1 200")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What lies between client and server: it cuts all connections, and takes no other, once so many bytes were sent.
struct Proxy {
    port: u16,
    /// Bytes that the client may still send; below 0 the server is gone.
    left: Arc<AtomicI64>,
}

impl Proxy {
    fn before(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let left = Arc::new(AtomicI64::new(i64::MAX));
        let (counted, to) = (Arc::clone(&left), server.port);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if counted.load(Ordering::SeqCst) < 0 {
                    let _ = client.shutdown(Shutdown::Both);
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let copies = (client.try_clone(), server.try_clone());
                let (Ok(client_out), Ok(server_in)) = copies else { continue };
                let sent = Arc::clone(&counted);
                std::thread::spawn(move || pass_on(client, server_in, &sent, true));
                let received = Arc::clone(&counted);
                std::thread::spawn(move || pass_on(server, client_out, &received, false));
            }
        });
        Self { port, left }
    }

    fn cut_after(&self, bytes: i64) {
        self.left.store(bytes, Ordering::SeqCst);
    }

    fn mend(&self) {
        self.left.store(i64::MAX, Ordering::SeqCst);
    }

    fn wait_for_cut(&self) {
        let start = Instant::now();
        while self.left.load(Ordering::SeqCst) >= 0 {
            assert!(start.elapsed() < Duration::from_mins(2), "nothing is sent");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Passes bytes on until one of both ends, or the connection is cut.
fn pass_on(mut from: TcpStream, mut to: TcpStream, left: &AtomicI64, counts: bool) {
    let _ = from.set_read_timeout(Some(Duration::from_millis(50)));
    let mut buffer = [0; 16 << 10];
    while left.load(Ordering::SeqCst) >= 0 {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                continue;
            }
            Err(_) => break,
        };
        if counts && left.fetch_sub(read as i64, Ordering::SeqCst) < read as i64 {
            break;
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// A command of a machine, which has a directory of copies of its own.
fn on(machine: &Path, proxy: &Proxy, mut command: Command) -> Command {
    command
        .env("FACEFOLD_STORES", machine)
        .env("AWS_ENDPOINT", format!("http://127.0.0.1:{}", proxy.port))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", "somebody")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_DEFAULT_REGION", "us-east-1");
    command
}

fn extract(store: &str) -> Command {
    line(&format!("extract adience {{}} --store {store} --model untrained --taps"), &[drawn()])
}

fn compare(store: &str) -> Command {
    line(&format!("store compare {{}} {store}"), &[drawn_store()])
}

#[test]
fn a_store_on_s3_is_that_of_a_directory_though_the_server_goes_away() {
    let Some(python) = given(Need::Python) else { return };
    let dir = Dir::new();
    let mut server = Server::start(&python, &dir.path("server"));
    let proxy = Proxy::before(&server);
    let (one, other) = (dir.path("one"), dir.path("other"));

    // Written by one machine, read by another.
    let store = "s3://faces/stores/drawn";
    let words = fail(on(&other, &proxy, line(&format!("store info {store}"), &[])), 1);
    assert!(words.contains("no store at `s3://faces/stores/drawn`"), "{words}");
    succeed(on(&one, &proxy, extract(store)));
    let difference = json(on(&other, &proxy, compare(store)));
    assert_eq!(difference["equal"], true, "{difference}");
    let out = dir.path("report");
    let cv =
        format!("cv --store {store} --task gender --head linear --protocol kfold:2 --out {{}}");
    succeed(on(&other, &proxy, line(&cv, &[&out])));
    let run = std::fs::read_to_string(out.join("run.toml")).expect("run.toml");
    assert!(run.contains("s3://faces/stores/drawn"), "{run}");

    // The server is killed in the middle of an upload, and comes back.
    let store = "s3://faces/stores/cut";
    proxy.cut_after(300_000);
    let mut child = on(&one, &proxy, extract(store)).stdout(Stdio::null()).spawn().expect("starts");
    proxy.wait_for_cut();
    server.kill();
    server.start_again();
    proxy.mend();
    assert!(child.wait().expect("an exit code").success());
    assert_eq!(json(on(&other, &proxy, compare(store)))["equal"], true);

    // Both are killed: the parts are not taken for a store,
    // and the same command goes on.
    let store = "s3://faces/stores/killed";
    proxy.cut_after(300_000);
    let mut child = on(&one, &proxy, extract(store)).stdout(Stdio::null()).spawn().expect("starts");
    proxy.wait_for_cut();
    server.kill();
    child.kill().expect("a running program");
    child.wait().expect("an exit code");
    server.start_again();
    proxy.mend();
    let words = fail(on(&other, &proxy, line(&format!("store info {store}"), &[])), 1);
    assert!(words.contains("there is no store"), "{words}");
    succeed(on(&one, &proxy, extract(store)));
    assert_eq!(json(on(&other, &proxy, compare(store)))["equal"], true);

    // Who is forgotten is gone from the server's shards, and from the other machine's copy, also where the
    // server goes away before all is uploaded and the client is killed then.
    let info = |machine| json(on(machine, &proxy, line(&format!("store info {store}"), &[])));
    let table = dir.path("export");
    let export = format!("store export {store} --format csv --out {{}}");
    succeed(on(&other, &proxy, line(&export, &[&table])));
    let rows = std::fs::read_to_string(table.join("embeddings.csv")).expect("a table");
    let paths: Vec<&str> =
        rows.lines().skip(1).filter_map(|row| row.split(',').next()).take(2).collect();
    let forget = |path: &str| line(&format!("store forget {store} --image {path}"), &[]);
    let before = info(&other)["embedded"].as_u64().expect("a number");
    succeed(on(&one, &proxy, forget(paths[0])));
    assert_eq!(info(&other)["embedded"].as_u64(), Some(before - 1), "{paths:?}");

    proxy.cut_after(300_000);
    let mut child =
        on(&one, &proxy, forget(paths[1])).stdout(Stdio::null()).spawn().expect("starts");
    proxy.wait_for_cut();
    child.kill().expect("a running program");
    child.wait().expect("an exit code");
    proxy.mend();
    // The next command that writes uploads what was left, and says that the picture is gone.
    let words = fail(on(&one, &proxy, forget(paths[1])), 1);
    assert!(words.contains("uploaded what an earlier run left"), "{words}");
    for machine in [&one, &other] {
        assert_eq!(info(machine)["embedded"].as_u64(), Some(before - 2), "{paths:?}");
        let verified = json(on(machine, &proxy, line(&format!("store verify {store}"), &[])));
        assert_eq!(verified["ok"], true, "{verified}");
    }

    // Addresses are for stores alone.
    for command in [
        format!("cv --store {store} --task gender --head linear"),
        format!("train --store {store} --task gender"),
        format!("store export {store} --format csv"),
        "demo".to_owned(),
    ] {
        let to_address = line(&format!("{command} --out s3://faces/reports/one"), &[]);
        let words = fail(on(&one, &proxy, to_address), 2);
        assert!(words.contains("--out: expected a path on this machine"), "{words}");
    }
    let words = fail(on(&one, &proxy, line("store info s3:/faces/stores/cut", &[])), 2);
    assert!(words.contains("expected an address such as s3://"), "{words}");
}
