//! `--shard I/N`: one of several parts of a data set, each for a machine of its own.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use facefold_core::Sample;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// One of the parts that a data set is divided into: consecutive label rows, so that the parts behind each
/// other are the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DatasetShard {
    /// Which of them, from 1.
    index: usize,
    /// How many there are.
    count: usize,
}

impl DatasetShard {
    /// More machines than anyone has.
    const MOST: usize = 1_000_000;

    /// Which of them, from 1.
    #[must_use]
    pub fn index(self) -> usize {
        self.index
    }

    /// How many there are.
    #[must_use]
    pub fn count(self) -> usize {
        self.count
    }

    /// All parts of the division that this one belongs to.
    pub fn all(self) -> impl Iterator<Item = Self> {
        (1..=self.count).map(move |index| Self { index, ..self })
    }

    /// Which of so many label rows are in it. Parts differ by one row at most.
    #[must_use]
    pub fn rows(self, all: usize) -> Range<usize> {
        let start = |index: usize| (index as u128 * all as u128 / self.count as u128) as usize;
        start(self.index - 1)..start(self.index)
    }
}

impl FromStr for DatasetShard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let numbers = text.split_once('/').and_then(|(index, count)| {
            let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            (digits(index) && digits(count)).then_some(())?;
            Some((index.parse().ok()?, count.parse().ok()?))
        });
        match numbers {
            Some((index, count)) if (1..=count).contains(&index) && count <= Self::MOST => {
                Ok(Self { index, count })
            }
            _ => Err(Error::options(format!(
                "expected I/N such as 3/8, with I from 1 to N, found `{text}`"
            ))),
        }
    }
}

impl fmt::Display for DatasetShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// The list that a data set's label rows are in: how many there are, and a hash of all of them, in order.
/// Shards of different lists do not make a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct List {
    pub(crate) rows: usize,
    hash: String,
}

impl List {
    pub(crate) fn of(samples: &[Sample]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for sample in samples {
            let Sample { path, raw_age, gender, race, subject, fold, split, class, label_conflict } =
                sample;
            let labels = (raw_age, gender, race, subject, fold, split, class, label_conflict);
            for part in [path.as_os_str().as_encoded_bytes(), format!("{labels:?}").as_bytes()] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        Self { rows: samples.len(), hash: hasher.finalize().to_hex()[..16].to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::DatasetShard;

    #[test]
    fn shards_behind_each_other_are_all_rows() {
        for (rows, count) in [(0, 3), (2, 5), (10, 1), (10, 3), (23_705, 8)] {
            let shard: DatasetShard = format!("1/{count}").parse().unwrap();
            let parts: Vec<_> = shard.all().map(|shard| shard.rows(rows)).collect();
            assert_eq!(parts.len(), count);
            assert_eq!(
                parts.iter().cloned().flatten().collect::<Vec<_>>(),
                (0..rows).collect::<Vec<_>>()
            );
            let lengths = || parts.iter().map(ExactSizeIterator::len);
            assert!(lengths().max().unwrap() - lengths().min().unwrap() <= 1, "{parts:?}");
        }
    }

    #[test]
    fn only_whole_numbers_from_one_to_the_count_are_shards() {
        assert_eq!("3/8".parse::<DatasetShard>().unwrap().to_string(), "3/8");
        for wrong in
            ["", "3", "0/8", "9/8", "3/", "/8", "+3/8", "-1/8", "3/8/8", "3/0", "1/99999999999"]
        {
            let error = wrong.parse::<DatasetShard>().unwrap_err().to_string();
            assert!(error.contains("3/8") && error.contains(&format!("`{wrong}`")), "{error}");
        }
    }
}
