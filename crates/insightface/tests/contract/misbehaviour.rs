//! Each way to misbehave has an outcome of its own, and none gives an embedding.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use facefold_core::{Extraction, Extractor, Rejection};
use facefold_insightface::{
    Attempt, Canvas, Crop, Dialect, Format, InsightfaceError, InsightfaceExtractor, Options,
    Picture, Pictures, Quality, Token,
};
use serde_json::{Value, json};

use crate::dialects::{
    BOTH, Named, behaving, connect, face, faces, good, info, is_of, options, server, unit,
};
use crate::mock::{Act, Asked, Mock};

/// What becomes of a picture, in a word or two.
fn outcome_of(extractor: &dyn Extractor, name: &str) -> String {
    match extractor.extract(&[name.as_bytes()]).as_deref() {
        Ok([Extraction::Embedded { .. }]) => "embedded".to_owned(),
        Ok([Extraction::Rejected(rejection)]) => {
            format!("{}: {}", rejection.reason, rejection.detail)
        }
        Ok(_) => panic!("one outcome was asked for"),
        Err(error) => format!("stopped: {error}"),
    }
}

/// How the one bad picture ends when the server does this with it, and that others still work.
fn ends(dialect: Dialect, act: fn(Dialect) -> Act) -> String {
    let mock = server(dialect, move |name, _| (name == "bad").then(|| act(dialect)));
    let extractor = connect(options(dialect, &[&mock])).unwrap();
    let bad = outcome_of(&extractor, "bad");
    assert_eq!(outcome_of(&extractor, "good"), "embedded");
    bad
}

fn values(dialect: Dialect, change: impl Fn(&mut Vec<Value>)) -> Act {
    let mut values: Vec<Value> = unit("bad").into_iter().map(Value::from).collect();
    change(&mut values);
    Act::ok(faces(dialect, &[face(dialect, &json!(values), 20.0)]))
}

#[test]
fn a_server_that_fails_on_one_picture_only_rejects_that_picture() {
    let traceback = || json!({ "status": "failed", "traceback": "File \"/app/secret.py\"" });
    for dialect in BOTH {
        let ended = ends(dialect, |_| Act::Json(500, json!({ "detail": "secret" })));
        assert_eq!(
            ended,
            "bad-embedding: the server failed 2 times on this picture alone: status 500"
        );
        let ended = ends(dialect, |_| Act::Json(422, json!({ "detail": "secret" })));
        assert!(ended.starts_with("undecodable: ") && !ended.contains("secret"), "{ended}");
        let garbage = |_| Act::Full(200, Vec::new(), b"<html>\xff\x00 busy".to_vec());
        let ended = ends(dialect, garbage);
        assert!(
            ended.starts_with("bad-embedding: ") && ended.contains("cannot be read"),
            "{ended}"
        );
        let ended = ends(dialect, |_| Act::ok(json!({})));
        assert!(ended.starts_with("bad-embedding: "), "{ended}");
    }
    let mock = server(Dialect::Rest, move |name, _| {
        (name == "bad").then(|| Act::ok(json!({ "data": [traceback()] })))
    });
    let extractor = connect(options(Dialect::Rest, &[&mock])).unwrap();
    let ended = outcome_of(&extractor, "bad");
    assert!(ended.starts_with("undecodable: ") && !ended.contains("secret"), "{ended}");
}

#[test]
fn a_wrong_number_of_items_is_an_error() {
    for count in [0, 2] {
        let mock = server(Dialect::Rest, move |name, _| {
            let item = json!({ "status": "ok",
                "faces": [face(Dialect::Rest, &json!(unit("bad")), 20.0)] });
            (name == "bad").then(|| Act::ok(json!({ "data": vec![item; count] })))
        });
        let extractor = connect(options(Dialect::Rest, &[&mock])).unwrap();
        let ended = outcome_of(&extractor, "bad");
        assert!(ended.contains(&format!("{count} items for one picture")), "{ended}");
    }
    let ended = ends(Dialect::FaceDetectionRecognition, |_| {
        Act::ok(json!({ "face_detection_recognition": null }))
    });
    assert!(ended.starts_with("bad-embedding: "), "{ended}");
}

