//! The label rows of one store with their features and subjects.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use facefold_core::{FeatureMatrix, ImageKey, Rejection, Sample, SubjectId};
use facefold_evaluate::{SetName, SetRow};
use facefold_store::{
    FINISH_MERGE, FINISH_REMOVAL, Features, SampleRow, Select, Store, rejection_of,
};
use ndarray::Array2;

use super::subjects::{age, find_subjects};
use crate::error::{Error, Result};
use crate::options::LearningOptions;
use crate::progress::Progress;

/// What the rows of a store are used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Training and test, as the protocol says.
    Both,
    /// Training only: there are other stores to test on.
    Training,
    /// Test only.
    Test,
}

/// One of the stores whose rows are joined.
#[derive(Debug)]
pub struct DataSet {
    /// The name of the store's directory.
    pub name: SetName,
    /// The store.
    pub store: Store,
    /// What its rows are used for.
    pub role: Role,
    /// Its label rows among those of all sets.
    pub rows: Range<usize>,
}

/// The rows of a store that are not joined with others yet.
pub(super) struct StoreRows {
    pub(super) name: SetName,
    pub(super) store: Store,
    pub(super) role: Role,
    /// All label rows of the store, embedded or not.
    pub(super) samples: Vec<Sample>,
    /// For each label row its row in the matrix, where it has an embedding.
    pub(super) matrix_rows: Vec<Option<usize>>,
    /// The picture of each row of the matrix.
    pub(super) keys: Vec<ImageKey>,
    pub(super) matrix: FeatureMatrix,
    /// Label rows without an embedding, by the reason of the rejection.
    pub(super) rejected: BTreeMap<String, usize>,
    pub(super) subjects: Vec<Option<SubjectId>>,
    /// Why a label row with an embedding is not used.
    pub(super) left_out: BTreeMap<usize, String>,
    pub(super) notes: Vec<String>,
    /// Those of them on rows that count as one subject.
    pub(super) subject_notes: Vec<String>,
}

/// Why a label row is not used whose picture was extracted and is in no shard.
pub(crate) const LOST: &str = "lost from the store";

/// The sentence on label rows whose pictures a store has lost: how many, and how to get them back, or
/// rid of them where a removal was cut off.
#[must_use]
pub fn lost_rows(rows: usize, store: &Store) -> String {
    format!("{}: {}", rows_not_used(rows), store.remedy_for_lost_rows())
}

/// The same without what to do about it, which names paths.
pub(super) fn rows_not_used(rows: usize) -> String {
    format!(
        "{rows} label rows are not used, as they name pictures that no shard of the store has any more"
    )
}

/// The name of a store's directory.
pub(super) fn name(directory: &Path) -> Result<SetName> {
    let named = |path: &Path| Some(SetName::new(path.file_name()?.to_string_lossy().into_owned()));
    if let Some(name) = named(directory) {
        return Ok(name);
    }
    let whole = fs_err::canonicalize(directory)?;
    named(&whole).ok_or_else(|| {
        Error::data(format!("expected the directory of a store, found `{}`", whole.display()))
    })
}

/// Refuses stores that would be taken for each other.
pub(super) fn require_distinct(stores: &[(SetName, &Path)]) -> Result<()> {
    for (index, (name, directory)) in stores.iter().enumerate() {
        if let Some((_, other)) = stores[..index].iter().find(|(other, _)| other == name) {
            return Err(Error::options(format!(
                "the stores `{}` and `{}` are both named `{name}`: a data set is named after the \
                 directory of its store; give each store once, or rename one of them",
                other.display(),
                directory.display()
            )));
        }
    }
    Ok(())
}

/// Refuses a store that is given twice, through another path: its rows would count twice.
pub(super) fn require_different(stores: &[Store]) -> Result<()> {
    for (index, store) in stores.iter().enumerate() {
        if let Some(other) = stores[..index].iter().find(|other| other.is_same(store)) {
            return Err(Error::options(format!(
                "`{}` and `{}` are the same store: expected different stores; give each once",
                other.directory().display(),
                store.directory().display()
            )));
        }
    }
    Ok(())
}

/// Refuses a store from which somebody is being removed.
pub(crate) fn require_no_removal(store: &Store) -> Result<()> {
    if !store.removal_is_unfinished() {
        return Ok(());
    }
    Err(Error::data(format!(
        "a removal from the store `{}` is not finished: {}",
        store.directory().display(),
        FINISH_REMOVAL
    )))
}

/// Refuses a store that lacks what a merge did not reach.
pub(super) fn require_no_merge(store: &Store) -> Result<()> {
    if !store.merge_is_unfinished() {
        return Ok(());
    }
    Err(Error::data(format!(
        "a merge into the store `{}` is not finished: {FINISH_MERGE}",
        store.directory().display()
    )))
}

/// Refuses stores whose features cannot be compared.
pub(super) fn require_comparable(stores: &[Store], embedding_only: bool) -> Result<()> {
    let Some((first, others)) = stores.split_first() else { return Ok(()) };
    for other in others {
        let (one, two) = (first.header(), other.header());
        let directories = (first.directory().display(), other.directory().display());
        if one.fingerprint != two.fingerprint {
            return Err(Error::data(format!(
                "the store `{}` has the fingerprint {}, the store `{}` {}: their embeddings cannot \
                 be compared; {}",
                directories.0,
                one.fingerprint,
                directories.1,
                two.fingerprint,
                if one.extractor.is_imported() || two.extractor.is_imported() {
                    "join stores of one network only, and compare networks by the results of a run on each"
                } else {
                    "extract one of them anew with the other's network and precision"
                }
            )));
        }
        let ((_, taps), (_, other_taps)) = (one.lengths(), two.lengths());
        if taps != other_taps && !embedding_only {
            return Err(Error::data(format!(
                "the store `{}` has {taps} taps a face, the store `{}` {other_taps}: their features \
                 cannot be compared; extract one of them anew as the other was, or use `--features \
                 embedding`",
                directories.0, directories.1
            )));
        }
    }
    Ok(())
}

