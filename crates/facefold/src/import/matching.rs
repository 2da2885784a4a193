//! Which label row each row of the embeddings belongs to: the one whose path a column of their file has, else the
//! one of the same number.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use facefold_datasets::Dataset;
use facefold_store::{ImportedRows, TextColumn};

use super::ImportOptions;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// The label row of each row of the embeddings; none where no label row names it.
pub(super) type LabelRows = Vec<Option<usize>>;

/// Finds the label row of each row.
///
/// A column of texts that has the paths of all label rows, or whose every text is one of them, is used whatever
/// its name; one of few of them only where its name says that it has paths. Rows are taken in the order of the labels
/// where no column has any of their paths, or where those that it has are in this order.
pub(super) fn match_rows(
    rows: &ImportedRows,
    dataset: &Dataset,
    options: &ImportOptions,
    progress: &dyn Progress,
) -> Result<LabelRows> {
    let shape = (rows.len(), rows.lengths().0);
    let matching = Matching::new(dataset, options, shape);
    matching.match_columns(rows.text_columns(), rows.unread_columns(), progress)
}

/// What a column says of the label rows.
#[derive(Clone)]
struct Found<'a> {
    column: &'a TextColumn,
    rows: LabelRows,
    /// Whether paths agree in their endings alone.
    by_ending: bool,
    /// The first row whose path ends as those of several label rows.
    ambiguous: Option<usize>,
    /// The first row with the label row of an earlier one, which is the second number.
    repeated: Option<(usize, usize)>,
    /// Whether every label row is found, or every row finds one.
    is_complete: bool,
}

impl Found<'_> {
    fn has_any(&self) -> bool {
        self.rows.iter().any(Option::is_some)
    }

    /// Whether it has the paths of the labels, whatever its name.
    fn is_whole(&self) -> bool {
        let is_clear = self.ambiguous.is_none() && self.repeated.is_none();
        self.is_complete && is_clear && self.has_any()
    }

    /// Whether each row that finds a label row finds that of its number.
    fn is_in_order(&self) -> bool {
        let own =
            |(row, sample): (usize, &Option<usize>)| sample.is_none_or(|sample| sample == row);
        self.ambiguous.is_none() && self.rows.iter().enumerate().all(own)
    }
}

/// Label rows by their paths.
struct Matching<'a> {
    dataset: &'a Dataset,
    options: &'a ImportOptions,
    /// Rows of the embeddings, and values of each.
    shape: (usize, usize),
    by_path: HashMap<&'a str, usize>,
}

impl<'a> Matching<'a> {
    fn new(dataset: &'a Dataset, options: &'a ImportOptions, shape: (usize, usize)) -> Self {
        let samples = dataset.samples.iter().enumerate();
        let by_path =
            samples.filter_map(|(row, sample)| Some((sample.path.to_str()?, row))).collect();
        Self { dataset, options, shape, by_path }
    }

    fn match_columns(
        &self,
        columns: &[TextColumn],
        unread: &[String],
        progress: &dyn Progress,
    ) -> Result<LabelRows> {
        if let (Some(_), Some(column)) = (&self.options.files.key, columns.first()) {
            return self.rows_of(self.find(column));
        }
        let found: Vec<Found> = columns.iter().map(|column| self.find(column)).collect();
        let embeddings = self.options.files.embeddings.display();
        if let Some(chosen) = self.choose(&found)? {
            if chosen.by_ending || !chosen.column.is_path_name {
                let endings = if chosen.by_ending { "endings of the " } else { "" };
                progress.note(&format!(
                    "rows of `{embeddings}` find their labels by the {endings}paths in `{}`",
                    chosen.column.name
                ));
            }
            return self.rows_of(chosen.clone());
        }
        if let Some(found) = found.iter().find(|found| !found.is_in_order()) {
            return Err(self.ambiguous(found).unwrap_or_else(|| self.not_in_order(found)));
        }
        let in_order = self.in_order()?;
        let texts = columns.iter().map(|column| &column.name).chain(unread);
        let texts: Vec<&str> = texts.map(String::as_str).collect();
        if !texts.is_empty() {
            progress.note(&format!(
                "`{embeddings}` has texts (`{}`), but no column with the paths of `{}`: rows are taken in the order of \
                 the labels",
                texts.join("`, `"),
                self.options.labels.display()
            ));
        }
        Ok(in_order)
    }

