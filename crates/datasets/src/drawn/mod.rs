//! The drawn set: parametric faces of nobody, in Adience's own layout, all from a seed.
//!
//! It is the embedded default of the demonstration, of tests and of load tests of any size. It has
//! what the real set has: subjects exclusive to one of five folds, several pictures a subject, all
//! eight age groups, both genders, odd and missing labels, duplicate rows. It is never a result:
//! how well a head does on it says that the road works, nothing about faces.

mod camera;
mod canvas;
mod colour;
mod dice;
mod error;
mod features;
mod lists;
mod paint;
mod plan;
mod portrait;
mod shot;
mod sitter;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use fs_err as fs;
use image::codecs::jpeg::JpegEncoder;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use error::DrawError;
pub use portrait::{DEFAULT_SIDE, Portrait, SIDE_RANGE, portrait};
pub use sitter::Sitter;

use plan::{Plan, Row};

/// Raised whenever the same options give other pictures or lists than before.
const VERSION: u32 = 1;
/// JPEG quality of the pictures.
const QUALITY: u8 = 92;
/// The name of the file in a drawn set that says how it was drawn.
pub const MARKER: &str = "drawn.json";
/// Fewest subjects: one for each age group.
pub const MINIMUM_SUBJECTS: usize = 8;
/// Most subjects, bounded by the eight digits of a user id.
pub const MAXIMUM_SUBJECTS: usize = 1_000_000;
/// Fewest pictures of a subject.
pub const MINIMUM_PICTURES_A_SUBJECT: usize = 2;

/// What to draw. The same options give the same bytes on one machine, whatever `threads` is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawOptions {
    /// How many made-up people, within [`MINIMUM_SUBJECTS`] and [`MAXIMUM_SUBJECTS`].
    pub subjects: usize,
    /// How many pictures in all, each named by one distinct row; a few rows stand twice besides.
    pub pictures: usize,
    /// Seed of people, pictures and labels.
    pub seed: u64,
    /// Side of a picture, pixels, in [`SIDE_RANGE`].
    pub side: u32,
    /// Lay out the `faces` tree beside `aligned`: the same files again, by hard links where the
    /// file system has them.
    pub faces_tree: bool,
    /// Threads to draw with; 0 takes one a core.
    #[serde(skip)]
    pub threads: usize,
}

impl Default for DrawOptions {
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

impl DrawOptions {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// Naming the first field out of its range, what was found, and the range.
    pub fn check(&self) -> Result<(), DrawError> {
        if !(MINIMUM_SUBJECTS..=MAXIMUM_SUBJECTS).contains(&self.subjects) {
            return Err(DrawError::Subjects(self.subjects));
        }
        if self.pictures < self.subjects * MINIMUM_PICTURES_A_SUBJECT {
            return Err(DrawError::Pictures { pictures: self.pictures, subjects: self.subjects });
        }
        if !SIDE_RANGE.contains(&self.side) {
            return Err(DrawError::Side { side: self.side });
        }
        Ok(())
    }
}

/// What a drawn set holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrawSummary {
    /// Where it lies: the root for the Adience loader.
    pub root: PathBuf,
    /// Subjects in it.
    pub subjects: usize,
    /// Pictures, which is also the number of distinct rows.
    pub pictures: usize,
    /// Rows of the five lists, duplicates included.
    pub rows: usize,
    /// Pictures that already lay there from an earlier, interrupted run with the same options.
    pub kept: usize,
}

/// Marks a folder as a drawn set and says how it was drawn.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    version: u32,
    options: DrawOptions,
}

/// Draws the set that `options` describe into the folder `out`.
///
/// `out` must be new, empty, or hold a set of the same options: then what is there is kept and
/// only missing pictures are drawn, so that an interrupted call continues. The lists are written
/// last. `progress` is called after each picture, from many threads, with the number of pictures
/// done and of all; it stops the work by breaking.
///
/// # Errors
/// Options out of range, a folder with other content, a file that can't be written, or
/// [`DrawError::Interrupted`] where `progress` broke off.
pub fn draw(
    out: &Path,
    options: &DrawOptions,
    progress: &(dyn Fn(usize, usize) -> ControlFlow<()> + Sync),
) -> Result<DrawSummary, DrawError> {
    options.check()?;
    claim(out, options)?;
    let plan = Plan::new(options);
    for tree in trees(options) {
        for subject in &plan.subjects {
            fs::create_dir_all(out.join(tree).join(&subject.id))?;
        }
    }

    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build()
        .map_err(|error| DrawError::Threads(error.to_string()))?;
    let (done, kept) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let total = plan.rows.len();
    pool.install(|| {
        plan.rows.par_iter().try_for_each(|row| {
            if write_picture(out, options, &plan, row)? {
                kept.fetch_add(1, Ordering::Relaxed);
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            match progress(done, total) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(DrawError::Interrupted { done, total }),
            }
        })
    })?;
    let rows = lists::write(out, &plan)?;
    Ok(DrawSummary {
        root: out.to_owned(),
        subjects: plan.subjects.len(),
        pictures: total,
        rows,
        kept: kept.into_inner(),
    })
}

/// Makes sure that `out` is ours to write in, and marks it so.
fn claim(out: &Path, options: &DrawOptions) -> Result<(), DrawError> {
    fs::create_dir_all(out)?;
    let path = out.join(MARKER);
    let marker =
        Marker { version: VERSION, options: DrawOptions { threads: 0, ..options.clone() } };
    if path.exists() {
        let found: Option<Marker> = serde_json::from_slice(&fs::read(&path)?).ok();
        return if found.as_ref() == Some(&marker) {
            Ok(())
        } else {
            Err(DrawError::OtherSet(out.to_owned()))
        };
    }
    if fs::read_dir(out)?.next().is_some() {
        return Err(DrawError::NotEmpty(out.to_owned()));
    }
    let mut text = serde_json::to_vec_pretty(&marker).map_err(std::io::Error::from)?;
    text.push(b'\n');
    Ok(facefold_core::files::write_atomic(&path, &text)?)
}

fn trees(options: &DrawOptions) -> &'static [&'static str] {
    if options.faces_tree { &["aligned", "faces"] } else { &["aligned"] }
}

/// Draws and writes one picture unless it is there; true if it was.
fn write_picture(
    out: &Path,
    options: &DrawOptions,
    plan: &Plan,
    row: &Row,
) -> Result<bool, DrawError> {
    let subject = &plan.subjects[row.subject];
    let path = out.join("aligned").join(&subject.id).join(row.aligned_name());
    let kept = path.exists();
    if !kept {
        let portrait = subject.sitter.portrait(row.years, options.seed, row.shot, options.side);
        let mut jpeg = Vec::with_capacity(64 * 1024);
        JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
            .encode_image(&portrait.picture)
            .map_err(|source| DrawError::Encode { path: path.clone(), source })?;
        // Renamed into place, so that a killed run leaves no half picture; not synced to disk as
        // `write_atomic` would, for that takes longer than drawing, and the set can be drawn again.
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
