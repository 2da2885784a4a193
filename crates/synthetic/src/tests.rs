//! Layout, counts, labels and folds of the synthetic dataset, and the same bytes every time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use facefold_core::Gender;

use crate::{Identity, MARKER, SyntheticError, SyntheticOptions, generate, portrait};

fn go(_: usize, _: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn small() -> SyntheticOptions {
    SyntheticOptions {
        subjects: 16,
        pictures: 40,
        seed: 7,
        side: 64,
        threads: 1,
        ..SyntheticOptions::default()
    }
}

/// Fold and columns of every row of the lists under `root`.
fn rows(root: &Path) -> Vec<(usize, Vec<String>)> {
    let mut rows = Vec::new();
    for fold in 0..5 {
        let text = fs_err::read_to_string(root.join(format!("fold_{fold}_data.txt"))).unwrap();
        let mut lines = text.lines();
        assert_eq!(
            lines.next().unwrap(),
            "user_id\toriginal_image\tface_id\tage\tgender\tx\ty\tdx\tdy\ttilt_ang\t\
             fiducial_yaw_angle\tfiducial_score"
        );
        rows.extend(lines.map(|line| (fold, line.split('\t').map(str::to_owned).collect())));
    }
    rows
}

/// Every file under `root` with its bytes.
fn content(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut content = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                content.insert(name, fs_err::read(&path).unwrap());
            }
        }
    }
    content
}

#[test]
fn the_same_options_give_the_same_bytes_in_parallel_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let draw_in = |name: &str, options: &SyntheticOptions| {
        let root = folder.path().join(name);
        generate(&root, options, &go).unwrap();
        content(&root)
    };
    let alone = draw_in("alone", &small());
    let many = draw_in("many", &SyntheticOptions { threads: 3, ..small() });
    // Names first: a difference there prints in a line.
    assert_eq!(alone.keys().collect::<Vec<_>>(), many.keys().collect::<Vec<_>>());
    assert!(alone == many, "the bytes depend on the number of threads");
    let other = draw_in("other", &SyntheticOptions { seed: 8, ..small() });
    assert!(alone.keys().ne(other.keys()), "the seed changes nothing");
}

#[test]
fn the_layout_is_that_of_adience_and_the_pictures_decode() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let summary = generate(root, &small(), &go).unwrap();
    let rows = rows(root);
    assert_eq!((summary.subjects, summary.pictures, summary.rows), (16, 40, rows.len()));
    let distinct: BTreeSet<_> = rows.iter().map(|(_, columns)| columns.clone()).collect();
    assert_eq!(distinct.len(), 40);
    assert_eq!(rows.len(), 42, "two rows stand twice");
    for (_, columns) in &rows {
        let [user, image, face] = [&columns[0], &columns[1], &columns[2]];
        assert_eq!(columns.len(), 12);
        for tree in ["aligned/{u}/landmark_aligned_face", "faces/{u}/coarse_tilt_aligned_face"] {
            let path = root.join(format!("{}.{face}.{image}", tree.replace("{u}", user)));
            let picture = image::open(&path).unwrap();
            assert_eq!((picture.width(), picture.height()), (64, 64), "{}", path.display());
        }
    }
    let files = content(root).len();
    assert_eq!(files, 2 * 40 + 5 + 1, "two trees, five lists and {MARKER}");
}

