//! What a store holds, and whether it still holds what was written.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use facefold_core::files::{children, is_exhausted};
use facefold_core::{FaceVariant, ImageKey, RejectReason};
use fs_err as fs;
use serde::Serialize;

use crate::error::StoreError;
use crate::header::StoreHeader;
use crate::merge::FINISH_MERGE;
use crate::npy;
use crate::remedy::FINISH_REMOVAL;
use crate::samples::SampleRow;
use crate::shard::{self, Kind};
use crate::store::Store;

/// Counts and sizes of a store.
#[derive(Debug, Clone, Serialize)]
pub struct StoreInfo {
    /// What it was made with.
    pub header: StoreHeader,
    /// Pictures with an embedding.
    pub embedded: usize,
    /// Pictures without, by reason.
    pub rejected: BTreeMap<RejectReason, usize>,
    /// Embeddings by variant: 0 plain, 1 mirrored. All faces count.
    pub embeddings: BTreeMap<u32, usize>,
    /// Pictures that are in the log and in no shard yet.
    pub unsealed: usize,
    /// Label rows in the samples table; none before an extraction has come to its end.
    pub samples: Option<usize>,
    /// Pictures that no label row names.
    pub pictures_without_sample: usize,
    /// Number of sealed shards.
    pub shards: usize,
    /// Bytes of shards, log and samples table.
    pub bytes: u64,
    /// Bytes of derived files, which can be deleted.
    pub derived_bytes: u64,
}

impl fmt::Display for StoreInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StoreHeader { dataset, extractor, fingerprint, .. } = &self.header;
        writeln!(f, "made from     {} at {}", dataset.kind, dataset.root.display())?;
        writeln!(
            f,
            "network       {} ({}), detector {}",
            extractor.network, extractor.model, extractor.detector
        )?;
        writeln!(
            f,
            "computed by   {}, precision class {}",
            extractor.execution, extractor.precision
        )?;
        writeln!(f, "fingerprint   {fingerprint}")?;
        writeln!(
            f,
            "features      embedding {}, taps {}",
            extractor.embedding_length, extractor.taps_length
        )?;
        let rejected: usize = self.rejected.values().sum();
        writeln!(f, "pictures      {} embedded, {rejected} rejected", self.embedded)?;
        for (reason, count) in &self.rejected {
            writeln!(f, "{count:>14} {reason}")?;
        }
        let rows = self.samples.map_or_else(
            || "none yet: what makes the store has not come to its end".to_owned(),
            |rows| rows.to_string(),
        );
        writeln!(f, "label rows    {rows}")?;
        if self.pictures_without_sample > 0 {
            writeln!(f, "no label row  {} pictures", self.pictures_without_sample)?;
        }
        writeln!(
            f,
            "on disk       {} shards, {:.1} MB, and {:.1} MB that can be made again",
            self.shards,
            self.bytes as f64 / 1e6,
            self.derived_bytes as f64 / 1e6
        )?;
        write!(f, "terms         {}", extractor.licence)
    }
}

/// A shard and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardCheck {
    /// Its file name.
    pub name: String,
    /// Number of its rows.
    pub rows: usize,
    /// What is wrong, and what to do; none for a sound shard.
    pub problem: Option<String>,
}

/// What [`Store::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Every shard, read whole.
    pub shards: Vec<ShardCheck>,
    /// Pictures in the log that can be read.
    pub log_records: usize,
    /// Bytes at the log's end that are no whole record: what a killed writer leaves. The next
    /// extraction cuts them; no picture is lost that was committed.
    pub incomplete_log_bytes: u64,
    /// Where they begin.
    pub incomplete_log_at: u64,
    /// Whether `store.json` and `samples.parquet` carry checksums. Without, only what makes them
    /// unreadable is found; extracting again adds them.
    pub has_checksums: bool,
    /// Label rows whose picture the store has not seen.
    pub samples_without_outcome: usize,
    /// Pictures that no label row names.
    pub pictures_without_sample: usize,
    /// Everything that makes the store unsound, a sentence each.
    pub problems: Vec<String>,
}

