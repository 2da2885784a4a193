//! IMDB-WIKI: celebrities' pictures with MATLAB metadata, from which the age is computed.
//!
//! Rothe, Timofte and Van Gool, "DEX: Deep `EXpectation` of apparent age from a single image",
//! 2015. `imdb.mat` or `wiki.mat` holds a struct of the same name with a row a face. Labels were
//! crawled and are noisy; the rows that the authors themselves advise against are dropped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use facefold_core::files::read_at_most;
use facefold_core::{Gender, Sample, SubjectId};
use jiff::Span;
use jiff::civil::Date;

use crate::dataset::{Dataset, DatasetKind, SkipReason, require_folder, stays_below_root};
use crate::deduplication::Deduplication;
use crate::error::DatasetError;
use crate::mat::{self, Value};
use crate::missing::known;
use crate::table::MOST_BYTES;

/// The metadata files, each with the struct that it holds.
const FILES: [(&str, &str); 2] = [("imdb.mat", "imdb"), ("wiki.mat", "wiki")];

/// The fields that are read.
const FIELDS: [&str; 8] = [
    "dob",
    "photo_taken",
    "full_path",
    "gender",
    "name",
    "face_score",
    "second_face_score",
    "celeb_id",
];

/// MATLAB's serial number of 1 January 1970.
const UNIX_EPOCH: f64 = 719_529.0;

/// Ages beyond these are errors of the crawled dates.
const AGES: std::ops::RangeInclusive<i64> = 0..=100;

/// Loads `labels`, else the one of `imdb.mat` and `wiki.mat` that lies in `root`.
///
/// Dropped are rows without a face by the authors' detector (`face_score` not finite), with a
/// second face (`second_face_score` a number), and with an age below 0 or above 100. The subject
/// is `celeb_id` where the metadata has it, else the name; a gender that is not a number is not
/// known.
pub(crate) fn load(root: &Path, labels: Option<&Path>) -> Result<Dataset, DatasetError> {
    require_folder(root, "imdb.mat or wiki.mat and the folders of its pictures")?;
    let path = match labels {
        Some(path) => path.to_owned(),
        None => default_file(root)?,
    };
    let wrong = |expected: String, found: String| DatasetError::File {
        path: path.clone(),
        expected,
        found,
    };
    let bytes = read_at_most(&path, MOST_BYTES)?;
    let variables = mat::read(&bytes, &FIELDS)
        .map_err(|error| wrong(error.expected.to_owned(), error.found))?;
    let metadata = FILES.iter().find_map(|(_, name)| match variables.get(*name) {
        Some(Value::Fields(fields)) => Some(fields),
        _ => None,
    });
    let Some(fields) = metadata else {
        let found: Vec<&str> = variables.keys().map(String::as_str).collect();
        let found = format!("the variables `{}`", found.join("`, `"));
        return Err(wrong("a struct `imdb` or `wiki`".to_owned(), found));
    };
    let rows = Rows::read(fields)
        .map_err(|field| wrong(format!("a field `{field}` with a value a face"), "none".into()))?;
    if let Some(leaving) = rows.paths.iter().find(|path| !stays_below_root(path)) {
        return Err(wrong("paths below ROOT as `full_path`".to_owned(), format!("`{leaving}`")));
    }
    let mut dataset = Dataset::new(DatasetKind::ImdbWiki, root);
    let mut keys = Deduplication::default();
    for row in 0..rows.paths.len() {
        match rows.sample(row) {
            Ok(sample) => {
                let raw_gender = rows.genders[row].to_string();
                keys.add(&mut dataset, rows.paths[row].clone(), sample, &raw_gender);
            }
            Err(reason) => dataset.drop_row(rows.paths[row].clone(), reason),
        }
    }
    keys.finish(&mut dataset);
    dataset.label_files.push(path);
    Ok(dataset)
}

