//! The derived `.npy` copies of the shards' embeddings and taps, which matrices are made of.
//!
//! `derived/embedding-STAMP.npy` has all rows of all embeddings shards, in the order of the key
//! index; the stamp names those shards, so a copy of other shards is never taken for it. It is
//! mapped, not read: a file that is written once, under another name, and only ever deleted.
//!
//! The matrix is followed by checksums, one for each [`Sums::BLOCK`] values or so. Those of the
//! rows that are used are compared each time rows are loaded; a copy that differs is built again.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use facefold_core::RowValues;
use facefold_kernels::MappedFile;
use fs_err as fs;
use rayon::prelude::*;

use crate::disk::{self, PARTIAL, PartialFile};
use crate::error::StoreError;
use crate::index::IndexedShard;
use crate::shard::{self, Kind};
use crate::store::Store;

/// Bytes of the header of a copy.
const HEADER: usize = 128;

/// Blocks that one core checks before it takes more.
const CHECKED_BLOCKS: usize = 16;

/// Writes a matrix of rows of `width` values in NumPy's format.
///
/// # Errors
/// A failure to write.
pub fn write_npy(
    path: &Path,
    values: impl ExactSizeIterator<Item = f32>,
    width: usize,
) -> Result<(), StoreError> {
    let rows = values.len() / width.max(1);
    let mut bytes = header(rows, width);
    bytes.extend(values.take(rows * width).flat_map(f32::to_le_bytes));
    Ok(disk::write_atomic(path, &bytes)?)
}

/// A column of all rows of the shards (`embedding` or `taps`), in the order of the key index.
#[derive(Clone)]
pub(crate) enum Values {
    /// The mapped copy.
    Mapped(Arc<MappedCopy>),
    /// As read from the shards, where no copy can be written.
    Read(Arc<Vec<f32>>),
}

/// A mapped copy.
pub(crate) struct MappedCopy {
    file: MappedFile,
    width: usize,
    /// The checksum of each block.
    sums: Vec<u32>,
    /// Bytes of header and values.
    end: usize,
}

impl AsRef<[f32]> for MappedCopy {
    fn as_ref(&self) -> &[f32] {
        // The map begins with a page, and the header is a whole number of values.
        bytemuck::cast_slice(&self.file.as_ref()[HEADER..self.end])
    }
}

impl MappedCopy {
    /// Maps a copy; none where there is none, or its length, header or checksums are not those of
    /// a copy of so many rows.
    fn open(path: &Path, rows: usize, width: usize) -> io::Result<Option<Self>> {
        let end = HEADER + rows * width * size_of::<f32>();
        let expected = end + Sums::bytes(rows, width);
        match fs::metadata(path) {
            Ok(metadata) if metadata.len() == expected as u64 => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let file = MappedFile::open(path)?;
        let sums = Sums::read(&Seal::of(path, rows, width), file.as_ref(), end);
        Ok(sums.map(|sums| Self { file, width, sums, end }))
    }

    /// Reads a block from the disk; whether it has its checksum.
    fn check(&self, block: usize) -> bool {
        let bytes = Sums::rows(self.width) * self.width * size_of::<f32>();
        let start = HEADER + block * bytes;
        let values = self.file.as_ref().get(start..(start + bytes).min(self.end));
        let found = values.map(crc32fast::hash);
        found.is_some() && found.as_ref() == self.sums.get(block)
    }
}

/// The checksums of a matrix, which grow with it.
pub(crate) struct Sums {
    width: usize,
    block: usize,
    filled: usize,
    hasher: crc32fast::Hasher,
    finished: Vec<u32>,
}

impl Sums {
    /// Values of a block: as many whole rows as have at most so many, or one row.
    const BLOCK: usize = 1 << 14;

    /// Rows of a block.
    fn rows(width: usize) -> usize {
        (Self::BLOCK / width.max(1)).max(1)
    }

    /// Bytes of the checksums of a matrix: those of the blocks, and one of them and the header.
    fn bytes(rows: usize, width: usize) -> usize {
        (rows.div_ceil(Self::rows(width)) + 1) * size_of::<u32>()
    }

    pub(crate) fn new(width: usize) -> Self {
        let block = Self::rows(width) * width;
        Self { width, block, filled: 0, hasher: crc32fast::Hasher::new(), finished: Vec::new() }
    }

    /// Takes the next values.
    pub(crate) fn add(&mut self, mut values: &[f32]) {
        while !values.is_empty() {
            let (some, rest) = values.split_at(values.len().min(self.block - self.filled));
            self.hasher.update(bytemuck::cast_slice(some));
            self.filled += some.len();
            values = rest;
            if self.filled == self.block {
                self.end_block();
            }
        }
    }

    fn end_block(&mut self) {
        self.finished.push(std::mem::take(&mut self.hasher).finalize());
        self.filled = 0;
    }

    /// The bytes after the matrix.
    pub(crate) fn finish(mut self, seal: &Seal) -> Vec<u8> {
        if self.filled > 0 {
            self.end_block();
        }
        let mut bytes: Vec<u8> = self.finished.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        bytes.extend(Self::of(seal, &bytes).to_le_bytes());
        bytes
    }

    /// The checksums in a file whose values end at a byte; none where they, the header or the name
    /// are not what was written.
    fn read(seal: &Seal, file: &[u8], end: usize) -> Option<Vec<u32>> {
        let (sums, whole) = file.get(end..)?.split_last_chunk::<4>()?;
        let right =
            file.starts_with(&seal.header) && Self::of(seal, sums) == u32::from_le_bytes(*whole);
        let sums = sums.as_chunks().0.iter().map(|sum| u32::from_le_bytes(*sum));
        right.then(|| sums.collect())
    }

