//! One data set of a run: a store's label rows with their features.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use facefold_core::{AgeLabel, FeatureMatrix, ImageKey, Rejection, Sample, SubjectId};
use facefold_evaluate::subjects::{self, GroupedSubjects, SubjectRows};
use facefold_evaluate::{SetName, SetRow};
use facefold_store::{Features, SampleRow, Select, Store};
use ndarray::Array2;

use crate::commands::Usage;
use crate::output;
use crate::settings::Settings;

/// What a store's rows serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Training and test, as the protocol says.
    Both,
    /// Training only: there are other stores to test on.
    Training,
    /// Test only.
    Test,
}

/// A data set of a run.
pub struct DataSet {
    /// The name of the store's directory.
    pub name: SetName,
    /// The store.
    pub store: Store,
    /// What its rows serve.
    pub role: Role,
    /// Its label rows among those of all sets.
    pub rows: Range<usize>,
}

/// A data set that is not joined with others yet.
pub(super) struct Loaded {
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
    pub(super) left_out: Vec<Option<String>>,
    pub(super) notes: Vec<String>,
}

/// Why a label row is not used whose picture was extracted and is in no shard.
pub(crate) const LOST: &str = "lost from the store";

/// The name of a store's directory.
pub(super) fn name(directory: &Path) -> Result<SetName> {
    let named = |path: &Path| Some(SetName::new(path.file_name()?.to_string_lossy().into_owned()));
    if let Some(name) = named(directory) {
        return Ok(name);
    }
    let whole = fs_err::canonicalize(directory)?;
    named(&whole)
        .with_context(|| format!("expected the directory of a store, found `{}`", whole.display()))
}

/// Refuses stores that would be taken for each other.
pub(super) fn require_distinct(stores: &[(SetName, &Path)]) -> Result<()> {
    for (index, (name, directory)) in stores.iter().enumerate() {
        if let Some((_, other)) = stores[..index].iter().find(|(other, _)| other == name) {
            return Err(Usage::error(format!(
                "the stores `{}` and `{}` are both named `{name}`: a data set is named after the \
                 directory of its store; give each store once, or rename one of them",
                other.display(),
                directory.display()
            )));
        }
    }
    Ok(())
}

/// Refuses stores whose features cannot be compared.
pub(super) fn require_comparable(stores: &[Store], embedding_only: bool) -> Result<()> {
    let Some((first, others)) = stores.split_first() else { return Ok(()) };
    for other in others {
        let (one, two) = (first.header(), other.header());
        let directories = (first.directory().display(), other.directory().display());
        if one.fingerprint != two.fingerprint {
            bail!(
                "the store `{}` has the fingerprint {}, the store `{}` {}: their embeddings cannot \
                 be compared; extract one of them anew with the other's network and precision",
                directories.0,
                one.fingerprint,
                directories.1,
                two.fingerprint
            );
        }
        let ((_, taps), (_, other_taps)) = (one.lengths(), two.lengths());
        if taps != other_taps && !embedding_only {
            bail!(
                "the store `{}` has {taps} taps a face, the store `{}` {other_taps}: their features \
                 cannot be compared; extract one of them anew as the other was, or use `--features \
                 embedding`",
                directories.0,
                directories.1
            );
        }
    }
    Ok(())
}