#[test]
fn a_default_set_has_every_kind_of_label_and_folds_without_a_leak() {
    let folder = tempfile::tempdir().unwrap();
    let options = SyntheticOptions { side: 64, faces_tree: false, ..SyntheticOptions::default() };
    let summary = generate(folder.path(), &options, &go).unwrap();
    assert_eq!((summary.subjects, summary.pictures), (60, 600));
    let rows = rows(folder.path());
    let ages: BTreeSet<&str> = rows.iter().map(|(_, columns)| columns[3].as_str()).collect();
    for age in
        ["(0, 2)", "(4, 6)", "(8, 12)", "(15, 20)", "(25, 32)", "(38, 43)", "(48, 53)", "(60, 100)"]
    {
        assert!(ages.contains(age), "no row of {age}");
    }
    for odd in ["None", "35", "13", "(25, 23)"] {
        assert!(ages.contains(odd), "no row of {odd}");
    }
    let genders: BTreeSet<&str> = rows.iter().map(|(_, columns)| columns[4].as_str()).collect();
    assert_eq!(genders, BTreeSet::from(["", "f", "m", "u"]));

    let mut fold_of = BTreeMap::new();
    for (fold, columns) in &rows {
        assert_eq!(*fold_of.entry(columns[0].clone()).or_insert(*fold), *fold, "{}", columns[0]);
    }
    assert_eq!(fold_of.len(), 60);
    for fold in 0..5 {
        let here = rows.iter().filter(|(of, _)| *of == fold);
        let kinds: BTreeSet<_> =
            here.map(|(_, columns)| columns[3].clone()).filter(|age| age.contains(", ")).collect();
        assert!(kinds.len() >= 8, "fold {fold} has {kinds:?} only");
    }
    // A subject's pictures agree wherever they name a gender.
    for subject in fold_of.keys() {
        let named: BTreeSet<_> = rows
            .iter()
            .filter(|(_, columns)| {
                columns[0] == *subject && "fm".contains(&columns[4]) && !columns[4].is_empty()
            })
            .map(|(_, columns)| columns[4].clone())
            .collect();
        assert!(named.len() <= 1, "{subject} is both");
    }
}

#[test]
fn an_interrupted_set_continues_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    generate(&whole, &small(), &go).unwrap();
    let stop = |done: usize, _: usize| {
        if done == 9 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let error = generate(&broken, &small(), &stop).unwrap_err();
    assert!(matches!(error, SyntheticError::Interrupted { done: 9, total: 40 }), "{error}");
    assert!(!broken.join("fold_0_data.txt").exists(), "lists come last");
    let calls = AtomicUsize::new(0);
    let summary = generate(&broken, &small(), &|_, _| {
        calls.fetch_add(1, Ordering::Relaxed);
        ControlFlow::Continue(())
    });
    assert_eq!(summary.unwrap().kept, 9);
    assert_eq!(calls.into_inner(), 40);
    assert!(content(&whole) == content(&broken));
}

#[test]
fn invalid_options_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let attempt =
        |options: SyntheticOptions| generate(folder.path(), &options, &go).unwrap_err().to_string();
    assert_eq!(
        attempt(SyntheticOptions { subjects: 3, ..small() }),
        "cannot draw 3 subjects: expected 8 (one for each age group) to 1000000"
    );
    assert_eq!(
        attempt(SyntheticOptions { pictures: 20, ..small() }),
        "cannot draw 20 pictures of 16 subjects: expected at least 2 pictures a subject, 32 in all; \
         ask for more pictures or fewer subjects"
    );
    assert_eq!(
        attempt(SyntheticOptions { side: 10, ..small() }),
        "cannot draw pictures of 10 pixels a side: expected 64 to 2048"
    );
    assert!(content(folder.path()).is_empty(), "refused options leave no trace");
    fs_err::write(folder.path().join("holiday.jpg"), b"x").unwrap();
    assert!(attempt(small()).contains("is not empty"), "foreign files are left alone");
    let set = folder.path().join("set");
    generate(&set, &small(), &go).unwrap();
    let error = generate(&set, &SyntheticOptions { seed: 99, ..small() }, &go).unwrap_err();
    assert!(error.to_string().contains("other options"), "{error}");
}

#[test]
fn a_portrait_is_reproducible_with_plausible_landmarks() {
    for seed in 0..12 {
        let first = portrait(seed);
        assert!(first.picture == portrait(seed).picture, "portrait {seed} does not repeat");
        let [left, right, nose, mouth_left, mouth_right] = first.landmarks;
        assert!(left[0] < nose[0] && nose[0] < right[0], "{:?}", first.landmarks);
        assert!(left[1] < nose[1] && nose[1] < mouth_left[1], "{:?}", first.landmarks);
        assert!(mouth_left[0] < mouth_right[0], "{:?}", first.landmarks);
        assert!(first.landmarks.iter().flatten().all(|&at| at > 0.0 && at < 320.0));
    }
}

#[test]
fn an_identity_is_constant_and_its_pictures_differ() {
    let identity = Identity::new(3, 5, Gender::Male);
    let (first, second) = (identity.portrait(30.0, 3, 0, 96), identity.portrait(30.0, 3, 1, 96));
    assert!(first.picture != second.picture);
    let again = Identity::new(3, 5, Gender::Male).portrait(30.0, 3, 0, 96);
    assert!(first.picture == again.picture);
}
