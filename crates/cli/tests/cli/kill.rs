//! Killed again and again, an extraction ends in the same store as an undisturbed one.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Dir, drawn, has_weights, json, line, succeed};

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
