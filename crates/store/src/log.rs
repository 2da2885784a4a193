//! The append log: what has been extracted since the last shard was sealed.
//!
//! A header of 48 bytes, which names the fingerprint, then for each picture: length of the record
//! (u32), crc32 of that length and the record (u32), the record. A record counts only when its
//! checksum is right. Where one is not, the next that is right is looked for: the bytes between are
//! corrupt, and their pictures are extracted again. Where none follows, it is an incomplete tail,
//! which a killed writer leaves.

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use facefold_core::{Extraction, Fingerprint, ImageKey};
use fs_err as fs;

use crate::codec::{self, Record};
use crate::disk::{self, write_atomic};
use crate::error::StoreError;
use crate::remedy::run_again;

const MAGIC: &[u8; 16] = b"facefold log 2\n\0";
/// An empty log of a store of format 1.
const EMPTY_1: &[u8; 16] = b"facefold log 1\n\0";
/// The magic, and the 32 digits of the fingerprint.
const HEADER: usize = 48;
const PREFIX: usize = 8;
// Longer records are not written, so a length beyond it is an incomplete tail and not a reason to
// allocate gigabytes.
const LONGEST_RECORD: usize = 1 << 30;

/// A sync at least every so many records …
const SYNC_RECORDS: usize = 256;
/// … and at the first append after so long: the most that a power failure can lose.
const SYNC_AFTER: Duration = Duration::from_secs(2);

/// Where a record lies in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEntry {
    pub(crate) key: ImageKey,
    pub(crate) rejected: bool,
    offset: u64,
    length: usize,
    /// The checksum that stands before it.
    pub(crate) sum: u32,
}

/// The readable part of a log.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    pub(crate) entries: Vec<LogEntry>,
    /// Bytes that are no whole record.
    pub(crate) corruption: LogCorruption,
}

/// Where a log is no longer, or not yet, what was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogCorruption {
    /// Bytes between whole records.
    pub(crate) inside: Vec<Range<u64>>,
    /// Bytes behind the last whole record.
    pub(crate) tail: Range<u64>,
}

/// Reads the whole records of a log.
///
/// A file shorter than its header is all tail; another header is an error.
pub(crate) fn replay(file: &fs::File, expected: &Fingerprint) -> Result<Replay, StoreError> {
    let size = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(1 << 20, file);
    reader.seek(SeekFrom::Start(0))?;
    let mut found = Replay::default();
    if size < HEADER as u64 {
        let mut start = Vec::new();
        reader.read_to_end(&mut start)?;
        found.corruption.tail = 0..if start == EMPTY_1 { 0 } else { size };
        return Ok(found);
    }
    let mut start = [0; HEADER];
    reader.read_exact(&mut start)?;
    check_header(file.path(), &start, expected)?;
    let (mut end, mut record) = (HEADER as u64, Vec::new());
    while end < size {
        let whole = next_record(&mut reader, size - end, &mut record)?;
        if let (Some((length, sum)), Some((key, rejected))) = (whole, codec::peek(&record)) {
            let offset = end + PREFIX as u64;
            found.entries.push(LogEntry { key, rejected, offset, length, sum });
            end = offset + length as u64;
            continue;
        }
        let Some(next) = find_record(file, end + 1, size)? else { break };
        found.corruption.inside.push(end..next);
        reader.seek(SeekFrom::Start(next))?;
        end = next;
    }
    found.corruption.tail = end..size;
    Ok(found)
}

fn header(fingerprint: &Fingerprint) -> Vec<u8> {
    [MAGIC, fingerprint.as_str().as_bytes()].concat()
}

/// Refuses a file that is no log, or that of another network.
fn check_header(path: &Path, start: &[u8], expected: &Fingerprint) -> Result<(), StoreError> {
    let (magic, found) = start.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(StoreError::Corrupt {
            path: path.to_owned(),
            what: format!("expected a facefold log, found `{}`", magic.escape_ascii()),
            remedy: format!(
                "delete the file and {}: only pictures that are in no shard are done anew",
                run_again(path.parent().unwrap_or(path))
            ),
        });
    }
    if found == expected.as_str().as_bytes() {
        return Ok(());
    }
    Err(StoreError::ForeignFile {
        path: path.to_owned(),
        expected: expected.clone(),
        found: found.escape_ascii().to_string(),
    })
}