fn default_file(root: &Path) -> Result<PathBuf, DatasetError> {
    let present: Vec<PathBuf> =
        FILES.iter().map(|(name, _)| root.join(name)).filter(|path| path.is_file()).collect();
    match present.as_slice() {
        [path] => Ok(path.clone()),
        [] => Err(DatasetError::Missing {
            root: root.to_owned(),
            expected: "a list `imdb.mat` or `wiki.mat`".to_owned(),
            advice: "give the folder imdb_crop or wiki_crop, or name the list with --labels".into(),
        }),
        _ => Err(DatasetError::File {
            path: root.to_owned(),
            expected: "one of `imdb.mat` and `wiki.mat`".to_owned(),
            found: "both; name one with --labels".to_owned(),
        }),
    }
}

/// The metadata, a column a field.
struct Rows<'a> {
    paths: Vec<String>,
    births: &'a [f64],
    taken: &'a [f64],
    genders: &'a [f64],
    face_scores: &'a [f64],
    second_face_scores: &'a [f64],
    /// Empty where the metadata names no one.
    subjects: Vec<String>,
}

impl<'a> Rows<'a> {
    /// The columns, all equally long; else the name of the field that is not as it should be.
    fn read(fields: &'a BTreeMap<String, Value>) -> Result<Self, &'static str> {
        let paths = texts(fields, "full_path").ok_or("full_path")?;
        let column = |name: &'static str| match fields.get(name) {
            Some(Value::Numbers(numbers)) if numbers.len() == paths.len() => Ok(numbers.as_slice()),
            _ => Err(name),
        };
        let subjects = match column("celeb_id") {
            Ok(numbers) => numbers.iter().map(|&number| celebrity(number)).collect(),
            Err(_) => {
                texts(fields, "name").filter(|names| names.len() == paths.len()).ok_or("name")?
            }
        };
        Ok(Self {
            births: column("dob")?,
            taken: column("photo_taken")?,
            genders: column("gender")?,
            face_scores: column("face_score")?,
            second_face_scores: column("second_face_score")?,
            subjects,
            paths,
        })
    }

    fn sample(&self, row: usize) -> Result<Sample, SkipReason> {
        let age = age_at_midyear(self.births[row], self.taken[row])
            .filter(|age| AGES.contains(age))
            .ok_or(SkipReason::ImpossibleAge)?;
        if !self.face_scores[row].is_finite() {
            return Err(SkipReason::NoFaceFound);
        }
        if !self.second_face_scores[row].is_nan() {
            return Err(SkipReason::SecondFace);
        }
        let gender = if self.genders[row] == 0.0 {
            Some(Gender::Female)
        } else if self.genders[row] == 1.0 {
            Some(Gender::Male)
        } else {
            None
        };
        let subject = known(&self.subjects[row]);
        Ok(Sample {
            raw_age: age.to_string(),
            gender,
            subject: subject.map(SubjectId::new),
            ..Sample::unlabelled(&self.paths[row])
        })
    }
}

/// A celebrity by number; empty where there is none.
fn celebrity(number: f64) -> String {
    if number.is_finite() { format!("celebrity {number}") } else { String::new() }
}

/// A cell array of texts; an empty cell is an empty text.
fn texts(fields: &BTreeMap<String, Value>, name: &str) -> Option<Vec<String>> {
    let Some(Value::Cells(cells)) = fields.get(name) else { return None };
    cells
        .iter()
        .map(|cell| match cell {
            Value::Text(text) => Some(text.clone()),
            Value::Numbers(numbers) if numbers.is_empty() => Some(String::new()),
            _ => None,
        })
        .collect()
}

/// Completed years on 1 July of the year in which the photo was taken: the metadata give the
/// year alone, and the set's authors take its middle. `birth` is MATLAB's serial day number.
fn age_at_midyear(birth: f64, taken: f64) -> Option<i64> {
    if !(birth.is_finite() && taken.is_finite()) {
        return None;
    }
    let born = date_of((birth.floor() - UNIX_EPOCH) as i64)?;
    let born_later_in_year = (born.month(), born.day()) > (7, 1);
    // A year that is no number of years at all may be as large as an i64.
    Some((taken as i64).saturating_sub(i64::from(born.year()) + i64::from(born_later_in_year)))
}

