//! Stores and reports under commands that must not cost them anything: pictures away, another data
//! set, another run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::{Dir, drawn_store, fail, json, line, run, succeed};

/// A folder for each gender, with pictures of noise that each differ.
fn folders(root: &Path, seed: u32, pictures: u32) {
    for number in 0..pictures {
        let gender = if number % 2 == 0 { "female" } else { "male" };
        let path = root.join(gender).join(format!("{seed}-{number}.png"));
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let mut state = (seed * 1009 + number) * 2 + 1;
        let noise = image::RgbImage::from_fn(112, 112, |_, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            image::Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
        });
        noise.save(path).expect("a picture");
    }
}

/// A list of the pictures in folders, each of a subject of its own.
pub fn listed(root: &Path, seed: u32, pictures: u32) {
    folders(root, seed, pictures);
    let row = |number: u32| {
        let gender = if number.is_multiple_of(2) { "female" } else { "male" };
        format!("{gender}/{seed}-{number}.png,person-{seed}-{number},{gender}\n")
    };
    let list: String = (0..pictures).map(row).collect();
    let list = format!("path,subject,gender\n{list}");
    std::fs::write(root.join("manifest.csv"), list).expect("a list");
}

pub fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.insert(path.clone(), std::fs::read(path).expect("a file"));
        }
    }
    all
}

/// Label rows used by a cross-validation for gender.
pub fn used(store: &Path, out: &Path) -> u64 {
    let report = json(line(
        "cv --store {} --task gender --head linear --protocol kfold:3 --features embedding --out {}",
        &[store, out],
    ));
    report["tasks"][0]["rows"]["used"].as_u64().expect("rows")
}

/// Label rows with an embedding.
fn exported(store: &Path, out: &Path) -> u64 {
    let export = json(line("store export {} --format csv --out {}", &[store, out]));
    export["rows"].as_u64().expect("rows")
}

#[test]
fn pictures_that_are_away_cost_a_store_nothing() {
    for kind in ["folder", "manifest"] {
        let dir = Dir::new();
        let (set, store) = (dir.path("set"), dir.path("store"));
        listed(&set, 1, 24);
        let extract = || {
            let command = format!("extract {kind} {{}} --store {{}} --model untrained");
            line(&command, &[&set, &store])
        };
        succeed(extract());
        let before = contents(&store);
        assert_eq!(exported(&store, &dir.path("whole")), 24);

        // All of them.
        let away = dir.path("away");
        std::fs::create_dir(&away).expect("a directory");
        for gender in ["female", "male"] {
            std::fs::rename(set.join(gender), away.join(gender)).expect("a folder moves");
            std::fs::create_dir(set.join(gender)).expect("a mount point");
        }
        fail(extract(), 1);
        let after = contents(&store);
        let changed: Vec<&PathBuf> = before
            .iter()
            .filter(|(path, bytes)| after.get(*path) != Some(*bytes))
            .map(|x| x.0)
            .collect();
        assert!(changed.is_empty(), "{changed:?}");

        // One class of two.
        std::fs::remove_dir(set.join("female")).expect("a mount point");
        std::fs::rename(away.join("female"), set.join("female")).expect("a folder moves");
        let output = run(extract());
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains("12 label rows"), "{kind}: {words}");
        assert_eq!(exported(&store, &dir.path("half")), 24, "{kind}: {words}");
        succeed(line("store verify {}", &[&store]));

        // And back again.
        std::fs::remove_dir(set.join("male")).expect("a mount point");
        std::fs::rename(away.join("male"), set.join("male")).expect("a folder moves");
        assert_eq!(json(extract())["known"], 24);
        assert_eq!(exported(&store, &dir.path("again")), 24);
    }
}

