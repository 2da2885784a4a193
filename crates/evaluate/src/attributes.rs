//! Attributes of test rows, by which results are sliced.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::error::EvaluateError;
use crate::predictions::PredictedRow;
use crate::statistics::bootstrap::quantile;

/// Numbers are cut at the quantiles that divide their rows into so many bins.
pub const BINS: usize = 5;

/// The name of the attribute that holds age groups.
pub const AGE_GROUP: &str = "age group";

/// What is known of pictures, by their paths.
#[derive(Debug, Clone, PartialEq)]
pub struct Attributes {
    rows: PathTable,
    columns: Vec<Attribute>,
}

/// One thing known of pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Its name: `gender`, `face size (pixels)`.
    pub name: String,
    /// Its value for every picture; none where unknown.
    pub values: AttributeValues,
}

/// The values of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeValues {
    /// One of a few names; rows of one share it.
    Names(Vec<Option<Arc<str>>>),
    /// A number; what is not finite counts as unknown.
    Numbers(Vec<Option<f32>>),
}

impl AttributeValues {
    fn len(&self) -> usize {
        match self {
            Self::Names(values) => values.len(),
            Self::Numbers(values) => values.len(),
        }
    }
}

/// The name of the slice that each of some rows belongs to.
pub(crate) struct Grouping {
    pub(crate) name: String,
    pub(crate) of_row: Vec<Option<Arc<str>>>,
    /// Whether it may be combined with others: names are, bins of numbers are not.
    pub(crate) crossed: bool,
}

impl Attributes {
    /// Attributes of the pictures with these paths.
    ///
    /// # Errors
    /// [`EvaluateError::Inconsistent`] where a column has another length than `paths`.
    pub fn new(paths: &[Arc<str>], columns: Vec<Attribute>) -> Result<Self, EvaluateError> {
        for column in &columns {
            if column.values.len() != paths.len() {
                return Err(EvaluateError::Inconsistent(format!(
                    "attribute `{}` has {} values for {} pictures",
                    column.name,
                    column.values.len(),
                    paths.len()
                )));
            }
        }
        Ok(Self { rows: PathTable::new(paths), columns })
    }

    /// Every attribute as slices of these rows.
    pub(crate) fn groupings(&self, rows: &[PredictedRow]) -> Vec<Grouping> {
        let places: Vec<Option<usize>> = rows.iter().map(|row| self.rows.row(&row.path)).collect();
        let grouping = |column: &Attribute| {
            let (of_row, crossed) = match &column.values {
                AttributeValues::Names(names) => {
                    (places.iter().map(|place| names[(*place)?].clone()).collect(), true)
                }
                AttributeValues::Numbers(numbers) => {
                    let values: Vec<Option<f32>> =
                        places.iter().map(|place| numbers[(*place)?]).collect();
                    (binned(&values), false)
                }
            };
            Grouping { name: column.name.clone(), of_row, crossed }
        };
        self.columns.iter().map(grouping).collect()
    }
}

/// The row of each path, found by the path's hash: 16 bytes a row, as there may be millions.
#[derive(Debug, Clone, PartialEq)]
struct PathTable {
    seed: u64,
    /// Hashes, ascending, with their rows.
    by_hash: Vec<(u64, u32)>,
}

impl PathTable {
    /// The last row of each path. No two of the paths have one hash; another path, which is none of
    /// them, has the hash of one in less than a millionth of a millionth of cases.
    fn new(paths: &[Arc<str>]) -> Self {
        let mut table = Self { seed: 0, by_hash: Vec::with_capacity(paths.len()) };
        loop {
            let hashes = paths.iter().zip(0..).map(|(path, row)| (table.hash(path), row));
            let mut by_hash: Vec<(u64, u32)> = hashes.collect();
            by_hash.sort_unstable();
            let path = |row: u32| &paths[row as usize];
            let collide =
                |pair: &[(u64, u32)]| pair[0].0 == pair[1].0 && path(pair[0].1) != path(pair[1].1);
            if !by_hash.windows(2).any(collide) {
                table.by_hash = by_hash;
                return table;
            }
            table.seed += 1;
        }
    }

    fn hash(&self, path: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, path).hash(&mut hasher);
        hasher.finish()
    }

    fn row(&self, path: &str) -> Option<usize> {
        let hash = self.hash(path);
        let end = self.by_hash.partition_point(|&(other, _)| other <= hash);
        let &(found, row) = self.by_hash.get(end.checked_sub(1)?)?;
        (found == hash).then_some(row as usize)
    }
}

