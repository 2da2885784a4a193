//! UTKFace: the labels are in the files' names, and a `labels.csv` adds to them or corrects them.
//!
//! Zhang, Song and Qi, "Age Progression/Regression by Conditional Adversarial Autoencoder", 2017:
//! `AGE_GENDER_RACE_DATE.jpg.chip.jpg` with gender 0 male, 1 female and race 0 to 4 in the order
//! of [`RACES`]. The set names no subjects; `labels.csv` may.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use facefold_core::{AgeLabel, Fold, Gender, Sample, Split, SubjectId};

use crate::dataset::{Dataset, DatasetKind, SkipReason, require_folder, stays_below_root};
use crate::deduplication::Deduplication;
use crate::error::DatasetError;
use crate::pictures;
use crate::table::{Columns, Row, Table};

/// Races in the order of their numbers.
const RACES: [&str; 5] = ["White", "Black", "Asian", "Indian", "Others"];

/// Loads the pictures below `root`, with the labels of `labels`, else of `labels.csv` in ROOT or
/// its parent, else of the names alone.
///
/// Names that break the pattern are no label rows unless `labels.csv` has them: they become
/// samples without labels. Where ROOT holds no picture at all, the rows of `labels.csv` alone
/// become samples, so that the list can be checked without the pictures.
pub(crate) fn load(root: &Path, labels: Option<&Path>) -> Result<Dataset, DatasetError> {
    require_folder(root, "pictures named AGE_GENDER_RACE_DATE.jpg.chip.jpg")?;
    let mut dataset = Dataset::new(DatasetKind::UtkFace, root);
    let pictures = pictures::below(root)?;
    let mut listed = Listed::default();
    if let Some(path) = labels.map(Path::to_owned).or_else(|| default_labels(root)) {
        listed = Listed::read(&path)?;
        dataset.label_files.push(path);
    }
    if pictures.paths.is_empty() && listed.rows.is_empty() {
        return Err(DatasetError::Missing {
            root: root.to_owned(),
            expected: "pictures named AGE_GENDER_RACE_DATE.jpg.chip.jpg".to_owned(),
            advice: "give the folder that the set was unpacked into".to_owned(),
        });
    }
    dataset.ignored = pictures.ignored;
    let paths = if pictures.paths.is_empty() { &listed.order } else { &pictures.paths };
    let mut keys = Deduplication::default();
    let mut met = HashSet::new();
    for path in paths {
        let name = path.rsplit('/').next().unwrap_or(path);
        let mut sample = Sample::unlabelled(path);
        let named = read_name(name, &mut sample);
        let row = listed.rows.get(path.as_str()).or_else(|| listed.rows.get(name));
        if let Some(labels) = row {
            labels.apply_to(&mut sample);
            met.insert(labels.file.as_str());
        }
        if named || row.is_some() {
            let raw_gender = sample.gender.map_or("", Gender::letter);
            keys.add(&mut dataset, name.to_owned(), sample, raw_gender);
        } else {
            dataset.add_unlabelled(sample);
        }
    }
    keys.finish(&mut dataset);
    for file in listed.order.iter().filter(|file| !met.contains(file.as_str())) {
        dataset.drop_row(file.clone(), SkipReason::NoPicture);
    }
    dataset.rows += listed.repeated;
    dataset.duplicates += listed.repeated;
    Ok(dataset)
}

fn default_labels(root: &Path) -> Option<PathBuf> {
    // `images` has the parent "", which stands for the working directory; `.` needs resolving.
    let absolute = std::path::absolute(root).ok()?;
    [Some(absolute.as_path()), absolute.parent()]
        .into_iter()
        .flatten()
        .map(|folder| folder.join("labels.csv"))
        .find(|path| path.is_file())
}

/// Fills in the labels of a name; false where it breaks the pattern.
///
/// Ages, gender and race must be followed by a date of 17 digits (to the millisecond). A name
/// with a longer or shorter date was corrupted, and its labels are not used; the text
/// between the date and the ending has no meaning (`24_0_1_20170116220224657 .jpg.chip.jpg`).
fn read_name(name: &str, sample: &mut Sample) -> bool {
    let mut parts = name.splitn(4, '_');
    let (Some(age), Some(gender), Some(race), Some(rest)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole_age = !age.is_empty() && digits(age) == age.len();
    let (Some(gender), Some(race)) = (gender_of(gender), race_of(race)) else {
        return false;
    };
    if !whole_age || AgeLabel::parse(age) == AgeLabel::Unknown || digits(rest) != 17 {
        return false;
    }
    age.clone_into(&mut sample.raw_age);
    sample.gender = Some(gender);
    sample.race = Some(race.to_owned());
    true
}

fn gender_of(digit: &str) -> Option<Gender> {
    match digit {
        "0" => Some(Gender::Male),
        "1" => Some(Gender::Female),
        _ => None,
    }
}

fn race_of(digit: &str) -> Option<&'static str> {
    digit.parse::<usize>().ok().and_then(|index| RACES.get(index)).copied()
}

