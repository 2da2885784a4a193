//! What a bundle was trained on: each data set with the rows that each task used of it.

use std::collections::{BTreeMap, BTreeSet};

use facefold_core::{AgeGroups, AgeTarget, Targets, Task};
use serde::{Deserialize, Serialize};

/// A data set that heads were trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingSet {
    /// Its name: that of its store, without the directories above.
    pub name: String,
    /// Its layout: `utkface`, `fairface`, `manifest`, …
    pub kind: String,
    /// Terms of its pictures, one line.
    pub terms: String,
    /// What each task used of it.
    pub tasks: Vec<TaskCounts>,
}

/// The rows of a set that one task used: training rows and validation rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// The task.
    pub task: Task,
    /// Number of rows.
    pub rows: usize,
    /// Number of subjects.
    pub subjects: usize,
    /// Rows of each class; for years, rows with an exact age in each of nine age groups, and rows
    /// of each age range that labels name. Those without rows are left out.
    pub labels: Vec<LabelCount>,
}

/// The rows with one label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelCount {
    /// The class or age group.
    pub label: String,
    /// Number of rows.
    pub rows: usize,
}

impl TaskCounts {
    /// Counts rows by label, in the order of the classes, and their distinct subjects.
    #[must_use]
    pub fn count<'a>(
        task: Task,
        classes: &[String],
        targets: &Targets,
        subjects: impl Iterator<Item = &'a str>,
    ) -> Self {
        let groups = AgeGroups::nine();
        // By place in the order of labels: the class, or the youngest year.
        let found: Vec<(usize, String)> = match targets {
            Targets::Classes { indices, .. } => {
                let named = |&class: &usize| Some((class, classes.get(class)?.clone()));
                indices.iter().filter_map(named).collect()
            }
            Targets::Regression(ages) => {
                let named = |age: &AgeTarget| match age.exact_years() {
                    Some(years) => groups
                        .ranges()
                        .get(groups.group_of(years)?)
                        .map(|group| (group.low as usize, group.to_string())),
                    None => Some((age.low() as usize, age.to_string())),
                };
                ages.iter().filter_map(named).collect()
            }
        };
        let mut rows: BTreeMap<(usize, String), usize> = BTreeMap::new();
        for label in found {
            *rows.entry(label).or_default() += 1;
        }
        let labels = rows.into_iter().map(|((_, label), rows)| LabelCount { label, rows });
        Self {
            task,
            rows: targets.len(),
            subjects: subjects.collect::<BTreeSet<&str>>().len(),
            labels: labels.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::{Targets, Task};

    use super::TaskCounts;

    fn labels(counts: &TaskCounts) -> Vec<(&str, usize)> {
        counts.labels.iter().map(|count| (count.label.as_str(), count.rows)).collect()
    }

    #[test]
    fn rows_are_counted_by_class_or_age_group_and_subjects_once() {
        let classes = ["female", "male", "other"].map(str::to_owned);
        let targets = Targets::Classes { indices: vec![1, 0, 1], count: 3 };
        let subjects = ["ann", "bob", "ann"];
        let counts = TaskCounts::count(Task::Gender, &classes, &targets, subjects.into_iter());
        assert_eq!((counts.rows, counts.subjects), (3, 2));
        assert_eq!(labels(&counts), [("female", 1), ("male", 2)]);

        let ages = ["80", "3", "4.9", "20-29", "20-29"].map(|age| age.parse().unwrap());
        let targets = Targets::Regression(ages.to_vec());
        let counts = TaskCounts::count(Task::Age, &[], &targets, subjects.into_iter());
        assert_eq!(labels(&counts), [("0-4", 2), ("20-29", 2), ("76+", 1)]);
    }
}
