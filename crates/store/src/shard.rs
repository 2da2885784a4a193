//! Reading sealed shards: immutable Parquet files of embeddings or of rejections.
//!
//! A shard is named `KIND-KEYS-CONTENT.parquet`: a hash of the keys of its rows, then the blake3
//! of its bytes, so that the same rows sealed twice give the same file, and a changed file no
//! longer has its own name. Rows are sorted by variant, face and key.

use std::io;
use std::path::PathBuf;

use arrow_array::{
    Array, FixedSizeBinaryArray, Float32Array, RecordBatch, StringArray, UInt16Array, UInt32Array,
};
use bytes::Bytes;
use facefold_core::extraction::InvalidRejectReason;
use facefold_core::files::children;
use facefold_core::{BoundingBox, Embedding, Face, FaceVariant, ImageKey, Rejection};
use fs_err as fs;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;

use crate::codec;
use crate::error::StoreError;
use crate::header::StoreHeader;
use crate::layout::Layout;
use crate::table::{self, column, float_values, key_at};

/// What the rows of a shard are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Embeddings,
    Rejections,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Embeddings => "embeddings",
            Self::Rejections => "rejections",
        }
    }

    /// The kind of a shard by its name; `None` where the name is no shard's.
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

/// The quality measures of a picture's main face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceSummary {
    /// Faces found in the picture.
    pub found: u32,
    /// The embedding's norm as the backend gave it, where it did.
    pub norm: Option<f32>,
    /// Detector score in [0, 1]; 1 where detection was skipped.
    pub score: f32,
    /// Mean luma of the aligned crop, 0 to 255.
    pub luminance: f32,
    /// Variance of the Laplacian of the aligned crop's luma; higher is sharper.
    pub sharpness: f32,
    /// Around the face.
    pub bounding_box: BoundingBox,
}

impl FaceSummary {
    pub(crate) fn of(face: &Face, found: u32) -> Self {
        Self {
            found,
            norm: face.norm,
            score: face.score,
            luminance: face.luminance,
            sharpness: face.sharpness,
            bounding_box: face.bounding_box,
        }
    }

    /// The side of the square that is as large as the face's box, in pixels.
    #[must_use]
    pub fn size(&self) -> f32 {
        self.bounding_box.area().sqrt()
    }
}

/// Names of the shards in a store, sorted.
pub(crate) fn list(layout: &Layout) -> io::Result<Vec<String>> {
    let name = |path: PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = children(&layout.shards())?.into_iter().map(name);
    Ok(names.filter(|name| Kind::of(name).is_some()).collect())
}

/// Reads a shard whole, and checks its bytes against its name.
pub(crate) fn read_checked(layout: &Layout, name: &str) -> Result<Bytes, StoreError> {
    let path = layout.shard(name);
    let bytes = fs::read(&path)?;
    let content = &blake3::hash(&bytes).to_hex()[..32];
    let expected = name.strip_suffix(".parquet").and_then(|stem| stem.rsplit('-').next());
    if expected != Some(content) {
        let what = format!("its bytes have checksum {content}, which is not in its name");
        return Err(StoreError::corrupt_shard(&path, what));
    }
    Ok(bytes.into())
}

/// The name of the fingerprint among a file's key-value metadata.
const FINGERPRINT: &str = "facefold.fingerprint";

/// The metadata entry with the fingerprint of a file's rows.
pub(crate) fn fingerprint_entry(header: &StoreHeader) -> KeyValue {
    KeyValue::new(FINGERPRINT.to_owned(), header.fingerprint.to_string())
}

/// What [`fingerprint_entry`] put into a file; none where there is no such entry.
pub(crate) fn fingerprint(bytes: &Bytes) -> Result<Option<String>, ParquetError> {
    metadata(bytes, FINGERPRINT)
}

/// A value of a file's key-value metadata.
pub(crate) fn metadata(bytes: &Bytes, name: &str) -> Result<Option<String>, ParquetError> {
    let metadata = ArrowReaderMetadata::load(bytes, ArrowReaderOptions::default())?;
    let entries = metadata.metadata().file_metadata().key_value_metadata();
    let found = entries.into_iter().flatten().find(|entry| entry.key == name);
    Ok(found.and_then(|entry| entry.value.clone()))
}

/// What the index keeps of a shard.
pub(crate) struct Keys {
    /// What its rows were made with.
    pub(crate) fingerprint: String,
    /// Key, face and variant of every row, in order.
    pub(crate) rows: Vec<(ImageKey, u16, FaceVariant)>,
}

/// Reads the keys of a shard, whose bytes are checked.
pub(crate) fn read_keys(layout: &Layout, name: &str) -> Result<Keys, StoreError> {
    keys_of(read_checked(layout, name)?, layout, name)
}

