//! Embeddings that another program made: from a matrix and a list to a report.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use facefold_testing::{Need, given};

use crate::support::{Dir, fail, json, line, run, succeed};

/// Values of an embedding: more than ArcFace has.
const WIDTH: usize = 768;

/// A matrix in NumPy's format.
fn npy(path: &Path, rows: &[Vec<f32>]) {
    let shape = format!("({}, {})", rows.len(), rows.first().map_or(0, Vec::len));
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(rows.iter().flatten().flat_map(|value| value.to_le_bytes()));
    std::fs::write(path, bytes).expect("a file");
}

/// Made-up rows: the first values say gender, the next ones age, the others are noise. All are alike, as the
/// embeddings of a network are that does not distinguish people.
fn rows(count: usize, seed: u32) -> Vec<Vec<f32>> {
    let mut state = seed;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let row = |row: usize| {
        let mut values: Vec<f32> = (0..WIDTH).map(|_| 2.0 + 0.5 * noise()).collect();
        let (gender, years) =
            (if row.is_multiple_of(2) { 0.4 } else { -0.4 }, age(row) as f32 / 100.0);
        for value in &mut values[..200] {
            *value += gender;
        }
        for value in &mut values[200..400] {
            *value += years;
        }
        values
    };
    (0..count).map(row).collect()
}

fn age(row: usize) -> usize {
    20 + (row * 7) % 50
}

/// Label rows: six pictures a subject.
fn labels(path: &Path, count: usize, with_subjects: bool) {
    let mut list = "path,subject,age,gender\n".to_owned();
    for row in 0..count {
        let gender = if row % 2 == 0 { "f" } else { "m" };
        let subject = if with_subjects { format!("subject-{}", row / 6) } else { String::new() };
        let _ = writeln!(list, "faces/{row}.jpg,{subject},{},{gender}", age(row));
    }
    std::fs::write(path, list).expect("a list");
}

/// A matrix, its list, and the store to be made.
fn made(dir: &Dir, count: usize) -> [PathBuf; 3] {
    let paths = ["clip.npy", "labels.csv", "clip"].map(|name| dir.path(name));
    npy(&paths[0], &rows(count, 7));
    labels(&paths[1], count, true);
    paths
}

const IMPORT: &str = "store import {} {} --store {} --network clip-vit-l14";

#[test]
fn imported_embeddings_are_cross_validated_trained_on_and_exported() {
    let dir = Dir::new();
    let [matrix, list, store] = made(&dir, 120);
    let paths = [matrix.as_path(), &list, &store];
    let summary = json(line(IMPORT, &paths));
    assert_eq!((&summary["embedded"], &summary["embedding_length"]), (&120.into(), &768.into()));
    // The same command again changes nothing.
    assert_eq!(json(line(IMPORT, &paths)), summary);
    assert!(succeed(line("store verify {}", &[&store])).contains("sound"));
    let info = json(line("store info {}", &[&store]));
    assert_eq!(info["header"]["extractor"]["network"], "clip-vit-l14");
    let export = json(line("store export {} --format npy --out {}", &[&store, &dir.path("out")]));
    assert_eq!(export["rows"], 120);
    let bytes = |path: PathBuf| std::fs::read(path).expect("a file");
    let (given, exported) = (bytes(matrix.clone()), bytes(dir.path("out").join("embeddings.npy")));
    let values = 120 * WIDTH * 4;
    assert!(given[given.len() - values..] == exported[exported.len() - values..], "other values");

    let report = json(line(
        "cv --store {} --task gender,age --head linear --protocol kfold:3 --out {}",
        &[&store, &dir.path("cv")],
    ));
    let accuracy = &report["tasks"][0]["result"]["heads"][0]["pooled"]["classes"]["accuracy"];
    assert!(accuracy.as_f64().expect("an accuracy") > 0.95, "{accuracy}");
    assert_eq!(report["warnings"], serde_json::json!([]));
    let table = std::fs::read_to_string(dir.path("cv").join("gender/predictions.csv"));
    assert!(table.expect("predictions").contains("faces/7.jpg"));

    let bundle = dir.path("clip.facefold");
    succeed(line("train --store {} --task gender --head linear --out {}", &[&store, &bundle]));
    let picture = dir.path("picture.jpg");
    std::fs::write(&picture, "not looked at").expect("a file");
    let message = fail(line("predict --bundle {} {}", &[&bundle, &picture]), 1);
    assert!(message.contains("trained on imported embeddings of `clip-vit-l14`"), "{message}");
    succeed(line("export {} --out {}", &[&bundle, &dir.path("clip.onnx")]));

    // Further features are not those of mirrored pictures.
    let [taps, wide, both] = ["taps.npy", "wide", "both.facefold"].map(|name| dir.path(name));
    npy(&taps, &rows(120, 8));
    succeed(line(&format!("{IMPORT} --taps {{}}"), &[&matrix, &list, &wide, &taps]));
    succeed(line("train --store {} --task gender --head linear --out {}", &[&wide, &both]));
    let card = json(line("bundle show {}", &[&both]));
    assert_eq!((&card["features"], &card["mirrored"]), (&"both".into(), &false.into()));
}