#[test]
fn values_that_are_no_embedding_are_never_stored() {
    for dialect in BOTH {
        let ended = ends(dialect, |dialect| values(dialect, |values| values[7] = Value::Null));
        assert_eq!(
            ended,
            "bad-embedding: expected finite values, found one at index 7 that is not"
        );
        let ended = ends(dialect, |dialect| values(dialect, |values| values.truncate(128)));
        assert_eq!(ended, "bad-embedding: expected 512 values, found 128");
        let zero = |dialect| values(dialect, |values| *values = vec![json!(0.0); 512]);
        assert!(ends(dialect, zero).contains("unit length, found length 0"));
        let nan = |dialect| {
            let body = good(dialect, "bad").to_string().replacen("[0.0,", "[NaN,", 1);
            Act::Full(200, vec![("content-type", "application/json".into())], body.into_bytes())
        };
        assert!(ends(dialect, nan).contains("expected finite values"));
    }
    let zero_norm = ends(Dialect::Rest, |dialect| {
        Act::ok(faces(dialect, &[face(dialect, &json!(unit("bad")), 0.0)]))
    });
    assert_eq!(zero_norm, "bad-embedding: expected a norm above 0, found 0");
    let odd = ends(Dialect::Rest, |dialect| {
        Act::ok(faces(dialect, &[face(dialect, &json!("[nan nan]"), 0.0)]))
    });
    assert!(odd.contains("no list of numbers"), "{odd}");
}

#[test]
fn incomplete_responses_stop_the_extraction_and_reject_no_picture() {
    for dialect in BOTH {
        let hang = ends(dialect, |_| Act::Hang);
        assert!(hang.starts_with("stopped: ") && hang.contains("within 0.8 s"), "{hang}");
        let drip =
            ends(dialect, |dialect| Act::Drip(good(dialect, "bad"), Duration::from_millis(30)));
        assert!(drip.starts_with("stopped: ") && drip.contains("within 0.8 s"), "{drip}");
        let cut = ends(dialect, |dialect| Act::Truncated(good(dialect, "bad")));
        assert!(cut.starts_with("stopped: ") && cut.contains("cut off after"), "{cut}");
        let closed = ends(dialect, |_| Act::Wire(Vec::new()));
        assert!(closed.starts_with("stopped: "), "{closed}");
        let noise = ends(dialect, |_| Act::Wire(b"\x00\xff\x13 no HTTP\r\n\r\n".to_vec()));
        assert!(noise.starts_with("stopped: "), "{noise}");
        for ended in [hang, drip, cut] {
            assert!(ended.contains("the same command goes on"), "{ended}");
        }
    }
}

#[test]
fn temporary_failures_are_retried() {
    for dialect in BOTH {
        for act in [
            (|_| Act::Json(500, Value::Null)) as fn(Dialect) -> Act,
            |_| Act::Full(503, vec![("retry-after", "0".to_owned())], Vec::new()),
            |_| Act::Full(429, Vec::new(), Vec::new()),
            |dialect| Act::Truncated(good(dialect, "x")),
            |_| Act::Wire(Vec::new()),
            |_| Act::Full(200, Vec::new(), b"{\"data\": [".to_vec()),
        ] {
            let asked = AtomicUsize::new(0);
            let mock = server(dialect, move |_, _| {
                (asked.fetch_add(1, Ordering::SeqCst) == 0).then(|| act(dialect))
            });
            let extractor = connect(options(dialect, &[&mock])).unwrap();
            assert_eq!(outcome_of(&extractor, "x"), "embedded");
        }
    }
}

#[test]
fn a_server_that_fails_on_everything_stops_the_extraction() {
    // It breaks after the client has connected: the probe at the end of the attempts fails too.
    let broken = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&broken);
    let behave = behaving(Dialect::Rest, "w600k_mbf", |_, _| None);
    let mock = Mock::start(move |asked| match now.load(Ordering::SeqCst) {
        0 => behave(asked),
        _ => Act::Json(500, Value::Null),
    });
    let extractor = connect(options(Dialect::Rest, &[&mock])).unwrap();
    broken.store(1, Ordering::SeqCst);
    let ended = outcome_of(&extractor, "a");
    assert!(ended.starts_with("stopped: ") && ended.contains("status 500"), "{ended}");
    broken.store(0, Ordering::SeqCst);
    assert_eq!(outcome_of(&extractor, "a"), "embedded");
}

#[test]
fn a_network_that_fails_on_every_face_stops_the_extraction() {
    // Detection works, so the probe passes; every embedding is NaN.
    let mock = server(Dialect::Rest, |_, _| {
        Some(values(Dialect::Rest, |values| *values = vec![Value::Null; 512]))
    });
    let extractor = connect(options(Dialect::Rest, &[&mock])).unwrap();
    let ended: Vec<String> = (0..8).map(|at| outcome_of(&extractor, &at.to_string())).collect();
    assert!(ended[..7].iter().all(|ended| ended.starts_with("bad-embedding")), "{ended:?}");
    assert!(ended[7].starts_with("stopped: the last 8 pictures"), "{}", ended[7]);
    assert!(ended[7].contains("--retry-rejected"), "{}", ended[7]);
}

