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
fn completions_know_names_of_data_sets_tasks_heads_protocols_and_models() {
    for (shell, names) in [
        ("zsh", &["utkface", "age-group", "mlp-multi-task", "leave-one-set-out", "buffalo_l"]),
        ("bash", &["imdb-wiki", "age-group", "svm-linear", "random80", "untrained"]),
    ] {
        let script = succeed(line(&format!("completions {shell}"), &[]));
        // Not in the help of an option, but where the script lists values.
        let listed = |name: &&&str| {
            script.lines().any(|line| {
                let lists = ["compgen -W", "opts=", ":("].iter().any(|list| line.contains(list));
                lists && line.contains(*name)
            })
        };
        let missing: Vec<_> = names.iter().filter(|name| !listed(name)).collect();
        assert!(missing.is_empty(), "{shell}: {missing:?}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let dir = crate::support::Dir::new();
    let pages = dir.path("man1");
    let first = succeed(line("man {}", &[&pages]));
    assert_eq!(first.trim_end(), pages.join("facefold.1").display().to_string());
    for name in ["facefold", "facefold-cv", "facefold-store-import", "facefold-bundle-show"] {
        let page = std::fs::read_to_string(pages.join(format!("{name}.1"))).expect(name);
        assert!(page.contains(".SH SYNOPSIS") && page.contains("Example"), "{page}");
    }
    assert!(!pages.join("facefold-decode-stdin.1").exists());
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
        assert!(!message.contains("os error"), "{arguments}: {message}");
    }
}

#[test]
fn a_wrong_file_or_folder_is_named_in_our_own_words() {
    let dir = crate::support::Dir::new();
    let (folder, file, store) = (dir.path("folder"), dir.path("file"), drawn_store());
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(&file, "text").expect("a file");
    let missing = std::path::Path::new("no/such/place");
    let truth = "judge {} --store {} --out o";
    for (arguments, paths, expected) in [
        ("store info {}", vec![&*folder], "expected a store at"),
        ("store info {}", vec![&file], "expected a store at"),
        ("cv --store {} --task gender --out o", vec![&file], "expected a store at"),
        ("report open {}", vec![&folder], "found no `report.json`"),
        ("report open {}", vec![&file], "is no report"),
        ("report open {}", vec![store], "found no `report.json`"),
        ("report export {} --format csv", vec![missing], "expected a report at"),
        ("compare {}", vec![missing], "expected a report at"),
        ("bundle show {}", vec![missing], "expected a bundle at"),
        ("bundle show {}", vec![&folder], "found a folder"),
        ("bundle show {}", vec![&file], "is not a bundle"),
        ("export {} --out x", vec![missing], "expected a bundle at"),
        (truth, vec![missing, store], "there is no such file or folder"),
        (truth, vec![&folder, store], "it is a folder; expected a file"),
        ("data check folder {}", vec![&file], "is not a folder"),
        ("extract utkface {} --store s", vec![&folder], "expected"),
        ("predict {}", vec![&folder], "no picture in"),
        (
            "store import {} x.csv --network n --store s",
            vec![&missing.join("a.npy")],
            "no such file",
        ),
        ("models fetch buffalo_s --from {}", vec![missing], "no such file"),
    ] {
        let message = fail(line(arguments, &paths), 1);
        assert!(message.contains(expected), "{arguments}: {message}");
        assert!(!message.contains("os error"), "{arguments}: {message}");
    }
}