/// Where the first whole record at or behind a place begins; none where there is none.
fn find_record(mut file: &fs::File, from: u64, size: u64) -> Result<Option<u64>, StoreError> {
    let mut rest = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(size.saturating_sub(from)).read_to_end(&mut rest)?;
    let place = (0..rest.len()).find(|&place| begins_with_record(&rest[place..]));
    Ok(place.map(|place| from + place as u64))
}

fn begins_with_record(bytes: &[u8]) -> bool {
    let Some((&length_bytes, rest)) = bytes.split_first_chunk::<4>() else { return false };
    let Some((&sum, rest)) = rest.split_first_chunk::<4>() else { return false };
    let Some(record) = rest.get(..u32::from_le_bytes(length_bytes) as usize) else { return false };
    // Few places come this far, so that hardly any is hashed in vain.
    codec::peek(record).is_some() && checksum(length_bytes, record) == u32::from_le_bytes(sum)
}

impl LogCorruption {
    /// Corrupt ranges before the last complete record, a sentence each.
    pub(crate) fn sentences<'a>(&'a self, log: &'a Path) -> impl Iterator<Item = String> + 'a {
        self.inside.iter().map(move |Range { start, end }| {
            format!(
                "`{}` is corrupt from byte {start} to byte {end}: what was written there is lost, \
                 and everything before and after it is read; {}, which makes the lost pictures' embeddings anew",
                log.display(),
                run_again(log.parent().unwrap_or(log))
            )
        })
    }

    fn warn(&self, log: &Path) {
        for sentence in self.sentences(log) {
            tracing::warn!("{sentence}");
        }
        if !self.tail.is_empty() {
            tracing::warn!(
                "cut {} bytes of an unfinished record off `{}` at byte {}; its picture is made \
                 anew",
                self.tail.end - self.tail.start,
                log.display(),
                self.tail.start
            );
        }
    }
}

/// The next record's length and checksum, with its bytes in `record`; `None` at the end or at an incomplete
/// tail.
fn next_record(
    reader: &mut impl Read,
    left: u64,
    record: &mut Vec<u8>,
) -> Result<Option<(usize, u32)>, StoreError> {
    if left < PREFIX as u64 {
        return Ok(None);
    }
    let (mut length_bytes, mut sum) = ([0; 4], [0; 4]);
    reader.read_exact(&mut length_bytes)?;
    reader.read_exact(&mut sum)?;
    let length = u32::from_le_bytes(length_bytes) as usize;
    if length as u64 > left - PREFIX as u64 || length > LONGEST_RECORD {
        return Ok(None);
    }
    record.resize(length, 0);
    reader.read_exact(record)?;
    let sum = u32::from_le_bytes(sum);
    Ok((checksum(length_bytes, record) == sum).then_some((length, sum)))
}

fn checksum(length: [u8; 4], record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(record);
    hasher.finalize()
}

/// Reads one record that a replay or an append has placed.
pub(crate) fn read_record(mut file: &fs::File, entry: &LogEntry) -> Result<Record, StoreError> {
    let mut bytes = vec![0; entry.length];
    file.seek(SeekFrom::Start(entry.offset))?;
    file.read_exact(&mut bytes)?;
    codec::decode(&bytes).filter(|record| record.key == entry.key).ok_or_else(|| {
        StoreError::Corrupt {
            path: file.path().to_owned(),
            what: format!("the record at byte {} changed after it was checked", entry.offset),
            remedy: "check the disk, and run the same command again".to_owned(),
        }
    })
}

/// A log that is open for appending. Its owner holds the store's lock.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    fingerprint: Fingerprint,
    file: fs::File,
    end: u64,
    buffer: Vec<u8>,
    unsynced: usize,
    synced_at: Instant,
    poisoned: bool,
}

