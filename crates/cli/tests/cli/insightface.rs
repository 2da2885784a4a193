//! Extraction through insightface containers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use facefold_core::ImageKey;
use facefold_store::Store;
use serde_json::{Value, json};

use crate::mock::{Act, Asked, Mock};
use crate::stored::{cosine, embeddings, keys};
use crate::support::{Dir, drawn, facefold, fail, json, line, run, succeed};

/// One face in every picture, with an embedding that depends on the picture alone; of some
/// pictures it says that they failed.
pub fn container(asked: &Asked) -> Act {
    if asked.path == "/info" {
        return Act::ok(json!({ "version": "0.9.5.0", "models": {
            "inference_backend": "onnx", "det_name": "scrfd", "rec_name": "mbf",
            "max_size": [640, 640], "force_fp16": false } }));
    }
    if asked.header("content-type") != Some("application/json") {
        return Act::Json(422, Value::Null);
    }
    let hash = asked
        .body
        .iter()
        .fold(7_u64, |hash, byte| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte));
    if hash % 30 == 0 {
        let failed = json!({ "status": "failed", "traceback": "File /app/secret.py" });
        return Act::ok(json!({ "data": [failed] }));
    }
    let mut values = vec![0.0; 512];
    values[(hash % 512) as usize] = 0.6;
    values[(hash / 512 % 512) as usize] += 0.8;
    let length = values.iter().map(|value: &f64| value * value).sum::<f64>().sqrt();
    for value in &mut values {
        *value /= length;
    }
    Act::ok(json!({ "data": [{ "status": "ok", "faces": [{
        "prob": 0.9, "bbox": [40, 40, 400, 400], "norm": 20.5, "vec": values,
        "landmarks": [[150, 180], [290, 180], [220, 250], [165, 330], [275, 330]] }] }] }))
}

fn through(urls: &[String], more: &[&str], root: &Path, store: &Path) -> Command {
    let mut command = facefold(["extract", "adience"]);
    command.arg(root).arg("--store").arg(store).args(["--backend", "insightface"]).args(more);
    for url in urls {
        command.args(["--url", url]);
    }
    command
}

#[test]
fn an_extraction_through_a_container_resumes_where_it_was_cut() {
    let dir = Dir::new();
    let [whole, cut] = ["whole", "cut"].map(|name| dir.path(name));
    let mock = Mock::start(container);
    let first = json(through(&[mock.url()], &[], drawn(), &whole));
    assert!(first["embedded"].as_u64() > Some(40), "{first}");

    // The container dies after 20 answers, and every connection breaks from then on.
    let left = Arc::new(AtomicUsize::new(20));
    let counter = Arc::clone(&left);
    let dying = Mock::start(move |asked| {
        let count = |left: usize| left.checked_sub(1);
        match counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) {
            Ok(_) => container(asked),
            Err(_) => Act::Wire(Vec::new()),
        }
    });
    let quick = ["--patience", "0.3", "--timeout", "5"];
    let message = fail(through(&[dying.url()], &quick, drawn(), &cut), 1);
    assert!(message.contains("goes on where it stopped"), "{message}");
    assert!(!message.contains("secret"), "{message}");
    assert_eq!(json(line("store verify {}", &[&cut]))["ok"], true);

    left.store(usize::MAX, Ordering::SeqCst);
    let second = json(through(&[dying.url()], &quick, drawn(), &cut));
    let (rest, all) = (second["embedded"].as_u64(), first["embedded"].as_u64());
    assert!(rest > Some(0) && rest < all, "{rest:?} of {all:?}");
    assert_eq!(second["rejected"], first["rejected"]);
    let difference = json(line("store compare {} {}", &[&whole, &cut]));
    assert_eq!(difference["equal"], true, "{difference}");
    let output = succeed(line("store info {} --rejections", &[&whole]));
    assert!(!output.contains("secret"), "{output}");
}

#[test]
fn a_store_of_one_container_takes_no_embeddings_of_another() {
    let dir = Dir::new();
    let store = dir.path("store");
    let mock = Mock::start(container);
    succeed(through(&[mock.url()], &[], drawn(), &store));
    let other = Mock::start(|asked| match container(asked) {
        Act::Json(status, mut body) => {
            if asked.path == "/info" {
                body["models"]["rec_name"] = json!("glintr100");
            }
            Act::Json(status, body)
        }
        act => act,
    });
    let message = fail(through(&[other.url()], &[], drawn(), &store), 1);
    assert!(message.contains("fingerprint"), "{message}");
    let message = fail(through(&[mock.url(), other.url()], &[], drawn(), &store), 1);
    assert!(message.contains("rec_name is glintr100, there mbf"), "{message}");
}

