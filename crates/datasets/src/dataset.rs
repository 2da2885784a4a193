//! The kinds of data sets, how they are loaded, and what a loaded one holds.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use facefold_core::{AgeLabel, Sample};
use serde::{Deserialize, Serialize};

use crate::error::DatasetError;
use crate::missing::known;
use crate::tally::Tally;
use crate::{adience, fairface, folder, imdb_wiki, manifest, unlabelled, utkface};

/// A layout of pictures and labels that can be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatasetKind {
    /// Fold lists and two trees of pictures (Eidinger, Enbar and Hassner 2014).
    Adience,
    /// Labels in the files' names (Zhang, Song and Qi 2017), and `labels.csv` where there is one.
    #[serde(rename = "utkface")]
    UtkFace,
    /// A CSV list for each split (Karkkainen and Joo 2021).
    #[serde(rename = "fairface")]
    FairFace,
    /// MATLAB metadata of the pictures (Rothe, Timofte and Van Gool 2015).
    ImdbWiki,
    /// A folder a class, with folders `train` and `test` above or below them or without.
    Folder,
    /// A CSV list of one's own.
    Manifest,
    /// Pictures without labels.
    Pictures,
}

impl DatasetKind {
    /// All kinds, in the order of the command line's help.
    pub const ALL: [Self; 7] = [
        Self::Adience,
        Self::UtkFace,
        Self::FairFace,
        Self::ImdbWiki,
        Self::Folder,
        Self::Manifest,
        Self::Pictures,
    ];

    /// The name on the command line and in stores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Adience => "adience",
            Self::UtkFace => "utkface",
            Self::FairFace => "fairface",
            Self::ImdbWiki => "imdb-wiki",
            Self::Folder => "folder",
            Self::Manifest => "manifest",
            Self::Pictures => "pictures",
        }
    }

    /// Terms of its pictures, one line; see `data/README.md`.
    #[must_use]
    pub fn terms(self) -> &'static str {
        match self {
            Self::Adience => "research only; the pictures may not be passed on",
            Self::UtkFace => "non-commercial research only; copyright stays with the owners",
            Self::FairFace => "CC BY 4.0",
            Self::ImdbWiki => "academic research only; copyright stays with the owners",
            Self::Folder | Self::Manifest | Self::Pictures => "those of the pictures' source",
        }
    }
}

impl fmt::Display for DatasetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DatasetKind {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, DatasetError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| DatasetError::UnknownKind(text.to_owned()))
    }
}

/// Which of Adience's two trees of pictures the paths point into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tree {
    /// `aligned/<user_id>/landmark_aligned_face.<face_id>.<original_image>`.
    #[default]
    Aligned,
    /// `faces/<user_id>/coarse_tilt_aligned_face.<face_id>.<original_image>`.
    Faces,
}

impl Tree {
    /// The folder's name, which is the name on the command line too.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aligned => "aligned",
            Self::Faces => "faces",
        }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tree {
    type Err = DatasetError;

    fn from_str(text: &str) -> Result<Self, DatasetError> {
        [Self::Aligned, Self::Faces]
            .into_iter()
            .find(|tree| tree.as_str() == text)
            .ok_or_else(|| DatasetError::UnknownTree(text.to_owned()))
    }
}

/// What may be chosen when a data set is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// The label file, where it is not at its usual place. For Adience the folder with the fold
    /// lists; a class-per-folder set has none.
    pub labels: Option<PathBuf>,
    /// Which of Adience's trees to read.
    pub tree: Tree,
    /// Adience's lists of near-frontal faces (`fold_frontal_0_data.txt` to `_4_`), a part of the
    /// main lists, instead of the main lists.
    pub frontal: bool,
    /// Of [`DatasetKind::Pictures`] the pictures, relative to ROOT or absolute, where they are not all
    /// that lie below ROOT.
    pub pictures: Option<Vec<PathBuf>>,
}

