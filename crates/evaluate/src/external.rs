//! Predictions that another program made, read from its table, and evaluated as those of a head.
//!
//! The table is a CSV file with a row for each picture. `path` (else `key`, the picture's key in a store)
//! names it; `gender`, `age`, `age_group` and `class` are the predictions. Probabilities, where there are
//! any, are in a column for each class (`p_female`, `p_male`), or in one for the predicted class
//! (`gender_probability`). Other columns are not read, nor are those without a value in any row.

mod head;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use csv::StringRecord;
use facefold_core::names::{column_name, composed};
use facefold_core::quotes::check_quotes;
use facefold_core::text::from_cell;
use facefold_core::{AgeTarget, Gender, ImageKey, Task};

use crate::error::EvaluateError;

pub use head::ExternalHead;

/// Words for a prediction that was not made.
const MISSING: [&str; 9] = ["", "nan", "none", "null", "na", "n/a", "-", "?", "unknown"];

/// Ages above this are years of birth, or days.
const OLDEST: f32 = 150.0;

/// How far probabilities of all classes may sum up from 1: at least this, and more for many classes, of which
/// each may be rounded by [`ROUNDED`].
const SUM_TOLERANCE: f32 = 0.02;

/// Half of the last of two decimals.
const ROUNDED: f32 = 0.005;

/// The table of another program.
#[derive(Debug)]
pub struct ExternalPredictions {
    path: PathBuf,
    checksum: String,
    by_key: bool,
    /// Columns by their names ([`column_name`]), without those that have no value in any row.
    columns: HashMap<String, usize>,
    /// The line of each row, and its cells.
    rows: Vec<(u64, StringRecord)>,
    by_name: HashMap<String, usize>,
}

/// The predictions for the rows that were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchedPredictions {
    /// For each row class probabilities, or one age in years; none where there is no prediction.
    pub values: Vec<Option<Vec<f32>>>,
    /// Rows of the table that were not asked for.
    pub others: usize,
    /// Whether the table has probabilities.
    pub has_probabilities: bool,
}

/// The columns that a task's predictions may be in.
fn names(task: Task) -> &'static [&'static str] {
    match task {
        Task::Gender => &["gender"],
        Task::AgeGroup => &["age_group", "group"],
        Task::Age => &["age"],
        Task::Class => &["class"],
    }
}

impl ExternalPredictions {
    /// Reads a table.
    ///
    /// # Errors
    /// [`EvaluateError::File`] where it is no table, names no pictures, or names one twice.
    pub fn read(path: &Path) -> Result<Self, EvaluateError> {
        let bytes = fs_err::read(path)?;
        let checksum = ImageKey::of(&bytes).to_string();
        let broken = |error: csv::Error| file_error(path, error.to_string());
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        check_quotes(bytes).map_err(|error| file_error(path, error.to_string()))?;
        let mut reader = csv::Reader::from_reader(bytes);
        let header = reader.headers().map_err(broken)?.clone();
        let mut columns = HashMap::new();
        for (index, name) in header.iter().enumerate() {
            if columns.insert(column_name(name), index).is_some() {
                return Err(file_error(
                    path,
                    format!("expected each column once, found two `{name}`"),
                ));
            }
        }
        let by_key = !columns.contains_key("path");
        let Some(&name) = columns.get("path").or_else(|| columns.get("key")) else {
            return Err(file_error(
                path,
                format!(
                    "expected a column `path` (or `key`) that names the pictures, found `{}`; rename the one that does",
                    header.iter().collect::<Vec<_>>().join("`, `")
                ),
            ));
        };
        let (mut rows, mut by_name) = (Vec::new(), HashMap::new());
        for record in reader.records() {
            let record = record.map_err(broken)?;
            let line = record.position().map_or(0, csv::Position::line);
            let name = picture_name(&record[name]);
            if let Some(earlier) = by_name.insert(name, rows.len()) {
                let (before, earlier): &(u64, StringRecord) = &rows[earlier];
                return Err(file_error(
                    path,
                    format!(
                        "line {line}: expected each picture once, found `{}` of line {before} again; keep one row",
                        &earlier[columns[if by_key { "key" } else { "path" }]]
                    ),
                ));
            }
            rows.push((line, record));
        }
        // `predict --format csv` writes columns of other tasks too, and leaves them empty.
        let has_value = |column: usize| {
            rows.iter().any(|(_, cells)| !is_missing(cells.get(column).map_or("", cell_text)))
        };
        columns.retain(|_, column| has_value(*column));
        let found = Self { path: path.to_owned(), checksum, by_key, columns, rows, by_name };
        if found.tasks().is_empty() {
            return Err(file_error(
                path,
                format!(
                    "expected a column of predictions (`gender`, `age`, `age_group`, `class`, or probabilities such as \
                     `p_female`) with a value in some row, found `{}`; rename the one that has them",
                    header.iter().collect::<Vec<_>>().join("`, `")
                ),
            ));
        }
        Ok(found)
    }

