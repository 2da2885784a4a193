//! Loader of FairFace: a CSV list for each split, next to the folders `train` and `val`.
//!
//! Karkkainen and Joo, "`FairFace`: Face Attribute Dataset for Balanced Race, Gender, and Age",
//! 2021: `file,age,gender,race,service_test`, ages as `0-2` to `60-69` and `more than 70`. The
//! authors publish no third list and report on `val`, so its rows are the test split.

use std::path::{Path, PathBuf};

use facefold_core::{Gender, Sample, Split};

use crate::dataset::{Dataset, DatasetKind, require_folder, stays_below_root};
use crate::deduplication::Deduplication;
use crate::error::DatasetError;
use crate::table::{Columns, Row, Table};

/// The lists' names in the published archive.
const LISTS: [&str; 2] = ["fairface_label_train.csv", "fairface_label_val.csv"];

/// Loads the published lists that are in `root`, one or both, or the one list `labels`.
pub(crate) fn load(root: &Path, labels: Option<&Path>) -> Result<Dataset, DatasetError> {
    require_folder(root, "fairface_label_train.csv, fairface_label_val.csv, train/ and val/")?;
    let mut dataset = Dataset::new(DatasetKind::FairFace, root);
    let lists = match labels {
        Some(path) => vec![path.to_owned()],
        None => published(root, &mut dataset.notes)?,
    };
    let mut keys = Deduplication::default();
    for path in lists {
        let table = Table::read(&path, Columns::Commas)?;
        let columns = [table.require("file")?, table.require("age")?, table.require("gender")?];
        let race = table.column("race");
        for row in table.rows() {
            let sample = sample(row, columns, race)?;
            let key = sample.path.to_string_lossy().into_owned();
            keys.add(&mut dataset, key, sample, row.get(Some(columns[2])));
        }
        dataset.label_files.push(path);
    }
    keys.finish(&mut dataset);
    Ok(dataset)
}

/// The published lists in a folder, and a note on the one that is absent.
fn published(root: &Path, notes: &mut Vec<String>) -> Result<Vec<PathBuf>, DatasetError> {
    let (present, absent): (Vec<&str>, Vec<&str>) =
        LISTS.into_iter().partition(|name| root.join(name).is_file());
    if present.is_empty() {
        return Err(DatasetError::Missing {
            root: root.to_owned(),
            expected: format!("the list `{}` or `{}`", LISTS[0], LISTS[1]),
            advice: "put the lists next to train/ and val/, or name one list with --labels"
                .to_owned(),
        });
    }
    notes.extend(absent.iter().map(|name| {
        format!("the list `{name}` is not there: the set is read without the rows it would have")
    }));
    Ok(present.into_iter().map(|name| root.join(name)).collect())
}

fn sample(
    row: Row<'_>,
    [file, age, gender]: [usize; 3],
    race: Option<usize>,
) -> Result<Sample, DatasetError> {
    let file = row.get(Some(file));
    let split = match file.split_once('/') {
        Some(("train", name)) if !name.is_empty() => Split::Train,
        Some(("val", name)) if !name.is_empty() => Split::Test,
        _ => return Err(row.error("a file in `train/` or `val/`", file)),
    };
    if !stays_below_root(file) {
        return Err(row.error("a path below ROOT", file));
    }
    let gender = match row.known(Some(gender)) {
        None => None,
        Some(word) => Some(
            Gender::parse(word).ok_or_else(|| row.error("a gender `Male` or `Female`", word))?,
        ),
    };
    Ok(Sample {
        raw_age: row.get(Some(age)).to_owned(),
        gender,
        race: row.known(race).map(str::to_owned),
        split: Some(split),
        ..Sample::unlabelled(file)
    })
}

#[cfg(test)]
mod tests {
    use facefold_core::{AgeGroups, Gender, Split, Targets, Task};

    use super::{LISTS, load};
    use crate::dataset::Dataset;
    use crate::policy::LabelPolicy;
    use crate::select::select;

    const TRAIN: &str = "file,age,gender,race,service_test\n\
                         train/1.jpg,50-59,Male,East Asian,True\n\
                         train/2.jpg,more than 70,Female,Latino_Hispanic,False\n";

    fn set(train: &str, val: &str) -> Result<Dataset, String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in LISTS.iter().zip([train, val]) {
            fs_err::write(directory.path().join(name), text).unwrap();
        }
        load(directory.path(), None).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_both_lists() {
        let val = "file,age,gender,race,service_test\r\nval/1.jpg,3-9,Female,Indian,False\r\n";
        let dataset = set(TRAIN, val).unwrap();
        assert_eq!((dataset.rows, dataset.distinct()), (3, 3));
        assert_eq!(dataset.samples[0].race.as_deref(), Some("East Asian"));
        assert_eq!(dataset.samples[1].gender, Some(Gender::Female));
        assert_eq!(dataset.samples[2].split, Some(Split::Test));
        let groups: AgeGroups = "0-2,3-9,10-19,20-29,30-39,40-49,50-59,60-69,70+".parse().unwrap();
        let chosen = select(&dataset.samples, Task::AgeGroup, LabelPolicy::Exact, &groups);
        assert_eq!(chosen.targets, Targets::Classes { indices: vec![6, 8, 1], count: 9 });
    }

    #[test]
    fn one_list_alone_is_read_as_it_is() {
        for (name, text, split) in [
            (LISTS[0], TRAIN, Split::Train),
            (LISTS[1], "file,age,gender\nval/1.jpg,3-9,Male\nval/2.jpg,nan,N/A\n", Split::Test),
        ] {
            let directory = tempfile::tempdir().unwrap();
            fs_err::write(directory.path().join(name), text).unwrap();
            let dataset = load(directory.path(), None).unwrap();
            assert_eq!((dataset.rows, dataset.label_files.len()), (2, 1));
            assert!(dataset.samples.iter().all(|sample| sample.split == Some(split)));
            assert!(dataset.notes[0].contains("is not there"), "{:?}", dataset.notes);
        }
    }

    #[test]
    fn a_path_that_leaves_root_is_refused() {
        let message = set(TRAIN, "file,age,gender\nval/../../x.jpg,3-9,Male\n").unwrap_err();
        assert!(message.contains("line 2: expected a path below ROOT"), "{message}");
    }

    #[test]
    fn errors_name_the_cause() {
        for (val, expected) in [
            ("file,age,race\n", "expected a column `gender`"),
            ("file,age,gender\n1.jpg,3-9,Male\n", "line 2: expected a file in `train/` or `val/`"),
            ("file,age,gender\nval/1.jpg,3-9,x\n", "line 2: expected a gender `Male`"),
        ] {
            let message = set(TRAIN, val).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        let empty = tempfile::tempdir().unwrap();
        let message = load(empty.path(), None).unwrap_err().to_string();
        assert!(message.contains("fairface_label_val.csv"), "{message}");
    }
}
