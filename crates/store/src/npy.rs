//! The derived `.npy` copies of the shards' embeddings and taps, and how matrices are filled from them.
//!
//! `derived/embedding-STAMP.npy` has all rows of all embeddings shards, in the order of the key
//! index; the stamp names those shards, so a copy of other shards is never taken for it. It is
//! read into memory, not mapped: a memory map needs `unsafe`.

use std::io::{self, BufWriter, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::iter;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fs_err as fs;
use ndarray::{ArrayViewMut1, ArrayViewMut2};
use rayon::prelude::*;

use crate::error::StoreError;
use crate::index::IndexedShard;
use crate::layout::{PARTIAL, persist, remove_partial_files, temporary_file};
use crate::shard::{self, Kind};
use crate::store::Store;

/// Floats read at once: 1 MiB, enough for any disk.
const BLOCK: usize = 1 << 18;

/// Bytes that are cheaper to read and drop than to seek over.
const GAP: usize = 128 << 10;

/// Copies rows of a column of the shards (`embedding` or `taps`) to rows of `target`.
///
/// `places` are pairs of a row in the shards and a row in the target, sorted.
pub(crate) fn scatter(
    store: &Store,
    name: &str,
    places: &[(u32, u32)],
    mut target: ArrayViewMut2<'_, f32>,
) -> Result<(), StoreError> {
    if places.is_empty() {
        return Ok(());
    }
    let width = target.ncols();
    let mut rows: Vec<_> = target.rows_mut().into_iter().map(ArrayViewMut1::into_slice).collect();
    let mut wanted: Vec<Wanted<'_>> = places
        .iter()
        .filter_map(|&(row, to)| Some(Wanted { row, to: rows[to as usize].take()? }))
        .collect();
    match open_or_build(store, name, width) {
        Ok(path) => read(&path, width, &mut wanted),
        Err(StoreError::Io(error)) if cannot_write(&error) => {
            tracing::debug!("reading the shards directly: {error}");
            let (mut first, mut rest) = (0, wanted.as_mut_slice());
            for shard in store.index.shards_of(Kind::Embeddings) {
                shard::for_each_block(&store.layout, &shard.name, name, |values| {
                    let end = first + (values.len() / width) as u32;
                    let count = rest.partition_point(|wanted| wanted.row < end);
                    let (these, others) = mem::take(&mut rest).split_at_mut(count);
                    copy(values, width, first, these);
                    (first, rest) = (end, others);
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

/// A row of the shards, and where it goes.
struct Wanted<'a> {
    row: u32,
    to: &'a mut [f32],
}

/// Copies rows from `values`, which begin with row `first`.
fn copy(values: &[f32], width: usize, first: u32, wanted: &mut [Wanted<'_>]) {
    for Wanted { row, to } in wanted {
        let from = (*row - first) as usize * width;
        to.copy_from_slice(&values[from..from + width]);
    }
}

/// Reads a `.npy` file from front to back on all cores, each row straight to where it goes, and
/// skips long stretches that nobody wants.
fn read(path: &Path, width: usize, wanted: &mut [Wanted<'_>]) -> Result<(), StoreError> {
    let start = header(0, width).len() as u64;
    let row_bytes = (width * size_of::<f32>()) as u64;
    // One after the other to whoever is free, so that the disk sees one stream.
    let next = Mutex::new(runs(wanted, width));
    let work = |_| -> io::Result<()> {
        let mut file = fs::File::open(path)?;
        let mut unwanted = Vec::new();
        loop {
            let run = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(run) = run else { return Ok(()) };
            let Some(first) = run.first().map(|wanted| wanted.row) else { continue };
            file.seek(SeekFrom::Start(start + u64::from(first) * row_bytes))?;
            read_run(&mut file, first, width, run, &mut unwanted)?;
        }
    };
    (0..rayon::current_num_threads()).into_par_iter().try_for_each(work)?;
    Ok(())
}

/// Reads the rows of a run, of which `first` is the first; those between them go to `unwanted`.
fn read_run(
    file: &mut impl Read,
    first: u32,
    width: usize,
    run: &mut [Wanted<'_>],
    unwanted: &mut Vec<u8>,
) -> io::Result<()> {
    let row_bytes = width * size_of::<f32>();
    let rows = run.last().map_or(0, |last| (last.row - first + 1) as usize);
    unwanted.resize(unwanted.len().max((rows - run.len()) * row_bytes), 0);
    let (mut pieces, mut unwanted, mut end) = (Vec::new(), unwanted.as_mut_slice(), first);
    for Wanted { row, to } in run {
        if *row > end {
            let gap = (*row - end) as usize * row_bytes;
            let (here, rest) = mem::take(&mut unwanted).split_at_mut(gap);
            pieces.push(IoSliceMut::new(here));
            unwanted = rest;
        }
        pieces.push(IoSliceMut::new(bytemuck::cast_slice_mut(to)));
        end = *row + 1;
    }
    let mut pieces = pieces.as_mut_slice();
    while !pieces.is_empty() {
        match file.read_vectored(pieces) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => IoSliceMut::advance_slices(&mut pieces, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What to read at once: different rows that lie close together, at most [`BLOCK`] floats of them.
fn runs<'a, 'b>(
    mut wanted: &'b mut [Wanted<'a>],
    width: usize,
) -> impl Iterator<Item = &'b mut [Wanted<'a>]> {
    let row_bytes = width * size_of::<f32>();
    let gap = (GAP / row_bytes).max(1) as u32;
    let longest = (BLOCK / width).max(1) as u32;
    iter::from_fn(move || {
        let first = wanted.first()?.row;
        let limit = first.saturating_add(longest);
        let mut end = first;
        let near = |wanted: &&Wanted<'_>| {
            let is_near = wanted.row >= end && wanted.row < limit && wanted.row - end < gap;
            end = wanted.row + 1;
            is_near
        };
        let count = wanted.iter().take_while(near).count();
        let (these, rest) = mem::take(&mut wanted).split_at_mut(count);
        wanted = rest;
        Some(these)
    })
}

/// Finds the copy that belongs to the index; builds it where there is none.
fn open_or_build(store: &Store, name: &str, width: usize) -> Result<PathBuf, StoreError> {
    let rows = store.index.rows() as usize;
    let path = path(store, name);
    let expected = (header(rows, width).len() + rows * width * size_of::<f32>()) as u64;
    let is_whole = || match fs::metadata(&path) {
        Ok(metadata) => Ok(metadata.len() == expected),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    if is_whole()? {
        return Ok(path);
    }
    let _lock = store.layout.lock_derived()?;
    if is_whole()? {
        return Ok(path);
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
    Ok(path)
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
