//! The table of predictions for every test row, stored with a result so that results can be
//! compared.

use std::path::Path;
use std::sync::Arc;

use facefold_core::text::{cell as safe, from_cell};
use facefold_core::{AgeTarget, Targets, Task};

use crate::error::EvaluateError;
use crate::metrics::{Metric, PredictedValues};

/// Columns before the heads' columns in the file. A row's split is called its partition here: scripts of
/// users read the column by this name.
const FIXED: [&str; 4] = ["path", "subject", "partition", "truth"];
/// A column behind those, where it is known.
const FAMILIARITY: &str = "familiarity";

/// One test row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictedRow {
    /// The picture, relative to the data set's root.
    pub path: Arc<str>,
    /// Who is in it.
    pub subject: Arc<str>,
    /// The split whose test row it was.
    pub split: Arc<str>,
}

/// The predictions of one head under one seed.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionColumn {
    /// The head's name.
    pub head: String,
    /// The seed of its fits.
    pub seed: u64,
    /// One prediction a row.
    pub predicted_values: PredictedValues,
    /// The interval around each age, where intervals were calibrated.
    pub intervals: Option<Vec<(f32, f32)>>,
}

/// The predictions of all heads for all test rows.
#[derive(Debug, Clone, PartialEq)]
pub struct RowPredictions {
    /// The task.
    pub task: Task,
    /// Names of the classes; empty for the age task.
    pub classes: Vec<String>,
    /// The test rows.
    pub rows: Vec<PredictedRow>,
    /// What would have been right.
    pub truth: Targets,
    /// How familiar the face of each row is ([`facefold_core::Familiarity::score`]), where that was
    /// calibrated.
    pub familiarity: Option<Vec<f32>>,
    /// One column a head and seed.
    pub columns: Vec<PredictionColumn>,
}

impl RowPredictions {
    /// Names of the heads, in order.
    #[must_use]
    pub fn heads(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for column in &self.columns {
            if !names.contains(&column.head.as_str()) {
                names.push(&column.head);
            }
        }
        names
    }

    /// The metric that decides, and the rows that it is measured on: of ages the exact ones, or the
    /// ranges where those are most.
    pub(crate) fn primary(&self) -> (Metric, Vec<usize>) {
        let metric = Metric::primary(self.task, &self.truth);
        let counts = |&row: &usize| match &self.truth {
            Targets::Regression(ages) => ages[row].is_range() == metric.of_ranges(),
            Targets::Classes { .. } => true,
        };
        (metric, (0..self.rows.len()).filter(counts).collect())
    }

    /// Some of the rows alone.
    pub(crate) fn of_rows(&self, rows: &[usize]) -> Self {
        let column = |column: &PredictionColumn| PredictionColumn {
            predicted_values: column.predicted_values.of_rows(rows),
            intervals: column
                .intervals
                .as_ref()
                .map(|all| rows.iter().map(|&row| all[row]).collect()),
            ..column.clone()
        };
        Self {
            task: self.task,
            classes: self.classes.clone(),
            rows: rows.iter().map(|&row| self.rows[row].clone()).collect(),
            truth: self.truth.select(rows),
            familiarity: self
                .familiarity
                .as_ref()
                .map(|all| rows.iter().map(|&row| all[row]).collect()),
            columns: self.columns.iter().map(column).collect(),
        }
    }