    /// Whether pictures are named by their keys, and not by their paths.
    #[must_use]
    pub fn is_by_key(&self) -> bool {
        self.by_key
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The picture that the first row names.
    #[must_use]
    pub fn first_name(&self) -> Option<&str> {
        self.by_name.iter().find(|(_, row)| **row == 0).map(|(name, _)| name.as_str())
    }

    /// blake3 of the file: fits on another table are not taken for those on this one.
    #[must_use]
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    /// The tasks that it has predictions for.
    #[must_use]
    pub fn tasks(&self) -> Vec<Task> {
        let genders = || ["p_female", "p_male"].iter().any(|name| self.columns.contains_key(*name));
        let has = |task: &Task| self.label(*task).is_some() || (*task == Task::Gender && genders());
        Task::ALL.into_iter().filter(has).collect()
    }

    fn label(&self, task: Task) -> Option<usize> {
        names(task).iter().find_map(|name| self.columns.get(*name).copied())
    }

    /// The predictions for pictures, by their paths or keys as [`Self::is_by_key`] says. `classes` are
    /// the task's; none for ages.
    ///
    /// # Errors
    /// [`EvaluateError::File`] naming the line of a prediction that is none of the task.
    pub fn of_pictures(
        &self,
        task: Task,
        classes: &[String],
        pictures: &[String],
    ) -> Result<MatchedPredictions, EvaluateError> {
        let columns = self.columns_of(task, classes)?;
        let mut values = Vec::with_capacity(pictures.len());
        let mut matched = 0;
        for picture in pictures {
            let row = self.by_name.get(&picture_name(picture)).copied();
            matched += usize::from(row.is_some());
            values.push(match row {
                Some(row) => self.value(task, classes, &columns, row)?,
                None => None,
            });
        }
        let others = self.rows.len().saturating_sub(matched);
        Ok(MatchedPredictions { values, others, has_probabilities: columns.has_probabilities() })
    }

    fn columns_of(&self, task: Task, classes: &[String]) -> Result<TaskColumns, EvaluateError> {
        let label = self.label(task);
        let of_class = |class: &String| {
            let name = format!("p_{}", column_name(class));
            self.columns.get(&name).copied()
        };
        let of_classes: Vec<Option<usize>> = classes.iter().map(of_class).collect();
        let known = of_classes.iter().flatten().count();
        let mut earlier = HashMap::new();
        for (class, column) in classes.iter().zip(&of_classes) {
            if let Some(column) = column
                && let Some(other) = earlier.insert(column, class)
            {
                return Err(file_error(
                    &self.path,
                    format!(
                        "expected a column of probabilities for each class of {task}, found `p_{}` for both \
                         `{other}` and `{class}`, whose names differ in case, blanks or hyphens alone; leave the \
                         probabilities out, or rename one class in the labels and here",
                        column_name(class)
                    ),
                ));
            }
        }
        // Of two classes one says both.
        let enough = known == classes.len() || (known == 1 && classes.len() == 2);
        let of_label = names(task)
            .iter()
            .find_map(|name| self.columns.get(&format!("{name}_probability")).copied());
        if known > 0 && !enough {
            let missing = classes.iter().zip(&of_classes).find(|(_, column)| column.is_none());
            return Err(file_error(
                &self.path,
                format!(
                    "expected a column of probabilities for each class of {task}, found {known} of {}, without `p_{}`; \
                     add it, or leave all out",
                    classes.len(),
                    missing.map_or("", |(class, _)| class)
                ),
            ));
        }
        if label.is_none() && known == 0 {
            return Err(file_error(
                &self.path,
                format!(
                    "expected a column `{}` with values for the task {task}, found none",
                    names(task)[0]
                ),
            ));
        }
        let of_classes = if known > 0 { of_classes } else { Vec::new() };
        Ok(TaskColumns { label, of_classes, of_label })
    }

    /// The prediction of a row: probabilities, or an age; none where a cell says that there is none.
    fn value(
        &self,
        task: Task,
        classes: &[String],
        columns: &TaskColumns,
        row: usize,
    ) -> Result<Option<Vec<f32>>, EvaluateError> {
        let cells = Row { table: self, row };
        let label = columns.label.map(|column| cells.text(column));
        if label.is_some_and(is_missing) {
            return Ok(None);
        }
        if task == Task::Age {
            let text = label.unwrap_or_default();
            let years = text.parse::<f32>().ok().filter(|years| (0.0..=OLDEST).contains(years));
            let years = years.ok_or_else(|| cells.error("an age in years", text))?;
            return Ok(Some(vec![years]));
        }
        let predicted =
            match label {
                None => None,
                Some(text) => Some(class_of(task, classes, text).ok_or_else(|| {
                    cells.error(&format!("one of `{}`", classes.join("`, `")), text)
                })?),
            };
        if !columns.of_classes.is_empty() {
            return cells.probabilities(&columns.of_classes, predicted);
        }
        let Some(predicted) = predicted else { return Ok(None) };
        let probability = match columns.of_label.map(|column| cells.text(column)) {
            None => 1.0,
            Some(text) if is_missing(text) => return Ok(None),
            Some(text) => cells.probability(text)?,
        };
        let count = classes.len().max(1) as f32;
        if probability + ROUNDED < 1.0 / count {
            let expected = "the probability of the predicted class, which is the highest";
            return Err(cells.error(expected, &probability.to_string()));
        }
        // Rounding may have made it less than that of the others.
        let probability = probability.max(1.0 / count);
        let others = (1.0 - probability) / (count - 1.0).max(1.0);
        let mut values = vec![others; classes.len()];
        values[predicted] = probability;
        prefer(&mut values, predicted);
        Ok(Some(values))
    }
}

/// Raises the probability of the named class by the least that there is where others are as probable, so that
/// it is the predicted one.
fn prefer(probabilities: &mut [f32], named: usize) {
    let others = probabilities.iter().enumerate().filter(|(class, _)| *class != named);
    let highest = others.map(|(_, value)| *value).fold(0.0, f32::max);
    if probabilities[named] <= highest {
        probabilities[named] = highest.next_up().min(1.0);
    }
}

/// The columns of a task.
struct TaskColumns {
    label: Option<usize>,
    /// The probability of each class; empty where there are none. Of two classes one may lack.
    of_classes: Vec<Option<usize>>,
    /// The probability of the predicted class.
    of_label: Option<usize>,
}

impl TaskColumns {
    fn has_probabilities(&self) -> bool {
        !self.of_classes.is_empty() || self.of_label.is_some()
    }
}

/// A row of the table.
struct Row<'a> {
    table: &'a ExternalPredictions,
    row: usize,
}

