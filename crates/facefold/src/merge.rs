//! Merging: stores of the parts of a data set, extracted on several machines, become one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use facefold_core::{ImageKey, RejectReason};
use facefold_store::{
    DatasetInfo, LIST, Merged, Outcome, SHARD, SampleRow, Store, StoreError, StoreHeader,
};
use serde::Serialize;
use serde_json::Value;

use crate::data::require_no_removal;
use crate::error::{Context as _, Error, Result};
use crate::extract::{DatasetShard, List, most};
use crate::progress::{Progress, Stage, Step};
use crate::remote;
use crate::run_file::RunFile;

/// Which stores are merged.
#[derive(Debug, Clone)]
pub struct MergeOptions {
    /// Stores of one data set and one network: of all its shards, or each of the whole.
    pub stores: Vec<PathBuf>,
    /// Directory of the merged store; made if it is not there.
    pub out: PathBuf,
    /// What is written into the store as `run.toml`, the file that repeats the run.
    pub run_file: Option<RunFile>,
}

/// The result of a merge.
#[derive(Debug, Clone, Serialize)]
pub struct MergeSummary {
    /// The merged store.
    pub store: PathBuf,
    /// Number of stores that it was made of.
    pub stores: usize,
    /// Label rows, those of all stores.
    pub rows: usize,
    /// Those of them whose picture could not be read.
    pub unreadable: usize,
    /// Label rows that the merged store had and none of the others has.
    pub kept: Vec<PathBuf>,
    /// Pictures taken over now with their embeddings.
    pub embedded: usize,
    /// Pictures taken over now as rejected.
    pub rejected: usize,
    /// Pictures that the merged store had already, from one of the others or from an earlier merge.
    pub known: usize,
    /// The fingerprint of the store.
    pub fingerprint: String,
}

impl fmt::Display for MergeSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} label rows of {} stores: {} pictures with embeddings and {} rejected ones taken over, {} known \
             before",
            self.rows, self.stores, self.embedded, self.rejected, self.known
        )?;
        if let Some(first) = self.kept.first() {
            writeln!(
                f,
                "{} label rows stay that none of the stores has any more, the first is {}: to remove one, \
                 `facefold store forget {} --image PATH`",
                self.kept.len(),
                first.display(),
                self.store.display()
            )?;
        }
        write!(f, "store {} (fingerprint {})", self.store.display(), self.fingerprint)
    }
}

impl MergeSummary {
    /// Refuses a merged store for most of whose label rows no picture could be read.
    ///
    /// # Errors
    /// [`Error::Data`] with the numbers.
    pub fn require_readable(&self) -> Result<()> {
        if most(self.unreadable, self.rows) {
            return Err(Error::data(format!(
                "{} of {} pictures could not be read: was the disk with the pictures mounted on all machines? What \
                 could be read is in the store",
                self.unreadable, self.rows
            )));
        }
        Ok(())
    }
}

/// Merges stores of one data set into one: the same pictures with the same bits as if one machine had
/// extracted all, and the label rows in the data set's order. Called again it goes on where it was cut off,
/// and takes over what the stores have got since.
///
/// A picture that is embedded in one store and rejected in another is embedded. Memory holds a shard of one
/// store, the label rows and the keys of all pictures.
///
/// # Errors
/// Before anything is written: stores of different data sets, networks or lists, a shard that is missing, or
/// one whose extraction has not come to its end. Later a file that is corrupt or cannot be read or written;
/// what was taken over until then is kept, and the store is known as unfinished.
pub fn merge(options: &MergeOptions, progress: &dyn Progress) -> Result<MergeSummary> {
    let stores = options.stores.iter().map(|store| remote::local_store(store, progress));
    let stores: Vec<PathBuf> = stores.collect::<Result<_>>()?;
    remote::writing(&options.out, progress, |out| {
        let options = MergeOptions { stores, out: out.to_owned(), ..options.clone() };
        merge_into(&options, progress)
    })
}

/// [`merge`], of directories into one.
fn merge_into(options: &MergeOptions, progress: &dyn Progress) -> Result<MergeSummary> {
    require_apart(&options.stores, &options.out)?;
    let sources = sources(&options.stores)?;
    let rows = joined_rows(&sources)?;

    let header = sources[0].header.clone();
    let mut dataset = sources[0].dataset.clone();
    if let Some(list) = &sources[0].list {
        dataset.options[LIST] = serde_json::to_value(list)?;
    }
    let header = StoreHeader::new(header.fingerprint, header.extractor, dataset);
    let into = || format!("cannot merge into `{}`", options.out.display());
    let mut store = Store::create_or_open(&options.out, header).context(into)?;
    require_no_removal(&store)?;
    options.run_file.iter().try_for_each(|file| file.write_into(&options.out))?;
    store.begin_merge()?;
    let (mut embedded, mut rejected, mut known) = (0, 0, 0);
    let total = Some(sources.len() as u64);
    for (source, done) in sources.iter().zip(1..) {
        let Merged { new, known: before } = store.take_embeddings(&source.open()?)?;
        embedded += new;
        known += before;
        let item = source.path.to_string_lossy();
        progress.step(Step { item: &item, ..Step::new(Stage::Merging, done, total) });
    }
    // Afterwards: a picture that any of them embedded is not rejected.
    for source in &sources {
        let Merged { new, known: before } = store.take_rejections(&source.open()?)?;
        rejected += new;
        known += before;
    }
    let kept = store.write_samples(&rows)?.rows;
    // Where the pictures of one path differ, no row names that of the other store.
    store.remove_unlabelled()?;
    let store = store.finish()?;
    let is_unreadable = |row: &&SampleRow| {
        row.rejection.as_ref().is_some_and(|found| found.reason == RejectReason::Unreadable)
    };
    Ok(MergeSummary {
        store: options.out.clone(),
        stores: sources.len(),
        rows: rows.len(),
        unreadable: rows.iter().filter(is_unreadable).count(),
        kept,
        embedded,
        rejected,
        known,
        fingerprint: store.header().fingerprint.to_string(),
    })
}

