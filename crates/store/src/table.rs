//! Columns of Arrow tables: making them from our types, and getting them back.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{Array, FixedSizeBinaryArray, FixedSizeListArray, Float32Array, RecordBatch};
use arrow_buffer::{Buffer, NullBuffer};
use arrow_schema::{ArrowError, DataType, Field, FieldRef};
use facefold_core::ImageKey;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;

/// Rows handled at once: a few megabytes with taps.
pub(crate) const BATCH: usize = 1024;

const KEY_BYTES: i32 = 32;

/// The type of a column of image keys.
pub(crate) fn key_type() -> DataType {
    DataType::FixedSizeBinary(KEY_BYTES)
}

/// The type of a column of rows of `width` floats.
pub(crate) fn floats_type(width: usize) -> DataType {
    DataType::FixedSizeList(float_item(), width as i32)
}

fn float_item() -> FieldRef {
    Arc::new(Field::new("element", DataType::Float32, false))
}

/// A column of image keys.
pub(crate) fn keys(
    keys: impl Iterator<Item = ImageKey>,
) -> Result<FixedSizeBinaryArray, ArrowError> {
    let bytes: Vec<u8> = keys.flat_map(|key| *key.as_bytes()).collect();
    FixedSizeBinaryArray::try_new(KEY_BYTES, Buffer::from_vec(bytes), None)
}

/// A column of image keys, some of them unknown.
pub(crate) fn optional_keys(keys: &[Option<ImageKey>]) -> Result<FixedSizeBinaryArray, ArrowError> {
    let bytes: Vec<u8> =
        keys.iter().flat_map(|key| key.map_or([0; 32], |key| *key.as_bytes())).collect();
    let known: NullBuffer = keys.iter().map(Option::is_some).collect();
    FixedSizeBinaryArray::try_new(KEY_BYTES, Buffer::from_vec(bytes), Some(known))
}

/// A column of rows of `width` floats, given one after the other.
pub(crate) fn floats(values: Vec<f32>, width: usize) -> Result<FixedSizeListArray, ArrowError> {
    let values = Arc::new(Float32Array::from(values));
    FixedSizeListArray::try_new(float_item(), width as i32, values, None)
}

/// A named column of the expected type.
pub(crate) fn column<'a, T: Array + 'static>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a T, ParquetError> {
    let column = batch
        .column_by_name(name)
        .ok_or_else(|| ParquetError::General(format!("there is no column `{name}`")))?;
    column.as_any().downcast_ref().ok_or_else(|| {
        ParquetError::General(format!("column `{name}` has type {}", column.data_type()))
    })
}

/// All values of a column of rows of floats, one row after the other.
pub(crate) fn float_values<'a>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a [f32], ParquetError> {
    let list: &FixedSizeListArray = column(batch, name)?;
    let values = list.values().as_primitive_opt::<Float32Type>().ok_or_else(|| {
        ParquetError::General(format!("column `{name}` has type {}", list.data_type()))
    })?;
    let width = list.value_length() as usize;
    let start = list.offset() * width;
    values
        .values()
        .get(start..start + list.len() * width)
        .ok_or_else(|| ParquetError::General(format!("column `{name}` is shorter than its table")))
}

/// The image key in a row of a column of keys.
pub(crate) fn key_at(column: &FixedSizeBinaryArray, row: usize) -> Result<ImageKey, ParquetError> {
    let bytes: [u8; 32] = column.value(row).try_into().map_err(|_| {
        ParquetError::General(format!("a key of {} bytes, expected 32", column.value(row).len()))
    })?;
    Ok(ImageKey::from_bytes(bytes))
}

/// Opens a Parquet file for some of its columns; all of them where the list is empty.
pub(crate) fn reader<R: ChunkReader + 'static>(
    file: R,
    columns: &[&str],
) -> Result<ParquetRecordBatchReader, ParquetError> {
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(BATCH);
    if !columns.is_empty() {
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        builder = builder.with_projection(mask);
    }
    builder.build()
}
