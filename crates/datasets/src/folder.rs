//! Class-per-folder sets: the folder's name is the class as it is, and may also be read as a
//! gender or an age.
//!
//! Understood are `ROOT/class/x.jpg`, `ROOT/train/class/x.jpg` and `ROOT/class/train/x.jpg`,
//! where `train` stands for any name of a split (`train`, `training`, `validation`, `valid`,
//! `val`, `test`, `testing`).

use std::collections::BTreeSet;
use std::path::Path;

use facefold_core::{AgeLabel, Gender, Sample, Split};

use crate::dataset::{Dataset, DatasetKind, SkipReason, Skipped, require_folder};
use crate::deduplication::Deduplication;
use crate::error::DatasetError;
use crate::missing::known;
use crate::pictures;

/// The location of the folders of the splits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// `ROOT/class`.
    Classes,
    /// `ROOT/train/class`.
    SplitsAbove,
    /// `ROOT/class/train`.
    SplitsBelow,
}

/// The labels of a picture's folders.
enum Place<'a> {
    /// Its class and split, each where there is one.
    In(Option<&'a str>, Option<Split>),
    /// Outside of the folders of the splits.
    OutsideSplits,
}

/// Loads the pictures below `root`. A picture without a class folder, or in one that is named by a
/// word for what is not known (`unknown`), becomes a sample without labels; one next to folders of
/// splits is passed over and named.
///
/// If every class reads as a gender (`female`, `men`), samples carry it as their gender too; if
/// every class reads as an age (`0-2`, `(25, 32)`, `60+`, `35`), as their age.
pub(crate) fn load(root: &Path) -> Result<Dataset, DatasetError> {
    require_folder(root, "a folder of pictures for each class")?;
    let found = pictures::below(root)?;
    if found.paths.is_empty() {
        return Err(DatasetError::Missing {
            root: root.to_owned(),
            expected: "a picture in any folder".to_owned(),
            advice: format!("pictures must end in {}", facefold_core::pictures::ENDINGS.join(", ")),
        });
    }
    let mut dataset = Dataset::new(DatasetKind::Folder, root);
    dataset.ignored = found.ignored;
    let folders: Vec<Vec<&str>> = found.paths.iter().map(|path| folders_of(path)).collect();
    let layout = layout_of(&folders);
    let mut samples = Vec::with_capacity(found.paths.len());
    for (path, folders) in found.paths.iter().zip(&folders) {
        match place(folders, layout, root)? {
            Place::In(class, split) => {
                samples.push(Sample {
                    class: class.map(str::to_owned),
                    split,
                    ..Sample::unlabelled(path)
                });
            }
            Place::OutsideSplits => dataset
                .ignored
                .push(Skipped { what: path.clone(), reason: SkipReason::BesideSplits }),
        }
    }
    dataset.notes.extend(forget_unknown_classes(&mut samples));
    label_from_classes(&mut samples);
    let mut keys = Deduplication::default();
    for sample in samples {
        if let Some(class) = sample.class.clone() {
            let raw_gender = if sample.gender.is_some() { class.as_str() } else { "" };
            let key = sample.path.to_string_lossy().into_owned();
            keys.add(&mut dataset, key, sample, raw_gender);
        } else {
            dataset.add_unlabelled(sample);
        }
    }
    keys.finish(&mut dataset);
    Ok(dataset)
}

fn folders_of(path: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    parts
}

fn split_at(folders: &[&str], level: usize) -> Option<Split> {
    folders.get(level).and_then(|name| name.parse().ok())
}

fn layout_of(folders: &[Vec<&str>]) -> Layout {
    let any_at = |level| folders.iter().any(|folders| split_at(folders, level).is_some());
    if any_at(0) {
        Layout::SplitsAbove
    } else if any_at(1) {
        Layout::SplitsBelow
    } else {
        Layout::Classes
    }
}

fn place<'a>(folders: &[&'a str], layout: Layout, root: &Path) -> Result<Place<'a>, DatasetError> {
    let name = |level: usize| folders.get(level).copied();
    Ok(match layout {
        Layout::Classes => Place::In(name(0), None),
        Layout::SplitsAbove => match split_at(folders, 0) {
            Some(split) => Place::In(name(1), Some(split)),
            None => Place::OutsideSplits,
        },
        Layout::SplitsBelow => match (split_at(folders, 1), name(0), name(1), name(2)) {
            // Two class-per-folder sets side by side: pooling them would be a guess.
            (Some(_), Some(above), Some(split), Some(_)) => {
                return Err(DatasetError::TwoLevels {
                    above: root.join(above),
                    split: split.to_owned(),
                });
            }
            (Some(split), class, ..) => Place::In(class, Some(split)),
            (None, ..) => Place::OutsideSplits,
        },
    })
}

/// Removes the class of samples whose folder's name means unknown, with a note.
fn forget_unknown_classes(samples: &mut [Sample]) -> Option<String> {
    let (mut folders, mut rows) = (BTreeSet::new(), 0);
    for sample in samples {
        if let Some(class) = sample.class.take_if(|class| known(class).is_none()) {
            folders.insert(class);
            rows += 1;
        }
    }
    let names: Vec<String> = folders.into_iter().map(|name| format!("`{name}`")).collect();
    (rows > 0).then(|| {
        format!(
            "{rows} pictures have no class: the name of their folder ({}) is a word for what is not \
             known; rename it if it is a class",
            names.join(", ")
        )
    })
}