/// A store that is merged. It is opened for each use: there may be more of them than files can be open.
struct Source {
    path: PathBuf,
    header: StoreHeader,
    /// Its data set, without the shard and the list.
    dataset: DatasetInfo,
    shard: Option<DatasetShard>,
    /// The list of all label rows, of which those of the shard are in the store; none in stores of earlier
    /// versions.
    list: Option<List>,
}

impl Source {
    fn new(path: &Path) -> Result<Self> {
        let store = Store::open(path)?;
        require_no_removal(&store)?;
        let unfinished = if store.extraction_is_unfinished() {
            Some("an extraction is under way, or was cut off")
        } else if store.merge_is_unfinished() {
            Some("a merge is under way, or was cut off")
        } else {
            None
        };
        if let Some(what) = unfinished {
            return Err(not_whole(path, what, &store));
        }
        let header = store.header().clone();
        let mut dataset = header.dataset.clone();
        let options = dataset.options.as_object_mut();
        let list = options.and_then(|options| options.remove(LIST));
        let text = match dataset.options.get_mut(SHARD).map(Value::take) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        Ok(Self {
            path: path.to_owned(),
            header,
            dataset,
            shard: text.map(|text| text.parse()).transpose()?,
            list: list.and_then(|list| serde_json::from_value(list).ok()),
        })
    }

    fn open(&self) -> Result<Store> {
        Ok(Store::open(&self.path)?)
    }

    fn name(&self) -> String {
        format!("`{}`", self.path.display())
    }

    /// How many of the store's first label rows are those that the data set listed.
    fn listed(&self) -> usize {
        match (&self.list, self.shard) {
            (Some(list), Some(shard)) => shard.rows(list.rows).len(),
            (Some(list), None) => list.rows,
            (None, _) => usize::MAX,
        }
    }
}

/// Refuses a merged store that lies in one of those that are merged, or is one of them.
fn require_apart(paths: &[PathBuf], out: &Path) -> Result<()> {
    let out = std::path::absolute(out)?;
    // Links on the way to a directory that is not there yet.
    let above = out.ancestors().find_map(|above| {
        let rest = out.strip_prefix(above).ok()?;
        Some(fs_err::canonicalize(above).ok()?.join(rest))
    });
    let real = above.unwrap_or(out);
    for path in paths {
        if fs_err::canonicalize(path).is_ok_and(|path| real.starts_with(path)) {
            return Err(Error::options(format!(
                "--out {}: expected a directory of its own, found one of the stores that are merged, or a directory \
                 in it: `{}`",
                real.display(),
                path.display()
            )));
        }
    }
    Ok(())
}

/// Looks at the stores, in the order of their shards, and refuses what does not fit together.
fn sources(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let mut sources = paths.iter().map(|path| Source::new(path)).collect::<Result<Vec<_>>>()?;
    let Some((first, others)) = sources.split_first() else {
        return Err(Error::options("expected at least one store to merge, found none"));
    };
    for other in others {
        require_alike(first, other)?;
    }
    require_all_shards(&sources)?;
    sources.sort_by_key(|source| source.shard);
    Ok(sources)
}

fn require_alike(first: &Source, other: &Source) -> Result<()> {
    let differ = |what: &str, one: &str, two: &str| {
        Err(Error::data(format!(
            "{} and {} cannot be merged: {what}: expected {one}, found {two}",
            first.name(),
            other.name()
        )))
    };
    let [one, two] = [first, other].map(|source| &source.header);
    if one.fingerprint != two.fingerprint {
        let [one, two] = [one, two].map(|header| header.fingerprint.to_string());
        return differ("their networks have other fingerprints", &one, &two);
    }
    if one.lengths() != two.lengths() {
        let [one, two] = [one, two].map(|header| {
            let (embedding, taps) = header.lengths();
            format!("embeddings of {embedding} values with {taps} taps")
        });
        return differ("their features have other lengths", &one, &two);
    }
    if let Some((one, two)) = first.dataset.difference(&other.dataset) {
        return differ(
            "they are of different data sets (several of them need no merge: `cv`, `tune` and `train` take \
             --store more than once)",
            &one,
            &two,
        );
    }
    Ok(())
}

