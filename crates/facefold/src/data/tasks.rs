//! From the rows of stores to those of a task.

use std::collections::{BTreeMap, BTreeSet};

use facefold_core::{AuxiliaryKind, ImageKey, Sample, Split, Targets, Task};
use facefold_datasets::{Selection, contradicted, select};
use facefold_evaluate::{AuxiliaryLabels, RowInfo, TaskLabels};

use super::joined::JoinedStores;
use super::store_rows::{DataSet, Role};
use super::task_data::{RowId, TaskData};
use super::warnings;
use crate::error::{Error, Result};
use crate::options::LearningOptions;

impl JoinedStores {
    /// The rows that serve a task, with the auxiliary labels that the options ask for.
    ///
    /// # Errors
    /// If there is none; where race is among the auxiliary labels and rows have fewer than two.
    pub fn task(&self, task: Task, options: &LearningOptions) -> Result<TaskData> {
        let mut data = self.task_alone(task, options)?;
        data.auxiliary = self.auxiliary(task, options)?;
        data.warnings.splice(..0, warnings::of_task(self, &data, options));
        Ok(data)
    }

    /// The rows that serve a task, without auxiliary labels.
    fn task_alone(&self, task: Task, options: &LearningOptions) -> Result<TaskData> {
        let selection = self.selection(task, options)?;
        let form = selection.unserving_labels().map(|said| format!("{task}: {said}"));
        let mut dropped: BTreeMap<String, usize> =
            selection.dropped.iter().map(|(reason, &count)| (reason.to_string(), count)).collect();
        let mut kept = Vec::new();
        for (position, &index) in selection.rows.iter().enumerate() {
            match (self.matrix_rows[index], self.left_out.get(&index)) {
                (Some(row), None) => kept.push((position, index, row)),
                (Some(_), Some(reason)) => *dropped.entry(reason.clone()).or_default() += 1,
                (None, _) => *dropped.entry("no embedding".to_owned()).or_default() += 1,
            }
        }
        if kept.is_empty() {
            let reasons: Vec<String> =
                dropped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            return Err(Error::data(format!(
                "no row of the stores serves the task `{task}`: {}",
                reasons.join(", ")
            )));
        }
        let mut set_rows = BTreeMap::new();
        if self.sets.len() > 1 {
            set_rows.extend(self.sets.iter().map(|set| (set.name.clone(), 0)));
            for &(_, index, _) in &kept {
                *set_rows.entry(self.set_of(index).name.clone()).or_default() += 1;
            }
        }
        let positions: Vec<usize> = kept.iter().map(|&(position, ..)| position).collect();
        let row_ids: Vec<RowId> = kept.iter().map(|&(.., row)| RowId(row)).collect();
        let rows = kept.iter().map(|&(_, index, _)| self.row_info(index)).collect();
        let labels = selection.targets.select(&positions);
        let classes = selection.class_names;
        let mut data = TaskData::new((task, classes), self.matrix.clone(), &row_ids, rows, labels)?;
        data.dropped = dropped;
        data.set_rows = set_rows;
        data.warnings.extend(form);
        Ok(data)
    }

    /// The label rows that serve a task. Each set decides on its own whether it is labelled in
    /// years.
    ///
    /// # Errors
    /// Where the sets have other classes.
    pub(super) fn selection(&self, task: Task, options: &LearningOptions) -> Result<Selection> {
        let of_set = |set: &DataSet| {
            let samples = &self.samples[set.rows.clone()];
            select(samples, task, options.policy, &options.groups)
        };
        let selection = match &self.sets[..] {
            [only] => of_set(only),
            several => Selection::concat(
                several
                    .iter()
                    .map(|set| (set.name.as_str(), set.rows.len(), of_set(set)))
                    .collect(),
            )?,
        };
        Ok(selection.without_contradictions(&self.samples, &self.pictures(), task))
    }