#[test]
fn most_pictures_missing_is_no_success() {
    let dir = Dir::new();
    let (set, store) = (dir.path("set"), dir.path("store"));
    listed(&set, 2, 20);
    for number in 0..11 {
        let gender = if number % 2 == 0 { "female" } else { "male" };
        std::fs::remove_file(set.join(gender).join(format!("2-{number}.png"))).expect("a picture");
    }
    let extract = |more: &str| {
        let command = format!("extract manifest {{}} --store {{}} --model untrained {more}");
        line(&command, &[&set, &store])
    };
    let message = fail(extract(""), 1);
    assert!(message.contains("11 of 20 pictures could not be read"), "{message}");
    assert_eq!(json(line("store info {}", &[&store]))["embedded"], 9);
    let message = fail(extract("--retry-rejected"), 1);
    assert!(message.contains("11 of 20 pictures are not there"), "{message}");
}

#[test]
fn pictures_none_of_which_can_be_decoded_are_no_success() {
    let dir = Dir::new();
    let (set, store) = (dir.path("set"), dir.path("store"));
    listed(&set, 2, 4);
    for picture in contents(&set).into_keys() {
        if picture.extension().is_some_and(|extension| extension == "png") {
            std::fs::write(picture, "no picture").expect("a file");
        }
    }
    let command = || line("extract manifest {} --store {} --model untrained", &[&set, &store]);
    for _ in 0..2 {
        let message = fail(command(), 1);
        assert!(message.contains("none of 4 pictures could be decoded"), "{message}");
    }
}

/// Rows that were taken off a list on purpose: their pictures are still there.
#[test]
fn a_list_that_was_shortened_is_a_success() {
    let dir = Dir::new();
    let (set, store) = (dir.path("set"), dir.path("store"));
    listed(&set, 2, 10);
    let list = set.join("manifest.csv");
    let command = || line("extract manifest {} --store {} --model untrained", &[&set, &store]);
    succeed(command());
    let text = std::fs::read_to_string(&list).expect("a list");
    let short: Vec<&str> = text.lines().take(1 + 3).collect();
    std::fs::write(&list, short.join("\n")).expect("a list");
    let summary = json(command());
    assert_eq!((&summary["kept_rows"], &summary["missing_rows"]), (&7.into(), &0.into()));
}

#[test]
fn another_data_set_is_refused_and_the_same_one_resumes_from_anywhere() {
    let dir = Dir::new();
    let (one, two, store) = (dir.path("one"), dir.path("two"), dir.path("store"));
    listed(&one, 3, 8);
    listed(&two, 4, 8);
    let extract = |what: &str, set: &Path| {
        line(&format!("extract {what} --store {{}} --model untrained"), &[set, &store])
    };
    succeed(extract("manifest {}", &one));
    let before = contents(&store);
    for (what, set) in [
        ("manifest {}", &two),
        ("folder {}", &one),
        ("manifest {} --aligned", &one),
        ("manifest {} --augment 1", &one),
        ("manifest {}", &one.join("female")),
    ] {
        let message = fail(extract(what, set), 1);
        assert!(
            message.contains("label rows of another data set") || set.ends_with("female"),
            "{what}: {message}"
        );
    }
    assert_eq!(contents(&store), before);
    // The same list under another spelling, and from another directory.
    let mut resumed = extract("manifest {}", Path::new("../one/../one"));
    resumed.current_dir(dir.path("two"));
    assert_eq!(json(resumed)["known"], 8);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&one, dir.path("link")).expect("a link");
        assert_eq!(json(extract("manifest {}", &dir.path("link")))["known"], 8);
    }
}

fn files(directory: &Path) -> Vec<String> {
    let name = |path: &PathBuf| {
        path.strip_prefix(directory).expect("below it").to_string_lossy().into_owned()
    };
    contents(directory).keys().map(name).collect()
}

