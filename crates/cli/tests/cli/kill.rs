//! Killed again and again, or resumed in another year, an extraction ends in the same store as an
//! undisturbed one.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use facefold_testing::{Need, skip};

use crate::support::{Dir, drawn, drawn_store, has_weights, json, line, succeed};

fn extract(store: &Path, model: &str) -> Command {
    let arguments = format!("extract adience {{}} --store {{}} --model {model} --threads 2");
    line(&arguments, &[drawn(), store])
}

fn size(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

#[test]
fn a_killed_extraction_resumes_to_the_same_store() {
    let dir = Dir::new();
    let model = if has_weights() { "buffalo_s" } else { "untrained" };
    let (whole, killed) = (dir.path("whole"), dir.path("killed"));
    succeed(extract(&whole, model));

    let mut kills_with_progress = 0;
    let mut before = 0;
    for round in 0..6u64 {
        let mut child = extract(&killed, model)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("facefold starts");
        // Wait until this round has written something, then a little longer, then kill.
        let start = Instant::now();
        while size(&killed) <= before && start.elapsed() < Duration::from_secs(20) {
            if child.try_wait().expect("a child").is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(15 * round));
        let alive = child.try_wait().expect("a child").is_none();
        let _ = child.kill();
        child.wait().expect("a child");
        let after = size(&killed);
        if alive && after > before {
            kills_with_progress += 1;
        }
        before = after;
    }
    assert!(kills_with_progress >= 2, "only {kills_with_progress} kills hit a working extraction");

    succeed(extract(&killed, model));
    let verified = json(line("store verify {}", &[&killed]));
    assert_eq!(verified["ok"], true, "{verified}");
    let difference = json(line("store compare {} {}", &[&whole, &killed]));
    assert_eq!(difference["equal"], true, "{difference}");
}

/// The command under a clock that shows this time; none where libfaketime is not installed. As when a
/// person sets it, the clock that only ever goes on is left alone.
fn at(time: &str, mut command: Command) -> Option<Command> {
    let places = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];
    let places = places.map(|place| Path::new(place).join("faketime/libfaketime.so.1"));
    command.env("LD_PRELOAD", places.iter().find(|library| library.exists())?);
    command.env("FAKETIME", time).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Some(command)
}

#[test]
fn a_moved_clock_changes_no_store_and_no_figure() {
    let (dir, model) = (Dir::new(), "untrained");
    let (whole, moved) = (dir.path("whole"), dir.path("moved"));
    let Some(mut first) = at("@2049-07-01 12:00:00", extract(&moved, model)) else {
        return skip(Need::Faketime);
    };
    // Killed in 2049, once it has written something, and resumed on the last day of 1999.
    let mut child =
        first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("facefold starts");
    let start = Instant::now();
    while size(&moved) < 100_000 && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    child.wait().expect("a child");
    succeed(at("@1999-12-31 23:59:59", extract(&moved, model)).expect("libfaketime"));
    succeed(extract(&whole, model));
    let difference = json(line("store compare {} {}", &[&whole, &moved]));
    assert_eq!(difference["equal"], true, "{difference}");

    let cv = "cv --store {} --task gender --head linear --features embedding --out {}";
    let predictions = |command: Command, out: &Path| {
        succeed(command);
        let report = std::fs::read_to_string(out.join("report.json")).expect("a report");
        let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
        let date = report["provenance"]["date"].as_str().expect("a date").to_owned();
        (date, std::fs::read(out.join("gender/predictions.csv")).expect("predictions"))
    };
    let right = predictions(line(cv, &[drawn_store(), &dir.path("now")]), &dir.path("now"));
    for (time, date) in
        [("@2049-07-01 12:00:00", "2049-07-01"), ("1999-12-31 12:00:00", "1999-12-31")]
    {
        // The second time the report takes the first one's place, at a clock that stands still.
        let out = dir.path("then");
        let command = at(time, line(cv, &[drawn_store(), &out])).expect("libfaketime");
        assert_eq!(predictions(command, &out), (date.to_owned(), right.1.clone()), "{time}");
    }
}