impl Verification {
    /// Whether everything that was written can be read as it was written.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: usize = self.shards.iter().map(|shard| shard.rows).sum();
        writeln!(
            f,
            "{} shards with {rows} rows, {} pictures in the log",
            self.shards.len(),
            self.log_records
        )?;
        if self.incomplete_log_bytes > 0 {
            writeln!(
                f,
                "{} bytes at the log's end, from byte {}, are no whole record; the command that made the store \
                 clears them when it is run again",
                self.incomplete_log_bytes, self.incomplete_log_at
            )?;
        }
        if !self.has_checksums {
            writeln!(
                f,
                "store.json and samples.parquet carry no checksums, so that a changed label cannot be found; run \
                 the same `extract` command once, which adds them"
            )?;
        }
        if self.pictures_without_sample > 0 {
            writeln!(
                f,
                "{} pictures have no label row: a run was cut off, or other files have taken the place of theirs; \
                 the command that made the store gives them rows, or removes their embeddings, when it is run again",
                self.pictures_without_sample
            )?;
        }
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        f.write_str(if self.is_valid() { "sound" } else { "damaged" })
    }
}

impl Store {
    /// Counts and sizes.
    ///
    /// # Errors
    /// A file that is corrupt or cannot be read.
    pub fn info(&self) -> Result<StoreInfo, StoreError> {
        let mut embeddings = BTreeMap::new();
        for entry in self.index.entries().iter().filter(|entry| entry.row().is_some()) {
            *embeddings.entry(entry.variant().0).or_default() += 1;
        }
        for entry in self.logged.values() {
            if let facefold_core::Extraction::Embedded { faces, .. } =
                self.read_logged(entry)?.extraction
            {
                for FaceVariant(variant) in faces.iter().map(|face| face.variant) {
                    *embeddings.entry(variant).or_default() += 1;
                }
            }
        }
        let mut rejected = BTreeMap::new();
        for rejection in self.rejections()?.values() {
            *rejected.entry(rejection.reason).or_default() += 1;
        }
        let samples = match self.samples() {
            Ok(rows) => Some(rows),
            Err(StoreError::NoSamples { .. }) => None,
            Err(error) => return Err(error),
        };
        let unlabelled = self.unlabelled_pictures(samples.as_deref().unwrap_or_default());
        let single = [self.layout.header(), self.layout.log(), self.layout.samples()];
        let mut bytes = size_of_directory(&self.layout.shards())?;
        for path in single {
            bytes += fs::metadata(path).map_or(0, |found| found.len());
        }
        Ok(StoreInfo {
            header: self.header.clone(),
            embedded: self.embedded_keys().len(),
            rejected,
            embeddings,
            unsealed: self.logged.len(),
            samples: samples.map(|rows| rows.len()),
            pictures_without_sample: unlabelled.len(),
            shards: self.index.shards().len(),
            bytes,
            derived_bytes: size_of_directory(&self.layout.derived())?,
        })
    }

    /// Reads every file whole and compares it with its checksums and with the others.
    ///
    /// # Errors
    /// A failure of the file system; corruption is no error but a problem in the result.
    pub fn verify(&self) -> Result<Verification, StoreError> {
        let mut found = Verification {
            log_records: self.logged.len(),
            incomplete_log_bytes: self.log_corruption.tail.end - self.log_corruption.tail.start,
            incomplete_log_at: self.log_corruption.tail.start,
            has_checksums: self.header.has_checksums(),
            problems: self.log_corruption.sentences(&self.layout.log()).collect(),
            ..Verification::default()
        };
        let mut seen = HashSet::new();
        for shard in self.index.shards() {
            let rows = self.check_shard(&shard.name, shard.rows, &mut seen);
            let (rows, problem) = match rows {
                Ok(rows) => (rows, None),
                // Unknown, so not counted as corrupt.
                Err(StoreError::Io(error)) if is_exhausted(&error) => return Err(error.into()),
                Err(error) => (shard.rows as usize, Some(error.to_string())),
            };
            found.problems.extend(problem.clone());
            found.shards.push(ShardCheck { name: shard.name.clone(), rows, problem });
        }
        for entry in self.logged.values() {
            if let Err(error) = self.read_logged(entry) {
                found.problems.push(error.to_string());
            }
        }
        self.check_samples(&mut found)?;
        // A copy of a corrupt shard can't be checked against it.
        if found.is_valid() {
            for name in ["embedding", "taps"] {
                found.problems.extend(self.check_copy(name)?);
            }
        }
        if self.merge_is_unfinished() {
            // What else is said to be done would have pictures extracted anew that a store to merge has.
            found.problems.insert(0, format!("a merge is not finished: {FINISH_MERGE}"));
        }
        if self.removal_is_unfinished() {
            // Half of it may be there, such as a shard next to the one that replaces it. What else is
            // said to be done, the extraction above all, would bring back the person who was to be forgotten.
            let first = format!("a removal is not finished: {FINISH_REMOVAL}");
            found.problems.insert(0, first);
        }
        Ok(found)
    }

