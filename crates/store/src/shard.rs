//! Sealed shards: immutable Parquet files of embeddings or of rejections.
//!
//! A shard is named `KIND-KEYS-CONTENT.parquet`: a hash of the keys of its rows, then the blake3
//! of its bytes, so that the same rows sealed twice give the same file, and a changed file no
//! longer has its own name. Rows are sorted by variant, face and key.

use std::io;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, FixedSizeBinaryArray, Float32Array, RecordBatch, StringArray, UInt16Array,
    UInt32Array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use facefold_core::{Embedding, Face, FaceVariant, ImageKey, Rejection};
use fs_err as fs;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::codec;
use crate::error::StoreError;
use crate::header::StoreHeader;
use crate::layout::{Layout, persist, temporary_file};
use crate::table::{self, BATCH, column, float_values, key_at};

/// What the rows of a shard are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Embeddings,
    Rejections,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Embeddings => "embeddings",
            Self::Rejections => "rejections",
        }
    }

    /// The kind that a shard's name tells; none where the name is no shard's.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.strip_suffix(".parquet")?.split('-').collect();
        let kind = [Self::Embeddings, Self::Rejections]
            .into_iter()
            .find(|kind| parts.first() == Some(&kind.as_str()))?;
        (parts.len() == 3).then_some(kind)
    }
}

/// A row of an embeddings shard.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EmbeddingRow {
    pub(crate) key: ImageKey,
    pub(crate) found: u32,
    pub(crate) face: Face,
}