#[test]
fn stores_of_two_networks_are_not_mixed() {
    let dir = Dir::new();
    let [matrix, list, store] = made(&dir, 24);
    let paths = [matrix.as_path(), &list, &store];
    succeed(line(IMPORT, &paths));
    let other = IMPORT.replace("clip-vit-l14", "farl");
    let message = fail(line(&other, &paths), 1);
    assert!(message.contains("(imported, clip-vit-l14, 768 values), expected"), "{message}");
    succeed(line(&other, &[&matrix, &list, &dir.path("farl")]));
    let message = fail(
        line(
            "cv --store {} --store {} --task gender --out {}",
            &[&store, &dir.path("farl"), &dir.path("cv")],
        ),
        1,
    );
    assert!(message.contains("join stores of one network only"), "{message}");
    let message = fail(
        line(
            "cv --store {} --task gender --min-quality size=40 --out {}",
            &[&store, &dir.path("cv")],
        ),
        2,
    );
    assert!(message.contains("only `norm` is known of them"), "{message}");
}

#[test]
fn rows_without_a_subject_are_not_joined_by_likeness_and_the_report_says_so() {
    let dir = Dir::new();
    let [matrix, list, store] = made(&dir, 60);
    labels(&list, 60, false);
    succeed(line(IMPORT, &[&matrix, &list, &store]));
    let report = json(line(
        "cv --store {} --task gender --head linear --protocol kfold:3 --out {}",
        &[&store, &dir.path("cv")],
    ));
    assert_eq!(report["tasks"][0]["rows"]["used"], 60);
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("60 of 60 rows name no subject"), "{warnings}");
}

#[test]
fn empty_identical_and_missing_rows_are_counted() {
    let dir = Dir::new();
    let [matrix, list, store] = made(&dir, 30);
    let mut values = rows(30, 7);
    values[3] = vec![0.0; WIDTH];
    values[5] = values[4].clone();
    npy(&matrix, &values);
    let summary = json(line(IMPORT, &[&matrix, &list, &store]));
    assert_eq!((&summary["embedded"], &summary["empty"]), (&29.into(), &1.into()));
    assert_eq!(summary["identical"], 1);
    let info = json(line("store info {} --rejections", &[&store]));
    assert_eq!(info["rejections"][0]["detail"], "all values are zero");

    values[7][700] = f32::INFINITY;
    npy(&matrix, &values);
    let new = dir.path("new");
    let message = fail(line(IMPORT, &[&matrix, &list, &new]), 1);
    assert!(message.contains("row 7 (from 0): expected finite values"), "{message}");
    assert!(!new.exists(), "something was written");
    labels(&list, 29, true);
    let message = fail(line(IMPORT, &[&matrix, &list, &new]), 1);
    assert!(message.contains("expected 30 label rows"), "{message}");
}

