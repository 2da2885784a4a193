//! Who is who: the subjects of label rows, in one store and across several.

use facefold_core::{AgeLabel, FaceVariant, SubjectId};
use facefold_evaluate::subjects::{self, GroupedSubjects, SubjectRows};
use facefold_evaluate::{SharedPictures, join_subjects};
use facefold_store::{Features, Select};

use super::store_rows::StoreRows;
use crate::error::Result;

/// Gives every embedded row a subject: rows of one picture, byte for byte, have one, and rows that
/// name none are grouped with those that they are surely of one person with.
pub(super) fn find_subjects(set: &mut StoreRows) -> Result<()> {
    let indices: Vec<usize> =
        (0..set.samples.len()).filter(|&index| set.matrix_rows[index].is_some()).collect();
    let named: Vec<Option<SubjectId>> =
        indices.iter().map(|&index| set.samples[index].subject.clone()).collect();
    // A row without a known age is grouped like an adult's: most faces are.
    let ages: Vec<Option<f32>> = indices
        .iter()
        .map(|&index| match AgeLabel::parse(&set.samples[index].raw_age) {
            AgeLabel::Years(years) => Some(years),
            AgeLabel::Range(low, _) => Some(low as f32),
            AgeLabel::Unknown => Some(subjects::LEAST_AGE),
        })
        .collect();
    let select =
        Select { variant: FaceVariant::PLAIN, features: Features::Embedding, keys: &set.keys };
    let partly = named.iter().any(Option::is_none);
    let embeddings = if partly { Some(set.store.load_matrix(&select)?) } else { None };
    let rows = SubjectRows { keys: &set.keys, named: &named, ages: &ages };
    let views = embeddings.as_ref().map(ndarray::Array2::view);
    let found = subjects::group_subjects(&rows, views, subjects::THRESHOLD)?;
    set.notes.extend(notes_on(&found));
    for (index, subject) in indices.into_iter().zip(found.subjects) {
        set.subjects[index] = Some(subject);
    }
    Ok(())
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

/// The subject of each label row of all sets, and a note on those who stand in several.
pub(super) fn joined_subjects(
    sets: &[StoreRows],
    notes: &mut Vec<String>,
) -> Vec<Option<SubjectId>> {
    if let [only] = sets {
        return only.subjects.clone();
    }
    let paths: Vec<Vec<String>> = sets
        .iter()
        .map(|set| set.samples.iter().map(|s| s.path.to_string_lossy().into_owned()).collect())
        .collect();
    let rows = sets.iter().zip(&paths).map(|(set, paths)| (set.name.clone(), set.set_rows(paths)));
    let joined = join_subjects(&rows.collect::<Vec<_>>());
    let SharedPictures { pictures, rows, subjects } = joined.shared;
    notes.push(match pictures {
        0 => "No picture stands in more than one set, byte for byte.".to_owned(),
        _ => format!(
            "{pictures} pictures ({rows} label rows) stand in more than one set, byte for byte; the \
             {subjects} subjects that they join count as one each, so that none stands on both sides \
             of a division."
        ),
    });
    joined.subjects.into_iter().map(Some).collect()
}
