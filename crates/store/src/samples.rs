//! The samples table: one row per label row, with the key of its picture.

use std::borrow::Borrow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, RecordBatch, StringArray,
    UInt16Array,
};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use facefold_core::extraction::InvalidRejectReason;
use facefold_core::files::write_atomic;
use facefold_core::sample::InvalidSplit;
use facefold_core::{Fold, Gender, ImageKey, Rejection, Sample, SubjectId};
use fs_err as fs;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::error::StoreError;
use crate::store::Store;
use crate::table::{self, column, key_at};

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedSample {
    /// The picture, relative to the data set's root.
    pub path: PathBuf,
    /// The picture's key; none where its file could not be read.
    pub key: Option<ImageKey>,
    /// Why it has none.
    pub rejection: Rejection,
}

impl Store {
    /// Every label row whose picture was rejected, in the order of the samples table.
    ///
    /// # Errors
    /// As [`Self::samples`] and [`Self::rejections`].
    pub fn rejected_samples(&self) -> Result<Vec<RejectedSample>, StoreError> {
        let rejections = self.rejections()?;
        let rejected = |row: SampleRow| {
            let by_key = row.key.and_then(|key| rejections.get(&key).cloned());
            let rejection = by_key.or(row.rejection)?;
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
        let path = self.samples_path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::NoSamples { path: self.directory().to_owned() });
            }
            Err(error) => return Err(error.into()),
        };
        read(bytes).map_err(|error| StoreError::Damaged {
            path,
            what: error.to_string(),
            remedy: "run the same `extract` command again: it writes the table anew",
        })
    }
}

/// Writes the table, some rows at a time: those of a large data set take more memory than all that
/// an extraction keeps of them.
pub(crate) fn write<R: Borrow<SampleRow>>(
    path: &Path,
    rows: impl IntoIterator<Item = R>,
) -> Result<(), StoreError> {
    let parquet = |source| StoreError::Parquet { path: path.to_owned(), source };
    let level = ZstdLevel::try_new(3).map_err(parquet)?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let mut bytes = Vec::new();
    let schema = batch(&[])?.schema();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties)).map_err(parquet)?;
    let mut rows = rows.into_iter();
    loop {
        let some: Vec<R> = rows.by_ref().take(table::BATCH).collect();
        if some.is_empty() {
            break;
        }
        let some: Vec<&SampleRow> = some.iter().map(Borrow::borrow).collect();
        writer.write(&batch(&some)?).map_err(parquet)?;
    }
    writer.close().map_err(parquet)?;
    Ok(write_atomic(path, &bytes)?)
}

fn batch(rows: &[&SampleRow]) -> Result<RecordBatch, StoreError> {
    let text = |value: &dyn Fn(&SampleRow) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(|row| value(row)).collect::<StringArray>())
    };
    let keys: Vec<Option<ImageKey>> = rows.iter().map(|row| row.key).collect();
    let conflicts: Vec<bool> = rows.iter().map(|row| row.sample.label_conflict).collect();
    let paths: Vec<Option<Vec<u8>>> = rows.iter().map(|row| odd_path(&row.sample.path)).collect();
    let reason = |row: &SampleRow| row.rejection.as_ref().map(|why| why.reason.to_string());
    let columns: Vec<(&str, DataType, bool, ArrayRef)> = vec![
        (
            "path",
            DataType::Utf8,
            false,
            text(&|row| Some(row.sample.path.to_string_lossy().into_owned())),
        ),
        (
            "path_bytes",
            DataType::Binary,
            true,
            Arc::new(paths.iter().map(Option::as_deref).collect::<BinaryArray>()),
        ),
        ("raw_age", DataType::Utf8, false, text(&|row| Some(row.sample.raw_age.clone()))),
        (
            "gender",
            DataType::Utf8,
            true,
            text(&|row| row.sample.gender.map(|gender| gender.letter().to_owned())),
        ),
        ("race", DataType::Utf8, true, text(&|row| row.sample.race.clone())),
        (
            "subject",
            DataType::Utf8,
            true,
            text(&|row| row.sample.subject.as_ref().map(ToString::to_string)),
        ),
        (
            "fold",
            DataType::UInt16,
            true,
            Arc::new(
                rows.iter().map(|row| row.sample.fold.map(|fold| fold.0)).collect::<UInt16Array>(),
            ),
        ),
        ("split", DataType::Utf8, true, text(&|row| row.sample.split.map(|s| s.to_string()))),
        ("class", DataType::Utf8, true, text(&|row| row.sample.class.clone())),
        ("label_conflict", DataType::Boolean, false, Arc::new(BooleanArray::from(conflicts))),
        ("key", table::key_type(), true, Arc::new(table::optional_keys(&keys)?)),
        ("rejection_reason", DataType::Utf8, true, text(&reason)),
        (
            "rejection_detail",
            DataType::Utf8,
            true,
            text(&|row| row.rejection.as_ref().map(|why| why.detail.clone())),
        ),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, data_type, nullable, _)| Field::new(*name, data_type.clone(), *nullable))
        .collect();
    let arrays = columns.into_iter().map(|(_, _, _, array)| array).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

