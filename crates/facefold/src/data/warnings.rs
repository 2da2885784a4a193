//! What a reader must know before any number on the rows of a task.

use std::collections::{HashMap, HashSet};

use facefold_core::{SubjectId, Task};
use facefold_evaluate::{NarrowAges, SetName, narrow_ages};

use super::joined::JoinedStores;
use super::store_rows::{DataSet, LOST, Role, rows_not_used};
use super::subjects::NO_LIKENESS;
use super::task_data::TaskData;
use crate::options::LearningOptions;

/// Stands first in every report on an untrained network.
const UNTRAINED: &str = "The embeddings come from an untrained network (seeded random weights): \
                         these figures say that the pipeline runs, and nothing about faces.";

/// What holds for all tasks of a run.
pub(crate) fn of_run(stores: &JoinedStores, options: &LearningOptions) -> Vec<String> {
    let untrained = stores.store().header().extractor.model == "untrained";
    let untrained = untrained.then(|| UNTRAINED.to_owned());
    let command =
        if stores.store().header().extractor.is_imported() { "store import" } else { "extract" };
    let lost = stores.rejected.get(LOST);
    let lost = lost
        .map(|&rows| format!("{}: run the same `{command}` command again.", rows_not_used(rows)));
    let ages = options.ages.map(|ages| {
        format!(
            "Only faces with an exact age in {ages} are trained and tested on (`--ages {ages}`): compare \
             these figures with published ones of that protocol only, not with figures over all ages."
        )
    });
    let without_subject = stores.samples.iter().filter(|sample| sample.subject.is_none()).count();
    let imported = stores.store().header().extractor.is_imported() && without_subject > 0;
    let imported =
        imported.then(|| format!("{without_subject} of {} {NO_LIKENESS}.", stores.samples.len()));
    let alike = warn_of_names(stores);
    let of_sets = stores.warnings().to_vec();
    untrained
        .into_iter()
        .chain(of_sets)
        .chain(imported)
        .chain(alike)
        .chain(lost)
        .chain(ages)
        .collect()
}

/// What a reader must know where sets of imported embeddings name subjects alike: whether they are the same
/// people is not compared, as it is by likeness in extracted ones.
fn warn_of_names(stores: &JoinedStores) -> Option<String> {
    if !stores.store().header().extractor.is_imported() {
        return None;
    }
    let mut sets_of: HashMap<&SubjectId, HashSet<&SetName>> = HashMap::new();
    for set in &stores.sets {
        for subject in stores.samples[set.rows.clone()].iter().filter_map(|s| s.subject.as_ref()) {
            sets_of.entry(subject).or_default().insert(&set.name);
        }
    }
    let alike = sets_of.values().filter(|sets| sets.len() > 1).count();
    (alike > 0).then(|| {
        format!(
            "{alike} subjects have the same name in several sets of imported embeddings and count as different \
             people, as likeness is not compared there: where they are the same people, figures are too good; \
             import all rows as one store then, with the parts in the columns `split` or `fold`."
        )
    })
}

/// What holds for the rows of one task.
pub(super) fn of_task(
    stores: &JoinedStores,
    data: &TaskData,
    options: &LearningOptions,
) -> Vec<String> {
    let mut warnings = warn_of_narrow_ages(stores, data);
    warnings.extend(propose_groups(data, options));
    warnings
}

/// What a reader must know of the ages that are learnt from: sets that teach their kind of picture
/// rather than ages.
fn warn_of_narrow_ages(stores: &JoinedStores, data: &TaskData) -> Vec<String> {
    let trained = |set: &DataSet| set.role != Role::Test;
    let narrow = narrow_ages(&data.rows, &data.labels).into_iter();
    let narrow =
        narrow.filter(|found| stores.sets.iter().any(|set| set.name == found.set && trained(set)));
    narrow
        .map(|NarrowAges { set, low, high }| {
            format!(
                "Nine of ten ages of `{set}` are from {low} to {high}: together with the other sets they \
                 teach that pictures like these are of that age, which may cost years on pictures \
                 from elsewhere; compare with a run without `{set}`, or leave its ages out."
            )
        })
        .collect()
}

/// What a reader must know before any error in years, where most ages are ranges and the user did not ask
/// for age groups.
fn propose_groups(data: &TaskData, options: &LearningOptions) -> Option<String> {
    let (all, ranges) = (data.len(), data.labels.ranges());
    let proposed = 2 * ranges > all && !options.tasks.contains(&Task::AgeGroup);
    proposed.then(|| {
        format!(
            "{ranges} of {all} ages are ranges, so that errors in years say little of this set: ask \
             for `--task age-group` as well."
        )
    })
}