/// Refuses stores of which some are of a shard and some of the whole data set, shards of different
/// divisions, different lists, and a division that lacks a shard.
fn require_all_shards(sources: &[Source]) -> Result<()> {
    let Some(source) = sources.first() else { return Ok(()) };
    for other in sources {
        if other.shard.map(DatasetShard::count) != source.shard.map(DatasetShard::count) {
            return Err(mixed(source, other));
        }
        if other.list != source.list {
            return Err(Error::data(format!(
                "{} and {} are of different lists: expected label files with the same rows and labels on all \
                 machines; run the same `extract` commands again with today's, which take over what is new",
                source.name(),
                other.name()
            )));
        }
    }
    let Some(first) = source.shard else { return Ok(()) };
    let present: HashSet<usize> =
        sources.iter().filter_map(|source| source.shard).map(DatasetShard::index).collect();
    let missing: Vec<String> = first
        .all()
        .filter(|shard| !present.contains(&shard.index()))
        .map(|shard| format!("--shard {shard}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (shown, rest) = missing.split_at(missing.len().min(8));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    Err(Error::data(format!(
        "{} of {} shards are missing: expected stores of all, found none of {}{more}; extract them, then \
         name their stores too",
        missing.len(),
        first.count(),
        shown.join(", ")
    )))
}

fn mixed(one: &Source, two: &Source) -> Error {
    let words = |source: &Source| match source.shard {
        Some(shard) => format!("{} is of --shard {shard}", source.name()),
        None => format!("{} is of the whole data set", source.name()),
    };
    Error::data(format!(
        "{} and {}: expected stores of the shards of one division",
        words(one),
        words(two)
    ))
}

/// The label rows of all stores: those listed, in the order of the shards, then those that a store kept though
/// its data set no longer lists them. Each path is there once, with a picture if any store has it; of a
/// picture no row is kept that a listed one shows.
fn joined_rows(sources: &[Source]) -> Result<Vec<SampleRow>> {
    let mut outcomes: BTreeMap<ImageKey, Outcome> = BTreeMap::new();
    let (mut listed, mut kept): (Vec<(SampleRow, usize)>, Vec<_>) = (Vec::new(), Vec::new());
    for (number, source) in sources.iter().enumerate() {
        let store = source.open()?;
        let rows = store.samples().map_err(|error| match error {
            StoreError::NoSamples { .. } => not_whole(&source.path, "it was cut off", &store),
            error => error.into(),
        })?;
        let unread = rows.iter().filter(|row| row.key.is_none() && row.rejection.is_none()).count();
        if unread > 0 {
            let what = format!("{unread} pictures were not read yet");
            return Err(not_whole(&source.path, &what, &store));
        }
        for key in rows.iter().filter_map(|row| row.key) {
            if let Some(outcome) = store.outcome(&key) {
                let known = outcomes.entry(key).or_insert(outcome);
                if outcome == Outcome::Embedded {
                    *known = outcome;
                }
            }
        }
        let rows = rows.into_iter().map(|row| (row, number));
        for (place, row) in rows.enumerate() {
            if place < source.listed() { &mut listed } else { &mut kept }.push(row);
        }
    }
    // A store may lack a picture that another one has.
    let lost = |row: &SampleRow| row.key.is_some_and(|key| !outcomes.contains_key(&key));
    let mut all: Vec<(SampleRow, usize)> = Vec::with_capacity(listed.len());
    let mut place_of: HashMap<PathBuf, usize> = HashMap::new();
    let mut shown: HashSet<ImageKey> = HashSet::new();
    let rank = |row: &SampleRow| match row.key.and_then(|key| outcomes.get(&key)) {
        Some(Outcome::Embedded) => 2,
        Some(Outcome::Rejected) => 1,
        None => 0,
    };
    for (row, number) in listed {
        shown.extend(row.key);
        if let Some(&place) = place_of.get(&row.sample.path) {
            if rank(&row) > rank(&all[place].0) {
                all[place] = (row, number);
            }
        } else {
            place_of.insert(row.sample.path.clone(), all.len());
            all.push((row, number));
        }
    }
    for (row, number) in kept {
        if let Some(&place) = place_of.get(&row.sample.path) {
            if rank(&row) > rank(&all[place].0) {
                // Today's labels, and the picture that the row had.
                (all[place].0.key, all[place].0.rejection) = (row.key, None);
            }
        } else if row.key.is_none_or(|key| shown.insert(key)) {
            place_of.insert(row.sample.path.clone(), all.len());
            all.push((row, number));
        }
    }
    if let Some((_, number)) = all.iter().find(|(row, _)| lost(row)) {
        let source = &sources[*number];
        let count = all.iter().filter(|(row, of)| of == number && lost(row)).count();
        let what = format!("{count} of its label rows name pictures that no store has");
        return Err(not_whole(&source.path, &what, &source.open()?));
    }
    Ok(all.into_iter().map(|(row, _)| row).collect())
}

fn not_whole(path: &Path, what: &str, store: &Store) -> Error {
    Error::data(format!(
        "`{}` is not whole ({what}): expected an extraction that has come to its end; {}",
        path.display(),
        store.run_again()
    ))
}