/// Reads classes as genders or ages where every one of them can be read so.
fn label_from_classes(samples: &mut [Sample]) {
    let classes: BTreeSet<String> =
        samples.iter().filter_map(|sample| sample.class.clone()).collect();
    if classes.iter().all(|class| Gender::parse(class).is_some()) {
        for sample in samples.iter_mut() {
            sample.gender = sample.class.as_deref().and_then(Gender::parse);
        }
    }
    if classes.iter().all(|class| AgeLabel::parse(class) != AgeLabel::Unknown) {
        for sample in samples.iter_mut() {
            sample.raw_age = sample.class.clone().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use facefold_core::{Gender, Split};

    use super::load;
    use crate::dataset::{Dataset, SkipReason};
    use facefold_testing::{Need, given};

    fn set(paths: &[&str]) -> Result<Dataset, String> {
        let directory = tempfile::tempdir().unwrap();
        for path in paths {
            let path = directory.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, b"").unwrap();
        }
        load(directory.path()).map_err(|error| error.to_string())
    }

    fn places(dataset: &Dataset) -> Vec<(&str, Option<&str>, Option<Split>)> {
        dataset
            .samples
            .iter()
            .map(|sample| (sample.path.to_str().unwrap(), sample.class.as_deref(), sample.split))
            .collect()
    }

    #[test]
    fn classes_alone_and_pictures_without_one() {
        let dataset = set(&["old/1.jpg", "young/deep/2.png", "3.jpg", "old/list.txt"]).unwrap();
        assert_eq!(
            places(&dataset),
            [
                ("3.jpg", None, None),
                ("old/1.jpg", Some("old"), None),
                ("young/deep/2.png", Some("young"), None)
            ]
        );
        assert_eq!((dataset.rows, dataset.unlabelled, dataset.ignored.len()), (2, 1, 1));
        assert!(dataset.samples.iter().all(|sample| sample.gender.is_none()));
        assert!(dataset.samples.iter().all(|sample| sample.raw_age.is_empty()));
    }

    #[test]
    fn folders_named_unknown_are_no_classes() {
        let dataset = set(&["f/1.jpg", "m/2.jpg", "Unknown/3.jpg", "n-a/4.jpg"]).unwrap();
        let classes: Vec<Option<&str>> =
            dataset.samples.iter().map(|sample| sample.class.as_deref()).collect();
        assert_eq!(classes, [None, Some("f"), Some("m"), None]);
        assert_eq!((dataset.rows, dataset.unlabelled), (2, 2));
        assert!(dataset.samples[1].gender.is_some(), "the two classes are genders");
        assert!(dataset.notes[0].contains("(`Unknown`, `n-a`)"), "{:?}", dataset.notes);
    }

    #[test]
    fn splits_above_the_classes() {
        let dataset = set(&["train/men/1.jpg", "val/Woman/2.jpg", "predict/x/3.jpg"]).unwrap();
        assert_eq!(
            places(&dataset),
            [
                ("train/men/1.jpg", Some("men"), Some(Split::Train)),
                ("val/Woman/2.jpg", Some("Woman"), Some(Split::Validation))
            ]
        );
        assert_eq!(dataset.samples[1].gender, Some(Gender::Female));
        assert_eq!(dataset.ignored[0].reason, SkipReason::BesideSplits);
        assert_eq!(dataset.genders.total("men"), 1);
    }

    #[test]
    fn splits_below_the_classes() {
        let dataset = set(&["(0, 2)/train/1.jpg", "60+/test/2.jpg", "60+/3.jpg"]).unwrap();
        assert_eq!(
            places(&dataset),
            [
                ("(0, 2)/train/1.jpg", Some("(0, 2)"), Some(Split::Train)),
                ("60+/test/2.jpg", Some("60+"), Some(Split::Test))
            ]
        );
        assert_eq!(dataset.samples[1].raw_age, "60+");
        assert_eq!(dataset.ignored[0].what, "60+/3.jpg");
    }

    #[test]
    fn two_sets_in_one_folder_are_refused() {
        let message = set(&["age/train/old/1.jpg", "gender/train/male/1.jpg"]).unwrap_err();
        assert!(message.contains("the folder `train`") && message.contains("as ROOT"), "{message}");
        assert!(set(&["readme.txt"]).unwrap_err().contains("expected a picture in any folder"));
    }

    #[test]
    fn the_shared_sets_have_the_counts_of_their_folders() {
        let Some(folder) = given(Need::Data) else {
            return;
        };
        let root = folder.join("wiki-gender-age");
        assert!(load(&root).is_err(), "age-data and gender-data share files");
        let mut counts = BTreeMap::new();
        let dataset = load(&root.join("gender-data")).unwrap();
        for sample in &dataset.samples {
            assert!(sample.gender.is_some());
            *counts.entry((sample.split, sample.class.clone())).or_insert(0) += 1;
        }
        let counts: Vec<i32> = counts.into_values().collect();
        assert_eq!(counts, [500, 500, 58, 50]);
        assert_eq!(dataset.ignored.len(), 8);
    }
}
