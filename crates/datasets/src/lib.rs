//! Datasets: loaders that turn label files and folders into samples, and label policies.
//!
//! [`load()`] reads a published set's own layout into [`Sample`](facefold_core::Sample)s without
//! judging a label; [`select()`] decides, task by task and under a [`LabelPolicy`], which samples
//! serve and with which target; [`check()`] counts all of it and shows that the counts add up.

pub mod ages;
pub mod check;
pub mod dataset;
mod deduplication;
pub mod error;
pub mod oversample;
pub mod policy;
pub mod select;
pub mod tally;

mod adience;
mod copies;
mod fairface;
mod folder;
mod imdb_wiki;
mod manifest;
mod mat;
mod missing;
mod pictures;
mod table;
mod unlabelled;
mod utkface;

pub use ages::ExactAges;
pub use check::{Check, CheckOptions, check};
pub use copies::contradicted;
pub use dataset::{Dataset, DatasetKind, LoadOptions, SkipReason, Skipped, Tree, load};
pub use error::DatasetError;
pub use missing::known;
pub use oversample::oversampling;
pub use policy::{AgeLabelling, DropReason, LabelPolicy};
pub use select::{Selection, select};
pub use tally::{LabelCount, Tally};
