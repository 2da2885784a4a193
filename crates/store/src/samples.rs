//! The samples table: one row per label row, with the key of its picture.

mod table;

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use facefold_core::checksum::{self, Checksum};
use facefold_core::text::printable;
use facefold_core::{ImageKey, Rejection, Sample};
use fs_err as fs;
use parquet::errors::ParquetError;
use serde::{Serialize, Serializer};

use crate::disk::write_atomic;
use crate::error::StoreError;
use crate::header::StoreHeader;
use crate::merge;
use crate::shard;
use crate::store::{Outcome, Store};

use table::{CHECKSUM, MARKER, STORE, TableWriter};

/// A label row and its picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleRow {
    /// The label row.
    pub sample: Sample,
    /// The picture's key; none where its file could not be read.
    pub key: Option<ImageKey>,
    /// Why there is no key; a picture with a key has its rejection under that key.
    pub rejection: Option<Rejection>,
}

/// A label row whose picture has no embedding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectedSample {
    /// The picture, relative to the data set's root.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// The picture's key; none where its file could not be read.
    #[serde(skip)]
    pub key: Option<ImageKey>,
    /// Why it has none.
    #[serde(flatten)]
    pub rejection: Rejection,
}

/// Also a path that is no Unicode.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl fmt::Display for RejectedSample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rejection { reason, detail } = &self.rejection;
        let path = self.path.to_string_lossy();
        write!(f, "rejected {}: {reason} ({detail})", printable(&path))
    }
}

/// Why a label row has no embedding, if it was rejected: what the store says of its picture, by the
/// picture's key, else why the picture could not be read, which then has no key.
#[must_use]
pub fn rejection_of<'a>(
    key: Option<&ImageKey>,
    unread: Option<&'a Rejection>,
    rejections: &'a BTreeMap<ImageKey, Rejection>,
) -> Option<&'a Rejection> {
    key.and_then(|key| rejections.get(key)).or(unread)
}

impl Store {
    /// Every label row whose picture was rejected, in the order of the samples table.
    ///
    /// # Errors
    /// As [`Self::samples`] and [`Self::rejections`].
    pub fn rejected_samples(&self) -> Result<Vec<RejectedSample>, StoreError> {
        let rejections = self.rejections()?;
        let rejected = |row: SampleRow| {
            let found = rejection_of(row.key.as_ref(), row.rejection.as_ref(), &rejections);
            let rejection = found?.clone();
            Some(RejectedSample { path: row.sample.path, key: row.key, rejection })
        };
        Ok(self.samples()?.into_iter().filter_map(rejected).collect())
    }

    /// The samples table, in the loader's order.
    ///
    /// # Errors
    /// [`StoreError::NoSamples`] before an extraction has come to its end, or a table that cannot
    /// be read.
    pub fn samples(&self) -> Result<Vec<SampleRow>, StoreError> {
        let mut all = Vec::new();
        self.for_each_sample(|row| all.push(row))?;
        Ok(all)
    }

    /// Calls `each` with every row of the samples table, in order.
    pub(crate) fn for_each_sample(&self, each: impl FnMut(SampleRow)) -> Result<(), StoreError> {
        let path = self.layout.samples();
        let corrupt = |what: String| {
            let remedy = format!(
                "restore the table that belongs to the store, or {}: it writes the table anew from the label files, so \
                 take the forgotten person out of them first",
                self.run_again()
            );
            StoreError::Corrupt { path: path.clone(), what, remedy }
        };
        let bytes = match fs::read(&path) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(if self.header.has_samples {
                    corrupt("it was written, and is gone".to_owned())
                } else {
                    StoreError::NoSamples { path: self.directory().to_owned() }
                });
            }
            Err(error) => return Err(error.into()),
        };
        match checksum::check(&bytes, MARKER) {
            Checksum::Right => {}
            // A table is sealed before the header records it.
            Checksum::Absent if !self.header.has_checksums() => {}
            Checksum::Absent => {
                return Err(corrupt("expected a checksum in it, found none".to_owned()));
            }
            Checksum::Wrong => {
                let what = "its bytes do not have the checksum that it carries";
                return Err(corrupt(what.to_owned()));
            }
        }
        let invalid = |error: ParquetError| corrupt(error.to_string());
        let expected = &self.header.fingerprint;
        if let Some(found) = shard::fingerprint(&bytes).map_err(invalid)?
            && found != expected.as_str()
        {
            return Err(corrupt(format!(
                "expected the store's fingerprint {expected}, found {found}"
            )));
        }
        if let Some(id) = self.header.id() {
            let found = shard::metadata(&bytes, STORE).map_err(invalid)?;
            if found.as_deref() != Some(id) {
                let found = found.map_or_else(|| "none".to_owned(), |found| format!("`{found}`"));
                return Err(corrupt(format!(
                    "it was written for another store: expected the id `{id}`, found {found}"
                )));
            }
        }
        if let Some(found) = shard::metadata(&bytes, CHECKSUM).map_err(invalid)?
            && !self.owns_table(&found)?
        {
            return Err(corrupt(format!(
                "it is an earlier table, or that of a copy of the store: expected the checksum {}, found \
                 {found}",
                self.header.table_names()
            )));
        }
        table::read(bytes, each).map_err(invalid)
    }

    /// Whether a samples table with this checksum is the store's, as it was opened or as it is by now.
    fn owns_table(&self, checksum: &str) -> Result<bool, StoreError> {
        let now = || StoreHeader::read(self.directory(), &self.layout.header());
        Ok(self.header.owns_table(checksum)
            || now()?.is_some_and(|header| header.owns_table(checksum)))
    }

    /// How many of these label rows, given by their paths, the samples table has no more.
    ///
    /// # Errors
    /// As [`Self::samples`].
    pub fn count_gone<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a Path>,
    ) -> Result<usize, StoreError> {
        let mut gone: HashSet<&Path> = paths.into_iter().collect();
        self.for_each_sample(|row| {
            gone.remove(row.sample.path.as_path());
        })?;
        Ok(gone.len())
    }
}