/// The keys in the bytes of a shard.
pub(crate) fn keys_of(bytes: Bytes, layout: &Layout, name: &str) -> Result<Keys, StoreError> {
    let embeddings = Kind::of(name) == Some(Kind::Embeddings);
    let columns: &[&str] = if embeddings { &["key", "face", "variant"] } else { &["key"] };
    let read = || -> Result<Keys, ParquetError> {
        let fingerprint = fingerprint(&bytes)?.unwrap_or_else(|| "none".to_owned());
        let mut rows = Vec::new();
        for batch in table::reader(bytes, columns)? {
            let batch = batch?;
            let keys: &FixedSizeBinaryArray = column(&batch, "key")?;
            for row in 0..batch.num_rows() {
                let key = key_at(keys, row)?;
                if embeddings {
                    let face = column::<UInt16Array>(&batch, "face")?.value(row);
                    let variant = column::<UInt32Array>(&batch, "variant")?.value(row);
                    rows.push((key, face, FaceVariant(variant)));
                } else {
                    rows.push((key, 0, FaceVariant::PLAIN));
                }
            }
        }
        Ok(Keys { fingerprint, rows })
    };
    read().map_err(|error| StoreError::corrupt_shard(&layout.shard(name), error.to_string()))
}

/// Calls `each` with blocks of consecutive rows of one column of floats, in order.
pub(crate) fn for_each_block(
    layout: &Layout,
    name: &str,
    values: &str,
    mut each: impl FnMut(&[f32]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let bytes = read_checked(layout, name)?;
    let corrupt = |error: String| StoreError::corrupt_shard(&layout.shard(name), error);
    for batch in table::reader(bytes, &[values]).map_err(|error| corrupt(error.to_string()))? {
        let batch = batch.map_err(|error| corrupt(error.to_string()))?;
        each(float_values(&batch, values).map_err(|error| corrupt(error.to_string()))?)?;
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
    let corrupt = |error: String| StoreError::corrupt_shard(&layout.shard(name), error);
    for batch in table::reader(bytes, &[]).map_err(|error| corrupt(error.to_string()))? {
        let batch = batch.map_err(|error| corrupt(error.to_string()))?;
        for row in rows_of(&batch).map_err(|error| corrupt(error.to_string()))? {
            each(row)?;
        }
    }
    Ok(())
}

/// Calls `each` with the numbers of every plain main face of an embeddings shard.
pub(crate) fn for_each_main_face(
    layout: &Layout,
    name: &str,
    mut each: impl FnMut(ImageKey, FaceSummary),
) -> Result<(), StoreError> {
    let columns = [
        "key",
        "variant",
        "face",
        "found",
        "norm",
        "bounding_box",
        "score",
        "luminance",
        "sharpness",
    ];
    let bytes = read_checked(layout, name)?;
    let read = || -> Result<(), ParquetError> {
        for batch in table::reader(bytes, &columns)? {
            let batch = batch?;
            let keys: &FixedSizeBinaryArray = column(&batch, "key")?;
            let variants: &UInt32Array = column(&batch, "variant")?;
            let indices: &UInt16Array = column(&batch, "face")?;
            let found: &UInt32Array = column(&batch, "found")?;
            let norms: &Float32Array = column(&batch, "norm")?;
            let [scores, luminances, sharpnesses]: [&Float32Array; 3] = [
                column(&batch, "score")?,
                column(&batch, "luminance")?,
                column(&batch, "sharpness")?,
            ];
            let boxes = float_values(&batch, "bounding_box")?.as_chunks::<4>().0;
            let plain = FaceVariant::PLAIN.0;
            let wanted = |row: &usize| variants.value(*row) == plain && indices.value(*row) == 0;
            for row in (0..batch.num_rows()).filter(wanted) {
                let summary = FaceSummary {
                    found: found.value(row),
                    norm: norms.is_valid(row).then(|| norms.value(row)),
                    score: scores.value(row),
                    luminance: luminances.value(row),
                    sharpness: sharpnesses.value(row),
                    bounding_box: boxes[row].into(),
                };
                each(key_at(keys, row)?, summary);
            }
        }
        Ok(())
    };
    read().map_err(|error| StoreError::corrupt_shard(&layout.shard(name), error.to_string()))
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
                bounding_box: boxes[row].into(),
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
                let unknown = |error: InvalidRejectReason| ParquetError::General(error.to_string());
                let reason = reasons.value(row).parse().map_err(unknown)?;
                all.push((key_at(keys, row)?, Rejection::new(reason, details.value(row))));
            }
        }
        Ok(all)
    };
    read().map_err(|error| StoreError::corrupt_shard(&layout.shard(name), error.to_string()))
}