/// The rows of `labels.csv` by their file.
#[derive(Default)]
struct Listed {
    rows: HashMap<String, Labels>,
    order: Vec<String>,
    /// Rows that repeat an earlier one.
    repeated: usize,
}

/// One row of `labels.csv`; what is not known there is left as the name has it.
#[derive(Debug, PartialEq)]
struct Labels {
    file: String,
    age: Option<String>,
    gender: Option<Gender>,
    race: Option<String>,
    subject: Option<SubjectId>,
    fold: Option<Fold>,
    split: Option<Split>,
    label_conflict: bool,
}

impl Listed {
    fn read(path: &Path) -> Result<Self, DatasetError> {
        let table = Table::read(path, Columns::Commas)?;
        let file = table.require("file")?;
        let names = ["age", "gender", "race", "subject", "fold", "split", "label_conflict"];
        let columns = names.map(|name| table.column(name));
        let mut listed = Self::default();
        for row in table.rows() {
            let labels = Labels::read(row, file, columns)?;
            match listed.rows.get(&labels.file) {
                None => {
                    listed.order.push(labels.file.clone());
                    listed.rows.insert(labels.file.clone(), labels);
                }
                Some(before) if *before == labels => listed.repeated += 1,
                Some(_) => {
                    let expected = "one row a file, or equal rows";
                    return Err(row.error(expected, &format!("{} with other labels", labels.file)));
                }
            }
        }
        Ok(listed)
    }
}

impl Labels {
    fn read(row: Row<'_>, file: usize, columns: [Option<usize>; 7]) -> Result<Self, DatasetError> {
        let [age, gender, race, subject, fold, split, conflict] = columns;
        let gender = match row.known(gender) {
            None => None,
            Some(letter) => Some(
                Gender::parse(letter)
                    .ok_or_else(|| row.error("a gender `f` or `m`, or an empty field", letter))?,
            ),
        };
        let label_conflict = match row.known(conflict) {
            None | Some("0") => false,
            Some("1") => true,
            Some(other) => return Err(row.error("a label_conflict 0 or 1", other)),
        };
        let split = match row.known(split) {
            None => None,
            Some(name) => Some(
                name.parse().map_err(|_| row.error("a split train, validation or test", name))?,
            ),
        };
        let file = row.get(Some(file));
        if file.is_empty() {
            return Err(row.error("the name of a file", file));
        }
        if !stays_below_root(file) {
            return Err(row.error("a path below ROOT", file));
        }
        Ok(Self {
            file: file.to_owned(),
            age: row.known(age).map(str::to_owned),
            gender,
            race: row.known(race).map(|race| race_of(race).unwrap_or(race).to_owned()),
            subject: row.known(subject).map(SubjectId::new),
            fold: row.number(fold, "a fold's number from 0")?.map(Fold),
            split,
            label_conflict,
        })
    }