    /// The label rows that a column names: by whole paths, else by their endings.
    fn find<'c>(&self, column: &'c TextColumn) -> Found<'c> {
        let whole = |key: &String| self.by_path.get(self.below_root(key)).copied();
        let mut rows: LabelRows = column.texts.iter().map(whole).collect();
        let by_ending = rows.iter().all(Option::is_none);
        let mut ambiguous = None;
        if by_ending {
            let endings = self.endings();
            for (row, key) in column.texts.iter().enumerate() {
                let ends: Vec<Option<usize>> =
                    self.with_ending(key, &endings).into_iter().collect();
                match ends[..] {
                    [] => {}
                    [Some(only)] => rows[row] = Some(only),
                    _ => ambiguous = ambiguous.or(Some(row)),
                }
            }
        }
        let mut first: HashMap<usize, usize> = HashMap::new();
        let mut repeated = None;
        for (row, sample) in rows.iter().enumerate() {
            let earlier = sample.and_then(|sample| first.insert(sample, row));
            repeated = repeated.or(earlier.map(|earlier| (row, earlier)));
        }
        let is_complete =
            first.len() == self.dataset.samples.len() || rows.iter().all(Option::is_some);
        Found { column, rows, by_ending, ambiguous, repeated, is_complete }
    }

    /// A key as label rows have their paths: below the root, without `./` before it.
    fn below_root<'k>(&self, key: &'k str) -> &'k str {
        let path = Path::new(key);
        let path = path.strip_prefix(&self.dataset.root).unwrap_or(path);
        path.strip_prefix(".").unwrap_or(path).to_str().unwrap_or(key)
    }

    /// The label rows by the endings of their paths that are shorter than those; none for an ending of several.
    fn endings(&self) -> HashMap<&'a str, Option<usize>> {
        let mut endings = HashMap::new();
        for (path, &row) in &self.by_path {
            for ending in shorter_endings(path) {
                endings.entry(ending).and_modify(|found| *found = None).or_insert(Some(row));
            }
        }
        endings
    }

    /// The label rows whose path ends with this one, or the other way round; none among them for several.
    fn with_ending(
        &self,
        key: &str,
        endings: &HashMap<&str, Option<usize>>,
    ) -> HashSet<Option<usize>> {
        let key = key.replace('\\', "/");
        let key = key.trim_start_matches("./");
        let ends = std::iter::once(key).chain(shorter_endings(key));
        let longer = ends.filter_map(|ending| self.by_path.get(ending).copied().map(Some));
        longer.chain(endings.get(key).copied()).collect()
    }

    /// The column whose paths are used, if there is one.
    fn choose<'f, 'c>(&self, found: &'f [Found<'c>]) -> Result<Option<&'f Found<'c>>> {
        let mut whole = found.iter().filter(|found| found.is_whole());
        let Some(first) = whole.next() else {
            let named = |found: &&Found<'_>| {
                found.column.is_path_name && !found.by_ending && found.has_any()
            };
            return Ok(found.iter().find(named));
        };
        let other = |found: &&Found<'_>| !first.column.is_path_name && found.rows != first.rows;
        match whole.find(other) {
            None => Ok(Some(first)),
            Some(other) => Err(Error::data(format!(
                "`{}`: expected one column with the paths of `{}`, found `{}` and `{}`, which differ; name the one that \
                 has the path of each row's picture by --key",
                self.options.files.embeddings.display(),
                self.options.labels.display(),
                first.column.name,
                other.column.name
            ))),
        }
    }

    /// The label rows of a column that is used.
    fn rows_of(&self, found: Found<'_>) -> Result<LabelRows> {
        let (labels, embeddings) =
            (self.options.labels.display(), self.options.files.embeddings.display());
        if let Some(error) = self.ambiguous(&found) {
            return Err(error);
        }
        let Found { column, rows, repeated, .. } = &found;
        if let Some((row, earlier)) = repeated {
            return Err(Error::data(format!(
                "`{embeddings}`, row {row} (from 0): expected a path of its own, found `{}`, which row {earlier} has; \
                 keep one of them",
                column.texts[*row]
            )));
        }
        if rows.iter().all(Option::is_none) {
            let first = column.texts.first().map_or("no row", String::as_str);
            let expected = self.dataset.samples.first().map(|s| s.path.display().to_string());
            return Err(Error::data(format!(
                "`{embeddings}`: expected paths as `{labels}` has them (`{}`), found none of them (`{first}`); write \
                 both alike",
                expected.unwrap_or_default()
            )));
        }
        Ok(found.rows)
    }

    /// Refuses a path that ends as those of several label rows.
    fn ambiguous(&self, found: &Found<'_>) -> Option<Error> {
        let (row, column) = (found.ambiguous?, found.column);
        Some(Error::data(format!(
            "`{}`, row {row} (from 0): expected in `{}` the path of one label row of `{}`, found `{}`, which ends as \
             several of them; write both alike, or leave `{}` out where rows are in the order of the labels",
            self.options.files.embeddings.display(),
            column.name,
            self.options.labels.display(),
            column.texts[row],
            column.name
        )))
    }

    /// Refuses to take rows in the order of the labels, as a column has other paths for them.
    fn not_in_order(&self, found: &Found<'_>) -> Error {
        let (labels, embeddings) =
            (self.options.labels.display(), self.options.files.embeddings.display());
        let Found { column, rows, .. } = found;
        let elsewhere = |&row: &usize| rows[row].is_some_and(|sample| sample != row);
        let row = (0..rows.len()).find(elsewhere).unwrap_or(0);
        Error::data(format!(
            "`{embeddings}`: expected in `{}` the path of each row's picture as `{labels}` has it, or none of those \
             paths, found {} of {} rows with one, not all in the order of the labels (row {row}, from 0: `{}`); write \
             both alike, name the column that has the paths by --key, or leave `{}` out where rows are in the order of \
             the labels",
            column.name,
            rows.iter().flatten().count(),
            rows.len(),
            column.texts[row],
            column.name
        ))
    }

    /// The label row of each row where both are in one order.
    fn in_order(&self) -> Result<LabelRows> {
        let Self { dataset, options, shape: (rows, width), .. } = *self;
        let (labels, embeddings) = (options.labels.display(), options.files.embeddings.display());
        if dataset.rows != rows {
            let transposed = if dataset.rows == width { " (is it transposed?)" } else { "" };
            return Err(Error::data(format!(
                "`{labels}`: expected {rows} label rows, one for each row of `{embeddings}` in its order, found {}\
                 {transposed}; write both from the same list, or name the column with each row's path by --key",
                dataset.rows
            )));
        }
        if dataset.duplicates > 0 {
            return Err(Error::data(format!(
                "`{labels}`: expected each path once, as row i of the labels belongs to row i of `{embeddings}`, \
                 found {} rows whose path an earlier row has; give every row a path of its own",
                dataset.duplicates
            )));
        }
        Ok((0..rows).map(Some).collect())
    }
}

/// What a path ends with, without its first folder, its first two, …
fn shorter_endings(path: &str) -> impl Iterator<Item = &str> {
    let endings = path.match_indices('/').map(|(at, _)| &path[at + 1..]);
    endings.filter(|ending| !ending.is_empty())
}

#[cfg(test)]
mod tests;
