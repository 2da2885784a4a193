//! What is known of the pictures that are tested on, to cut results into slices by.

use std::collections::HashMap;
use std::sync::Arc;

use facefold_core::{AgeTarget, Gender, Targets, Task};
use facefold_evaluate::attributes::AGE_GROUP;
use facefold_evaluate::{Attribute, AttributeValues, Attributes};

use super::joined::JoinedStores;
use super::quality::MEASURES;
use super::store_rows::DataSet;
use crate::error::Result;
use crate::evaluation::LABELS_ALONE;
use crate::options::LearningOptions;

impl JoinedStores {
    /// What is known of the pictures that are tested on, to cut results into slices by: labels, and
    /// the quality of the face.
    ///
    /// # Errors
    /// If a store cannot be read.
    pub(crate) fn attributes(&self, options: &LearningOptions) -> Result<Attributes> {
        let rows: Vec<usize> = self.tested().flat_map(|set| set.rows.clone()).collect();
        let measured = self.measured()?;
        let numbers = MEASURES.iter().zip(measured).map(|(measure, values)| Attribute {
            name: measure.title.to_owned(),
            values: AttributeValues::Numbers(
                rows.iter().map(|&row| values[self.matrix_rows[row]?]).collect(),
            ),
        });
        let numbers: Vec<Attribute> = numbers.collect();
        let names = |name: &str, of: &dyn Fn(usize) -> Option<Arc<str>>| Attribute {
            name: name.to_owned(),
            values: AttributeValues::Names(rows.iter().map(|&row| of(row)).collect()),
        };
        let selection = self.selection(Task::AgeGroup, options)?;
        let class_names: Vec<Arc<str>> =
            selection.class_names.iter().map(|name| name.as_str().into()).collect();
        let mut groups: Vec<Option<Arc<str>>> = vec![None; self.samples.len()];
        if let Targets::Classes { indices, .. } = &selection.targets {
            for (&row, &class) in selection.rows.iter().zip(indices) {
                groups[row] = Some(Arc::clone(&class_names[class]));
            }
        }
        // A range that is no group of the policy's may still lie in one.
        let ages = self.agreed(|sample| sample.raw_age.parse::<AgeTarget>().ok());
        for (group, age) in groups.iter_mut().zip(ages) {
            let age = age.filter(|age| age.is_range());
            if let (None, Some(age)) = (&group, age) {
                let found = options.groups.group_covering(age);
                *group = found.map(|class| Arc::clone(&class_names[class]));
            }
        }
        let genders = self.agreed(|sample| sample.gender);
        let gender_names = Gender::ALL.map(|gender| Arc::from(gender.to_string()));
        let races = self.agreed(|sample| sample.race.as_deref());
        let race_names: HashMap<&str, Arc<str>> =
            races.iter().flatten().map(|&race| (race, Arc::from(race))).collect();
        let set_names: Vec<(usize, Arc<str>)> =
            self.sets.iter().map(|set| (set.rows.end, set.name.as_str().into())).collect();
        let set_name = |row| {
            let place = set_names.partition_point(|&(end, _)| end <= row);
            Some(Arc::clone(&set_names.get(place)?.1))
        };
        let mut labels = vec![
            names(AGE_GROUP, &|row| groups[row].clone()),
            names("gender", &|row| Some(Arc::clone(&gender_names[genders[row]?.index()]))),
            names("race", &|row| race_names.get(races[row]?).cloned()),
        ];
        if self.tested().count() > 1 {
            labels.push(names("set", &set_name));
        }
        let paths: Vec<Arc<str>> = rows.iter().map(|&row| self.path(row).into()).collect();
        Ok(Attributes::new(&paths, labels.into_iter().chain(numbers).collect())?)
    }

    /// The measures of the faces that are tested on, in the order of [`MEASURES`], a value a row of the matrix.
    fn measured(&self) -> Result<[Vec<Option<f32>>; MEASURES.len()]> {
        let mut measured = MEASURES.map(|_| vec![None; self.keys.len()]);
        let mut by_key: Vec<usize> = (0..self.keys.len()).collect();
        by_key.sort_unstable_by_key(|&row| self.keys[row]);
        // The embeddings of labels alone are made up, and so is their norm.
        let known = |set: &&DataSet| set.store.header().extractor.network != LABELS_ALONE;
        for set in self.tested().filter(known) {
            set.store.for_each_main_face(|key, face| {
                let first = by_key.partition_point(|&row| self.keys[row] < key);
                let rows = by_key[first..].iter().take_while(|&&row| self.keys[row] == key);
                for &row in rows {
                    for (measure, values) in MEASURES.iter().zip(&mut measured) {
                        values[row] = (measure.of)(&face);
                    }
                }
            })?;
        }
        Ok(measured)
    }
}
