//! Sealing rows into a shard: sorted, written to a temporary file, synced, then renamed.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, RecordBatch, StringArray, UInt16Array, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use facefold_core::{Face, ImageKey, Rejection};
use fs_err as fs;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::disk::PartialFile;
use crate::error::StoreError;
use crate::header::StoreHeader;
use crate::layout::Layout;
use crate::shard::{EmbeddingRow, Kind, fingerprint_entry};
use crate::table::{self, BATCH};

/// Seals rows into a shard, and gives its name; `None` without rows.
pub(crate) fn write_embeddings(
    layout: &Layout,
    header: &StoreHeader,
    rows: &mut [EmbeddingRow],
) -> Result<Option<String>, StoreError> {
    rows.sort_by_key(|row| (row.face.variant, row.face.index, row.key));
    let mut keys = blake3::Hasher::new();
    for row in &*rows {
        keys.update(row.key.as_bytes());
        keys.update(&row.face.index.to_le_bytes());
        keys.update(&row.face.variant.0.to_le_bytes());
    }
    let schema = embeddings_schema(header);
    let batches = rows.chunks(BATCH).map(|rows| embeddings_batch(rows, header, &schema));
    write(layout, header, Kind::Embeddings, &keys, &schema, batches)
}

/// Seals rejections into a shard, and gives its name; `None` without rejections.
pub(crate) fn write_rejections(
    layout: &Layout,
    header: &StoreHeader,
    rows: &mut [(ImageKey, Rejection)],
) -> Result<Option<String>, StoreError> {
    rows.sort_by_key(|(key, _)| *key);
    let mut keys = blake3::Hasher::new();
    for (key, _) in &*rows {
        keys.update(key.as_bytes());
    }
    let schema = Arc::new(Schema::new(vec![
        Field::new("key", table::key_type(), false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("detail", DataType::Utf8, false),
    ]));
    let batches = rows.chunks(BATCH).map(|rows| {
        let reasons = rows.iter().map(|(_, rejection)| rejection.reason.as_str());
        let details = rows.iter().map(|(_, rejection)| rejection.detail.as_str());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(table::keys(rows.iter().map(|(key, _)| *key))?),
            Arc::new(StringArray::from_iter_values(reasons)),
            Arc::new(StringArray::from_iter_values(details)),
        ];
        Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
    });
    write(layout, header, Kind::Rejections, &keys, &schema, batches)
}

fn embeddings_schema(header: &StoreHeader) -> SchemaRef {
    let (embedding, taps) = header.lengths();
    let mut fields = vec![
        Field::new("key", table::key_type(), false),
        Field::new("variant", DataType::UInt32, false),
        Field::new("face", DataType::UInt16, false),
        Field::new("found", DataType::UInt32, false),
        Field::new("norm", DataType::Float32, true),
        Field::new("bounding_box", table::floats_type(4), false),
        Field::new("landmarks", table::floats_type(10), false),
        Field::new("score", DataType::Float32, false),
        Field::new("luminance", DataType::Float32, false),
        Field::new("sharpness", DataType::Float32, false),
        Field::new("embedding", table::floats_type(embedding), false),
    ];
    if taps > 0 {
        fields.push(Field::new("taps", table::floats_type(taps), false));
    }
    Arc::new(Schema::new(fields))
}

fn embeddings_batch(
    rows: &[EmbeddingRow],
    header: &StoreHeader,
    schema: &SchemaRef,
) -> Result<RecordBatch, StoreError> {
    let (embedding, taps) = header.lengths();
    let float = |value: fn(&Face) -> f32| -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| value(&row.face))))
    };
    let boxes = rows.iter().flat_map(|row| <[f32; 4]>::from(row.face.bounding_box)).collect();
    let floats = |width: usize, values: fn(&Face) -> &[f32]| -> Result<ArrayRef, StoreError> {
        let mut all = Vec::with_capacity(rows.len() * width);
        for row in rows {
            all.extend_from_slice(values(&row.face));
        }
        Ok(Arc::new(table::floats(all, width)?))
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(table::keys(rows.iter().map(|row| row.key))?),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.face.variant.0))),
        Arc::new(UInt16Array::from_iter_values(rows.iter().map(|row| row.face.index))),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.found))),
        Arc::new(rows.iter().map(|row| row.face.norm).collect::<Float32Array>()),
        Arc::new(table::floats(boxes, 4)?),
        floats(10, |face| face.landmarks.as_flattened())?,
        float(|face| face.score),
        float(|face| face.luminance),
        float(|face| face.sharpness),
        floats(embedding, |face| face.embedding.as_slice())?,
    ];
    if taps > 0 {
        columns.push(floats(taps, |face| &face.taps)?);
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// How shards are compressed: zstd, except where it gains nothing.
///
/// Embeddings and taps are noise to a compressor, and a dictionary or minima of them serve
/// no reader.
fn properties(header: &StoreHeader) -> Result<WriterProperties, ParquetError> {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_key_value_metadata(Some(vec![fingerprint_entry(header)]));
    for name in ["embedding", "taps"] {
        let path = ColumnPath::from(vec![name.to_owned(), "list".to_owned(), "element".to_owned()]);
        builder = builder
            .set_column_compression(path.clone(), Compression::UNCOMPRESSED)
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_statistics_enabled(path, EnabledStatistics::None);
    }
    Ok(builder.build())
}

fn write(
    layout: &Layout,
    header: &StoreHeader,
    kind: Kind,
    keys: &blake3::Hasher,
    schema: &SchemaRef,
    batches: impl ExactSizeIterator<Item = Result<RecordBatch, StoreError>>,
) -> Result<Option<String>, StoreError> {
    if batches.len() == 0 {
        return Ok(None);
    }
    let directory = layout.shards();
    let mut file = PartialFile::new(&directory)?;
    let parquet = |source| StoreError::parquet(&directory, source);
    let properties = properties(header).map_err(parquet)?;
    let mut writer =
        ArrowWriter::try_new(&mut file, Arc::clone(schema), Some(properties)).map_err(parquet)?;
    for batch in batches {
        writer.write(&batch?).map_err(parquet)?;
    }
    writer.close().map_err(parquet)?;
    let mut content = blake3::Hasher::new();
    content.update_reader(fs::File::open(file.path())?)?;
    let name = format!(
        "{}-{}-{}.parquet",
        kind.as_str(),
        &keys.finalize().to_hex()[..16],
        &content.finalize().to_hex()[..32]
    );
    file.persist(&layout.shard(&name))?;
    Ok(Some(name))
}
