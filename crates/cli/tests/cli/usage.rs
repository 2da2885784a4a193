//! Help, wrong usage and exit codes.

use crate::support::{drawn_store, fail, line, succeed};

#[test]
fn every_command_has_help_with_an_example() {
    for command in [
        "demo",
        "models fetch",
        "data check",
        "data generate",
        "extract",
        "store export",
        "store import",
        "heads",
        "judge",
        "cv",
        "tune",
        "matrix",
        "compare",
        "train",
        "bundle show",
        "predict",
        "serve",
        "export",
    ] {
        let help = succeed(line(&format!("{command} --help"), &[]));
        assert!(help.contains("Example"), "`{command} --help` shows no example:\n{help}");
    }
}

#[test]
fn completions_know_the_commands() {
    let script = succeed(line("completions bash", &[]));
    for command in ["extract", "predict", "cv"] {
        assert!(script.contains(command), "{command}");
    }
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_was_expected() {
    let store = drawn_store();
    for (arguments, expected) in [
        ("cv --store {} --task shoe-size --out nowhere", "expected a task `gender`"),
        ("cv --store {} --task gender --head oracle --out nowhere", "oracle"),
        ("cv --store {} --task gender --protocol kfold:1 --out nowhere", "kfold:1"),
        ("cv --store {} --task age-group --age-groups 0-12,10-20 --out nowhere", "does not follow"),
        ("cv --store {} --task age-group --label-policy vague --out nowhere", "vague"),
        ("cv --store {} --task age-group --label-policy remap --age-groups nine --out x", "`nine`"),
        ("cv --store {} --task gender --seeds 0 --out nowhere", "0 is not in 1..=1000"),
        ("tune --store {} --task gender --seeds 0 --out nowhere", "0 is not in 1..=1000"),
        ("matrix --store {} --task gender --seeds 0 --out nowhere", "0 is not in 1..=1000"),
        ("cv --store {} --task gender --seeds 99999999999 --out nowhere", "is not in 1..=1000"),
        ("extract adience {} --store x --model best", "best"),
    ] {
        let message = fail(line(arguments, &[store]), 2);
        assert!(message.contains(expected), "{arguments}: {message}");
    }
}

#[test]
fn absurd_numbers_are_wrong_usage_before_anything_is_begun() {
    for (arguments, name) in [
        ("serve --max-requests 18446744073709551615", "--max-requests"),
        ("serve --max-requests 0", "--max-requests"),
        ("serve --max-body 17592186044416", "--max-body"),
        ("serve --max-body 0", "--max-body"),
        ("serve --max-pixels 18446744073709551", "--max-pixels"),
        ("serve --max-pictures 9999999999", "--max-pictures"),
        ("serve --max-faces 0", "--max-faces"),
        ("serve --batch=-1", "--batch"),
        ("serve --timeout 18446744073709551615", "--timeout"),
        ("serve --timeout 0", "--timeout"),
        ("serve --threads 1000000", "--threads"),
        ("predict --threads 1000000 x.jpg", "--threads"),
        ("explain --threads 1000000 --out x x.jpg", "--threads"),
        ("demo --threads 1000000", "--threads"),
        ("cv --store x --task gender --threads 1000000 --out x", "--threads"),
        ("extract adience x --store x --threads 1000000", "--threads"),
        (
            "extract adience x --store x --backend insightface --url http://x --timeout 1e300",
            "--timeout",
        ),
        (
            "extract adience x --store x --backend insightface --url http://x --timeout NaN",
            "--timeout",
        ),
        (
            "extract adience x --store x --backend insightface --url http://x --timeout 1e18",
            "--timeout",
        ),
        (
            "extract adience x --store x --backend insightface --url http://x --patience=-1",
            "--patience",
        ),
    ] {
        let message = fail(line(arguments, &[]), 2);
        assert!(message.contains(name), "{arguments}: {message}");
    }
}

#[test]
fn a_path_that_is_not_there_is_named() {
    let missing = std::path::Path::new("no/such/place");
    for arguments in [
        "cv --store {} --task gender --out nowhere",
        "store info {}",
        "data check adience {}",
        "predict --bundle {} picture.jpg",
        "report open {}",
    ] {
        let message = fail(line(arguments, &[missing]), 1);
        assert!(message.contains("no/such/place"), "{arguments}: {message}");
    }
}