/// Names of the shards in a store, sorted.
pub(crate) fn list(layout: &Layout) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    match fs::read_dir(layout.shards()) {
        Ok(entries) => {
            for entry in entries {
                let name = entry?.file_name().to_string_lossy().into_owned();
                if Kind::of(&name).is_some() {
                    names.push(name);
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    names.sort();
    Ok(names)
}

/// Seals rows into a shard, and gives its name; nothing where there is no row.
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

/// Seals rejections into a shard, and gives its name; nothing where there is none.
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
        floats(4, |face| &face.bounding_box)?,
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
/// nobody.
fn properties(header: &StoreHeader) -> Result<WriterProperties, ParquetError> {
    let fingerprint =
        KeyValue::new("facefold.fingerprint".to_owned(), header.fingerprint.to_string());
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_key_value_metadata(Some(vec![fingerprint]));
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
    fs::create_dir_all(&directory)?;
    let mut file = temporary_file(&directory)?;
    let parquet = |source| StoreError::Parquet { path: directory.clone(), source };
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
    persist(file, &layout.shard(&name))?;
    Ok(Some(name))
}

/// Reads a shard whole, and checks its bytes against its name.
pub(crate) fn read_checked(layout: &Layout, name: &str) -> Result<Bytes, StoreError> {
    let path = layout.shard(name);
    let bytes = fs::read(&path)?;
    let content = &blake3::hash(&bytes).to_hex()[..32];
    let expected = name.strip_suffix(".parquet").and_then(|stem| stem.rsplit('-').next());
    if expected != Some(content) {
        let what = format!("its bytes have checksum {content}, which is not in its name");
        return Err(StoreError::damaged_shard(&path, what));
    }
    Ok(bytes.into())
}

/// Key, face and variant of every row, in order, without reading anything else.
pub(crate) fn read_keys(
    layout: &Layout,
    name: &str,
) -> Result<Vec<(ImageKey, u16, FaceVariant)>, StoreError> {
    let path = layout.shard(name);
    let file = fs::File::open(&path)?.into_file();
    let embeddings = Kind::of(name) == Some(Kind::Embeddings);
    let columns: &[&str] = if embeddings { &["key", "face", "variant"] } else { &["key"] };
    let mut all = Vec::new();
    let read = || -> Result<(), ParquetError> {
        for batch in table::reader(file, columns)? {
            let batch = batch?;
            let keys: &FixedSizeBinaryArray = column(&batch, "key")?;
            for row in 0..batch.num_rows() {
                let key = key_at(keys, row)?;
                if embeddings {
                    let face = column::<UInt16Array>(&batch, "face")?.value(row);
                    let variant = column::<UInt32Array>(&batch, "variant")?.value(row);
                    all.push((key, face, FaceVariant(variant)));
                } else {
                    all.push((key, 0, FaceVariant::PLAIN));
                }
            }
        }
        Ok(())
    };
    read().map_err(|error| StoreError::damaged_shard(&path, error.to_string()))?;
    Ok(all)
}

/// Calls `each` with blocks of consecutive rows of one column of floats, in order.
pub(crate) fn for_each_block(
    layout: &Layout,
    name: &str,
    values: &str,
    mut each: impl FnMut(&[f32]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let bytes = read_checked(layout, name)?;
    let damaged = |error: String| StoreError::damaged_shard(&layout.shard(name), error);
    for batch in table::reader(bytes, &[values]).map_err(|error| damaged(error.to_string()))? {
        let batch = batch.map_err(|error| damaged(error.to_string()))?;
        each(float_values(&batch, values).map_err(|error| damaged(error.to_string()))?)?;
    }
    Ok(())
}

/// Calls `each` with every row of an embeddings shard, in order.
pub(crate) fn for_each_row(
    layout: &Layout,
    name: &str,
    mut each: impl FnMut(EmbeddingRow) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let bytes = read_checked(layout, name)?;
    let damaged = |error: String| StoreError::damaged_shard(&layout.shard(name), error);
    for batch in table::reader(bytes, &[]).map_err(|error| damaged(error.to_string()))? {
        let batch = batch.map_err(|error| damaged(error.to_string()))?;
        for row in rows_of(&batch).map_err(|error| damaged(error.to_string()))? {
            each(row)?;
        }
    }
    Ok(())
}

fn rows_of(batch: &RecordBatch) -> Result<Vec<EmbeddingRow>, ParquetError> {
    let keys: &FixedSizeBinaryArray = column(batch, "key")?;
    let variants: &UInt32Array = column(batch, "variant")?;
    let indices: &UInt16Array = column(batch, "face")?;
    let found: &UInt32Array = column(batch, "found")?;
    let norms: &Float32Array = column(batch, "norm")?;
    let [scores, luminances, sharpnesses]: [&Float32Array; 3] =
        [column(batch, "score")?, column(batch, "luminance")?, column(batch, "sharpness")?];
    let boxes = float_values(batch, "bounding_box")?.as_chunks::<4>().0;
    let points = float_values(batch, "landmarks")?.as_chunks::<10>().0;
    let embeddings = float_values(batch, "embedding")?;
    let has_taps = batch.column_by_name("taps").is_some();
    let taps = if has_taps { float_values(batch, "taps")? } else { &[] };
    let rows = batch.num_rows();
    let row_of = |values: &[f32], row: usize| {
        let width = values.len() / rows;
        values[row * width..][..width].to_vec()
    };
    (0..rows)
        .map(|row| {
            let embedding = Embedding::new(row_of(embeddings, row))
                .map_err(|error| ParquetError::General(error.to_string()))?;
            let face = Face {
                index: indices.value(row),
                variant: FaceVariant(variants.value(row)),
                embedding,
                norm: norms.is_valid(row).then(|| norms.value(row)),
                taps: row_of(taps, row),
                bounding_box: boxes[row],
                landmarks: codec::landmarks(&points[row]),
                score: scores.value(row),
                luminance: luminances.value(row),
                sharpness: sharpnesses.value(row),
            };
            Ok(EmbeddingRow { key: key_at(keys, row)?, found: found.value(row), face })
        })
        .collect()
}

/// All rejections of a shard, in order.
pub(crate) fn read_rejections(
    layout: &Layout,
    name: &str,
) -> Result<Vec<(ImageKey, Rejection)>, StoreError> {
    let bytes = read_checked(layout, name)?;
    let read = || -> Result<Vec<_>, ParquetError> {
        let mut all = Vec::new();
        for batch in table::reader(bytes, &[])? {
            let batch = batch?;
            let keys: &FixedSizeBinaryArray = column(&batch, "key")?;
            let reasons: &StringArray = column(&batch, "reason")?;
            let details: &StringArray = column(&batch, "detail")?;
            for row in 0..batch.num_rows() {
                let reason = reasons.value(row).parse().map_err(
                    |error: facefold_core::extraction::InvalidRejectReason| {
                        ParquetError::General(error.to_string())
                    },
                )?;
                all.push((key_at(keys, row)?, Rejection::new(reason, details.value(row))));
            }
        }
        Ok(all)
    };
    read().map_err(|error| StoreError::damaged_shard(&layout.shard(name), error.to_string()))
}