#[test]
fn label_rows_that_contradict_a_repetition_of_theirs_are_counted() {
    let Some(python) = given(Need::Python) else { return };
    let dir = Dir::new();
    let [matrix, list, store] = made(&dir, 30);
    let named = dir.path("clip.npz");
    let script = "import sys, numpy\n\
                  paths = [f'faces/{row}.jpg' for row in range(30)]\n\
                  numpy.savez(sys.argv[2], embeddings=numpy.load(sys.argv[1]), paths=paths)";
    let written = Command::new(python).args(["-c", script]).args([&matrix, &named]).status();
    assert!(written.expect("python starts").success());
    let text = std::fs::read_to_string(&list).expect("a list");
    // One repeated as it is, one with another age.
    let (same, other) =
        (format!("faces/4.jpg,subject-0,{},f", age(4)), "faces/5.jpg,subject-0,99,m");
    std::fs::write(&list, format!("{text}{same}\n{other}\n")).expect("a list");
    let import = format!("{IMPORT} --key paths");
    let summary = json(line(&import, &[&named, &list, &store]));
    assert_eq!((&summary["rows"], &summary["contradictory"]), (&30.into(), &1.into()));
    let said = run(line(&import, &[&named, &list, &store]));
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(
        said.contains("1 of 30 label rows have a path that a later row repeats with"),
        "{said}"
    );
    let report = json(line(
        "cv --store {} --task age --head linear --protocol kfold:3 --out {}",
        &[&store, &dir.path("cv")],
    ));
    assert_eq!(report["tasks"][0]["rows"]["used"], 29);
}

#[test]
fn rows_find_their_labels_by_any_column_with_their_paths() {
    let Some(python) = given(Need::Python) else { return };
    let dir = Dir::new();
    let [matrix, list, store] = made(&dir, 30);
    // The same rows in another order, as their paths say.
    let script = "import sys, numpy\n\
                  rows = numpy.load(sys.argv[1])[::-1]\n\
                  paths = [sys.argv[4] + f'faces/{row}.jpg' for row in range(30)][::-1]\n\
                  numpy.savez(sys.argv[2], embeddings=rows, **{sys.argv[3]: paths})";
    let save = |file: &Path, name: &str, prefix: &str| {
        let written = Command::new(&python)
            .args(["-c", script])
            .args([&matrix, file])
            .args([name, prefix])
            .status();
        assert!(written.expect("python starts").success());
    };
    let values = |store: &Path, out: PathBuf| {
        succeed(line("store export {} --format npy --out {}", &[store, &out]));
        std::fs::read(out.join("embeddings.npy")).expect("a file")
    };
    succeed(line(IMPORT, &[&matrix, &list, &store]));
    let expected = values(&store, dir.path("expected"));
    for (number, (name, prefix)) in [("image", ""), ("path", "/data/")].into_iter().enumerate() {
        let (file, store) = (dir.path("x.npz"), dir.path(&format!("store-{number}")));
        save(&file, name, prefix);
        let said = run(line(IMPORT, &[&file, &list, &store]));
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains("find their labels by the"), "{said}");
        assert!(values(&store, dir.path(&format!("out-{number}"))) == expected, "other labels");
    }
}

#[test]
fn a_repeated_import_takes_over_the_files_as_they_are_now() {
    let dir = Dir::new();
    let [matrix, list, store] = made(&dir, 30);
    let paths = [matrix.as_path(), &list, &store];
    succeed(line(IMPORT, &paths));
    // Mirrored embeddings that were added, and those that were corrected.
    let mirrored = dir.path("mirrored.npy");
    let with_mirrored = format!("{IMPORT} --mirrored {{}}");
    for seed in [8, 9] {
        npy(&mirrored, &rows(30, seed));
        let summary = json(line(&with_mirrored, &[&matrix, &list, &store, &mirrored]));
        assert_eq!(summary["superseded"], 30);
        let out = dir.path("cv");
        let report = json(line(
            "cv --store {} --task age --head linear --protocol kfold:3 --out {}",
            &[&store, &out],
        ));
        // As from a store that has nothing else.
        let fresh = dir.path(&format!("fresh-{seed}"));
        succeed(line(&with_mirrored, &[&matrix, &list, &fresh, &mirrored]));
        let expected = json(line(
            "cv --store {} --task age --head linear --protocol kfold:3 --out {}",
            &[&fresh, &dir.path("expected")],
        ));
        let error = |report: &serde_json::Value| {
            report["tasks"][0]["result"]["heads"][0]["pooled"]["regression"]["mean_absolute_error"]
                .clone()
        };
        assert_eq!(error(&report), error(&expected), "mirrored {seed}");
    }

    // Rows that were taken out, and one that has no values any more.
    let mut values = rows(20, 7);
    values[4] = vec![0.0; WIDTH];
    npy(&matrix, &values);
    labels(&list, 20, true);
    let summary = json(line(IMPORT, &paths));
    assert_eq!((&summary["rows"], &summary["embedded"]), (&20.into(), &19.into()));
    let info = json(line("store info {} --rejections", &[&store]));
    assert_eq!((&info["samples"], &info["embedded"]), (&20.into(), &19.into()));
    assert!(succeed(line("store verify {}", &[&store])).contains("sound"));
    assert_eq!(info["rejections"][0]["path"], "faces/4.jpg");
    let export = json(line("store export {} --format npy --out {}", &[&store, &dir.path("out")]));
    assert_eq!(export["rows"], 19);
}