#[test]
fn responses_in_another_order_belong_to_their_pictures() {
    for dialect in BOTH {
        // The first of each four requests gets the last response.
        let permit = Arc::new((Mutex::new(0_usize), Condvar::new()));
        let mock = server(dialect, move |name, _| {
            let (count, changed) = &*permit;
            let mut count = count.lock().unwrap();
            *count += 1;
            changed.notify_all();
            if *count % 4 == 1 {
                let until = *count + 3;
                let wait = Duration::from_millis(300);
                drop(changed.wait_timeout_while(count, wait, |count| *count < until).unwrap());
            }
            Some(Act::ok(good(dialect, name)))
        });
        let extractor = connect(options(dialect, &[&mock])).unwrap();
        let names: Vec<String> = (0..24).map(|at| format!("picture {at}")).collect();
        let bytes: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
        let outcomes = extractor.extract(&bytes).unwrap();
        assert_eq!(outcomes.len(), names.len());
        for (name, outcome) in names.iter().zip(outcomes) {
            let Extraction::Embedded { faces, .. } = outcome else { panic!("{outcome:?}") };
            assert!(is_of(&faces[0].embedding, name), "{name}");
        }
    }
}

#[test]
fn a_server_of_another_dialect_is_an_error_at_once() {
    let rest = server(Dialect::Rest, |_, _| None);
    let other = server(Dialect::FaceDetectionRecognition, |_, _| None);
    let cases = [
        (Dialect::FaceDetectionRecognition, &rest, "--dialect rest"),
        (Dialect::Rest, &other, "--dialect face-detection-recognition"),
    ];
    for (dialect, mock, advice) in cases {
        let error = connect(options(dialect, &[mock])).err().unwrap();
        assert!(matches!(error, InsightfaceError::WrongDialect { .. }), "{error}");
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[test]
fn refusals_of_the_server_reject_no_picture() {
    for dialect in BOTH {
        for (status, said) in [
            (413, "raise the limit on bodies"),
            (415, "status 415"),
            (401, "status 401; set FACEFOLD_TOKEN"),
            (403, "status 403; set FACEFOLD_TOKEN"),
            (404, "status 404"),
        ] {
            let mock = server(dialect, move |_, _| Some(Act::Json(status, Value::Null)));
            let extractor = connect(options(dialect, &[&mock])).unwrap();
            let ended = outcome_of(&extractor, "x");
            assert!(ended.starts_with("stopped: ") && ended.contains(said), "{status}: {ended}");
            assert!(ended.contains(&mock.url()), "{ended}");
        }
    }
}

#[test]
fn after_413_the_files_own_bytes_are_sent() {
    // As many bytes as the file has, which the "PNG" of the tests is longer than.
    const JPEG: &[u8] = b"\xff\xd8\xff an upright picture";
    struct Opened;
    impl Pictures for Opened {
        fn open(&self, bytes: &[u8]) -> Result<Box<dyn Picture + '_>, Rejection> {
            assert!(bytes.ends_with(b"picture"));
            Named.open(b"x").map(|_| Box::new(Large) as Box<dyn Picture>)
        }

        fn is_stored_upright(&self, bytes: &[u8]) -> bool {
            !bytes.starts_with(b"\xff\xd8\xff a turned")
        }

        fn attempts(&self, _: [u32; 2]) -> Vec<Attempt> {
            vec![Attempt { padding: 0, side: 640 }]
        }
    }
    struct Large;
    impl Picture for Large {
        fn size(&self) -> [u32; 2] {
            // Scaled to 640 pixels here and there, so nothing is added.
            [640, 480]
        }

        fn encode(&self, _: Canvas, _: u32, _: Format) -> Result<Vec<u8>, Rejection> {
            Ok([b"png:x:0;".as_slice(), &[0; 5_000]].concat())
        }

        fn crop(&self) -> Result<Crop, Rejection> {
            panic!("detection was asked for")
        }

        fn quality(&self, _: &[[f32; 2]; 5]) -> Result<Quality, Rejection> {
            Ok(Quality { luminance: 100.0, sharpness: 50.0 })
        }
    }
    let behave = |asked: &Asked| match asked.path.as_str() {
        "/info" => Act::ok(info("w600k_mbf")),
        _ if asked.body.len() > 4_000 => Act::Json(413, Value::Null),
        _ => Act::ok(good(Dialect::Rest, "own")),
    };
    let mock = Mock::start(behave);
    let extractor =
        InsightfaceExtractor::connect(options(Dialect::Rest, &[&mock]), Box::new(Opened)).unwrap();
    let outcome = extractor.extract(&[JPEG]).unwrap().remove(0);
    let Extraction::Embedded { faces, .. } = outcome else { panic!("{outcome:?}") };
    assert!(is_of(&faces[0].embedding, "own"));
    // Others would see another picture in these bytes than this program does.
    for other in [b"GIF89a picture".as_slice(), b"\xff\xd8\xff a turned picture"] {
        let error = extractor.extract(&[other]).unwrap_err().to_string();
        assert!(
            error.contains("raise the limit on bodies") && error.contains("shortest"),
            "{error}"
        );
    }
}

#[test]
fn a_server_that_refuses_the_probe_is_an_error_at_once() {
    for (status, said) in [
        (413, "raise the limit on bodies"),
        (401, "refuses access with no token"),
        (403, "status 403"),
    ] {
        let mock = Mock::start(move |_| Act::Json(status, Value::Null));
        for dialect in BOTH {
            let error = connect(options(dialect, &[&mock])).err().unwrap().to_string();
            assert!(error.contains(said) && error.contains(&mock.url()), "{error}");
        }
    }
}

#[test]
fn every_request_carries_the_token_of_its_replica_and_none_is_shown() {
    for dialect in BOTH {
        let guarded = |token: &'static str| {
            let behave = behaving(dialect, "w600k_mbf", |_, _| None);
            Mock::start(move |asked| match asked.header("authorization") {
                Some(given) if given == token => behave(asked),
                _ => Act::Json(401, json!({ "given": "sesame" })),
            })
        };
        let mocks = [guarded("Bearer sesame one"), guarded("Bearer sesame-2")];
        let with = |tokens: &[&str]| {
            let tokens = tokens.iter().map(|token| Token::from((*token).to_owned())).collect();
            Options { tokens, ..options(dialect, &[&mocks[0], &mocks[1]]) }
        };
        let extractor = connect(with(&["sesame one", "sesame-2"])).unwrap();
        for name in ["a", "b", "c", "d"] {
            assert_eq!(outcome_of(&extractor, name), "embedded");
        }
        for tokens in [&["sesame one"][..], &[], &["sesame-2", "sesame one"], &["a", "b", "c"]] {
            let error = connect(with(tokens)).err().unwrap().to_string();
            assert!(!error.contains("sesame"), "{error}");
        }
        assert!(!format!("{:?}", with(&["sesame"])).contains("sesame"));

        // A password in the address is given, and shown as little.
        let basic = guarded("Basic dXNlcjpzZXNhbWU=");
        let url = format!("http://user:sesame@{}", basic.address);
        let extractor = connect(Options { urls: vec![url], ..with(&[]) }).unwrap();
        assert_eq!(outcome_of(&extractor, "a"), "embedded");
        basic.kill();
        let ended = outcome_of(&extractor, "b");
        assert!(ended.starts_with("stopped: ") && !ended.contains("sesame"), "{ended}");
        let url = format!("http://user:wrong-sesame@{}", mocks[0].address);
        let error = connect(Options { urls: vec![url], ..with(&[]) }).err().unwrap().to_string();
        assert!(error.contains("this name and password") && !error.contains("sesame"), "{error}");
    }
}

