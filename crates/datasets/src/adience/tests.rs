//! The loader against small lists, and against the published counts of the official ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use facefold_core::{AgeGroups, AgeLabel, Fold, Gender, Task};

use super::{HEADER, load};
use crate::dataset::{Dataset, LoadOptions, Tree};
use crate::policy::{AgeLabelling, DropReason, LabelPolicy};
use crate::select::select;
use facefold_testing::{Need, given};

/// A row of a list from its first five columns.
fn row(user: &str, image: &str, face: &str, age: &str, gender: &str) -> String {
    [user, image, face, age, gender, "0", "0", "9", "9", "0", "0", "9"].join("\t")
}

/// Writes lists `PREFIX_0_data.txt` and on into `folder`.
fn write_lists(folder: &Path, prefix: &str, lists: [&[String]; 5], end: &str) {
    for (fold, rows) in lists.iter().enumerate() {
        let mut lines = vec![HEADER.join("\t")];
        lines.extend_from_slice(rows);
        let text = lines.join(end) + end;
        fs_err::write(folder.join(format!("{prefix}_{fold}_data.txt")), text).unwrap();
    }
}

fn small_lists() -> [Vec<String>; 5] {
    [
        vec![
            row("1@N0", "a.jpg", "1", "(0, 2)", "f"),
            row("1@N0", "a.jpg", "1", "(0, 2)", "f"),
            row("1@N0", "a.jpg", "2", "35", "u"),
            String::new(),
            row("2@N0", "a.jpg", "2", "(0, 2)", ""),
        ],
        vec![row("3@N1", "b.jpg", "3", "None", "m")],
        vec![],
        vec![row("4@N3", "b.jpg", "3", "(8, 23)", "m")],
        vec![row("5@N4", "c.jpg", "4", "(60, 100)", "f")],
    ]
}

fn small(end: &str, options: &LoadOptions) -> Result<Dataset, String> {
    let directory = tempfile::tempdir().unwrap();
    let lists = small_lists();
    write_lists(directory.path(), "fold", lists.each_ref().map(Vec::as_slice), end);
    load(directory.path(), options).map_err(|error| error.to_string())
}

#[test]
fn reads_lists_with_either_line_end() {
    for end in ["\n", "\r\n"] {
        let dataset = small(end, &LoadOptions::default()).unwrap();
        assert_eq!((dataset.rows, dataset.duplicates, dataset.distinct()), (7, 1, 6));
        assert_eq!(dataset.ages.total("(0, 2)"), 3);
        assert_eq!(dataset.genders.in_fold("u", Fold(0)), 1);
        let first = &dataset.samples[0];
        assert_eq!(first.path, Path::new("aligned/1@N0/landmark_aligned_face.1.a.jpg"));
        assert_eq!(first.subject.as_ref().unwrap().as_str(), "1@N0");
        assert_eq!((first.fold, first.gender), (Some(Fold(0)), Some(Gender::Female)));
        assert_eq!(dataset.samples[1].gender, None);
        assert_eq!(dataset.samples[5].fold, Some(Fold(4)));
    }
}

#[test]
fn policies_on_the_small_lists() {
    let dataset = small("\n", &LoadOptions::default()).unwrap();
    let rows =
        |policy| select(&dataset.samples, Task::AgeGroup, policy, &AgeGroups::adience()).rows.len();
    assert_eq!(LabelPolicy::ALL.map(rows), [3, 5, 5]);
}

#[test]
fn the_other_tree_has_other_paths() {
    let options = LoadOptions { tree: Tree::Faces, ..LoadOptions::default() };
    let dataset = small("\n", &options).unwrap();
    let expected = Path::new("faces/1@N0/coarse_tilt_aligned_face.1.a.jpg");
    assert_eq!(dataset.samples[0].path, expected);
}

