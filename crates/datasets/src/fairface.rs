//! FairFace: a CSV list for each split, beside the folders `train` and `val`.
//!
//! Karkkainen and Joo, "`FairFace`: Face Attribute Dataset for Balanced Race, Gender, and Age",
//! 2021: `file,age,gender,race,service_test`, ages as `0-2` to `60-69` and `more than 70`. The
//! authors publish no third list and report on `val`, so its rows are the test split.

use std::path::{Path, PathBuf};

use facefold_core::{AgeLabel, Gender, Sample, Split};

use crate::dataset::{Dataset, DatasetKind, Deduplication, require_folder};
use crate::error::DatasetError;
use crate::table::{Columns, Row, Table};

/// The lists' names in the published archive.
const LISTS: [&str; 2] = ["fairface_label_train.csv", "fairface_label_val.csv"];

/// Loads the published lists in `root`, or the one list `labels`.
pub(crate) fn load(root: &Path, labels: Option<&Path>) -> Result<Dataset, DatasetError> {
    require_folder(root, "fairface_label_train.csv, fairface_label_val.csv, train/ and val/")?;
    let lists: Vec<PathBuf> = match labels {
        Some(path) => vec![path.to_owned()],
        None => LISTS.map(|name| root.join(name)).to_vec(),
    };
    let mut dataset = Dataset::new(DatasetKind::FairFace, root);
    let mut keys = Deduplication::default();
    for path in lists {
        if labels.is_none() && !path.is_file() {
            return Err(DatasetError::Missing {
                root: root.to_owned(),
                expected: format!("the lists `{}` and `{}`", LISTS[0], LISTS[1]),
                advice: "put both lists beside train/ and val/, or name one list with --labels"
                    .to_owned(),
            });
        }
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
    Ok(dataset)
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
    let raw_age = row.get(Some(age));
    if !raw_age.is_empty() && AgeLabel::parse(raw_age) == AgeLabel::Unknown {
        // Spreadsheets turn `3-9` into a date; taking it for an unknown age would hide that.
        return Err(row.error("an age such as `3-9` or `more than 70`", raw_age));
    }
    let letter = row.get(Some(gender));
    let gender = Gender::parse(letter);
    if gender.is_none() && !letter.is_empty() {
        return Err(row.error("a gender `Male` or `Female`", letter));
    }
    let race = row.get(race);
    Ok(Sample {
        raw_age: raw_age.to_owned(),
        gender,
        race: (!race.is_empty()).then(|| race.to_owned()),
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
    fn what_is_wrong_is_named() {
        for (val, expected) in [
            ("file,age,race\n", "expected a column `gender`"),
            ("file,age,gender\nval/1.jpg,03-Sep,Male\n", "line 2: expected an age such as"),
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