    /// The picture of each label row that has an embedding.
    fn pictures(&self) -> Vec<Option<ImageKey>> {
        self.matrix_rows.iter().map(|row| row.map(|row| self.keys[row])).collect()
    }

    /// A label of each label row, apart from those whose byte-identical copies carry another.
    pub(super) fn agreed<'a, T: PartialEq>(
        &'a self,
        label: impl Fn(&'a Sample) -> Option<T>,
    ) -> Vec<Option<T>> {
        let labels: Vec<Option<T>> = self.samples.iter().map(label).collect();
        let contradicted = contradicted(&self.pictures(), &labels);
        labels.into_iter().zip(contradicted).map(|(label, not)| label.filter(|_| !not)).collect()
    }

    /// Labels for heads that learn tasks together: those of the other tasks asked for and the auxiliary
    /// ones; for age groups, years too, where they are known.
    fn auxiliary(&self, task: Task, options: &LearningOptions) -> Result<AuxiliaryLabels> {
        let kinds = options.auxiliary_kinds();
        let others = kinds.iter().filter(|&&kind| kind != task.into());
        let mut labels = others
            .map(|kind| match kind {
                AuxiliaryKind::Task(task) => Ok(self.task_alone(*task, options)?.into_labels()),
                AuxiliaryKind::Race => self.races(),
            })
            .collect::<Result<Vec<TaskLabels>>>()?;
        if task == Task::AgeGroup && !kinds.contains(&Task::Age.into()) {
            labels.extend(self.task_alone(Task::Age, options).ok().map(TaskData::into_labels));
        }
        Ok(AuxiliaryLabels {
            tasks: labels,
            age_groups: (task == Task::AgeGroup).then(|| options.groups.clone()),
        })
    }

    /// Race of every row that has one and is used.
    fn races(&self) -> Result<TaskLabels> {
        let races = self.agreed(|sample| sample.race.as_deref().filter(|_| !sample.label_conflict));
        let mut found: Vec<(usize, usize, &str)> = Vec::new();
        for (index, race) in races.into_iter().enumerate() {
            let row = self.matrix_rows[index].filter(|_| !self.left_out.contains_key(&index));
            if let (Some(row), Some(race)) = (row, race) {
                found.push((index, row, race));
            }
        }
        let names: BTreeSet<&str> = found.iter().map(|&(.., race)| race).collect();
        if names.len() < 2 {
            return Err(Error::data(format!(
                "--auxiliary race: expected rows of at least two races, found {}; leave it out",
                names.len()
            )));
        }
        let names: Vec<&str> = names.into_iter().collect();
        let class = |race: &str| names.binary_search(&race).unwrap_or_default();
        Ok(TaskLabels {
            kind: AuxiliaryKind::Race,
            matrix_rows: found.iter().map(|&(_, row, _)| row).collect(),
            rows: found.iter().map(|&(index, ..)| self.row_info(index)).collect(),
            targets: Targets::Classes {
                indices: found.iter().map(|&(.., race)| class(race)).collect(),
                count: names.len(),
            },
        })
    }

    /// Path, subject, fold, split and set of a label row.
    fn row_info(&self, index: usize) -> RowInfo {
        let (sample, set) = (&self.samples[index], self.set_of(index));
        RowInfo {
            path: self.path(index).into(),
            subject: self.subjects[index].clone(),
            fold: sample.fold,
            split: match set.role {
                Role::Both => sample.split,
                Role::Training => Some(Split::Train),
                Role::Test => Some(Split::Test),
            },
            set: (self.sets.len() > 1).then(|| set.name.clone()),
        }
    }

    /// The path of a label row's picture in results: behind its set's name, where several are
    /// tested on.
    pub(super) fn path(&self, index: usize) -> String {
        let path = self.samples[index].path.to_string_lossy();
        match self.tested().count() {
            1 => path.into_owned(),
            _ => format!("{}/{path}", self.set_of(index).name),
        }
    }
}