    fn apply_to(&self, sample: &mut Sample) {
        if let Some(age) = &self.age {
            sample.raw_age.clone_from(age);
        }
        sample.gender = self.gender.or(sample.gender);
        if self.race.is_some() {
            sample.race.clone_from(&self.race);
        }
        sample.subject.clone_from(&self.subject);
        sample.fold = self.fold;
        sample.split = self.split;
        sample.label_conflict = self.label_conflict;
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::{Fold, Gender};

    use super::load;
    use crate::dataset::{Dataset, SkipReason};
    use facefold_testing::{Need, given};

    fn set(names: &[&str], labels: Option<&str>) -> Result<Dataset, String> {
        let directory = tempfile::tempdir().unwrap();
        let images = directory.path().join("images");
        fs_err::create_dir(&images).unwrap();
        for name in names {
            fs_err::write(images.join(name), b"").unwrap();
        }
        if let Some(text) = labels {
            fs_err::write(directory.path().join("labels.csv"), text).unwrap();
        }
        load(&images, None).map_err(|error| error.to_string())
    }

    #[test]
    fn names_are_labels_and_broken_names_are_not() {
        let names = [
            "26_1_2_20170116220224657.jpg.chip.jpg",
            "39_1_20170116174525125.jpg.chip.jpg",
            "24_0_1_2017011622022465.jpg.chip.jpg",
            "55_0_0_201701162327253571.jpg.chip.jpg",
            "1_0_5_20170116232725357.jpg",
            "1_2_0_20170116232725357.jpg",
            "200_1_0_20170116232725357.jpg",
            "116_0_4_20170116232725357 .jpg",
        ];
        let dataset = set(&names, None).unwrap();
        assert_eq!((dataset.rows, dataset.distinct(), dataset.unlabelled), (2, 2, 6));
        assert_eq!(dataset.samples.len(), 8);
        let woman = dataset.samples.iter().find(|sample| sample.raw_age == "26").unwrap();
        assert_eq!(woman.gender, Some(Gender::Female));
        assert_eq!(woman.race.as_deref(), Some("Asian"));
        assert_eq!(dataset.samples[0].race.as_deref(), Some("Others"));
        assert_eq!(dataset.ages.total("116"), 1);
    }

    #[test]
    fn the_list_adds_subjects_and_overrides_names() {
        let names = [
            "26_1_2_20170116220224657.jpg.chip.jpg",
            "39_1_20170116174525125.jpg.chip.jpg",
            "7_0_0_20170116220224657.jpg.chip.jpg",
        ];
        let list = "file,age,gender,race,subject,fold,duplicates,label_conflict\n\
                    26_1_2_20170116220224657.jpg.chip.jpg,27,m,3,s1,4,2,1\n\
                    39_1_20170116174525125.jpg.chip.jpg,39,f,0,s2,0,1,0\n\
                    gone.jpg,3,f,0,s3,0,1,0\n";
        let dataset = set(&names, Some(list)).unwrap();
        assert_eq!((dataset.rows, dataset.distinct(), dataset.unlabelled), (4, 3, 0));
        assert_eq!(dataset.dropped.len(), 1);
        assert_eq!(dataset.dropped[0].reason, SkipReason::NoPicture);
        let first = &dataset.samples[0];
        assert_eq!((first.raw_age.as_str(), first.gender), ("27", Some(Gender::Male)));
        assert_eq!((first.race.as_deref(), first.fold), (Some("Indian"), Some(Fold(4))));
        assert!(first.label_conflict && first.subject.is_some());
        assert_eq!(dataset.samples[1].raw_age, "39");
        assert_eq!(dataset.samples[2].subject, None, "a name alone still labels a picture");
    }

    #[test]
    fn columns_of_the_list_are_read_whatever_their_case() {
        let names = ["26_1_2_20170116220224657.jpg.chip.jpg"];
        let list = "File,Age,Gender, Race,SUBJECT,Fold,Split,Label_Conflict\n\
                    26_1_2_20170116220224657.jpg.chip.jpg,27,m,3,s1,4,test,1\n";
        let sample = set(&names, Some(list)).unwrap().samples[0].clone();
        assert_eq!((sample.raw_age.as_str(), sample.gender), ("27", Some(Gender::Male)));
        assert_eq!((sample.race.as_deref(), sample.fold), (Some("Indian"), Some(Fold(4))));
        assert!(sample.label_conflict && sample.subject.is_some() && sample.split.is_some());
    }

    #[test]
    fn missing_value_words_keep_the_labels_of_the_file_name() {
        let names = ["26_1_2_20170116220224657.jpg.chip.jpg"];
        let list = "file,age,gender,race,subject,fold,split,label_conflict\n\
                    26_1_2_20170116220224657.jpg.chip.jpg,nan,None,N/A,NaN,-,?,null\n";
        let dataset = set(&names, Some(list)).unwrap();
        let sample = &dataset.samples[0];
        assert_eq!((sample.raw_age.as_str(), sample.gender), ("26", Some(Gender::Female)));
        assert_eq!((sample.race.as_deref(), &sample.subject), (Some("Asian"), &None));
        assert_eq!((sample.fold, sample.label_conflict), (None, false));
    }

    #[test]
    fn a_list_without_pictures_can_be_checked() {
        let dataset = set(&[], Some("file,age\na.jpg,3\na.jpg,3\nb.jpg,\n")).unwrap();
        assert_eq!((dataset.rows, dataset.duplicates, dataset.samples.len()), (3, 1, 2));
        assert!(set(&[], None).unwrap_err().contains("expected pictures named AGE_GENDER"));
    }

    #[test]
    fn a_path_that_leaves_root_is_refused() {
        for file in ["../a.jpg", "/etc/a.jpg"] {
            let message = set(&[], Some(&format!("file,age\n{file},3\n"))).unwrap_err();
            assert!(message.contains("line 2: expected a path below ROOT"), "{message}");
        }
    }

    #[test]
    fn an_invalid_row_is_an_error_with_its_line() {
        let pictures = ["26_1_2_20170116220224657.jpg.chip.jpg"];
        for (list, expected) in [
            ("name,age\n", "expected a column `file`"),
            ("file,fold\na.jpg,x\n", "line 2: expected a fold's number from 0, found `x`"),
            ("file,gender\na.jpg,f\nb.jpg,q\n", "line 3: expected a gender"),
            ("file,age\na.jpg,3\na.jpg,4\n", "line 3: expected one row a file"),
            ("file,label_conflict\na.jpg,2\n", "line 2: expected a label_conflict 0 or 1"),
        ] {
            let message = set(&pictures, Some(list)).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_shared_set_has_the_counts_of_its_readme() {
        let Some(folder) = given(Need::Data) else {
            return;
        };
        let root = folder.join("utkface/images");
        let dataset = load(&root, None).unwrap();
        assert_eq!(dataset.samples.len(), 18_967);
        assert_eq!((dataset.rows, dataset.distinct(), dataset.unlabelled), (18_961, 18_961, 6));
        assert_eq!(dataset.label_files.len(), 1);
        let with_fold = dataset.samples.iter().filter(|sample| sample.fold.is_some()).count();
        assert_eq!(with_fold, 18_961);
    }
}