fn read(bytes: Bytes) -> Result<Vec<SampleRow>, ParquetError> {
    let mut all = Vec::new();
    for batch in table::reader(bytes, &[])? {
        let batch = batch?;
        let [path, raw_age, gender, race, subject, split, class, reason, detail] = [
            "path",
            "raw_age",
            "gender",
            "race",
            "subject",
            "split",
            "class",
            "rejection_reason",
            "rejection_detail",
        ]
        .map(|name| column::<StringArray>(&batch, name));
        let texts = (path?, raw_age?, gender?, race?, subject?, split?, class?, reason?, detail?);
        let (path, raw_age, gender, race, subject, split, class, reason, detail) = texts;
        let path_bytes: &BinaryArray = column(&batch, "path_bytes")?;
        let fold: &UInt16Array = column(&batch, "fold")?;
        let conflict: &BooleanArray = column(&batch, "label_conflict")?;
        let keys: &FixedSizeBinaryArray = column(&batch, "key")?;
        for row in 0..batch.num_rows() {
            let text =
                |column: &StringArray| column.is_valid(row).then(|| column.value(row).to_owned());
            let invalid_split = |error: InvalidSplit| ParquetError::General(error.to_string());
            let invalid_reason =
                |error: InvalidRejectReason| ParquetError::General(error.to_string());
            let reason =
                text(reason).map(|text| text.parse().map_err(invalid_reason)).transpose()?;
            let odd = path_bytes.is_valid(row).then(|| path_bytes.value(row));
            let sample = Sample {
                path: odd.map_or_else(|| PathBuf::from(path.value(row)), path_of),
                raw_age: raw_age.value(row).to_owned(),
                gender: text(gender).as_deref().and_then(Gender::parse),
                race: text(race),
                subject: text(subject).map(SubjectId::new),
                fold: fold.is_valid(row).then(|| Fold(fold.value(row))),
                split: text(split).map(|text| text.parse().map_err(invalid_split)).transpose()?,
                class: text(class),
                label_conflict: conflict.value(row),
            };
            all.push(SampleRow {
                sample,
                key: keys.is_valid(row).then(|| key_at(keys, row)).transpose()?,
                rejection: reason
                    .map(|reason| Rejection::new(reason, text(detail).unwrap_or_default())),
            });
        }
    }
    Ok(all)
}

/// The bytes of a path that is no text; none for every other path.
#[cfg(unix)]
fn odd_path(path: &Path) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt;
    path.to_str().is_none().then(|| path.as_os_str().as_bytes().to_vec())
}

#[cfg(not(unix))]
fn odd_path(_: &Path) -> Option<Vec<u8>> {
    None
}

#[cfg(unix)]
fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}
