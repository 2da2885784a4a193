//! The synthetic dataset: generated parametric faces in Adience's layout, all from a seed.
//!
//! It is used by the demo, by tests, and by load tests of any size. It has
//! what the real set has: subjects exclusive to one of five folds, several pictures a subject, all
//! eight age groups, both genders, odd and missing labels, duplicate rows. Metrics on
//! it are no results: they test the pipeline, not the recognition of faces.

mod camera;
mod canvas;
mod capture;
mod colour;
mod error;
mod features;
mod identity;
mod lists;
mod paint;
mod plan;
mod portrait;
mod random;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use facefold_core::workers::{Workers, threads};
use fs_err as fs;
use image::codecs::jpeg::JpegEncoder;
use serde::{Deserialize, Serialize};

pub use error::SyntheticError;
pub use identity::Identity;
pub use portrait::{DEFAULT_SIDE, Portrait, SIDE_RANGE, portrait};

use plan::{Plan, Row};

/// Raised whenever the same options give other pictures or lists than before.
const VERSION: u32 = 1;
/// JPEG quality of the pictures.
const QUALITY: u8 = 92;
/// The file in a synthetic dataset that has its options.
pub const MARKER: &str = "synthetic.json";
/// Fewest subjects: one for each age group.
pub const MINIMUM_SUBJECTS: usize = 8;
/// Most subjects, bounded by the eight digits of a user id.
pub const MAXIMUM_SUBJECTS: usize = 1_000_000;
/// Fewest pictures of a subject.
pub const MINIMUM_PICTURES_A_SUBJECT: usize = 2;

/// Options of a synthetic dataset. The same options give the same bytes on one machine, whatever
/// `threads` is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyntheticOptions {
    /// Number of subjects, within [`MINIMUM_SUBJECTS`] and [`MAXIMUM_SUBJECTS`].
    pub subjects: usize,
    /// How many pictures in all, each named by one distinct row; a few rows are duplicated.
    pub pictures: usize,
    /// Seed of people, pictures and labels.
    pub seed: u64,
    /// Side of a picture, pixels, in [`SIDE_RANGE`].
    pub side: u32,
    /// Write the `faces` tree in addition to `aligned`: the same files again, by hard links where
    /// the file system has them.
    pub faces_tree: bool,
    /// Threads; 0 for one a core.
    #[serde(skip)]
    pub threads: usize,
}

impl Default for SyntheticOptions {
    fn default() -> Self {
        Self {
            subjects: 60,
            pictures: 600,
            seed: 1,
            side: DEFAULT_SIDE,
            faces_tree: true,
            threads: 0,
        }
    }
}

impl SyntheticOptions {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// Naming the first field out of its range, what was found, and the range.
    pub fn check(&self) -> Result<(), SyntheticError> {
        if !(MINIMUM_SUBJECTS..=MAXIMUM_SUBJECTS).contains(&self.subjects) {
            return Err(SyntheticError::Subjects(self.subjects));
        }
        if self.pictures < self.subjects * MINIMUM_PICTURES_A_SUBJECT {
            return Err(SyntheticError::Pictures {
                pictures: self.pictures,
                subjects: self.subjects,
            });
        }
        if !SIDE_RANGE.contains(&self.side) {
            return Err(SyntheticError::Side { side: self.side });
        }
        Ok(())
    }
}

/// Counts of a synthetic dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SyntheticSummary {
    /// The root for the Adience loader.
    pub root: PathBuf,
    /// Subjects in it.
    pub subjects: usize,
    /// Pictures, which is also the number of distinct rows.
    pub pictures: usize,
    /// Rows of the five lists, duplicates included.
    pub rows: usize,
    /// Pictures that were there from an interrupted run with the same options.
    pub kept: usize,
}

impl fmt::Display for SyntheticSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pictures, subjects, root) = (self.pictures, self.subjects, self.root.display());
        write!(
            f,
            "{pictures} pictures of {subjects} subjects who do not exist, in Adience's layout, in {root}"
        )
    }
}

/// Marks a folder as a synthetic dataset, with its options.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    version: u32,
    options: SyntheticOptions,
}

