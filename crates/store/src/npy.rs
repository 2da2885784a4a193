//! The derived `.npy` copies of the shards' embeddings and taps, and how matrices are filled from them.
//!
//! `derived/embedding-STAMP.npy` has all rows of all embeddings shards, in the order of the key
//! index; the stamp names those shards, so a copy of other shards is never taken for it. It is
//! read into memory, not mapped: a memory map needs `unsafe`.

use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::iter;
use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;
use std::thread;

use fs_err as fs;
use ndarray::{ArrayViewMut2, Axis};
use rayon::prelude::*;

use crate::error::StoreError;
use crate::index::IndexedShard;
use crate::layout::{PARTIAL, persist, remove_partial_files, temporary_file};
use crate::shard::{self, Kind};
use crate::store::Store;

/// Floats read at once: 4 MiB, enough for any disk and little beside a matrix.
const BLOCK: usize = 1 << 20;

/// Bytes that are cheaper to read and drop than to seek over.
const GAP: usize = 128 << 10;

/// Blocks that are read ahead of the copying.
const AHEAD: usize = 2;

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
    let mut scatter = Scatter::new(places, target);
    match open_or_build(store, name, width) {
        Ok(file) => scatter.read(file, width),
        Err(StoreError::Io(error)) if cannot_write(&error) => {
            tracing::debug!("reading the shards directly: {error}");
            let mut first = 0;
            for shard in store.index.shards_of(Kind::Embeddings) {
                shard::for_each_block(&store.layout, &shard.name, name, |values| {
                    let end = first + (values.len() / width) as u32;
                    let place = |row| places.partition_point(|(other, _)| *other < row);
                    scatter.copy(first, &places[place(first)..place(end)], values);
                    first = end;
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

/// Copies rows to where they are wanted, on all cores: memory that is touched for the first time
/// costs more than the disk does.
struct Scatter<'a> {
    places: &'a [(u32, u32)],
    /// The target, cut into as many parts as there are threads; each fills its own.
    parts: Vec<ArrayViewMut2<'a, f32>>,
    part_rows: usize,
}

/// Rows that are read together.
struct Run<'a> {
    first: u32,
    rows: usize,
    /// Where they go.
    places: &'a [(u32, u32)],
}

impl<'a> Scatter<'a> {
    fn new(places: &'a [(u32, u32)], mut target: ArrayViewMut2<'a, f32>) -> Self {
        let part_rows = target.nrows().div_ceil(rayon::current_num_threads()).max(1);
        let mut parts = Vec::new();
        while target.nrows() > part_rows {
            let (part, rest) = target.split_at(Axis(0), part_rows);
            parts.push(part);
            target = rest;
        }
        parts.push(target);
        Self { places, parts, part_rows }
    }

    /// Copies rows from `values`, which begin with row `first`.
    fn copy(&mut self, first: u32, places: &[(u32, u32)], values: &[f32]) {
        let part_rows = self.part_rows;
        self.parts.par_iter_mut().enumerate().for_each(|(index, part)| {
            let (start, width) = (index * part_rows, part.ncols());
            for &(row, target) in places {
                let local = (target as usize).wrapping_sub(start);
                if local >= part.nrows() {
                    continue;
                }
                let from = (row - first) as usize * width;
                if let Some(to) = part.row_mut(local).as_slice_mut() {
                    to.copy_from_slice(&values[from..from + width]);
                }
            }
        });
    }

    /// Reads a `.npy` file from front to back, skipping long stretches that nobody wants, and
    /// copies what was read while more is being read.
    fn read(&mut self, mut file: fs::File, width: usize) -> Result<(), StoreError> {
        let start = header(0, width).len() as u64;
        let row_bytes = (width * size_of::<f32>()) as u64;
        let places = self.places;
        let (full, blocks) = sync_channel::<(Run<'a>, Vec<f32>)>(AHEAD);
        let (emptied, empty) = sync_channel(AHEAD + 1);
        thread::scope(|scope| {
            let reader = scope.spawn(move || -> io::Result<()> {
                for run in runs(places, width) {
                    let mut values = empty.try_recv().unwrap_or_else(|_| Vec::new());
                    values.resize(run.rows * width, 0.0f32);
                    file.seek(SeekFrom::Start(start + u64::from(run.first) * row_bytes))?;
                    file.read_exact(bytemuck::cast_slice_mut(&mut values))?;
                    // The other side hangs up only where it panics, and then so does this one.
                    if full.send((run, values)).is_err() {
                        break;
                    }
                }
                Ok(())
            });
            for (run, values) in blocks {
                self.copy(run.first, run.places, &values);
                // A reader that has read its last needs no buffer any more.
                let _ = emptied.try_send(values);
            }
            reader.join().unwrap_or_else(|panic| resume_unwind(panic))
        })?;
        Ok(())
    }
}

/// What to read at once: rows that lie close together, at most [`BLOCK`] floats of them.
fn runs(mut places: &[(u32, u32)], width: usize) -> impl Iterator<Item = Run<'_>> {
    let row_bytes = width * size_of::<f32>();
    let gap = (GAP / row_bytes).max(1) as u32;
    let longest = (BLOCK / width).max(1) as u32;
    iter::from_fn(move || {
        let &(first, _) = places.first()?;
        let limit = first.saturating_add(longest);
        let mut last = first;
        let near = |&&(row, _): &&(u32, u32)| {
            let is_near = row < limit && row - last <= gap;
            last = row.max(last);
            is_near
        };
        let count = places.iter().take_while(near).count();
        let (these, rest) = places.split_at(count);
        places = rest;
        let last = these.last().map_or(first, |(row, _)| *row);
        Some(Run { first, rows: (last - first + 1) as usize, places: these })
    })
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
