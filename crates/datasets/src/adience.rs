//! Loader of the Adience benchmark: five fold lists and two trees of pictures.
//!
//! Eidinger, Enbar and Hassner, "Age and Gender Estimation of Unfiltered Faces", 2014. The lists
//! are tab-separated; the fold is in the file's name and the user is the subject.

use std::path::{Path, PathBuf};

use facefold_core::{Fold, Gender, Sample, SubjectId};

use crate::dataset::{Dataset, DatasetKind, LoadOptions, Tree, require_folder};
use crate::deduplication::Deduplication;
use crate::error::DatasetError;
use crate::missing::known;
use crate::table::{Columns, Row, Table};

/// The columns of every list, in their order.
const HEADER: [&str; 12] = [
    "user_id",
    "original_image",
    "face_id",
    "age",
    "gender",
    "x",
    "y",
    "dx",
    "dy",
    "tilt_ang",
    "fiducial_yaw_angle",
    "fiducial_score",
];

/// The benchmark's number of folds.
const FOLDS: u16 = 5;

/// One of the two sets of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lists {
    Main,
    Frontal,
}

impl Lists {
    fn files(self, directory: &Path) -> Vec<(Fold, PathBuf)> {
        let prefix = match self {
            Self::Main => "fold",
            Self::Frontal => "fold_frontal",
        };
        (0..FOLDS)
            .map(|fold| (Fold(fold), directory.join(format!("{prefix}_{fold}_data.txt"))))
            .collect()
    }

    fn present(self, directory: &Path) -> bool {
        self.files(directory).iter().all(|(_, path)| path.is_file())
    }
}

/// Loads the lists in `root`, or in the folder that `options.labels` names.
pub(crate) fn load(root: &Path, options: &LoadOptions) -> Result<Dataset, DatasetError> {
    require_folder(root, "fold_0_data.txt to fold_4_data.txt, and aligned/ or faces/")?;
    let directory = options.labels.as_deref().unwrap_or(root);
    let lists = if options.frontal { Lists::Frontal } else { Lists::Main };
    let mut dataset = Dataset::new(DatasetKind::Adience, root);
    let mut keys = Deduplication::default();
    for (fold, path) in lists.files(directory) {
        require_list(&path, lists, directory)?;
        let table = read_list(&path)?;
        for row in table.rows() {
            let entry = Entry::read(row)?;
            let sample = entry.sample(fold, options.tree);
            keys.add(&mut dataset, entry.key(), sample, entry.gender);
        }
        dataset.label_files.push(path);
    }
    keys.finish(&mut dataset);
    if lists == Lists::Main && Lists::Frontal.present(directory) {
        dataset.notes.push(
            "the lists fold_frontal_0_data.txt to fold_frontal_4_data.txt are there too and were \
             not read: they hold the near-frontal part of the main lists"
                .to_owned(),
        );
    }
    Ok(dataset)
}

fn require_list(path: &Path, lists: Lists, directory: &Path) -> Result<(), DatasetError> {
    if path.is_file() {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let advice = if lists == Lists::Main && Lists::Frontal.present(directory) {
        "only the fold_frontal lists are there: get the main lists, or select the frontal ones"
    } else {
        "put all five lists of the benchmark there (data/README.md has where to request them), \
         or name their folder with --labels"
    };
    Err(DatasetError::Missing {
        root: directory.to_owned(),
        expected: format!("the list `{name}`"),
        advice: advice.to_owned(),
    })
}

fn read_list(path: &Path) -> Result<Table, DatasetError> {
    let table = Table::read(path, Columns::Tabs)?;
    if table.names != HEADER {
        return Err(DatasetError::File {
            path: path.to_owned(),
            expected: format!("the {} tab-separated columns `{}`", HEADER.len(), HEADER.join(" ")),
            found: format!("`{}`", table.header.join(" ")),
        });
    }
    Ok(table)
}

/// The fields of a row, unparsed.
struct Entry<'a> {
    user: &'a str,
    image: &'a str,
    face: &'a str,
    age: &'a str,
    gender: &'a str,
}

impl<'a> Entry<'a> {
    fn read(row: Row<'a>) -> Result<Self, DatasetError> {
        let [user, image, face, age, gender] = [0, 1, 2, 3, 4].map(|column| row.get(Some(column)));
        for (name, part) in [("user_id", user), ("original_image", image), ("face_id", face)] {
            let leaves_folder = part.contains(['/', '\\']) || part.starts_with("..");
            if part.is_empty() || leaves_folder {
                return Err(row.error(format!("in {name} what can be part of a path"), part));
            }
        }
        Ok(Self { user, image, face, age, gender })
    }

    fn key(&self) -> String {
        [self.user, self.image, self.face].join("\t")
    }

    fn sample(&self, fold: Fold, tree: Tree) -> Sample {
        let prefix = match tree {
            Tree::Aligned => "landmark_aligned_face",
            Tree::Faces => "coarse_tilt_aligned_face",
        };
        let Self { user, image, face, .. } = self;
        Sample {
            raw_age: self.age.to_owned(),
            gender: Gender::parse(self.gender),
            subject: known(user).map(SubjectId::new),
            fold: Some(fold),
            ..Sample::unlabelled(format!("{tree}/{user}/{prefix}.{face}.{image}"))
        }
    }
}

#[cfg(test)]
mod tests;
