//! The kinds of data sets, how they are loaded, and what a loaded one holds.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use facefold_core::names::{composed, normalised};
use facefold_core::{AgeLabel, Sample, SubjectId};
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

/// Keeps the first row of each key, and marks it where a later one contradicts it.
#[derive(Default)]
pub(crate) struct Deduplication {
    first: HashMap<String, usize>,
    /// Two subjects that rows with the same key name: one person.
    one_person: Vec<[SubjectId; 2]>,
}

impl Deduplication {
    /// Adds a label row to `dataset`. `raw_gender` is the gender as the file writes it.
    ///
    /// Rows with the same key are the same picture; if they are not equal in all that a sample
    /// holds, the correct one is unknown, so the kept sample counts as a label conflict.
    pub fn add(
        &mut self,
        dataset: &mut Dataset,
        key: String,
        mut sample: Sample,
        raw_gender: &str,
    ) {
        normalise_names(&mut sample);
        dataset.rows += 1;
        dataset.ages.add(&sample.raw_age, sample.fold);
        dataset.genders.add(raw_gender, sample.fold);
        if let Some(&index) = self.first.get(&key) {
            dataset.duplicates += 1;
            let kept = &mut dataset.samples[index];
            let conflict = kept.label_conflict;
            kept.label_conflict = sample.label_conflict;
            let same = *kept == sample;
            kept.label_conflict |= conflict || !same;
            match (&kept.subject, sample.subject) {
                (Some(one), Some(other)) if *one != other => {
                    self.one_person.push([one.clone(), other]);
                }
                (None, named) => kept.subject = named,
                _ => {}
            }
        } else {
            self.first.insert(key, dataset.samples.len());
            dataset.samples.push(sample);
        }
    }

    /// Gives subjects that rows of one picture name one name, the first, in all samples of `dataset`: the
    /// row that linked them was kept once, and their other pictures must not stand in training and test. More
    /// names than [`MOST_NAMES`] are no one person's: pictures of several people are listed so, and all keep
    /// their names.
    pub fn finish(self, dataset: &mut Dataset) {
        let mut people = People::default();
        for [one, other] in self.one_person {
            people.join(one, other);
        }
        let (mut renamed, mut of_many) = (0, 0);
        let first_names = people.first_names();
        for (name, (first, names)) in &first_names {
            if *names > MOST_NAMES {
                of_many += 1;
            } else if name != first {
                renamed += 1;
            }
        }
        for subject in dataset.samples.iter_mut().filter_map(|sample| sample.subject.as_mut()) {
            if let Some((first, names)) = first_names.get(subject)
                && *names <= MOST_NAMES
            {
                subject.clone_from(first);
            }
        }
        if renamed > 0 {
            dataset.notes.push(format!(
                "{renamed} subjects are named in a second row of a picture that another subject has: each \
                 counts as one person with the first"
            ));
        }
        if of_many > 0 {
            dataset.notes.push(format!(
                "{of_many} subjects are named in rows of pictures that others have too, more than {MOST_NAMES} \
                 of them in a chain, as where several people are in a picture: each keeps its name"
            ));
        }
    }
}

/// Names that one person may have.
const MOST_NAMES: usize = 5;

/// Names of subjects, those of one person linked: union-find in order of appearance.
#[derive(Default)]
struct People {
    numbers: HashMap<SubjectId, usize>,
    names: Vec<SubjectId>,
    /// A name of the same person that appeared before, or itself.
    before: Vec<usize>,
}

impl People {
    fn number(&mut self, name: SubjectId) -> usize {
        *self.numbers.entry(name).or_insert_with_key(|name| {
            self.names.push(name.clone());
            self.before.push(self.before.len());
            self.names.len() - 1
        })
    }

    fn root(&mut self, mut at: usize) -> usize {
        while self.before[at] != at {
            self.before[at] = self.before[self.before[at]];
            at = self.before[at];
        }
        at
    }

    fn join(&mut self, one: SubjectId, other: SubjectId) {
        let [one, other] = [one, other].map(|name| self.number(name));
        let (one, other) = (self.root(one), self.root(other));
        self.before[one.max(other)] = one.min(other);
    }

    /// Of each name the person's first, and how many names the person has.
    fn first_names(mut self) -> HashMap<SubjectId, (SubjectId, usize)> {
        let roots: Vec<usize> = (0..self.names.len()).map(|at| self.root(at)).collect();
        let mut sizes = vec![0; roots.len()];
        for &root in &roots {
            sizes[root] += 1;
        }
        let names = self.names.iter().zip(roots);
        names.map(|(name, root)| (name.clone(), (self.names[root].clone(), sizes[root]))).collect()
    }
}