/// Why a label row gave no sample, or a file below ROOT was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// A row of `labels.csv` for a file that is not below ROOT, while others are.
    NoPicture,
    /// An age below 0 or above 100 by the row's own dates.
    ImpossibleAge,
    /// The set's makers found no face in the picture.
    NoFaceFound,
    /// The set's makers found a second face, so that the label may be another person's.
    SecondFace,
    /// A file whose name does not end as a picture's does.
    NotAPicture,
    /// A name that is not valid Unicode, which no store or report could hold.
    NotUnicode,
    /// Hidden, or left by a system, a file server or a synchroniser.
    Hidden,
    /// A pipe, a socket or a device.
    NotAFile,
    /// A file or folder that cannot be read.
    Unreadable,
    /// A link to a folder that was read already, or lies above.
    FolderReadAlready,
    /// A folder or file next to `train` and `test`, which belongs to no split.
    BesideSplits,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPicture => "a label row without its picture",
            Self::ImpossibleAge => "an age below 0 or above 100",
            Self::NoFaceFound => "no face found by the set's makers",
            Self::SecondFace => "a second face found by the set's makers",
            Self::NotAPicture => "not a picture's name",
            Self::NotUnicode => "a name that is not Unicode",
            Self::Hidden => "hidden or of the system",
            Self::NotAFile => "a pipe, socket or device",
            Self::Unreadable => "cannot be read",
            Self::FolderReadAlready => "a link to a folder read already or above",
            Self::BesideSplits => "outside of the folders of the splits",
        })
    }
}

/// A label row or file that gave no sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The row's picture, or the file or folder relative to ROOT.
    pub what: String,
    /// Why.
    pub reason: SkipReason,
}

/// A loaded data set, before any label policy.
///
/// `rows` = [`Dataset::distinct`] + `duplicates` + `dropped.len()`, and
/// `samples.len()` = [`Dataset::distinct`] + `unlabelled`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Its kind.
    pub kind: DatasetKind,
    /// The folder that the samples' paths are relative to.
    pub root: PathBuf,
    /// The label files that were read.
    pub label_files: Vec<PathBuf>,
    /// Samples in the order of the label files, else of the paths.
    pub samples: Vec<Sample>,
    /// Label rows read; where names or folders are the labels, pictures with a readable one.
    pub rows: usize,
    /// Rows whose key an earlier row had: kept once.
    pub duplicates: usize,
    /// Pictures without a label row: they can be extracted, and serve no task.
    pub unlabelled: usize,
    /// Label rows that gave no sample.
    pub dropped: Vec<Skipped>,
    /// Files and folders below ROOT that were passed over.
    pub ignored: Vec<Skipped>,
    /// Age strings as they are, over all rows but the dropped ones, before deduplication.
    pub ages: Tally,
    /// Gender strings as they are, over all rows but the dropped ones, before deduplication.
    pub genders: Tally,
    /// What a reader of the counts should know.
    pub notes: Vec<String>,
}

impl Dataset {
    /// An empty set, to be filled.
    pub(crate) fn new(kind: DatasetKind, root: &Path) -> Self {
        Self {
            kind,
            root: root.to_owned(),
            label_files: Vec::new(),
            samples: Vec::new(),
            rows: 0,
            duplicates: 0,
            unlabelled: 0,
            dropped: Vec::new(),
            ignored: Vec::new(),
            ages: Tally::default(),
            genders: Tally::default(),
            notes: Vec::new(),
        }
    }

    /// Samples that come from label rows: rows less duplicates and dropped ones.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.rows - self.duplicates - self.dropped.len()
    }

    /// Adds a label row that gives no sample.
    pub(crate) fn drop_row(&mut self, what: impl Into<String>, reason: SkipReason) {
        self.rows += 1;
        self.dropped.push(Skipped { what: what.into(), reason });
    }

    /// Adds a picture without a label row.
    pub(crate) fn add_unlabelled(&mut self, sample: Sample) {
        self.unlabelled += 1;
        self.samples.push(sample);
    }
}