/// The date that is so many days after 1 January 1970, in the Gregorian calendar; none beyond the years that a
/// calendar has.
fn date_of(days: i64) -> Option<Date> {
    Date::constant(1970, 1, 1).checked_add(Span::new().try_days(days).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use facefold_core::{Gender, SubjectId};

    use jiff::civil::Date;

    use super::{age_at_midyear, celebrity, date_of, load};
    use crate::dataset::{Dataset, SkipReason};

    /// Made-up rows, written by `scipy.io.savemat` as the published files are; the script is
    /// `tests/fixtures/make_mat.py`.
    const IMDB: &[u8] = include_bytes!("../tests/fixtures/imdb.mat");
    const WIKI: &[u8] = include_bytes!("../tests/fixtures/wiki.mat");

    fn set(name: &str, bytes: &[u8]) -> Result<Dataset, String> {
        let directory = tempfile::tempdir().unwrap();
        fs_err::write(directory.path().join(name), bytes).unwrap();
        load(directory.path(), None).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_rows_and_drops_the_unusable_with_a_reason() {
        let dataset = set("wiki.mat", WIKI).unwrap();
        assert_eq!((dataset.rows, dataset.distinct()), (7, 3));
        let reasons: Vec<SkipReason> = dataset.dropped.iter().map(|row| row.reason).collect();
        assert_eq!(
            reasons,
            [
                SkipReason::NoFaceFound,
                SkipReason::SecondFace,
                SkipReason::ImpossibleAge,
                SkipReason::ImpossibleAge
            ]
        );
        let first = &dataset.samples[0];
        assert_eq!(first.path.to_str(), Some("01/1_1980-07-01_2010.jpg"));
        assert_eq!((first.raw_age.as_str(), first.gender), ("30", Some(Gender::Male)));
        assert_eq!(first.subject.as_ref().unwrap().as_str(), "Ann Example");
        let second = &dataset.samples[1];
        assert_eq!((second.raw_age.as_str(), second.gender), ("29", None));
        assert_eq!(dataset.samples[2].subject, None, "an empty name is no subject");
    }

    #[test]
    fn a_path_that_leaves_root_is_refused() {
        let place = IMDB.windows(3).position(|bytes| bytes == b"01/").unwrap();
        let mut leaving = IMDB.to_vec();
        leaving[place..place + 3].copy_from_slice(b"../");
        let message = set("imdb.mat", &leaving).unwrap_err();
        assert!(message.contains("expected paths below ROOT"), "{message}");
    }

    #[test]
    fn celebrities_are_the_subjects_where_they_are_numbered() {
        let dataset = set("imdb.mat", IMDB).unwrap();
        let subjects: Vec<&str> = dataset
            .samples
            .iter()
            .filter_map(|s| s.subject.as_ref())
            .map(SubjectId::as_str)
            .collect();
        assert_eq!(subjects, ["celebrity 12", "celebrity 12", "celebrity 7"]);
        assert_eq!(celebrity(f64::NAN), "", "no number is not one person");
    }

    /// Serial numbers by `datetime.date(y, m, d).toordinal() + 366` in Python.
    #[test]
    fn ages_count_birthdays_up_to_the_first_of_july() {
        let born = |ordinal: f64, taken| age_at_midyear(ordinal + 366.0, taken);
        assert_eq!(born(722_997.0, 2010.0), Some(30), "1980-07-01");
        assert_eq!(born(722_998.0, 2010.0), Some(29), "1980-07-02");
        assert_eq!(born(693_596.0, 1968.0), Some(68), "1900-01-01");
        assert_eq!(born(f64::NAN, 2010.0), None);
        assert_eq!(born(-1e300, 1e300), None, "no calendar goes there");
        assert_eq!(born(730_000.0, 1e300), Some(i64::MAX - 2000), "no overflow");
        assert_eq!(date_of(11_016), Some(Date::constant(2000, 2, 29)));
        assert_eq!(date_of(-1), Some(Date::constant(1969, 12, 31)));
    }

    #[test]
    fn errors_name_the_cause() {
        assert!(set("other.mat", WIKI).unwrap_err().contains("a list `imdb.mat` or `wiki.mat`"));
        let message = set("wiki.mat", b"not a MAT-file").unwrap_err();
        assert!(message.contains("wiki.mat: expected a MAT-file of level 5"), "{message}");
        let message = set("wiki.mat", include_bytes!("../tests/fixtures/other.mat")).unwrap_err();
        assert!(message.contains("found the variables `faces`"), "{message}");
    }
}
