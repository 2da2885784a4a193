//! Who is who: the subjects of label rows, in one store and across several.

use facefold_core::{AgeLabel, Sample, SubjectId};
use facefold_evaluate::subjects::{self, COPY, GroupedSubjects, LEAST_AGE, SubjectRows, THRESHOLD};
use facefold_evaluate::{SetRows, SharedSubjects, join_subjects};
use ndarray::Array2;

use super::store_rows::StoreRows;
use crate::error::Result;

/// How rows of imported embeddings that name no subject are treated.
pub(crate) const NO_LIKENESS: &str = "rows name no subject, and of imported embeddings it is not known which cosine shows one person: \
     each counts as a subject of its own unless its values are those of another row; where pictures of \
     one person stand in several rows, name subjects, or figures may be too good";

/// Gives every embedded row a subject: rows of one picture, byte for byte, have one, and rows that
/// name none are grouped with those that they are surely of one person with.
pub(super) fn find_subjects(set: &mut StoreRows) -> Result<()> {
    let indices: Vec<usize> =
        (0..set.samples.len()).filter(|&index| set.matrix_rows[index].is_some()).collect();
    let named: Vec<Option<SubjectId>> =
        indices.iter().map(|&index| set.samples[index].subject.clone()).collect();
    let ages: Vec<Option<f32>> =
        indices.iter().map(|&index| Some(age(&set.samples[index]))).collect();
    let partly = named.iter().any(Option::is_none);
    let comparable = partly && !set.is_imported();
    let embeddings = if comparable { Some(set.embeddings()?) } else { None };
    let rows = SubjectRows { keys: &set.keys, named: &named, ages: &ages };
    let views = embeddings.as_ref().map(Array2::view);
    let found = subjects::group_subjects(&rows, views, THRESHOLD)?;
    let notes = if set.is_imported() { notes_on_imported(&found) } else { notes_on(&found) };
    set.subject_notes.clone_from(&notes);
    set.notes.extend(notes);
    for (index, subject) in indices.into_iter().zip(found.subjects) {
        set.subjects[index] = Some(subject);
    }
    Ok(())
}

/// The age in years by which likeness is judged. A row without a known age counts as an adult's:
/// most faces are.
pub(super) fn age(sample: &Sample) -> f32 {
    match AgeLabel::parse(&sample.raw_age) {
        AgeLabel::Years(years) => years,
        AgeLabel::Range(low, _) => low as f32,
        AgeLabel::Unknown => LEAST_AGE,
    }
}

/// How subjects were found where the data set does not name them, or names one picture's twice.
fn notes_on(found: &GroupedSubjects) -> Vec<String> {
    let alike = format!(
        "their bytes are the same, or their embeddings have a cosine of at least {THRESHOLD} ({COPY} below age \
         {LEAST_AGE})"
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

/// How subjects were found among imported embeddings.
fn notes_on_imported(found: &GroupedSubjects) -> Vec<String> {
    let GroupedSubjects { subjects, unnamed, merged, shared, .. } = found;
    let mut notes = Vec::new();
    if *unnamed > 0 {
        notes.push(format!("{unnamed} of {} {NO_LIKENESS}.", subjects.len()));
    }
    if *merged > 0 {
        notes.push(format!(
            "{merged} named subjects count as one with another, as they have rows of the same values in common \
             ({shared} rows)."
        ));
    }
    notes
}

/// The subject of each label row of all sets, notes on those who stand in several, and what must be known
/// before any figure.
pub(super) fn joined_subjects(
    sets: &[StoreRows],
    notes: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Option<SubjectId>>> {
    if let [only] = sets {
        return Ok(only.subjects.clone());
    }
    let paths: Vec<Vec<String>> = sets
        .iter()
        .map(|set| set.samples.iter().map(|s| s.path.to_string_lossy().into_owned()).collect())
        .collect();
    let embeddings = sets.iter().map(StoreRows::embeddings).collect::<Result<Vec<_>>>()?;
    let rows: Vec<SetRows<'_>> = sets
        .iter()
        .zip(&paths)
        .zip(&embeddings)
        .map(|((set, paths), embeddings)| SetRows {
            name: set.name.clone(),
            rows: set.set_rows(paths),
            embeddings: embeddings.view(),
        })
        .collect();
    if sets.iter().any(StoreRows::is_imported) {
        let joined = join_subjects(&rows, None)?;
        notes.push(format!(
            "{} rows of imported embeddings stand in more than one set with the same values; whether others are of \
             one person was not compared.",
            joined.shared.rows
        ));
        return Ok(joined.subjects.into_iter().map(Some).collect());
    }
    let joined = join_subjects(&rows, Some(THRESHOLD))?;
    notes.push(note_on(joined.shared, joined.indistinct.is_empty()));
    warnings.extend(joined.indistinct.iter().map(|(set, share)| {
        format!(
            "{:.2} % of pairs of different subjects of `{set}` have a cosine of at least {THRESHOLD}: \
             likeness does not distinguish them, so only equal bytes join it with other sets. Where people of \
             `{set}` stand in another set in other pictures, figures are too good.",
            100.0 * share
        )
    }));
    Ok(joined.subjects.into_iter().map(Some).collect())
}

/// Who stands in more than one set.
fn note_on(shared: SharedSubjects, all_compared: bool) -> String {
    let SharedSubjects { pictures, rows, alike, subjects } = shared;
    if subjects == 0 && !all_compared {
        return "No picture stands in more than one set, byte for byte. Whether subjects of two sets are \
                alike was not compared for every set."
            .to_owned();
    }
    if subjects == 0 {
        return "No picture stands in more than one set, byte for byte, and no subjects of two sets \
                are alike."
            .to_owned();
    }
    format!(
        "{pictures} pictures ({rows} label rows) stand in more than one set, byte for byte, and {alike} \
         pairs of rows of two sets have embeddings of one person (a cosine of at least {THRESHOLD}; {COPY} \
         below age {LEAST_AGE}); the {subjects} subjects that they join count as one each, so that none \
         stands on both sides of a split."
    )
}