/// Whether a label file's path stays below the folder that it is relative to, so that no list from
/// elsewhere leads to other files of this machine.
pub(crate) fn stays_below_root(path: impl AsRef<Path>) -> bool {
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    path.as_ref().components().all(inside)
}

/// Loads a data set in its own layout. Pictures are listed where the layout has no list of
/// them, and never opened.
///
/// # Errors
/// [`DatasetError`] where ROOT or a label file is missing, or a row cannot be read; the message
/// names file and line.
pub fn load(
    kind: DatasetKind,
    root: &Path,
    options: &LoadOptions,
) -> Result<Dataset, DatasetError> {
    let mut dataset = match kind {
        DatasetKind::Adience => adience::load(root, options),
        DatasetKind::UtkFace => utkface::load(root, options.labels.as_deref()),
        DatasetKind::FairFace => fairface::load(root, options.labels.as_deref()),
        DatasetKind::ImdbWiki => imdb_wiki::load(root, options.labels.as_deref()),
        DatasetKind::Folder => folder::load(root),
        DatasetKind::Manifest => manifest::load(root, options.labels.as_deref()),
        DatasetKind::Pictures => unlabelled::load(root, options.pictures.as_deref()),
    }?;
    if dataset.rows == 0 && dataset.samples.is_empty() {
        return Err(DatasetError::NoRows(dataset.label_files));
    }
    dataset.notes.extend(unreadable_ages(&dataset.samples));
    Ok(dataset)
}

/// A note on ages that are something else: a spreadsheet's dates, years of birth.
fn unreadable_ages(samples: &[Sample]) -> Option<String> {
    let texts = samples.iter().filter_map(|sample| known(&sample.raw_age));
    let unreadable: Vec<&str> =
        texts.filter(|text| AgeLabel::parse(text) == AgeLabel::Unknown).collect();
    let first = unreadable.first()?;
    Some(format!(
        "{} rows have an age that is no number of years and no range of them, the first `{first}`: \
         expected an age such as `35`, `25-32` or `60+`; they count as rows of unknown age",
        unreadable.len()
    ))
}

/// Refuses a ROOT that is no folder, before anything is looked for in it.
pub(crate) fn require_folder(root: &Path, expected: &'static str) -> Result<(), DatasetError> {
    if root.is_dir() {
        Ok(())
    } else {
        Err(DatasetError::NoFolder { root: root.to_owned(), expected })
    }
}

#[cfg(test)]
mod tests {
    use super::{DatasetKind, LoadOptions, Tree, load};

    #[test]
    fn names_parse_back_and_others_are_refused() {
        for kind in DatasetKind::ALL {
            assert_eq!(kind.as_str().parse::<DatasetKind>().unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert!("Adience".parse::<DatasetKind>().unwrap_err().to_string().contains("`Adience`"));
        assert_eq!("faces".parse::<Tree>().unwrap(), Tree::Faces);
        assert!("tree".parse::<Tree>().is_err());
    }

    #[test]
    fn impossible_ages_are_counted_and_listed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let text = "path,age\na.jpg,2024-12\nb.jpg,25-32\nc.jpg,nan\nd.jpg,old\n";
        fs_err::write(root.join("manifest.csv"), text).unwrap();
        let text = "file,age,gender\ntrain/1.jpg,03-Sep,Male\nval/1.jpg,,Male\n";
        fs_err::write(root.join("fairface_label_train.csv"), text).unwrap();
        for (kind, rows, expected) in [
            (DatasetKind::Manifest, 4, "2 rows have an age that is no number"),
            (DatasetKind::FairFace, 2, "the first `03-Sep`"),
        ] {
            let dataset = load(kind, root, &LoadOptions::default()).unwrap();
            assert_eq!(dataset.samples.len(), rows);
            let named = dataset.notes.iter().any(|note| note.contains(expected));
            assert!(named, "{:?}", dataset.notes);
        }
    }
}