#[test]
fn a_damaged_import_names_the_command_that_makes_it_whole() {
    let dir = Dir::new();
    let [_, list, store] = made(&dir, 30);
    let matrix = dir.path("my clip.npy");
    npy(&matrix, &rows(30, 7));
    succeed(line(IMPORT, &[&matrix, &list, &store]));
    let shard = || {
        let shards = std::fs::read_dir(store.join("shards")).expect("shards");
        shards.map(|shard| shard.expect("a shard").path()).next().expect("a shard")
    };
    let (path, command) = (shard(), |text: &str| {
        text.contains(&format!(
            "`facefold store import '{}' {} --store {} --network clip-vit-l14` again",
            matrix.display(),
            list.display(),
            store.display()
        ))
    });
    let mut bytes = std::fs::read(&path).expect("a shard");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("a shard");
    let output = run(line("store verify {}", &[&store]));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("delete the file and run") && command(&text), "{text}");
    std::fs::remove_file(&path).expect("a shard");
    let output = run(line("store verify {}", &[&store]));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("30 label rows name pictures") && command(&text), "{text}");
    // Which is what it takes.
    succeed(line(IMPORT, &[&matrix, &list, &store]));
    assert!(succeed(line("store verify {}", &[&store])).contains("sound"));

    std::fs::remove_file(store.join("samples.parquet")).expect("the table");
    let message = fail(line("cv --store {} --task age --out {}", &[&store, &dir.path("cv")]), 1);
    assert!(message.contains("it was written, and is gone") && command(&message), "{message}");
    let message = fail(line("store info {}", &[&dir.path("nowhere")]), 1);
    assert!(message.contains("`facefold store import` makes one"), "{message}");
}

#[test]
fn a_matrix_of_imported_stores_says_which_subjects_have_one_name() {
    let dir = Dir::new();
    let [matrix, list, store] = made(&dir, 60);
    succeed(line(IMPORT, &[&matrix, &list, &store]));
    let (other, farl) = (dir.path("other"), dir.path("farl"));
    npy(&matrix, &rows(72, 11));
    labels(&list, 72, true);
    let second = dir.path("second.csv");
    std::fs::copy(&list, &second).expect("a list");
    succeed(line(IMPORT, &[&matrix, &second, &other]));
    let out = dir.path("matrix");
    let report = json(line(
        "matrix --store {} --store {} --task gender,age --head linear --out {}",
        &[&store, &other, &out],
    ));
    let cells = report["tasks"][0]["result"]["heads"][0]["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 4);
    for cell in cells {
        let accuracy = &cell["outcome"]["measured"]["metrics"][0];
        assert_eq!(accuracy["metric"], "accuracy");
        assert!(accuracy["value"].as_f64().expect("a value") > 0.95, "{cell}");
    }
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("10 subjects have the same name in several sets"), "{warnings}");
    assert!(report["dataset"]["notes"].to_string().contains("0 rows of imported embeddings"));

    succeed(line(&IMPORT.replace("clip-vit-l14", "farl"), &[&matrix, &second, &farl]));
    let command = "matrix --store {} --store {} --task gender --head linear --out {}";
    let message = fail(line(command, &[&store, &farl, &dir.path("mixed")]), 1);
    assert!(message.contains("join stores of one network only"), "{message}");
}