    /// Writes a CSV: `path,subject,partition,truth`, `familiarity` where that is known, then for
    /// each head and seed `mlp/7`; for classes also the probability of each `mlp/7/p/CLASS`,
    /// for ages with intervals their ends `mlp/7/low` and `mlp/7/high`. Floats are as short as
    /// round-trips allow; an age that is known as a range is written `20-29` or `70+`, and a text
    /// that a spreadsheet would run as [`facefold_core::text::cell`] makes it.
    ///
    /// # Errors
    /// Any error of the file system, naming the path.
    pub fn write_csv(&self, path: &Path) -> Result<(), EvaluateError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = header_of(self.familiarity.is_some(), &self.columns, &self.classes);
        let broken = |error: csv::Error| file_error(path, error.to_string());
        writer.write_record(header.iter().map(|name| safe(name).into_owned())).map_err(broken)?;
        for (number, row) in self.rows.iter().enumerate() {
            let truth = match &self.truth {
                Targets::Classes { indices, .. } => safe(&self.classes[indices[number]]).into(),
                Targets::Regression(ages) => ages[number].to_string(),
            };
            let mut record: Vec<String> =
                [&row.path, &row.subject, &row.split].map(|text| safe(text).into()).into();
            record.push(truth);
            record.extend(self.familiarity.as_ref().map(|scores| scores[number].to_string()));
            for column in &self.columns {
                match &column.predicted_values {
                    PredictedValues::Classes { predicted, probabilities } => {
                        record.push(safe(&self.classes[predicted[number]]).into());
                        let count = self.classes.len();
                        let of_row = probabilities.iter().skip(number * count).take(count);
                        record.extend(of_row.map(f32::to_string));
                    }
                    PredictedValues::Regression(years) => record.push(years[number].to_string()),
                }
                if let Some(intervals) = &column.intervals {
                    let (low, high) = intervals[number];
                    record.extend([low.to_string(), high.to_string()]);
                }
            }
            writer.write_record(&record).map_err(broken)?;
        }
        let bytes = writer.into_inner().map_err(|error| file_error(path, error.to_string()))?;
        facefold_core::files::write_atomic(path, &bytes)?;
        Ok(())
    }

    /// Reads what [`Self::write_csv`] wrote for this task and these classes.
    ///
    /// # Errors
    /// [`EvaluateError`] naming the file, the line, what was expected and what was found.
    pub fn read_csv(path: &Path, task: Task, classes: &[String]) -> Result<Self, EvaluateError> {
        let mut reader = csv::Reader::from_reader(fs_err::File::open(path)?);
        let header = reader.headers().map_err(|error| file_error(path, error.to_string()))?.clone();
        let header: Vec<&str> = header.iter().map(from_cell).collect();
        if !header.starts_with(&FIXED) {
            return Err(file_error(path, format!("expected the columns {}", FIXED.join(","))));
        }
        let mut familiarity = None;
        let mut columns: Vec<PredictionColumn> = Vec::new();
        let mut kinds = Vec::new();
        let mut probabilities_left = 0;
        for name in header[FIXED.len()..].iter().copied() {
            // The name of a class may look like that of another column.
            let kind = if probabilities_left > 0 {
                probabilities_left -= 1;
                CellKind::Probability
            } else {
                CellKind::of(name, path)?
            };
            match kind {
                CellKind::Familiarity => familiarity = Some(Vec::new()),
                CellKind::Prediction(head, seed) => {
                    let predicted_values = if task == Task::Age {
                        PredictedValues::Regression(Vec::new())
                    } else {
                        probabilities_left = classes.len();
                        PredictedValues::Classes {
                            predicted: Vec::new(),
                            probabilities: Vec::new(),
                        }
                    };
                    let head = head.to_owned();
                    columns.push(PredictionColumn {
                        head,
                        seed,
                        predicted_values,
                        intervals: None,
                    });
                }
                CellKind::High => {
                    if let Some(column) = columns.last_mut() {
                        column.intervals = Some(Vec::new());
                    }
                }
                CellKind::Probability | CellKind::Low => {}
            }
            kinds.push(kind);
        }
        // Columns that are repeated, left out or exchanged would give rows the values of others.
        let expected = header_of(familiarity.is_some(), &columns, classes);
        if header != expected {
            let found = header.join(",");
            let expected = expected.join(",");
            return Err(file_error(
                path,
                format!("expected the columns {expected}, found {found}"),
            ));
        }
        let mut truth = if task == Task::Age {
            Targets::Regression(Vec::new())
        } else {
            Targets::Classes { indices: Vec::new(), count: classes.len() }
        };
        let mut rows = Vec::new();
        for (number, record) in reader.records().enumerate() {
            let record = record.map_err(|error| file_error(path, error.to_string()))?;
            let cell = Cells { path, line: number + 2, classes };
            // The reader has checked that every record is as long as the header.
            rows.push(PredictedRow {
                path: from_cell(&record[0]).into(),
                subject: from_cell(&record[1]).into(),
                split: from_cell(&record[2]).into(),
            });
            match &mut truth {
                Targets::Classes { indices, .. } => indices.push(cell.class(&record[3])?),
                Targets::Regression(ages) => ages.push(cell.age(&record[3])?),
            }
            let mut low = 0.0;
            let mut at = 0_usize;
            for (kind, text) in kinds.iter().zip(record.iter().skip(FIXED.len())) {
                if matches!(kind, CellKind::Prediction(..)) {
                    at += 1;
                }
                let column = at.checked_sub(1).and_then(|at| columns.get_mut(at));
                match (kind, column) {
                    (CellKind::Familiarity, _) => {
                        familiarity.get_or_insert_default().push(cell.number(text)?);
                    }
                    (CellKind::Prediction(..), Some(column)) => {
                        match &mut column.predicted_values {
                            PredictedValues::Classes { predicted, .. } => {
                                predicted.push(cell.class(text)?);
                            }
                            PredictedValues::Regression(years) => years.push(cell.number(text)?),
                        }
                    }
                    (CellKind::Probability, Some(column)) => {
                        if let PredictedValues::Classes { probabilities, .. } =
                            &mut column.predicted_values
                        {
                            probabilities.push(cell.probability(text)?);
                        }
                    }
                    (CellKind::Low, Some(_)) => low = cell.number(text)?,
                    (CellKind::High, Some(column)) => {
                        let high = cell.number(text)?;
                        cell.require_interval(low, high)?;
                        column.intervals.get_or_insert_default().push((low, high));
                    }
                    (_, None) => {}
                }
            }
        }
        Ok(Self { task, classes: classes.to_vec(), rows, truth, familiarity, columns })
    }
}