/// Generates the dataset that `options` describe in the folder `out`.
///
/// `out` must be new, empty, or hold a set of the same options: then only missing
/// pictures are generated, so that an interrupted call resumes. The lists are written
/// last. `progress` is called after each picture, from many threads, with the number of pictures
/// done and of all; it stops the work by breaking.
///
/// # Errors
/// Options out of range, a folder with other content, a file that can't be written, or
/// [`SyntheticError::Interrupted`] where `progress` broke off.
pub fn generate(
    out: &Path,
    options: &SyntheticOptions,
    progress: &(dyn Fn(usize, usize) -> ControlFlow<()> + Sync),
) -> Result<SyntheticSummary, SyntheticError> {
    options.check()?;
    claim(out, options)?;
    let plan = Plan::new(options);
    for tree in trees(options) {
        for subject in &plan.subjects {
            fs::create_dir_all(out.join(tree).join(&subject.id))?;
        }
    }

    let (done, mut kept) = (AtomicUsize::new(0), 0);
    let total = plan.rows.len();
    let write = |_: usize, row: &Row| {
        let is_kept = write_picture(out, options, &plan, row)?;
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        match progress(done, total) {
            ControlFlow::Continue(()) => Ok(is_kept),
            ControlFlow::Break(()) => Err(SyntheticError::Interrupted { done, total }),
        }
    };
    Workers::new(threads(options.threads)).for_each(&plan.rows, write, |is_kept| {
        kept += usize::from(is_kept);
        Ok(())
    })?;
    let rows = lists::write(out, &plan)?;
    Ok(SyntheticSummary {
        root: out.to_owned(),
        subjects: plan.subjects.len(),
        pictures: total,
        rows,
        kept,
    })
}

/// Makes sure that `out` is ours to write in, and marks it so.
fn claim(out: &Path, options: &SyntheticOptions) -> Result<(), SyntheticError> {
    fs::create_dir_all(out)?;
    let path = out.join(MARKER);
    let marker =
        Marker { version: VERSION, options: SyntheticOptions { threads: 0, ..options.clone() } };
    if path.exists() {
        let found: Option<Marker> = serde_json::from_slice(&fs::read(&path)?).ok();
        return if found.as_ref() == Some(&marker) {
            Ok(())
        } else {
            Err(SyntheticError::OtherSet(out.to_owned()))
        };
    }
    if fs::read_dir(out)?.next().is_some() {
        return Err(SyntheticError::NotEmpty(out.to_owned()));
    }
    let mut text = serde_json::to_vec_pretty(&marker).map_err(std::io::Error::from)?;
    text.push(b'\n');
    Ok(facefold_core::files::write_atomic(&path, &text)?)
}

fn trees(options: &SyntheticOptions) -> &'static [&'static str] {
    if options.faces_tree { &["aligned", "faces"] } else { &["aligned"] }
}

/// Draws and writes one picture unless it is there; true if it was.
fn write_picture(
    out: &Path,
    options: &SyntheticOptions,
    plan: &Plan,
    row: &Row,
) -> Result<bool, SyntheticError> {
    let subject = &plan.subjects[row.subject];
    let path = out.join("aligned").join(&subject.id).join(row.aligned_name());
    let kept = path.exists();
    if !kept {
        let portrait =
            subject.identity.portrait(row.years, options.seed, row.capture, options.side);
        let mut jpeg = Vec::with_capacity(64 * 1024);
        JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
            .encode_image(&portrait.picture)
            .map_err(|source| SyntheticError::Encode { path: path.clone(), source })?;
        // Renamed into place, so that a killed run leaves no half picture; not synced to disk as
        // `write_atomic` would, for that takes longer than generating them, and the set can be
        // generated again.
        let partial = path.with_extension("partial");
        fs::write(&partial, jpeg)?;
        fs::rename(&partial, &path)?;
    }
    if options.faces_tree {
        let twin = out.join("faces").join(&subject.id).join(row.coarse_name());
        if !twin.exists() && fs::hard_link(&path, &twin).is_err() {
            fs::copy(&path, &twin)?;
        }
    }
    Ok(kept)
}