#[test]
fn nothing_of_another_run_is_left_next_to_its_report() {
    let dir = Dir::new();
    let (set, store, out) = (dir.path("set"), dir.path("store"), dir.path("out"));
    listed(&set, 5, 24);
    succeed(line("extract manifest {} --store {} --model untrained", &[&set, &store]));
    let cv = |tasks: &str, store: &Path, out: &Path| {
        let command = format!(
            "cv --store {{}} --task {tasks} --head linear --protocol kfold:3 --features embedding --out \
             {{}}"
        );
        line(&command, &[store, out])
    };
    succeed(cv("gender,age-group", drawn_store(), &out));
    std::fs::write(out.join("notes.txt"), "mine").expect("a file");
    std::fs::write(out.join("plots/mine.svg"), "mine").expect("a file");
    let before = files(&out);
    assert!(before.iter().any(|name| name.starts_with("age-group/")), "{before:?}");

    // The same command again finds its fits.
    let fits = |out: &Path| {
        let mut fits = contents(&out.join("fits"));
        fits.retain(|path, _| path.is_file());
        fits
    };
    let made = fits(&out);
    succeed(cv("gender,age-group", drawn_store(), &out));
    assert_eq!(fits(&out), made);
    assert_eq!(files(&out), before);

    // Another one that fails leaves the report whole.
    fail(cv("class", &store, &out), 1);
    assert_eq!(files(&out), before);

    // Another one that ends leaves what is its own, and what is of no report.
    let replaced = run(cv("gender", &store, &out));
    let words = String::from_utf8_lossy(&replaced.stderr).into_owned();
    assert!(replaced.status.success(), "{words}");
    assert!(words.contains("holds the report of another command"), "{words}");
    let clean = dir.path("clean");
    succeed(cv("gender", &store, &clean));
    let mut expected = files(&clean);
    expected.extend(["notes.txt".to_owned(), "plots/mine.svg".to_owned()]);
    expected.sort();
    assert_eq!(files(&out), expected);
}

#[test]
fn a_report_replaces_and_deletes_no_file_of_another_program() {
    let dir = Dir::new();
    let out = dir.path("work");
    std::fs::create_dir_all(out.join("fits")).expect("a directory");
    let [curve, text] = ["fits/my-curve.json", "report.md"].map(|name| out.join(name));
    for path in [&curve, &text] {
        std::fs::write(path, "{\"mine\":1}").expect("a file");
    }
    let cv =
        || line("cv --store {} --task gender --head majority --out {}", &[drawn_store(), &out]);
    let message = fail(cv(), 1);
    assert!(message.contains("report.md` would be replaced"), "{message}");
    assert!(message.contains("move the file away"), "{message}");
    std::fs::remove_file(&text).expect("a file");
    succeed(cv());
    succeed(cv());
    assert_eq!(std::fs::read_to_string(&curve).expect("a file"), "{\"mine\":1}");
}

/// A store of 24 pictures of noise, each of a subject of its own.
pub fn extracted(dir: &Dir) -> PathBuf {
    let (set, store) = (dir.path("set"), dir.path("store"));
    listed(&set, 6, 24);
    succeed(line("extract manifest {} --store {} --model untrained", &[&set, &store]));
    store
}

#[test]
fn a_store_takes_no_report_and_no_export() {
    let dir = Dir::new();
    let store = extracted(&dir);
    let before = contents(&store);
    for command in [
        "cv --store {} --task gender --head majority --out {}",
        "tune --store {} --task gender --head linear --out {}",
        "store export {} --format npy --out {}",
    ] {
        let message = fail(line(command, &[&store, &store]), 1);
        assert!(message.contains("is the directory of a store"), "{command}: {message}");
    }
    // But for what is derived.
    let kept = |path: &PathBuf| !path.starts_with(store.join("derived"));
    let after: Vec<PathBuf> = contents(&store).into_keys().filter(kept).collect();
    assert_eq!(after, before.into_keys().filter(kept).collect::<Vec<_>>());
}

#[test]
#[cfg(unix)]
fn one_store_given_twice_is_refused() {
    let dir = Dir::new();
    let store = extracted(&dir);
    let link = dir.path("link");
    std::os::unix::fs::symlink(&store, &link).expect("a link");
    let message = fail(
        line(
            "cv --store {} --store {} --task gender --head majority --out {}",
            &[&store, &link, &dir.path("out")],
        ),
        2,
    );
    assert!(message.contains("are the same store"), "{message}");
}