#[test]
fn every_request_carries_the_headers_and_none_is_shown() {
    for dialect in BOTH {
        let behave = behaving(dialect, "w600k_mbf", |_, _| None);
        let mock = Mock::start(move |asked| match asked.header("x-api-key") {
            Some("sesame") => behave(asked),
            _ => Act::Json(403, Value::Null),
        });
        let with = |headers: &[&str]| {
            let headers = headers.iter().map(|header| header.parse().unwrap()).collect();
            Options { headers, ..options(dialect, &[&mock]) }
        };
        let extractor = connect(with(&["X-Api-Key: sesame", "X-Other: 1"])).unwrap();
        assert_eq!(outcome_of(&extractor, "a"), "embedded");
        assert!(connect(with(&["X-Api-Key: open"])).is_err());
        assert!(!format!("{:?}", with(&["X-Api-Key: sesame"])).contains("sesame"));
        let url = format!("http://user:sesame@{}", mock.address);
        assert!(!format!("{:?}", Options { urls: vec![url], ..with(&[]) }).contains("sesame"));
    }
}

#[test]
fn a_token_that_is_revoked_stops_the_extraction() {
    let asked = AtomicUsize::new(0);
    let mock = server(Dialect::Rest, move |_, _| {
        (asked.fetch_add(1, Ordering::SeqCst) > 2).then_some(Act::Json(403, Value::Null))
    });
    let extractor = connect(options(Dialect::Rest, &[&mock])).unwrap();
    let ended: Vec<String> = (0..5).map(|at| outcome_of(&extractor, &at.to_string())).collect();
    assert!(ended[..3].iter().all(|ended| ended == "embedded"), "{ended:?}");
    assert!(ended[3..].iter().all(|ended| ended.contains("status 403")), "{ended:?}");
}