impl Log {
    /// Opens or makes the log, truncates its incomplete tail, and gives its contents. What is
    /// corrupt before the last whole record stays until the log is sealed.
    pub(crate) fn open(
        path: &Path,
        fingerprint: &Fingerprint,
    ) -> Result<(Self, Vec<LogEntry>), StoreError> {
        if !path.exists() {
            write_atomic(path, &header(fingerprint))?;
        }
        let mut file = open_read_write(path)?;
        let Replay { entries, corruption } = replay(&file, fingerprint)?;
        let mut end = corruption.tail.start;
        if end == 0 {
            write_atomic(path, &header(fingerprint))?;
            file = open_read_write(path)?;
            end = HEADER as u64;
        } else if !corruption.tail.is_empty() {
            disk::shorten(&file, end)?;
            disk::sync_data(&file)?;
        }
        corruption.warn(path);
        let log = Self {
            path: path.to_owned(),
            fingerprint: fingerprint.clone(),
            file,
            end,
            buffer: Vec::new(),
            unsynced: 0,
            synced_at: Instant::now(),
            poisoned: false,
        };
        Ok((log, entries))
    }

    /// Bytes of records in the log.
    pub(crate) fn size(&self) -> u64 {
        self.end - HEADER as u64
    }

    /// Appends a record: whole or not at all, whatever happens to this program.
    pub(crate) fn append(
        &mut self,
        key: &ImageKey,
        extraction: &Extraction,
    ) -> Result<LogEntry, StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned { path: self.path.clone() });
        }
        self.buffer.clear();
        self.buffer.extend_from_slice(&[0; PREFIX]);
        codec::encode(key, extraction, &mut self.buffer);
        let length = self.buffer.len() - PREFIX;
        if length > LONGEST_RECORD {
            let what = format!("a record of {length} bytes, expected at most {LONGEST_RECORD}");
            return Err(StoreError::Mismatch { key: *key, what });
        }
        let length_bytes = (length as u32).to_le_bytes();
        let sum = checksum(length_bytes, &self.buffer[PREFIX..]);
        self.buffer[..4].copy_from_slice(&length_bytes);
        self.buffer[4..PREFIX].copy_from_slice(&sum.to_le_bytes());
        self.file.seek(SeekFrom::Start(self.end))?;
        if let Err(error) = disk::write_all(&mut self.file, &self.buffer) {
            // Half a record in the middle would hide every later one.
            self.poisoned = disk::shorten(&self.file, self.end).is_err();
            return Err(error.into());
        }
        let rejected = matches!(extraction, Extraction::Rejected(_));
        let offset = self.end + PREFIX as u64;
        let entry = LogEntry { key: *key, rejected, offset, length, sum };
        self.end += self.buffer.len() as u64;
        self.unsynced += 1;
        if self.unsynced >= SYNC_RECORDS || self.synced_at.elapsed() >= SYNC_AFTER {
            self.sync()?;
        }
        Ok(entry)
    }

    /// Makes everything appended so far survive a power failure (fsync).
    pub(crate) fn sync(&mut self) -> Result<(), StoreError> {
        if self.unsynced > 0 {
            // The system may forget what it could not write, and call the next sync a success.
            self.poisoned = true;
            disk::sync_data(&self.file)?;
            (self.poisoned, self.unsynced) = (false, 0);
        }
        self.synced_at = Instant::now();
        Ok(())
    }

    /// Reads an entry of this log.
    pub(crate) fn read(&self, entry: &LogEntry) -> Result<Record, StoreError> {
        read_record(&self.file, entry)
    }

    /// Begins an empty log in the place of this one.
    ///
    /// The old file is replaced, not shortened, so that a reader which has it open keeps what it
    /// saw.
    pub(crate) fn restart(&mut self) -> Result<(), StoreError> {
        // What is appended to the old file once another has its name is lost.
        self.poisoned = true;
        write_atomic(&self.path, &header(&self.fingerprint))?;
        self.file = open_read_write(&self.path)?;
        self.poisoned = false;
        self.end = HEADER as u64;
        self.unsynced = 0;
        Ok(())
    }
}

fn open_read_write(path: &Path) -> std::io::Result<fs::File> {
    fs::OpenOptions::new().read(true).write(true).open(path)
}