#[test]
fn predictions_that_were_changed_are_not_compared() {
    let dir = Dir::new();
    let store = extracted(&dir);
    let [first, second] = ["first", "second"].map(|name| dir.path(name));
    used(&store, &first);
    used(&store, &second);
    let compare = || line("compare {} {}", &[&first, &second]);
    succeed(compare());
    let path = second.join("gender/predictions.csv");
    let table = std::fs::read_to_string(&path).expect("predictions");
    let mut records: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    // The label of a row, and what the first head predicts of it, are exchanged for the other gender.
    let swapped = |gender: &str| if gender == "female" { "male" } else { "female" };
    let column = records[0].iter().position(|name| name.starts_with("linear/")).expect("a head");
    records[1][column] = swapped(records[1][column]);
    let changed: Vec<String> = records.iter().map(|record| record.join(",")).collect();
    std::fs::write(&path, changed.join("\n")).expect("predictions");
    let message = fail(compare(), 1);
    assert!(message.contains("that its report.json has"), "{message}");
    assert_eq!(message.matches("predictions.csv").count(), 1, "{message}");
    std::fs::write(&path, &table).expect("predictions");
    // What `store forget` removes is left out, and said.
    succeed(line("store forget {} --subject person-6-7", &[&store]));
    let words = succeed(compare());
    assert!(words.contains("1 test rows of `second` were removed"), "{words}");
}

#[test]
fn copies_are_not_known_before_and_few_subjects_are_explained() {
    let dir = Dir::new();
    let (set, store) = (dir.path("set"), dir.path("store"));
    folders(&set, 8, 6);
    for number in 0..4 {
        let copy = set.join(format!("female/copy-{number}.png"));
        std::fs::copy(set.join("female/8-0.png"), copy).expect("a copy");
    }
    let words = succeed(line("extract folder {} --store {} --model untrained", &[&set, &store]));
    assert!(
        words.contains("0 known before, 4 with the same bytes as another, 0 rejected"),
        "{words}"
    );
    let words = succeed(line("extract folder {} --store {} --model untrained", &[&set, &store]));
    assert!(words.contains("10 known before, 0 rejected"), "{words}");
    let message = fail(
        line(
            "cv --store {} --task gender --head majority --protocol kfold:9 --out {}",
            &[&store, &dir.path("out")],
        ),
        1,
    );
    assert!(message.contains("expected at least 9 subjects for 9 folds, found "), "{message}");
    assert!(message.contains("pictures count as one subject where"), "{message}");
}

#[test]
fn what_is_wrong_with_labels_is_said_once() {
    let dir = Dir::new();
    let set = dir.path("set");
    listed(&set, 9, 4);
    std::fs::remove_file(set.join("female/9-0.png")).expect("a picture");
    let command = || line("data check manifest {} --images", &[&set]);
    let output = run(command());
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(stdout.contains("1 picture is not there"), "{stdout}");
    assert!(!stderr.contains("is not there") && stderr.contains("1 errors"), "{stderr}");
    let mut in_json = command();
    in_json.arg("--json");
    assert!(fail(in_json, 1).contains("1 picture is not there"));

    std::fs::write(set.join("manifest.csv"), "path\n").expect("a list");
    let message = fail(line("data check manifest {}", &[&set]), 1);
    assert!(message.contains("expected at least one label row"), "{message}");
}

#[test]
#[cfg(unix)]
fn a_directory_takes_the_report_of_one_run_at_a_time() {
    let dir = Dir::new();
    let out = dir.path("out");
    let cv =
        || line("cv --store {} --task gender --head majority --out {}", &[drawn_store(), &out]);
    std::fs::create_dir_all(&out).expect("a directory");
    let other = std::fs::File::open(&out).expect("a directory that can be opened");
    other.lock().expect("a lock");
    let message = fail(cv(), 1);
    assert!(message.contains("another run") && message.contains("--out"), "{message}");
    drop(other);
    succeed(cv());
    // Rendering a report anew writes into it too.
    let other = std::fs::File::open(&out).expect("a directory that can be opened");
    other.lock().expect("a lock");
    let message = fail(line("report render {}", &[&out]), 1);
    assert!(message.contains("another run writes its report into"), "{message}");
}
