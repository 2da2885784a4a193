//! Byte-identical pictures whose labels disagree.

use facefold_core::{AgeLabel, AgeTarget, ImageKey, Sample, Targets, Task, rows_of_equal_pictures};

use crate::policy::DropReason;
use crate::select::Selection;

/// For each row whether a row with the same picture, byte for byte, has another label. A row
/// without a label contradicts nothing, and is contradicted with the others of its picture.
///
/// ```
/// use facefold_core::ImageKey;
/// use facefold_datasets::contradicted;
/// let [a, b] = [b"a", b"b"].map(|bytes| Some(ImageKey::of(bytes)));
/// let found = contradicted(&[a, a, a, b, None], &[Some("f"), Some("m"), None, Some("f"), Some("m")]);
/// assert_eq!(found, [true, true, true, false, false]);
/// ```
#[must_use]
pub fn contradicted<T: PartialEq>(keys: &[Option<ImageKey>], labels: &[Option<T>]) -> Vec<bool> {
    let mut contradicted = vec![false; keys.len()];
    for rows in rows_of_equal_pictures(keys.iter().copied()) {
        let mut labels = rows.iter().filter_map(|&row| labels.get(row)?.as_ref());
        let first = labels.next();
        if labels.any(|label| Some(label) != first) {
            for row in rows {
                contradicted[row] = true;
            }
        }
    }
    contradicted
}

/// The label of a row for a task.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Said {
    Class(usize),
    Age(AgeTarget),
    /// A label without use for the task: an age that is no group, labels that disagree.
    Other,
}

impl Selection {
    /// Leaves out the rows whose byte-identical copies carry another label for the task, and counts
    /// them as [`DropReason::LabelConflict`]. `samples` are those that were selected from; `keys`
    /// are their pictures' where these are known, of all data sets together.
    #[must_use]
    pub fn without_contradictions(
        mut self,
        samples: &[Sample],
        keys: &[Option<ImageKey>],
        task: Task,
    ) -> Self {
        let mut said: Vec<Option<Said>> =
            samples.iter().map(|sample| unserved(sample, task)).collect();
        for (position, &row) in self.rows.iter().enumerate() {
            said[row] = Some(match &self.targets {
                Targets::Classes { indices, .. } => Said::Class(indices[position]),
                Targets::Regression(ages) => Said::Age(ages[position]),
            });
        }
        let contradicted = contradicted(keys, &said);
        let agreed: Vec<usize> =
            (0..self.rows.len()).filter(|&position| !contradicted[self.rows[position]]).collect();
        let left_out = self.rows.len() - agreed.len();
        if left_out > 0 {
            *self.dropped.entry(DropReason::LabelConflict).or_insert(0) += left_out;
            self.targets = self.targets.select(&agreed);
            self.rows = agreed.into_iter().map(|position| self.rows[position]).collect();
        }
        self
    }
}

/// The label of a row for a task that does not use it.
fn unserved(sample: &Sample, task: Task) -> Option<Said> {
    let age = || AgeTarget::try_from(AgeLabel::parse(&sample.raw_age)).is_ok();
    (sample.label_conflict || (task == Task::AgeGroup && age())).then_some(Said::Other)
}

#[cfg(test)]
mod tests {
    use facefold_core::{AgeGroups, Gender, ImageKey, Sample, Targets, Task};

    use crate::policy::{DropReason, LabelPolicy};
    use crate::select::select;

    /// Pictures with their gender, age and class; equal first bytes are equal pictures.
    const ROWS: [(u8, &str, &str, &str); 9] = [
        (1, "f", "20", "x"),
        (1, "m", "60", "x"),
        (2, "f", "20", "x"),
        (2, "f", "60", "y"),
        (3, "f", "", "x"),
        (3, "", "30", ""),
        (3, "f", "30", "x"),
        (4, "m", "(25, 32)", "y"),
        (4, "m", "35", "y"),
    ];

    fn kept(task: Task, policy: LabelPolicy) -> (Vec<usize>, usize) {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let samples = ROWS.map(|(_, gender, age, class)| Sample {
            gender: Gender::parse(gender),
            raw_age: age.to_owned(),
            class: some(class),
            ..Sample::unlabelled("x.jpg")
        });
        let keys = ROWS.map(|(picture, ..)| Some(ImageKey::of(&[picture])));
        let selection = select(&samples, task, policy, &AgeGroups::adience())
            .without_contradictions(&samples, &keys, task);
        assert_eq!(selection.rows.len(), selection.targets.len());
        assert_eq!(selection.rows.len() + selection.dropped_rows(), ROWS.len());
        let conflicts = selection.dropped.get(&DropReason::LabelConflict).copied();
        (selection.rows, conflicts.unwrap_or(0))
    }

    #[test]
    fn copies_with_other_labels_are_left_out_task_by_task() {
        let exact = LabelPolicy::Exact;
        assert_eq!(kept(Task::Gender, exact), (vec![2, 3, 4, 6, 7, 8], 2));
        assert_eq!(kept(Task::Age, exact), (vec![5, 6], 6));
        assert_eq!(kept(Task::Class, exact), (vec![0, 1, 4, 6, 7, 8], 2));
        // Rows 7 and 8 are of one group by `remap`, and of two by `nearest`.
        assert_eq!(kept(Task::AgeGroup, LabelPolicy::Remap), (vec![5, 6, 7, 8], 4));
        assert_eq!(kept(Task::AgeGroup, LabelPolicy::Nearest), (vec![5, 6], 6));
    }

    #[test]
    fn an_age_that_is_no_group_contradicts_a_group() {
        let samples = ["(25, 32)", "35", "(0, 2)"]
            .map(|age| Sample { raw_age: age.to_owned(), ..Sample::unlabelled("x.jpg") });
        let one = Some(ImageKey::of(&[1]));
        let groups = AgeGroups::adience();
        let selection = select(&samples, Task::AgeGroup, LabelPolicy::Exact, &groups)
            .without_contradictions(&samples, &[one, one, None], Task::AgeGroup);
        assert_eq!(selection.rows, [2]);
        assert_eq!(selection.targets, Targets::Classes { indices: vec![0], count: 8 });
        assert_eq!(selection.dropped[&DropReason::LabelConflict], 1);
        assert_eq!(selection.dropped[&DropReason::NotAGroup], 1);
    }
}