impl Grouping {
    /// The slices of two attributes together.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let mut names: HashMap<(&str, &str), Arc<str>> = HashMap::new();
        let mut of_row = Vec::with_capacity(self.of_row.len());
        for pair in self.of_row.iter().zip(&other.of_row) {
            let (Some(a), Some(b)) = pair else {
                of_row.push(None);
                continue;
            };
            let name = names.entry((a, b)).or_insert_with(|| format!("{a}, {b}").into());
            of_row.push(Some(Arc::clone(name)));
        }
        Self { name: format!("{} × {}", self.name, other.name), of_row, crossed: false }
    }
}

/// The quantile bin of each value, by name. Equal values are never parted, so there may be fewer
/// than [`BINS`] bins, and bins of unequal size.
fn binned(values: &[Option<f32>]) -> Vec<Option<Arc<str>>> {
    let known = |value: &Option<f32>| value.filter(|value| value.is_finite()).map(f64::from);
    let mut sorted: Vec<f64> = values.iter().filter_map(known).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let Some(&least) = sorted.first() else { return vec![None; values.len()] };
    let mut edges: Vec<f64> =
        (1..BINS).map(|bin| quantile(&sorted, bin as f64 / BINS as f64)).collect();
    edges.dedup();
    // Below an edge at the least value there is nothing.
    edges.retain(|&edge| edge > least);
    let names: Vec<Arc<str>> = bin_names(&edges).into_iter().map(Arc::from).collect();
    let name = |value: f64| Arc::clone(&names[edges.partition_point(|&edge| edge <= value)]);
    values.iter().map(|value| known(value).map(name)).collect()
}

fn bin_names(edges: &[f64]) -> Vec<String> {
    let shown = distinct(edges);
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else {
        return vec!["all".to_owned()];
    };
    let between = shown.windows(2).map(|pair| format!("{} to {}", pair[0], pair[1]));
    std::iter::once(format!("under {first}"))
        .chain(between)
        .chain([format!("{last} and more")])
        .collect()
}

/// Numbers with three significant digits, or as many more as make them distinct.
fn distinct(numbers: &[f64]) -> Vec<String> {
    let largest = numbers.iter().fold(0.0_f64, |largest, number| largest.max(number.abs()));
    let least_decimals = (2.0 - largest.max(1e-6).log10().floor()).clamp(0.0, 8.0) as usize;
    let shown = |decimals: usize| -> Vec<String> {
        numbers.iter().map(|number| format!("{number:.decimals$}")).collect()
    };
    let apart = |texts: &[String]| texts.windows(2).all(|pair| pair[0] != pair[1]);
    let decimals = (least_decimals..9).find(|&decimals| apart(&shown(decimals)));
    shown(decimals.unwrap_or(9))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{PathTable, binned, distinct};

    #[test]
    fn paths_are_found_by_their_last_row() {
        let paths: Vec<Arc<str>> = (0..5000).map(|row| format!("{}", row % 4000).into()).collect();
        let table = PathTable::new(&paths);
        assert_eq!(table.row("17"), Some(4017));
        assert_eq!(table.row("2000"), Some(2000));
        assert_eq!(table.row("4000"), None);
        assert_eq!(PathTable::new(&[]).row(""), None);
    }

    fn names(values: &[Option<f32>]) -> Vec<String> {
        let name = |name: Option<Arc<str>>| name.map_or("-".to_owned(), |n| n.to_string());
        binned(values).into_iter().map(name).collect()
    }

    #[test]
    fn bins_have_equal_counts_without_unknown_values() {
        let values: Vec<Option<f32>> = (0..10).map(|value| Some(value as f32)).collect();
        let found = names(&values);
        // numpy.quantile(range(10), [0.2, 0.4, 0.6, 0.8]) -> 1.8, 3.6, 5.4, 7.2
        assert_eq!(found[..3], ["under 1.80", "under 1.80", "1.80 to 3.60"]);
        assert_eq!(found[8..], ["7.20 and more", "7.20 and more"]);
        assert_eq!(names(&[None, Some(f32::NAN), Some(3.0)]), ["-", "-", "all"]);
    }

    #[test]
    fn equal_values_are_in_one_bin() {
        // Most scores are 1: the upper quantiles are one edge, under which the rest stands.
        let mut values = vec![Some(1.0); 8];
        values.extend([Some(0.5), Some(0.6)]);
        let found = names(&values);
        assert!(found[..8].iter().all(|name| name == "0.920 and more" || name == &found[0]));
        assert_eq!(found[8], found[9]);
        assert_ne!(found[0], found[8]);
        assert_eq!(names(&[Some(2.0), Some(2.0)]), ["all", "all"]);
    }

    #[test]
    fn bin_edges_have_distinct_names() {
        assert_eq!(distinct(&[123.4, 1234.0]), ["123", "1234"]);
        assert_eq!(distinct(&[0.9991, 0.9992]), ["0.9991", "0.9992"]);
    }
}