    /// Number of rows of a shard that has its own bytes, and no row that another shard has too.
    fn check_shard(
        &self,
        name: &str,
        expected: u32,
        seen: &mut HashSet<(ImageKey, u32, u32)>,
    ) -> Result<usize, StoreError> {
        let mut rows = 0;
        let mut twice = None;
        let mut see = |key: ImageKey, face: u32, variant: u32| {
            rows += 1;
            if !seen.insert((key, face, variant)) {
                twice = Some(key);
            }
        };
        if Kind::of(name) == Some(Kind::Embeddings) {
            shard::for_each_row(&self.layout, name, |row| {
                see(row.key, u32::from(row.face.index), row.face.variant.0);
                Ok(())
            })?;
        } else {
            for (key, _) in shard::read_rejections(&self.layout, name)? {
                see(key, 0, 0);
            }
        }
        let corrupt = |what: String| StoreError::corrupt_shard(&self.layout.shard(name), what);
        if let Some(key) = twice {
            return Err(corrupt(format!("picture {key} is in another shard too")));
        }
        if rows != expected as usize {
            return Err(corrupt(format!("expected {expected} rows, found {rows}")));
        }
        Ok(rows)
    }

    fn check_samples(&self, found: &mut Verification) -> Result<(), StoreError> {
        let samples = match self.samples() {
            Ok(samples) => samples,
            Err(StoreError::NoSamples { .. }) => {
                found.pictures_without_sample = self.len();
                return Ok(());
            }
            Err(error @ StoreError::Corrupt { .. }) => {
                found.problems.push(error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        found.samples_without_outcome = self.lost(&samples);
        found.pictures_without_sample = self.unlabelled_pictures(&samples).len();
        if found.samples_without_outcome > 0 {
            found.problems.push(format!(
                "{} label rows name pictures that have neither an embedding nor a rejection: {}",
                found.samples_without_outcome,
                self.remedy_for_lost_rows()
            ));
        }
        Ok(())
    }

    /// How many label rows name a picture that has neither an embedding nor a rejection.
    ///
    /// # Errors
    /// A table of label rows that is corrupt, cannot be read, or is missing.
    pub fn lost_rows(&self) -> Result<usize, StoreError> {
        Ok(self.lost(&self.samples()?))
    }

    fn lost(&self, samples: &[SampleRow]) -> usize {
        let unseen = |key: ImageKey| !self.contains(&key);
        samples.iter().filter(|row| row.key.is_some_and(unseen)).count()
    }

    /// Compares a derived copy with the shards bit by bit, where there is one.
    fn check_copy(&self, name: &str) -> Result<Option<String>, StoreError> {
        let path = npy::path(self, name);
        let mut file = match fs::File::open(&path) {
            Ok(file) => io::BufReader::with_capacity(1 << 20, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (embedding, taps) = self.header.lengths();
        let width = if name == "taps" { taps } else { embedding };
        if file.get_ref().metadata()?.len()
            == npy::without_sums(u64::from(self.index.rows()), width)
        {
            // Of the first format, which is no longer read: it is built again when needed.
            return Ok(None);
        }
        let mut same = true;
        let mut bytes = Vec::new();
        let mut compare = |expected: &[u8]| {
            bytes.resize(expected.len(), 0);
            same &= file.read_exact(&mut bytes).is_ok() && bytes == expected;
        };
        let mut sums = npy::Sums::new(width);
        let seal = npy::Seal::of(&path, self.index.rows() as usize, width);
        compare(&seal.header);
        for shard in self.index.shards_of(Kind::Embeddings) {
            shard::for_each_block(&self.layout, &shard.name, name, |values| {
                sums.add(values);
                compare(bytemuck::cast_slice(values));
                Ok(())
            })?;
        }
        compare(&sums.finish(&seal));
        same &= file.read(&mut [0])? == 0;
        let problem = || format!("`{}` differs from the shards: delete it", path.display());
        Ok((!same).then(problem))
    }
}

/// Bytes of the files in a directory; 0 where there is none.
fn size_of_directory(path: &Path) -> io::Result<u64> {
    children(path)?.into_iter().map(|file| Ok(fs::symlink_metadata(file)?.len())).sum()
}