#[test]
fn frontal_lists_are_an_option_and_may_lie_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let lists = directory.path().join("lists");
    fs_err::create_dir(&lists).unwrap();
    let rows = [row("1@N0", "a.jpg", "1", "(0, 2)", "f")];
    write_lists(&lists, "fold_frontal", [&rows, &[], &[], &[], &[]], "\n");
    let mut options = LoadOptions { labels: Some(lists.clone()), ..LoadOptions::default() };
    let message = load(directory.path(), &options).unwrap_err().to_string();
    assert!(message.contains("only the fold_frontal lists are there"), "{message}");
    options.frontal = true;
    assert_eq!(load(directory.path(), &options).unwrap().rows, 1);

    let main = small_lists();
    write_lists(&lists, "fold", main.each_ref().map(Vec::as_slice), "\n");
    options.frontal = false;
    let dataset = load(directory.path(), &options).unwrap();
    assert_eq!(dataset.rows, 7);
    assert!(dataset.notes[0].contains("fold_frontal_0_data.txt"));
}

#[test]
fn errors_name_the_cause() {
    let message = load(Path::new("no/such/folder"), &LoadOptions::default()).unwrap_err();
    assert!(message.to_string().contains("`no/such/folder` is not a folder"));

    let write = |change: &dyn Fn(&Path)| {
        let directory = tempfile::tempdir().unwrap();
        let lists = small_lists();
        write_lists(directory.path(), "fold", lists.each_ref().map(Vec::as_slice), "\r\n");
        change(directory.path());
        load(directory.path(), &LoadOptions::default()).unwrap_err().to_string()
    };
    let message = write(&|root| fs_err::remove_file(root.join("fold_3_data.txt")).unwrap());
    assert!(message.contains("expected the list `fold_3_data.txt`"), "{message}");

    let message = write(&|root| {
        let path = root.join("fold_0_data.txt");
        let text = fs_err::read_to_string(&path).unwrap().replace("(0, 2)\t\t0", "(0, 2)\t0");
        fs_err::write(&path, text).unwrap();
    });
    let expected = "fold_0_data.txt, line 6: expected 12 columns, as the header has, found 11";
    assert!(message.ends_with(expected), "{message}");

    let message = write(&|root| fs_err::write(root.join("fold_1_data.txt"), "a\tb\n").unwrap());
    assert!(message.contains("expected the 12 tab-separated columns"), "{message}");

    let message = write(&|root| {
        let path = root.join("fold_4_data.txt");
        let text = fs_err::read_to_string(&path).unwrap().replace("c.jpg", "../c.jpg");
        fs_err::write(&path, text).unwrap();
    });
    assert!(message.contains("line 2: expected in original_image what can be part"), "{message}");
}

/// The official lists, where they are at hand.
fn official() -> Option<Dataset> {
    let root = given(Need::Data)?.join("adience");
    Some(load(&root, &LoadOptions::default()).unwrap())
}

/// The eight age strings of the benchmark, youngest first.
const EIGHT: [&str; 8] =
    ["(0, 2)", "(4, 6)", "(8, 12)", "(15, 20)", "(25, 32)", "(38, 43)", "(48, 53)", "(60, 100)"];

const FIVE: [Fold; 5] = [Fold(0), Fold(1), Fold(2), Fold(3), Fold(4)];

#[test]
fn official_rows_duplicates_and_folds() {
    let Some(dataset) = official() else { return };
    assert_eq!((dataset.rows, dataset.duplicates, dataset.distinct()), (19_487, 117, 19_370));
    assert_eq!(dataset.samples.len(), 19_370);
    assert!(dataset.samples.iter().all(|sample| !sample.label_conflict));
    let in_fold = |fold| dataset.samples.iter().filter(|s| s.fold == Some(fold)).count();
    assert_eq!(FIVE.map(in_fold), [4484, 3730, 3894, 3446, 3816]);
}

#[test]
fn official_users_are_in_one_fold_each() {
    let Some(dataset) = official() else { return };
    let mut folds: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for sample in &dataset.samples {
        folds.entry(sample.subject.clone()).or_default().insert(sample.fold);
    }
    assert_eq!(folds.len(), 168);
    assert!(folds.values().all(|folds| folds.len() == 1));
    let users = |fold| folds.values().filter(|folds| folds.contains(&Some(fold))).count();
    assert_eq!(FIVE.map(users), [34, 34, 34, 33, 33]);
}