/// Gives the names of people and classes the one form in which they are compared.
fn normalise_names(sample: &mut Sample) {
    if let Some(subject) = &mut sample.subject
        && let Cow::Owned(name) = normalised(subject.as_str())
    {
        *subject = SubjectId::new(name);
    }
    for text in [&mut sample.class, &mut sample.race].into_iter().flatten() {
        if let Cow::Owned(name) = composed(text) {
            *text = name;
        }
    }
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
    use std::collections::HashSet;

    use facefold_core::{Sample, SubjectId};

    use super::{Dataset, DatasetKind, Deduplication, LoadOptions, Tree, load};

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

    #[test]
    fn a_contradicting_duplicate_is_a_label_conflict() {
        let mut dataset = Dataset::new(DatasetKind::Manifest, "root".as_ref());
        let mut keys = Deduplication::default();
        let row =
            |path: &str, age: &str| Sample { raw_age: age.to_owned(), ..Sample::unlabelled(path) };
        for (path, age) in [("a", "3"), ("b", "5"), ("a", "3"), ("b", "6"), ("b", "5")] {
            keys.add(&mut dataset, path.to_owned(), row(path, age), "f");
        }
        assert_eq!((dataset.rows, dataset.duplicates, dataset.distinct()), (5, 3, 2));
        assert!(!dataset.samples[0].label_conflict);
        assert!(dataset.samples[1].label_conflict);
        assert_eq!(dataset.ages.total("5"), 2);
    }

    #[test]
    fn subjects_of_one_picture_are_one_person_in_every_row() {
        let mut dataset = Dataset::new(DatasetKind::Manifest, "root".as_ref());
        let mut keys = Deduplication::default();
        let rows = [
            ("a", "ann"),
            ("b", "ben"),
            ("c", "cid"),
            ("d", "dot"),
            ("e", "eve"),
            ("f", ""),
            // Ben is Cid, Cid is Ann, Eve is Dot.
            ("c", "ben"),
            ("a", "cid"),
            ("d", "eve"),
            ("f", "eve"),
        ];
        for (path, subject) in rows {
            let subject = Some(subject).filter(|name| !name.is_empty()).map(SubjectId::new);
            let sample = Sample { subject, ..Sample::unlabelled(path) };
            keys.add(&mut dataset, path.to_owned(), sample, "f");
        }
        keys.finish(&mut dataset);
        let names: Vec<&str> =
            dataset.samples.iter().map(|s| s.subject.as_ref().unwrap().as_str()).collect();
        assert_eq!(names, ["cid", "cid", "cid", "dot", "dot", "dot"]);
        assert!(dataset.notes[0].starts_with("3 subjects are named in a second row"));
    }

    #[test]
    fn people_of_group_photographs_keep_their_names() {
        let mut dataset = Dataset::new(DatasetKind::Manifest, "root".as_ref());
        let mut keys = Deduplication::default();
        for row in 0..20 {
            for person in [row, row + 1] {
                let subject = Some(SubjectId::new(format!("p{person}")));
                let path = format!("{row}.jpg");
                let sample = Sample { subject, ..Sample::unlabelled(&path) };
                keys.add(&mut dataset, path, sample, "f");
            }
        }
        keys.finish(&mut dataset);
        let names: HashSet<&str> =
            dataset.samples.iter().map(|s| s.subject.as_ref().unwrap().as_str()).collect();
        assert_eq!(names.len(), 20);
        assert!(dataset.notes[0].starts_with("21 subjects are named"), "{:?}", dataset.notes);
    }

    #[test]
    fn a_name_in_composed_and_decomposed_letters_is_one() {
        let mut dataset = Dataset::new(DatasetKind::Manifest, "root".as_ref());
        let mut keys = Deduplication::default();
        for (path, name) in [("a", "Zo\u{eb}"), ("b", "Zoe\u{308}")] {
            let sample = Sample {
                subject: Some(SubjectId::new(name)),
                class: Some(name.to_owned()),
                race: Some(name.to_owned()),
                ..Sample::unlabelled(path)
            };
            keys.add(&mut dataset, path.to_owned(), sample, "f");
        }
        for sample in &dataset.samples {
            assert_eq!(sample.subject.as_ref().unwrap().as_str(), "Zo\u{eb}");
            assert_eq!(
                (sample.class.as_deref(), sample.race.as_deref()),
                (Some("Zoë"), Some("Zoë"))
            );
        }
    }
}
