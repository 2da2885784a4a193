//! What a reader must know before any number on the rows of a task.

use facefold_core::Task;
use facefold_evaluate::{NarrowAges, narrow_ages};

use super::joined::JoinedStores;
use super::store_rows::{DataSet, LOST, Role, lost_rows};
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
    let lost = stores.rejected.get(LOST).map(|&rows| format!("{}.", lost_rows(rows, false)));
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
    untrained.into_iter().chain(imported).chain(lost).chain(ages).collect()
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