/// The header of a table with these columns.
fn header_of(
    has_familiarity: bool,
    columns: &[PredictionColumn],
    classes: &[String],
) -> Vec<String> {
    let mut header: Vec<String> = FIXED.map(str::to_owned).to_vec();
    header.extend(has_familiarity.then(|| FAMILIARITY.to_owned()));
    for column in columns {
        let name = format!("{}/{}", column.head, column.seed);
        header.push(name.clone());
        if let PredictedValues::Classes { .. } = column.predicted_values {
            header.extend(classes.iter().map(|class| format!("{name}/p/{class}")));
        }
        if column.intervals.is_some() {
            header.extend(["low", "high"].map(|end| format!("{name}/{end}")));
        }
    }
    header
}

/// Removes rows from a table of predictions or label-error candidates, whose first column is the
/// picture's path, and gives how many there were. `gone` is called with each path.
///
/// # Errors
/// A file that is no table, or any error of the file system, naming the path.
pub fn forget_rows(path: &Path, gone: &dyn Fn(&str) -> bool) -> Result<usize, EvaluateError> {
    let broken = |error: csv::Error| file_error(path, error.to_string());
    let mut reader = csv::Reader::from_reader(fs_err::File::open(path)?);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(reader.headers().map_err(broken)?).map_err(broken)?;
    let mut removed = 0;
    for record in reader.records() {
        let record = record.map_err(broken)?;
        if record.get(0).is_some_and(|path| gone(from_cell(path))) {
            removed += 1;
        } else {
            writer.write_record(&record).map_err(broken)?;
        }
    }
    if removed > 0 {
        let bytes = writer.into_inner().map_err(|error| file_error(path, error.to_string()))?;
        facefold_core::files::write_atomic(path, &bytes)?;
    }
    Ok(removed)
}

/// What the cells of a column hold.
#[derive(Clone, Copy)]
enum CellKind<'a> {
    Familiarity,
    /// The predictions of a head under a seed; the columns below belong to the one before them.
    Prediction(&'a str, u64),
    Probability,
    Low,
    High,
}

impl<'a> CellKind<'a> {
    fn of(name: &'a str, path: &Path) -> Result<Self, EvaluateError> {
        match name.rsplit_once('/') {
            Some((_, "low")) => return Ok(Self::Low),
            Some((_, "high")) => return Ok(Self::High),
            None if name == FAMILIARITY => return Ok(Self::Familiarity),
            _ => {}
        }
        let parsed =
            name.rsplit_once('/').and_then(|(head, seed)| Some((head, seed.parse().ok()?)));
        parsed.map(|(head, seed)| Self::Prediction(head, seed)).ok_or_else(|| {
            file_error(path, format!("expected a column `head/seed`, found `{name}`"))
        })
    }
}

struct Cells<'a> {
    path: &'a Path,
    line: usize,
    classes: &'a [String],
}

impl Cells<'_> {
    fn class(&self, text: &str) -> Result<usize, EvaluateError> {
        let text = from_cell(text);
        self.classes.iter().position(|class| class == text).ok_or_else(|| {
            file_error(
                self.path,
                format!(
                    "line {}: expected one of {}, found `{text}`",
                    self.line,
                    self.classes.join(", ")
                ),
            )
        })
    }

    fn age(&self, text: &str) -> Result<AgeTarget, EvaluateError> {
        text.parse().map_err(|error| {
            file_error(self.path, format!("line {}: {error}: `{text}`", self.line))
        })
    }

    fn number(&self, text: &str) -> Result<f32, EvaluateError> {
        match text.parse::<f32>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(file_error(
                self.path,
                format!("line {}: expected a number, found `{text}`", self.line),
            )),
        }
    }
}

impl Cells<'_> {
    fn probability(&self, text: &str) -> Result<f32, EvaluateError> {
        // Above 1 by rounding only.
        const MOST: f32 = 1.0 + 1e-5;
        match self.number(text)? {
            number if (0.0..=MOST).contains(&number) => Ok(number),
            _ => Err(file_error(
                self.path,
                format!("line {}: expected a probability from 0 to 1, found `{text}`", self.line),
            )),
        }
    }

    fn require_interval(&self, low: f32, high: f32) -> Result<(), EvaluateError> {
        if low <= high {
            return Ok(());
        }
        let line = self.line;
        let found = format!("line {line}: expected an interval, found {low} to {high}");
        Err(file_error(self.path, found))
    }
}

fn file_error(path: &Path, message: String) -> EvaluateError {
    EvaluateError::File { path: path.to_owned(), message }
}

#[cfg(test)]
mod tests;