impl StoreRows {
    /// Loads the features of an open store.
    pub(super) fn new(
        name: SetName,
        store: Store,
        role: Role,
        features: Features,
        options: &LearningOptions,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let directory = store.directory().to_owned();
        let table = store.samples()?;
        if table.is_empty() {
            return Err(Error::data(format!(
                "the store `{}` has no label rows; let the `extract` or `store import` command that makes it run to its \
                 end first",
                directory.display()
            )));
        }
        let rejections = store.rejections()?;
        let mut keys: Vec<ImageKey> = Vec::new();
        let mut matrix_rows = Vec::with_capacity(table.len());
        let mut rejected = BTreeMap::new();
        for row in &table {
            let embedded = |key: &ImageKey| store.contains(key) && !rejections.contains_key(key);
            if let Some(key) = row.key.filter(embedded) {
                matrix_rows.push(Some(keys.len()));
                keys.push(key);
            } else {
                matrix_rows.push(None);
                *rejected.entry(why_not(row, &rejections)).or_default() += 1;
            }
        }
        if let Some(&lost) = rejected.get(LOST) {
            let sentence = lost_rows(lost, &store);
            progress.note(&format!("`{}`: {sentence}", directory.display()));
        }
        if keys.is_empty() {
            return Err(Error::data(format!(
                "no label row of the store `{}` has an embedding",
                directory.display()
            )));
        }
        let start = Instant::now();
        let matrix = store.load_features(features, &keys, options.augmented)?;
        tracing::info!(
            "loaded {} x {} features in {:.1} s",
            matrix.rows(),
            matrix.width(),
            start.elapsed().as_secs_f64()
        );
        let augmented = matrix.augmented().count();
        let versions = format!(
            "{augmented} augmented versions of pictures are also trained on, in the folds and on \
             the side of their subjects; nothing is validated or tested on them."
        );
        let samples: Vec<Sample> = table.into_iter().map(|row| row.sample).collect();
        let mut loaded = Self {
            name,
            store,
            role,
            subjects: samples.iter().map(|sample| sample.subject.clone()).collect(),
            samples,
            matrix_rows,
            keys,
            matrix,
            rejected,
            left_out: BTreeMap::new(),
            notes: if augmented > 0 { vec![versions] } else { Vec::new() },
            subject_notes: Vec::new(),
        };
        loaded.left_out = loaded.refused(options)?;
        find_subjects(&mut loaded)?;
        Ok(loaded)
    }

    /// Each label row's picture and subject, for [`facefold_evaluate::join_subjects`].
    pub(super) fn set_rows<'a>(&'a self, paths: &'a [String]) -> Vec<SetRow<'a>> {
        let rows = self.matrix_rows.iter().zip(&self.subjects).zip(&self.samples).zip(paths);
        rows.map(|(((row, subject), sample), path)| SetRow {
            path,
            subject: subject.as_ref(),
            age: Some(age(sample)),
            embedded: row.map(|row| (self.keys[row], row)),
        })
        .collect()
    }

    /// Whether another program made the embeddings.
    pub(super) fn is_imported(&self) -> bool {
        self.store.header().extractor.is_imported()
    }

    /// The embeddings of [`Self::keys`], whatever features are learnt from.
    pub(super) fn embeddings(&self) -> Result<Array2<f32>> {
        let select = Select {
            variant: facefold_core::FaceVariant::PLAIN,
            features: Features::Embedding,
            keys: &self.keys,
        };
        Ok(self.store.load_matrix(&select)?)
    }

    /// Which label rows are not used, and why: the face is not good enough, or the age is not
    /// among those asked for.
    fn refused(&self, options: &LearningOptions) -> Result<BTreeMap<usize, String>> {
        if self.is_imported()
            && let Some(least) = options.quality.iter().find(|least| least.needs_picture())
        {
            return Err(Error::options(format!(
                "--min-quality {}: the embeddings of `{}` were imported, and only `norm` is known of them: expected \
                 `norm` alone; leave it out",
                least.name(),
                self.store.directory().display()
            )));
        }
        let faces = if options.quality.is_empty() { None } else { Some(self.store.main_faces()?) };
        let refused = |(row, sample): (&Option<usize>, &Sample)| {
            let key = &self.keys[(*row)?];
            let face = faces.as_ref().and_then(|faces| faces.get(key));
            let poor =
                face.and_then(|face| options.quality.iter().find_map(|least| least.refuses(face)));
            poor.or_else(|| options.ages?.refuses(sample))
        };
        let rows = self.matrix_rows.iter().zip(&self.samples).enumerate();
        Ok(rows.filter_map(|(index, row)| Some((index, refused(row)?))).collect())
    }
}

fn why_not(row: &SampleRow, rejections: &BTreeMap<ImageKey, Rejection>) -> String {
    match rejection_of(row.key.as_ref(), row.rejection.as_ref(), rejections) {
        Some(rejection) => rejection.reason.to_string(),
        None if row.key.is_some() => LOST.to_owned(),
        None => "not extracted yet".to_owned(),
    }
}