/// What a new samples table took over from the one before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// Rows whose picture was not read now, or is rejected now and was embedded before: they keep
    /// the earlier one.
    pub pictures: usize,
    /// Rows that the data set no longer lists, of pictures that no other row shows: they stay.
    pub rows: Vec<PathBuf>,
    /// Pictures that rows had and no row shows any more, as another one lies in their place now.
    pub replaced: HashSet<ImageKey>,
}

impl Store {
    /// Writes a samples table in the place of the present one: the rows given, in their order, then
    /// those of the present table that would be lost.
    ///
    /// A row keeps the picture that it had where there is none for it now, or a rejected one; and a
    /// row that is not given stays where its picture is in the store and no row given shows it. `header`
    /// is the one of the store with the table.
    pub(crate) fn replace_samples<R: Borrow<SampleRow>>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
        header: StoreHeader,
    ) -> Result<TakenOver, StoreError> {
        let mut known = self.known_pictures()?;
        let mut taken_over = TakenOver::default();
        let mut shown = HashSet::new();
        let mut table = TableWriter::new(&header)?;
        for row in rows {
            let mut row = row.borrow().clone();
            if let Some(earlier) = known.get_mut(&row.sample.path) {
                earlier.listed = true;
                if self.is_worse(row.key, earlier.key) {
                    taken_over.pictures += 1;
                    (row.key, row.rejection) = (Some(earlier.key), None);
                } else if row.key.is_some_and(|key| key != earlier.key) {
                    taken_over.replaced.insert(earlier.key);
                }
            }
            if !known.is_empty() {
                shown.extend(row.key);
            }
            table.push(row)?;
        }
        known.retain(|_, earlier| !earlier.listed && !shown.contains(&earlier.key));
        let mut kept = Vec::new();
        if !known.is_empty() {
            let lost = |row: &SampleRow| known.contains_key(&row.sample.path);
            self.for_each_sample(|row| kept.extend(Some(row).filter(lost)))?;
        }
        taken_over.replaced.retain(|key| !shown.contains(key));
        for row in kept {
            taken_over.rows.push(row.sample.path.clone());
            table.push(row)?;
        }
        self.put_table(table, header)?;
        merge::end(&self.layout)?;
        Ok(taken_over)
    }

    /// Writes a samples table of these rows alone in the place of the present one.
    pub(crate) fn overwrite_samples<R: Borrow<SampleRow>>(
        &mut self,
        rows: impl IntoIterator<Item = R>,
        header: StoreHeader,
    ) -> Result<(), StoreError> {
        let mut table = TableWriter::new(&header)?;
        for row in rows {
            table.push(row.borrow().clone())?;
        }
        self.put_table(table, header)?;
        merge::end(&self.layout)
    }

    /// Puts a samples table in the place of the present one, with the header of the store that has it.
    fn put_table(&mut self, table: TableWriter, header: StoreHeader) -> Result<(), StoreError> {
        let (bytes, checksum) = table.finish()?;
        // In this order a kill leaves a header that knows the table next to it.
        self.put_header(self.header.announcing(&checksum))?;
        write_atomic(&self.layout.samples(), &bytes)?;
        self.put_header(header.with_table(checksum))
    }

    fn put_header(&mut self, header: StoreHeader) -> Result<(), StoreError> {
        if header != self.header {
            header.write(&self.layout.header())?;
            self.header = header;
        }
        Ok(())
    }

    /// Whether a row knew more with the earlier picture: there is none now, or one that is rejected
    /// in the place of one that is embedded (an empty file, say, where the disk is not mounted).
    fn is_worse(&self, now: Option<ImageKey>, earlier: ImageKey) -> bool {
        let embedded = self.outcome(&earlier) == Some(Outcome::Embedded);
        now.is_none_or(|now| embedded && self.is_rejected(&now))
    }

    /// The pictures of the present table that the store has, by the path of their row.
    fn known_pictures(&self) -> Result<HashMap<PathBuf, Earlier>, StoreError> {
        let mut known = HashMap::new();
        let add = |row: SampleRow| {
            if let Some(key) = row.key.filter(|key| self.contains(key)) {
                known.entry(row.sample.path).or_insert(Earlier { key, listed: false });
            }
        };
        match self.for_each_sample(add) {
            // The next table is written in the place of one that cannot be read.
            Ok(()) | Err(StoreError::NoSamples { .. } | StoreError::Corrupt { .. }) => Ok(known),
            Err(error) => Err(error),
        }
    }

    /// Writes the rows of the present table that are kept, in their order.
    pub(crate) fn retain_samples(
        &mut self,
        keep: impl Fn(&SampleRow) -> bool,
    ) -> Result<(), StoreError> {
        let mut table = TableWriter::new(&self.header)?;
        let mut failed = None;
        self.for_each_sample(|row| {
            if keep(&row) && failed.is_none() {
                failed = table.push(row).err();
            }
        })?;
        match failed {
            Some(error) => Err(error),
            None => self.put_table(table, self.header.clone()),
        }
    }
}

/// The picture that a label row had.
struct Earlier {
    key: ImageKey,
    /// Whether the data set still has the row.
    listed: bool,
}