    fn of(seal: &Seal, sums: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&seal.header);
        hasher.update(&seal.name);
        hasher.update(sums);
        hasher.finalize()
    }
}

/// What a copy's checksum covers in addition to its values: its header, and its name, which has the
/// column of which shards it is a copy. So one of another store is not taken for it under its name.
pub(crate) struct Seal {
    pub header: Vec<u8>,
    name: Vec<u8>,
}

impl Seal {
    pub(crate) fn of(path: &Path, rows: usize, width: usize) -> Self {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
        Self { header: header(rows, width), name }
    }
}

impl Values {
    /// Opens the copy of a column, after building it where there is none.
    pub(crate) fn open(store: &Store, name: &str, width: usize) -> Result<Self, StoreError> {
        match open_or_build(store, name, width) {
            Ok(copy) => Ok(Self::Mapped(Arc::new(copy))),
            Err(StoreError::Io(error)) if cannot_write(&error) => {
                tracing::debug!("reading the shards directly: {error}");
                Self::from_shards(store, name)
            }
            Err(error) => Err(error),
        }
    }

    /// As [`Self::open`], after deleting a corrupt copy.
    pub(crate) fn open_anew(store: &Store, name: &str, width: usize) -> Result<Self, StoreError> {
        let path = path(store, name);
        tracing::warn!("`{}` is corrupt: it is built again from the shards", path.display());
        match disk::remove_file(&path) {
            Err(error) if cannot_write(&error) => Self::from_shards(store, name),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Self::open(store, name, width),
        }
    }

    fn from_shards(store: &Store, name: &str) -> Result<Self, StoreError> {
        let mut all = Vec::new();
        for shard in store.index.shards_of(Kind::Embeddings) {
            shard::for_each_block(&store.layout, &shard.name, name, |values| {
                all.extend_from_slice(values);
                Ok(())
            })?;
        }
        Ok(Self::Read(Arc::new(all)))
    }

    /// Reads some rows from the disk, on all cores, and compares them with their checksums; whether
    /// they are what was written. `rows` are in order.
    pub(crate) fn fetch(&self, rows: &[u32]) -> bool {
        let Self::Mapped(copy) = self else { return true };
        let in_block = Sums::rows(copy.width) as u32;
        let mut blocks: Vec<u32> = rows.iter().map(|row| row / in_block).collect();
        blocks.dedup();
        blocks
            .par_chunks(CHECKED_BLOCKS)
            .all(|blocks| blocks.iter().all(|&block| copy.check(block as usize)))
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
fn open_or_build(store: &Store, name: &str, width: usize) -> Result<MappedCopy, StoreError> {
    let rows = store.index.rows() as usize;
    let path = path(store, name);
    if let Some(copy) = MappedCopy::open(&path, rows, width)? {
        return Ok(copy);
    }
    let _lock = store.layout.lock_derived()?;
    if let Some(copy) = MappedCopy::open(&path, rows, width)? {
        return Ok(copy);
    }
    disk::remove_partial_files(&store.layout.derived())?;
    let file = PartialFile::new(&store.layout.derived())?;
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    let (seal, mut sums) = (Seal::of(&path, rows, width), Sums::new(width));
    writer.write_all(&seal.header)?;
    for shard in store.index.shards_of(Kind::Embeddings) {
        write_rows(store, shard, name, &mut sums, &mut writer)?;
    }
    writer.write_all(&sums.finish(&seal))?;
    let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.persist(&path)?;
    remove_stale(store, name)?;
    MappedCopy::open(&path, rows, width)?.ok_or_else(|| StoreError::Corrupt {
        path,
        what: "it is not what was just written".to_owned(),
        remedy: "check the disk".to_owned(),
    })
}

fn write_rows(
    store: &Store,
    shard: &IndexedShard,
    name: &str,
    sums: &mut Sums,
    writer: &mut impl Write,
) -> Result<(), StoreError> {
    let mut rows = 0;
    shard::for_each_block(&store.layout, &shard.name, name, |values| {
        rows += values.len() / sums.width;
        sums.add(values);
        writer.write_all(bytemuck::cast_slice(values))?;
        Ok(())
    })?;
    if rows == shard.rows as usize {
        return Ok(());
    }
    let what = format!("expected {} rows, found {rows}", shard.rows);
    Err(StoreError::corrupt_shard(&store.layout.shard(&shard.name), what))
}

/// Deletes copies of shards as they were earlier.
fn remove_stale(store: &Store, name: &str) -> io::Result<()> {
    let current = path(store, name);
    for entry in fs::read_dir(store.layout.derived())? {
        let path = entry?.path();
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stale = file_name.starts_with(&format!("{name}-")) && path != current;
        if stale && !file_name.starts_with(PARTIAL) {
            disk::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Bytes of a copy of the first format, which has no checksums.
pub(crate) fn without_sums(rows: u64, width: usize) -> u64 {
    HEADER as u64 + rows * width as u64 * size_of::<f32>() as u64
}

/// Where the copy of a column lies that belongs to the store's index.
pub(crate) fn path(store: &Store, name: &str) -> PathBuf {
    store.layout.derived().join(format!("{name}-{}.npy", store.index.stamp()))
}

/// The header of a little-endian f32 matrix in NumPy's format, version 1.0, always of [`HEADER`]
/// bytes (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).
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
