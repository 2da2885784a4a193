//! The page of `facefold serve` and reports, in a browser.

use std::path::Path;
use std::process::{Command, Stdio};

use facefold_testing::{Need, skip};

/// Runs `scripts/browser_test.py`; none where there is no browser to run it with.
fn browser(extra: &[&str]) -> Option<std::process::Output> {
    let there = |program: &str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok()
    };
    if !["python3", "chromium", "chromedriver"].into_iter().all(there) {
        skip(Need::Browser);
        return None;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new("python3")
        .arg(root.join("scripts/browser_test.py"))
        .arg(crate::PROGRAM)
        .args(extra)
        .output();
    Some(output.expect("python3 runs"))
}

#[test]
fn the_page_works_in_a_browser() {
    // A report of each kind of task; `--results results/*` lays all of them out.
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results");
    let reports = ["utkface-folds", "wiki-gender"].map(|name| results.join(name));
    let mut arguments = vec!["--results"];
    arguments.extend(reports.iter().map(|report| report.to_str().expect("a path in UTF-8")));
    // The same checks of a page that is broken must fail.
    let broken = [
        ("picture.append(box)=void box", "a box over the dropped picture"),
        ("src: one.overlay=src: ''", "a map of each prediction"),
    ];
    for (change, _) in broken {
        arguments.extend(["--break", change]);
    }
    let Some(output) = browser(&arguments) else { return };
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{stderr}");
    for (change, complaint) in broken {
        let noticed = |line: &str| line.contains(change) && line.contains(complaint);
        assert!(stdout.lines().any(noticed), "`{change}`: {stdout}");
    }
}
