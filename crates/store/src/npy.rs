//! The derived `.npy` copies of the shards' embeddings and taps, which matrices are made of.
//!
//! `derived/embedding-STAMP.npy` has all rows of all embeddings shards, in the order of the key
//! index; the stamp names those shards, so a copy of other shards is never taken for it. It is
//! mapped, not read: a file that is written once, under another name, and only ever deleted.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use facefold_core::RowValues;
use facefold_engine::MappedFile;
use fs_err as fs;
use rayon::prelude::*;

use crate::error::StoreError;
use crate::index::IndexedShard;
use crate::layout::{PARTIAL, persist, remove_partial_files, temporary_file};
use crate::shard::{self, Kind};
use crate::store::Store;

/// Bytes of the header of a copy.
const HEADER: usize = 128;

/// Rows that one core fetches before it asks for more.
const FETCHED_ROWS: usize = 1024;

/// A column of all rows of the shards (`embedding` or `taps`), in the order of the key index.
#[derive(Clone)]
pub(crate) enum Values {
    /// The mapped copy.
    Mapped(Arc<MappedCopy>),
    /// As read from the shards, where no copy can be written.
    Read(Arc<Vec<f32>>),
}

/// The values in a mapped copy.
pub(crate) struct MappedCopy(MappedFile);

impl AsRef<[f32]> for MappedCopy {
    fn as_ref(&self) -> &[f32] {
        // The map begins with a page, and the header is a whole number of values.
        bytemuck::cast_slice(&self.0.as_ref()[HEADER..])
    }
}

impl Values {
    /// Opens the copy of a column, after building it where there is none.
    pub(crate) fn open(store: &Store, name: &str, width: usize) -> Result<Self, StoreError> {
        match open_or_build(store, name, width) {
            Ok(file) => Ok(Self::Mapped(Arc::new(MappedCopy(file)))),
            Err(StoreError::Io(error)) if cannot_write(&error) => {
                tracing::debug!("reading the shards directly: {error}");
                let mut all = Vec::new();
                for shard in store.index.shards_of(Kind::Embeddings) {
                    shard::for_each_block(&store.layout, &shard.name, name, |values| {
                        all.extend_from_slice(values);
                        Ok(())
                    })?;
                }
                Ok(Self::Read(Arc::new(all)))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads some rows from the disk, on all cores; `rows` are in order.
    pub(crate) fn fetch(&self, rows: &[u32], width: usize) {
        let Self::Mapped(copy) = self else { return };
        let (bytes, end) = (width * size_of::<f32>(), copy.0.as_ref().len());
        rows.par_chunks(FETCHED_ROWS).for_each(|rows| {
            for rows in rows.chunk_by(|row, next| next - row <= 1) {
                let [Some(first), Some(last)] = [rows.first(), rows.last()] else { continue };
                let first = HEADER + *first as usize * bytes;
                copy.0.fetch(first.min(end)..(HEADER + (*last as usize + 1) * bytes).min(end));
            }
        });
    }

    /// The values, shared.
    pub(crate) fn rows(&self) -> RowValues {
        match self {
            Self::Mapped(copy) => Arc::<MappedCopy>::clone(copy),
            Self::Read(values) => Arc::<Vec<f32>>::clone(values),
        }
    }
}

/// A store on a read-only medium, or a full disk, can still be read.
fn cannot_write(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | StorageFull | QuotaExceeded)
}

/// Maps the copy that belongs to the index; builds it where there is none.
fn open_or_build(store: &Store, name: &str, width: usize) -> Result<MappedFile, StoreError> {
    let rows = store.index.rows() as usize;
    let path = path(store, name);
    let expected = (header(rows, width).len() + rows * width * size_of::<f32>()) as u64;
    let is_whole = || match fs::metadata(&path) {
        Ok(metadata) => Ok(metadata.len() == expected),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    if is_whole()? {
        return Ok(MappedFile::open(&path)?);
    }
    let _lock = store.layout.lock_derived()?;
    if is_whole()? {
        return Ok(MappedFile::open(&path)?);
    }
    remove_partial_files(&store.layout.derived())?;
    let mut file = temporary_file(&store.layout.derived())?;
    let mut writer = BufWriter::with_capacity(1 << 20, &mut file);
    writer.write_all(&header(rows, width))?;
    for shard in store.index.shards_of(Kind::Embeddings) {
        write_rows(store, shard, name, width, &mut writer)?;
    }
    writer.flush()?;
    drop(writer);
    persist(file, &path)?;
    remove_stale(store, name)?;
    Ok(MappedFile::open(&path)?)
}

fn write_rows(
    store: &Store,
    shard: &IndexedShard,
    name: &str,
    width: usize,
    writer: &mut impl Write,
) -> Result<(), StoreError> {
    let mut rows = 0;
    shard::for_each_block(&store.layout, &shard.name, name, |values| {
        rows += values.len() / width;
        writer.write_all(bytemuck::cast_slice(values))?;
        Ok(())
    })?;
    if rows == shard.rows as usize {
        return Ok(());
    }
    let what = format!("expected {} rows, found {rows}", shard.rows);
    Err(StoreError::damaged_shard(&store.layout.shard(&shard.name), what))
}

/// Deletes copies of shards as they were earlier.
fn remove_stale(store: &Store, name: &str) -> io::Result<()> {
    let current = path(store, name);
    for entry in fs::read_dir(store.layout.derived())? {
        let path = entry?.path();
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stale = file_name.starts_with(&format!("{name}-")) && path != current;
        if stale && !file_name.starts_with(PARTIAL) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Where the copy of a column lies that belongs to the store's index.
pub(crate) fn path(store: &Store, name: &str) -> PathBuf {
    store.layout.derived().join(format!("{name}-{}.npy", store.index.stamp()))
}

/// The header of a little-endian f32 matrix in NumPy's format, version 1.0, always of [`HEADER`] bytes
/// (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).
pub(crate) fn header(rows: usize, width: usize) -> Vec<u8> {
    let dictionary =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(HEADER as u16 - 10).to_le_bytes());
    bytes.extend_from_slice(dictionary.as_bytes());
    bytes.resize(HEADER - 1, b' ');
    bytes.push(b'\n');
    bytes
}