impl Loaded {
    /// Loads the features of an open store.
    pub(super) fn new(
        name: SetName,
        store: Store,
        role: Role,
        features: Features,
        settings: &Settings,
    ) -> Result<Self> {
        let directory = store.directory().to_owned();
        let table = store.samples()?;
        if table.is_empty() {
            bail!(
                "the store `{}` has no label rows; run `facefold extract` to its end first",
                directory.display()
            );
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
        if let Some(lost) = rejected.get(LOST) {
            output::note(&format!(
                "{lost} label rows of `{}` name pictures that no shard of it has any more, and are not used: \
                 run the same `extract` command again",
                directory.display()
            ));
        }
        if keys.is_empty() {
            bail!("no label row of the store `{}` has an embedding", directory.display());
        }
        let start = Instant::now();
        let matrix = store.load_features(features, &keys, settings.augmented)?;
        tracing::info!(
            "loaded {} x {} features in {:.1} s",
            matrix.rows(),
            matrix.width(),
            start.elapsed().as_secs_f64()
        );
        let augmented = matrix.augmented().count();
        let versions = format!(
            "{augmented} augmented versions of pictures are trained on beside them, in the folds and on \
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
            left_out: Vec::new(),
            notes: if augmented > 0 { vec![versions] } else { Vec::new() },
        };
        loaded.left_out = loaded.refused(settings)?;
        loaded.find_subjects()?;
        Ok(loaded)
    }

    /// Each label row's picture and subject, for [`facefold_evaluate::join_subjects`].
    pub(super) fn set_rows<'a>(&'a self, paths: &'a [String]) -> Vec<SetRow<'a>> {
        let rows = self.matrix_rows.iter().zip(&self.subjects).zip(&self.samples).zip(paths);
        rows.map(|(((row, subject), sample), path)| SetRow {
            path,
            subject: subject.as_ref(),
            age: age(sample),
            embedded: row.map(|row| (self.keys[row], row)),
        })
        .collect()
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
    fn refused(&self, settings: &Settings) -> Result<Vec<Option<String>>> {
        let faces = if settings.quality.is_empty() { None } else { Some(self.store.main_faces()?) };
        let refused = |(row, sample): (&Option<usize>, &Sample)| {
            let key = &self.keys[(*row)?];
            let face = faces.as_ref().and_then(|faces| faces.get(key));
            let poor =
                face.and_then(|face| settings.quality.iter().find_map(|least| least.refuses(face)));
            poor.or_else(|| settings.ages?.refuses(sample))
        };
        Ok(self.matrix_rows.iter().zip(&self.samples).map(refused).collect())
    }

    /// Gives every embedded row a subject: rows of one picture, byte for byte, have one, and rows
    /// that name none are grouped with those that they are surely of one person with.
    fn find_subjects(&mut self) -> Result<()> {
        let indices: Vec<usize> =
            (0..self.samples.len()).filter(|&index| self.matrix_rows[index].is_some()).collect();
        let named: Vec<Option<SubjectId>> =
            indices.iter().map(|&index| self.samples[index].subject.clone()).collect();
        let ages: Vec<Option<f32>> =
            indices.iter().map(|&index| age(&self.samples[index])).collect();
        let partly = named.iter().any(Option::is_none);
        let embeddings = if partly { Some(self.embeddings()?) } else { None };
        let rows = SubjectRows { keys: &self.keys, named: &named, ages: &ages };
        let views = embeddings.as_ref().map(Array2::view);
        let found = subjects::group_subjects(&rows, views, subjects::THRESHOLD)?;
        self.notes.extend(notes_on(&found));
        for (index, subject) in indices.into_iter().zip(found.subjects) {
            self.subjects[index] = Some(subject);
        }
        Ok(())
    }
}

/// The age in years by which likeness is judged. A row without a known age counts as an adult's:
/// most faces are.
fn age(sample: &Sample) -> Option<f32> {
    Some(match AgeLabel::parse(&sample.raw_age) {
        AgeLabel::Years(years) => years,
        AgeLabel::Range(low, _) => low as f32,
        AgeLabel::Unknown => subjects::LEAST_AGE,
    })
}

/// How subjects were found where the data set does not name them, or names one picture's twice.
fn notes_on(found: &GroupedSubjects) -> Vec<String> {
    let alike = format!(
        "their bytes are the same, or their embeddings have a cosine of at least {} ({} below age {})",
        subjects::THRESHOLD,
        subjects::COPY,
        subjects::LEAST_AGE
    );
    let GroupedSubjects { subjects, unnamed, unnamed_of_named, merged, shared } = found;
    let all = subjects.len();
    let mut notes = Vec::new();
    if *unnamed == all {
        notes.push(format!(
            "The data set names no subjects: pictures count as one subject where {alike}."
        ));
    } else if *unnamed > 0 {
        notes.push(format!(
            "{unnamed} of {all} rows name no subject: they count as one subject with the rows, named \
             or not, where {alike}; {unnamed_of_named} of them belong to a named subject so."
        ));
    }
    if *merged > 0 {
        notes.push(format!(
            "{merged} named subjects count as one with another, as they have a picture in common, byte \
             for byte ({shared} rows), or a row without a subject is like both."
        ));
    }
    notes
}

fn why_not(row: &SampleRow, rejections: &BTreeMap<ImageKey, Rejection>) -> String {
    let stored = row.key.and_then(|key| rejections.get(&key));
    match row.rejection.as_ref().or(stored) {
        Some(rejection) => rejection.reason.to_string(),
        None if row.key.is_some() => LOST.to_owned(),
        None => "not extracted yet".to_owned(),
    }
}