#[test]
fn options_that_do_not_fit_the_backend_are_wrong_usage() {
    let store = Path::new("nowhere");
    let url = "http://127.0.0.1:9".to_owned();
    for (more, expected) in [
        (&["--taps"][..], "--taps"),
        (&["--precision", "bf16"], "--precision"),
        (&["--device", "candle"], "--device"),
        (&["--model", "buffalo_l"], "--model"),
        (&["--timeout", "0"], "--timeout"),
        (&["--dialect", "soap"], "face-detection-recognition"),
        (&["--aligned", "--dialect", "face-detection-recognition"], "aligned already"),
        (&["--url", "localhost:18081"], "localhost:18081"),
    ] {
        let command = through(std::slice::from_ref(&url), more, drawn(), store);
        let message = fail(command, 2);
        assert!(message.contains(expected), "{more:?}: {message}");
    }
    let message = fail(through(&[], &[], drawn(), store), 2);
    assert!(message.contains("--url"), "{message}");
    let message = fail(line("extract adience {} --store x --url http://h", &[drawn()]), 2);
    assert!(message.contains("--backend insightface"), "{message}");
    assert!(!store.exists());
}

#[test]
fn a_token_opens_a_container_and_is_shown_nowhere() {
    let mock = Mock::start(|asked| match asked.header("authorization") {
        Some("Bearer sesame") => container(asked),
        _ => Act::Json(401, Value::Null),
    });
    let dir = Dir::new();
    let store = dir.path("store");
    let ask = |token: &str, more: &[&str]| {
        let mut command = through(&[mock.url()], more, drawn(), &store);
        command.env("FACEFOLD_TOKEN", token);
        command
    };
    for (token, code, said) in [
        ("open", 1, "status 401"),
        ("sesame,open", 2, "one token, or one for each of 1"),
        ("", 2, "expected a token"),
    ] {
        let message = fail(ask(token, &["--patience", "1"]), code);
        assert!(message.contains(said) && !message.contains("sesame"), "{message}");
    }
    assert!(!store.join("store.json").exists());
    let output = run(ask("sesame", &["-vvv"]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = [output.stdout.as_slice(), &output.stderr].concat();
    assert!(!String::from_utf8_lossy(&shown).contains("sesame"));
    for file in walk(&store) {
        let bytes = std::fs::read(&file).expect("a file");
        assert!(!bytes.windows(6).any(|part| part == b"sesame"), "{}", file.display());
    }
    // A local extraction has no use for it.
    let mut local =
        line("extract adience {} --store {} --model untrained", &[drawn(), &dir.path("local")]);
    local.env("FACEFOLD_TOKEN", "");
    succeed(local);
}

#[test]
fn a_container_that_starts_late_and_then_changes_leaves_no_wrong_embedding() {
    let dir = Dir::new();
    let [whole, store] = ["whole", "store"].map(|name| dir.path(name));
    let mock = Mock::start(container);
    succeed(through(&[mock.url()], &[], drawn(), &whole));

    // Cold for a while, closes the connection on MessagePack as 0.9.0 does, and after 30 pictures other
    // models are behind the address, whose embeddings are others.
    let (asked_so_far, embedded) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let changed = Arc::new(AtomicUsize::new(30));
    let (count, limit) = (Arc::clone(&embedded), Arc::clone(&changed));
    let other = Mock::start(move |asked| {
        if asked_so_far.fetch_add(1, Ordering::SeqCst) < 4 {
            return Act::Json(500, Value::Null);
        }
        if asked.header("content-type") == Some("application/msgpack") {
            return Act::Wire(Vec::new());
        }
        let is_picture = asked.path == "/extract";
        let so_far = count.fetch_add(usize::from(is_picture), Ordering::SeqCst);
        match container(asked) {
            Act::Json(status, mut body) if so_far >= limit.load(Ordering::SeqCst) => {
                if asked.path == "/info" {
                    body["models"]["rec_name"] = json!("glintr100");
                } else if let Some(face) = body.pointer_mut("/data/0/faces/0") {
                    let mut values = vec![0.0; 512];
                    values[0] = 1.0;
                    face["vec"] = json!(values);
                }
                Act::Json(status, body)
            }
            act => act,
        }
    });
    let quick = ["--patience", "5"];
    let message = fail(through(&[other.url()], &quick, drawn(), &store), 1);
    assert!(message.contains("runs other models than at the start"), "{message}");
    // What is stored was embedded by the models of the store.
    let difference = line("store compare {} {}", &[&whole, &store]);
    let output = run(difference);
    let [ours, theirs] = [&whole, &store].map(|path| Store::open(path).expect("a store"));
    let stored: Vec<ImageKey> = keys(&theirs).into_iter().collect();
    assert!(stored.len() <= 30 && !stored.is_empty(), "{} stored: {output:?}", stored.len());
    for (a, b) in embeddings(&ours, &stored).iter().zip(embeddings(&theirs, &stored)) {
        assert!(cosine(a, &b) > 0.999_999);
    }

    // The models of before again: the same command goes on to the end.
    changed.store(usize::MAX, Ordering::SeqCst);
    json(through(&[other.url()], &quick, drawn(), &store));
    assert_eq!(json(line("store compare {} {}", &[&whole, &store]))["equal"], true);
}

#[test]
fn a_run_in_which_a_container_refuses_or_fails_on_everything_ends_non_zero() {
    let dir = Dir::new();
    let few = dir.path("few");
    std::fs::create_dir_all(few.join("face")).expect("a folder");
    for (at, picture) in walk(drawn()).iter().filter(|path| has_picture(path)).take(5).enumerate() {
        std::fs::copy(picture, few.join(format!("face/{at}.jpg"))).expect("a copy");
    }
    let through = |mock: &Mock, name: &str| {
        let mut command = facefold(["extract", "folder"]);
        command.arg(&few).arg("--store").arg(dir.path(name)).args(["--backend", "insightface"]);
        command.args(["--url", &mock.url(), "--patience", "2"]);
        command
    };
    // Longer bodies than the client's probe are refused in every form.
    let refusing = Mock::start(|asked| match asked.body.len() {
        0..2_000 => container(asked),
        _ => Act::Json(413, Value::Null),
    });
    let message = fail(through(&refusing, "refused"), 1);
    assert!(message.contains("raise the limit on bodies"), "{message}");
    // Every embedding is empty, of too few pictures for the extraction to stop by itself.
    let failing = Mock::start(|asked| match container(asked) {
        Act::Json(status, mut body) if asked.path == "/extract" => {
            if let Some(face) = body.pointer_mut("/data/0/faces/0") {
                face["vec"] = json!([]);
            }
            Act::Json(status, body)
        }
        act => act,
    });
    let message = fail(through(&failing, "failed"), 1);
    assert!(message.contains("none of 5 pictures could be embedded"), "{message}");

    // Up to 120 kB: all are sent as JPEG, and embedded.
    let narrow = Mock::start(|asked| match asked.body.len() {
        0..120_000 => container(asked),
        _ => Act::Json(413, Value::Null),
    });
    let output = run(through(&narrow, "narrow"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("JPEG of quality 98"), "{said}");
}

fn has_picture(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "jpg" || kind == "png")
}

#[test]
fn headers_reach_a_container_and_are_shown_nowhere() {
    let mock = Mock::start(|asked| match asked.header("x-api-key") {
        Some("sesame") => container(asked),
        _ => Act::Json(403, Value::Null),
    });
    let dir = Dir::new();
    let store = dir.path("store");
    let output =
        run(through(&[mock.url()], &["--header", "X-Api-Key: sesame", "-vvv"], drawn(), &store));
    let shown = [output.stdout.as_slice(), &output.stderr].concat();
    let shown = String::from_utf8_lossy(&shown);
    assert!(output.status.success() && !shown.contains("sesame"), "{shown}");
    let wrong = through(&[mock.url()], &["--header", "sesame"], drawn(), &store);
    let message = fail(wrong, 2);
    assert!(message.contains("expected a header") && !message.contains("sesame"), "{message}");
}

fn walk(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return vec![path.to_owned()] };
    entries.flatten().flat_map(|entry| walk(&entry.path())).collect()
}
