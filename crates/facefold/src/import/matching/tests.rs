use std::path::PathBuf;
use std::sync::Mutex;

use facefold_datasets::DatasetKind;
use facefold_store::{ImportFiles, TextColumn};

use super::{LabelRows, Matching};
use crate::extract::Source;
use crate::import::ImportOptions;
use crate::progress::{Progress, Step};

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn step(&self, _step: Step<'_>) {}

    fn note(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

fn column(name: &str, texts: &[&str]) -> TextColumn {
    let texts = texts.iter().map(|&text| text.to_owned()).collect();
    TextColumn { name: name.to_owned(), texts, is_path_name: name == "path" }
}

/// The label rows of four rows of embeddings, and what is noted.
fn matched(
    labels: &[&str],
    columns: &[TextColumn],
    key: Option<&str>,
) -> Result<(LabelRows, Vec<String>), String> {
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("labels.csv");
    fs_err::write(&list, format!("path\n{}\n", labels.join("\n"))).unwrap();
    let dataset = Source::new(DatasetKind::Manifest, &list).load(&()).unwrap();
    let options = ImportOptions {
        files: ImportFiles {
            embeddings: PathBuf::from("x.npz"),
            key: key.map(str::to_owned),
            ..ImportFiles::default()
        },
        labels: list,
        network: "n".to_owned(),
        store: PathBuf::from("store"),
        run_file: None,
    };
    let notes = Notes::default();
    let rows = Matching::new(&dataset, &options, (4, 2)).match_columns(columns, &[], &notes);
    rows.map(|rows| (rows, notes.0.into_inner().unwrap())).map_err(|error| error.to_string())
}

const LABELS: [&str; 4] = ["a/0.jpg", "a/1.jpg", "b/0.jpg", "b/1.jpg"];
const REVERSED: [Option<usize>; 4] = [Some(3), Some(2), Some(1), Some(0)];

#[test]
fn a_column_with_the_paths_of_the_labels_is_used_whatever_its_name() {
    let image = column("image", &["b/1.jpg", "./b/0.jpg", "a/1.jpg", "a/0.jpg"]);
    let class = column("class", &["x", "y", "x", ""]);
    let (rows, notes) = matched(&LABELS, &[class.clone(), image.clone()], None).unwrap();
    assert_eq!(rows, REVERSED);
    assert!(notes[0].ends_with("find their labels by the paths in `image`"), "{notes:?}");
    // Another one with some of them is not, nor is one whose paths come twice.
    let path = column("path", &["a/0.jpg", "x", "y", "z"]);
    let nearest = column("nearest", &["a/1.jpg", "a/1.jpg", "b/1.jpg", "a/0.jpg"]);
    assert_eq!(matched(&LABELS, &[path, nearest, image.clone()], None).unwrap().0, REVERSED);
    // One that is named as paths are goes before others.
    let path = column("path", &LABELS);
    let (rows, notes) = matched(&LABELS, &[path, image.clone()], None).unwrap();
    assert_eq!((rows, notes.len()), ((0..4).map(Some).collect(), 0));
    let message = matched(&LABELS, &[column("file", &LABELS), image], None).unwrap_err();
    assert!(message.contains("found `file` and `image`, which differ; name the one"), "{message}");
    // Further rows have no label row.
    let more = column("image", &["b/1.jpg", "c.jpg", "a/1.jpg", "a/0.jpg"]);
    let (rows, _) = matched(&["a/0.jpg", "a/1.jpg", "b/1.jpg"], &[more], None).unwrap();
    assert_eq!(rows, [Some(2), None, Some(1), Some(0)]);
}

#[test]
fn paths_may_agree_in_their_endings_where_each_is_that_of_one_label_row() {
    for prefix in ["/data/faces/", "C:\\faces\\", "../x/"] {
        let texts =
            ["b/1.jpg", "b/0.jpg", "a/1.jpg", "a/0.jpg"].map(|path| format!("{prefix}{path}"));
        for name in ["path", "image"] {
            let column = column(name, &texts.each_ref().map(String::as_str));
            let (rows, notes) = matched(&LABELS, &[column], None).unwrap();
            assert_eq!(rows, REVERSED);
            assert!(notes[0].contains("by the endings of the paths in"), "{notes:?}");
        }
    }
    let labels = ["/0.jpg", "/1.jpg", "/2.jpg", "/3.jpg"].map(|path| format!("faces{path}"));
    let labels = labels.each_ref().map(String::as_str);
    let names = column("image", &["3.jpg", "2.jpg", "1.jpg", "0.jpg"]);
    assert_eq!(matched(&labels, &[names], None).unwrap().0, REVERSED);

    let names = column("image", &["1.jpg", "0.jpg", "x/a/1.jpg", "x/a/0.jpg"]);
    for key in [None, Some("image")] {
        let message = matched(&LABELS, std::slice::from_ref(&names), key).unwrap_err();
        assert!(
            message.contains("row 0 (from 0): expected in `image` the path of one"),
            "{message}"
        );
        assert!(message.contains("`1.jpg`, which ends as several of them"), "{message}");
    }
}

#[test]
fn rows_are_not_taken_in_order_where_a_column_has_paths_in_another_one() {
    for texts in [["b/1.jpg", "x", "y", "z"], ["/f/a/1.jpg", "x", "y", "z"]] {
        let message = matched(&LABELS, &[column("image", &texts)], None).unwrap_err();
        assert!(
            message.contains("expected in `image` the path of each row's picture"),
            "{message}"
        );
        assert!(message.contains("found 1 of 4 rows with one"), "{message}");
        assert!(message.contains("by --key, or leave `image` out"), "{message}");
    }
    let repeated = column("image", &["b/1.jpg", "a/0.jpg", "a/0.jpg", "a/1.jpg"]);
    assert!(matched(&LABELS, &[repeated], None).unwrap_err().contains("leave `image` out"));
    // A column that is asked for, or named as paths are, may have some of them.
    let some = column("image", &["b/1.jpg", "x", "y", "z"]);
    let found = [Some(3), None, None, None];
    assert_eq!(matched(&LABELS, &[some], Some("image")).unwrap().0, found);
    let some = column("path", &["b/1.jpg", "x", "y", "z"]);
    assert_eq!(matched(&LABELS, &[some], None).unwrap().0, found);
}

#[test]
fn rows_are_taken_in_order_where_no_column_has_other_paths() {
    let in_order: LabelRows = (0..4).map(Some).collect();
    let others = column("class", &["x", "y", "z", ""]);
    let some = column("image", &["a/0.jpg", "", "b/0.jpg", ""]);
    for columns in [vec![others.clone()], vec![others, some]] {
        let (rows, notes) = matched(&LABELS, &columns, None).unwrap();
        assert_eq!(rows, in_order);
        assert!(notes[0].contains("rows are taken in the order of the labels"), "{notes:?}");
        assert!(notes[0].contains("has texts (`class`"), "{notes:?}");
    }
    assert_eq!(matched(&LABELS, &[], None).unwrap(), (in_order, Vec::new()));
}
