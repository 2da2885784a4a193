//! The derived `.npy` copies of the shards' embeddings and taps, read at the speed of the disk.
//!
//! `derived/embedding-STAMP.npy` has all rows of all embeddings shards, in the order of the key
//! index; the stamp names those shards, so a copy of other shards is never taken for it. It is
//! read into memory, not mapped: a memory map needs `unsafe`.

use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

use fs_err as fs;
use ndarray::ArrayViewMut2;

use crate::error::StoreError;
use crate::index::IndexedShard;
use crate::layout::{PARTIAL, persist, remove_partial_files, temporary_file};
use crate::shard::{self, Kind};
use crate::store::Store;

/// Floats read at once: 4 MiB, enough for any disk and little beside a matrix.
const BLOCK: usize = 1 << 20;

/// Bytes that are cheaper to read and drop than to seek over.
const GAP: usize = 128 << 10;

/// Copies rows of a column of the shards (`embedding` or `taps`) to rows of `target`.
///
/// `places` are pairs of a row in the shards and a row in the target, sorted.
pub(crate) fn scatter<'a>(
    store: &Store,
    name: &str,
    places: &'a [(u32, u32)],
    target: ArrayViewMut2<'a, f32>,
) -> Result<(), StoreError> {
    if places.is_empty() {
        return Ok(());
    }
    let width = target.ncols();
    let mut scatter = Scatter { places, target };
    match open_or_build(store, name, width) {
        Ok(file) => scatter.read(file, width),
        Err(StoreError::Io(error)) if cannot_write(&error) => {
            tracing::debug!("reading the shards directly: {error}");
            let mut row = 0;
            for shard in store.index.shards_of(Kind::Embeddings) {
                shard::for_each_block(&store.layout, &shard.name, name, |values| {
                    scatter.block(row, values, width);
                    row += (values.len() / width) as u32;
                    Ok(())
                })?;
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// A store on a read-only medium, or a full disk, can still be read.
fn cannot_write(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | StorageFull | QuotaExceeded)
}

/// The rows still to be copied.
struct Scatter<'a> {
    places: &'a [(u32, u32)],
    target: ArrayViewMut2<'a, f32>,
}

impl Scatter<'_> {
    /// Copies what is wanted of the rows from `first` on.
    fn block(&mut self, first: u32, values: &[f32], width: usize) {
        let end = first + (values.len() / width) as u32;
        while let Some((&(row, target), rest)) = self.places.split_first() {
            if row >= end {
                break;
            }
            let start = (row - first) as usize * width;
            let mut to = self.target.row_mut(target as usize);
            if let Some(to) = to.as_slice_mut() {
                to.copy_from_slice(&values[start..start + width]);
            }
            self.places = rest;
        }
    }

    /// Reads a `.npy` file from front to back, skipping long stretches that nobody wants.
    fn read(&mut self, mut file: fs::File, width: usize) -> Result<(), StoreError> {
        let start = header(0, width).len() as u64;
        let row_bytes = (width * size_of::<f32>()) as u64;
        let gap = (GAP as u64 / row_bytes).max(1) as u32;
        let longest = (BLOCK / width).max(1);
        let mut buffer = vec![0.0f32; longest * width];
        while let Some(&(first, _)) = self.places.first() {
            let limit = first.saturating_add(longest as u32);
            let mut last = first;
            for &(row, _) in self.places {
                if row >= limit || row - last > gap {
                    break;
                }
                last = row;
            }
            let values = &mut buffer[..(last - first + 1) as usize * width];
            file.seek(SeekFrom::Start(start + u64::from(first) * row_bytes))?;
            file.read_exact(bytemuck::cast_slice_mut(values))?;
            self.block(first, values, width);
        }
        Ok(())
    }
}

/// Opens the copy that belongs to the index; builds it where there is none.
fn open_or_build(store: &Store, name: &str, width: usize) -> Result<fs::File, StoreError> {
    let rows = store.index.rows() as usize;
    let path = path(store, name);
    let expected = (header(rows, width).len() + rows * width * size_of::<f32>()) as u64;
    let open = || -> io::Result<Option<fs::File>> {
        match fs::File::open(&path) {
            Ok(file) if file.metadata()?.len() == expected => Ok(Some(file)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    };
    if let Some(file) = open()? {
        return Ok(file);
    }
    let _lock = store.layout.lock_derived()?;
    if let Some(file) = open()? {
        return Ok(file);
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
    Ok(fs::File::open(&path)?)
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
pub(crate) fn path(store: &Store, name: &str) -> std::path::PathBuf {
    store.layout.derived().join(format!("{name}-{}.npy", store.index.stamp()))
}

/// The header of a little-endian f32 matrix in NumPy's format, version 1.0, always of 128 bytes
/// (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).
pub(crate) fn header(rows: usize, width: usize) -> Vec<u8> {
    let dictionary =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&118u16.to_le_bytes());
    bytes.extend_from_slice(dictionary.as_bytes());
    bytes.resize(127, b' ');
    bytes.push(b'\n');
    bytes
}