#[test]
fn official_age_strings_before_deduplication() {
    let Some(dataset) = official() else { return };
    let counts = EIGHT.map(|label| dataset.ages.total(label));
    assert_eq!(counts, [2519, 2163, 2132, 1655, 4950, 2300, 830, 875]);
    assert_eq!(counts.iter().sum::<usize>(), 17_424);
    let in_fold =
        |fold| -> usize { EIGHT.iter().map(|label| dataset.ages.in_fold(label, fold)).sum() };
    assert_eq!(FIVE.map(in_fold), [4316, 3101, 3339, 2975, 3693]);
    let odd = [
        ("None", 753),
        ("35", 294),
        ("13", 169),
        ("22", 149),
        ("34", 105),
        ("23", 96),
        ("45", 88),
        ("55", 77),
        ("(27, 32)", 77),
        ("(25, 23)", 72),
        ("36", 57),
        ("(38, 42)", 50),
        ("57", 24),
        ("3", 18),
        ("29", 12),
        ("(38, 48)", 6),
        ("58", 5),
        ("2", 3),
        ("32", 3),
        ("56", 2),
        ("42", 1),
        ("46", 1),
        ("(8, 23)", 1),
    ];
    for (label, count) in odd {
        assert_eq!(dataset.ages.total(label), count, "{label}");
    }
    assert_eq!(dataset.ages.labels().count(), odd.len() + EIGHT.len());
}

#[test]
fn official_genders() {
    let Some(dataset) = official() else { return };
    let counts = ["f", "m", "u", ""].map(|label| dataset.genders.total(label));
    assert_eq!(counts, [9411, 8192, 1100, 784]);
    let known = select(&dataset.samples, Task::Gender, LabelPolicy::Exact, &AgeGroups::adience());
    assert_eq!(known.rows.len(), 17_492);
}

#[test]
fn official_age_groups_after_deduplication() {
    let Some(dataset) = official() else { return };
    let select = |policy| select(&dataset.samples, Task::AgeGroup, policy, &AgeGroups::adience());
    let exact = select(LabelPolicy::Exact);
    let facefold_core::Targets::Classes { indices, .. } = &exact.targets else { unreachable!() };
    let in_class = |class| indices.iter().filter(|&&index| index == class).count();
    let counts = [0, 1, 2, 3, 4, 5, 6, 7].map(in_class);
    assert_eq!(counts, [2488, 2140, 2124, 1642, 4932, 2293, 830, 872]);
    assert_eq!(exact.rows.len(), 17_321);
    let none = dataset.samples.iter().filter(|sample| sample.raw_age == "None").count();
    assert_eq!(none, 748);
    let disordered = dataset.samples.iter().filter(|sample| sample.raw_age == "(25, 23)").count();
    for policy in [LabelPolicy::Remap, LabelPolicy::Nearest] {
        assert_eq!(select(policy).rows.len(), 19_370 - 748 - disordered);
        assert_eq!(select(policy).dropped[&DropReason::NotAnAge], disordered);
    }
}

#[test]
fn official_rows_on_which_remap_and_nearest_differ() {
    let Some(dataset) = official() else { return };
    let groups = AgeGroups::adience();
    let group = |policy: LabelPolicy, label: &str| {
        policy.group(AgeLabel::parse(label), AgeLabelling::Ranges, &groups).ok()
    };
    let differ =
        |label: &&str| group(LabelPolicy::Remap, label) != group(LabelPolicy::Nearest, label);
    let rows: usize =
        dataset.ages.labels().filter(differ).map(|label| dataset.ages.total(label)).sum();
    assert_eq!(rows, 342);
    // Nearest is the nearest centre for every string that the lists hold.
    for label in dataset.ages.labels() {
        let mean = crate::tally::mean_years(AgeLabel::parse(label));
        assert_eq!(group(LabelPolicy::Nearest, label), mean.map(|mean| groups.nearest(mean)));
    }
}

/// Dropping rows without a gender from the age task would lose 43 % of the babies.
#[test]
fn official_babies_without_a_known_gender() {
    let Some(folder) = given(Need::Data) else { return };
    let root = folder.join("adience");
    let (mut babies, mut all) = (0, 0);
    for (_, path) in super::Lists::Main.files(&root) {
        for row in super::read_list(&path).unwrap().rows() {
            let entry = super::Entry::read(row).unwrap();
            if entry.age == "(0, 2)" {
                all += 1;
                babies += usize::from(Gender::parse(entry.gender).is_none());
            }
        }
    }
    assert_eq!((babies, all), (1092, 2519));
    let share = f64::from(u32::try_from(babies).unwrap()) / 2519.0;
    assert!((share - 0.43).abs() < 0.005);
}
