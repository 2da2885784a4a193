//! The samples table as a Parquet file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, RecordBatch, StringArray,
    UInt16Array,
};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use facefold_core::checksum::{self, UNSEALED};
use facefold_core::extraction::InvalidRejectReason;
use facefold_core::sample::InvalidSplit;
use facefold_core::{Fold, Gender, ImageKey, Rejection, Sample, SubjectId};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::SampleRow;
use crate::error::StoreError;
use crate::header::StoreHeader;
use crate::shard;
use crate::table::{self, column, key_at};

/// The name of the checksum among the file's key-value metadata, and what the Thrift compact
/// protocol puts between such a name and a text of 64 bytes: a field's type, and the length
/// (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).
pub(super) const CHECKSUM: &str = "facefold.checksum";
pub(super) const MARKER: &[u8] = b"facefold.checksum\x18\x40";

/// The name of the store's id among the file's key-value metadata.
pub(super) const STORE: &str = "facefold.store";

/// A table that grows some rows at a time: the rows of a large data set take more memory than all
/// that an extraction keeps of them.
pub(super) struct TableWriter {
    writer: ArrowWriter<Vec<u8>>,
    rows: Vec<SampleRow>,
}

impl TableWriter {
    pub(super) fn new(header: &StoreHeader) -> Result<Self, StoreError> {
        let mut metadata = vec![
            shard::fingerprint_entry(header),
            KeyValue::new(CHECKSUM.to_owned(), UNSEALED.to_owned()),
        ];
        let id = header.id().map(ToOwned::to_owned);
        metadata.extend(id.map(|id| KeyValue::new(STORE.to_owned(), id)));
        let level = ZstdLevel::try_new(3).map_err(failed)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_key_value_metadata(Some(metadata))
            .build();
        let schema = batch(&[])?.schema();
        let writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(failed)?;
        Ok(Self { writer, rows: Vec::new() })
    }

    pub(super) fn push(&mut self, row: SampleRow) -> Result<(), StoreError> {
        self.rows.push(row);
        if self.rows.len() < table::BATCH { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.writer.write(&batch(&self.rows)?).map_err(failed)?;
        self.rows.clear();
        Ok(())
    }

    /// The bytes of the table, and their checksum, which is among them.
    pub(super) fn finish(mut self) -> Result<(Bytes, String), StoreError> {
        self.write()?;
        let mut bytes = self.writer.into_inner().map_err(failed)?;
        let sealed = checksum::seal(&mut bytes, MARKER);
        let bytes = Bytes::from(bytes);
        match shard::metadata(&bytes, CHECKSUM).map_err(failed)? {
            Some(checksum) if sealed => Ok((bytes, checksum)),
            _ => {
                let missing = format!("expected `{CHECKSUM}` in the metadata, found none");
                Err(failed(ParquetError::General(missing)))
            }
        }
    }
}

fn failed(source: ParquetError) -> StoreError {
    StoreError::Parquet { path: "samples.parquet".into(), source }
}

fn batch(rows: &[SampleRow]) -> Result<RecordBatch, StoreError> {
    let text = |value: &dyn Fn(&SampleRow) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<StringArray>())
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

pub(super) fn read(bytes: Bytes, mut each: impl FnMut(SampleRow)) -> Result<(), ParquetError> {
    let mut last_subject = None;
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
                subject: subject
                    .is_valid(row)
                    .then(|| shared(&mut last_subject, subject.value(row))),
                fold: fold.is_valid(row).then(|| Fold(fold.value(row))),
                split: text(split).map(|text| text.parse().map_err(invalid_split)).transpose()?,
                class: text(class),
                label_conflict: conflict.value(row),
            };
            each(SampleRow {
                sample,
                key: keys.is_valid(row).then(|| key_at(keys, row)).transpose()?,
                rejection: reason
                    .map(|reason| Rejection::new(reason, text(detail).unwrap_or_default())),
            });
        }
    }
    Ok(())
}

/// A subject that shares the name of the last one where it is the same: rows of one subject mostly stand
/// together, and there may be millions.
fn shared(last: &mut Option<SubjectId>, name: &str) -> SubjectId {
    match last {
        Some(last) if last.as_str() == name => last.clone(),
        _ => last.insert(SubjectId::new(name)).clone(),
    }
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