impl<'a> Row<'a> {
    fn text(&self, column: usize) -> &'a str {
        self.table.rows[self.row].1.get(column).map_or("", cell_text)
    }

    fn error(&self, expected: &str, found: &str) -> EvaluateError {
        let line = self.table.rows[self.row].0;
        file_error(&self.table.path, format!("line {line}: expected {expected}, found `{found}`"))
    }

    fn probability(&self, text: &str) -> Result<f32, EvaluateError> {
        let parsed = text.parse::<f32>().ok();
        parsed
            .filter(|value| (0.0..=1.0).contains(value))
            .ok_or_else(|| self.error("a probability from 0 to 1", text))
    }

    fn probabilities(
        &self,
        columns: &[Option<usize>],
        predicted: Option<usize>,
    ) -> Result<Option<Vec<f32>>, EvaluateError> {
        let mut values = Vec::with_capacity(columns.len());
        for column in columns {
            values.push(match column.map(|column| self.text(column)) {
                Some(text) if is_missing(text) => return Ok(None),
                Some(text) => Some(self.probability(text)?),
                None => None,
            });
        }
        let known: f32 = values.iter().flatten().sum();
        let mut values: Vec<f32> = values.into_iter().map(|v| v.unwrap_or(1.0 - known)).collect();
        let sum: f32 = values.iter().sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE.max(1.01 * ROUNDED * values.len() as f32) {
            return Err(self.error("probabilities that sum up to 1", &sum.to_string()));
        }
        for value in &mut values {
            *value /= sum;
        }
        let highest = values.iter().copied().fold(0.0, f32::max);
        if let Some(predicted) = predicted.filter(|&predicted| values[predicted] < highest) {
            let expected =
                "the most probable class as the predicted one; leave one of the columns out";
            return Err(self.error(expected, &format!("{} of {highest}", values[predicted])));
        }
        // Of equally probable classes the one that is named.
        if let Some(predicted) = predicted {
            prefer(&mut values, predicted);
        }
        Ok(Some(values))
    }
}

fn cell_text(cell: &str) -> &str {
    from_cell(cell).trim()
}

fn is_missing(text: &str) -> bool {
    MISSING.contains(&text.to_lowercase().as_str())
}

/// The class that a text names: a gender, an age group by its name or by ages in it, or a class.
fn class_of(task: Task, classes: &[String], text: &str) -> Option<usize> {
    let named = |name: &str| classes.iter().position(|class| composed(class) == composed(name));
    match task {
        Task::Gender => named(&Gender::parse(text)?.to_string()),
        Task::AgeGroup => named(text).or_else(|| {
            let age = text.parse::<AgeTarget>().ok()?;
            classes.iter().position(|class| {
                let group = class.parse::<AgeTarget>().ok();
                group.is_some_and(|group| group.low() <= age.low() && age.high() <= group.high())
            })
        }),
        Task::Class | Task::Age => named(text),
    }
}

/// A path as it is compared: without `./` before it, and with `/` between its parts.
fn picture_name(text: &str) -> String {
    let text = from_cell(text).trim().replace('\\', "/");
    text.trim_start_matches("./").to_owned()
}

fn file_error(path: &Path, message: String) -> EvaluateError {
    EvaluateError::File { path: path.to_owned(), message }
}

#[cfg(test)]
mod tests;
