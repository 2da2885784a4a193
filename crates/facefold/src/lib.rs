//! Age and gender from faces: small heads (MLP, SVM, linear, trees, neighbours) on the embeddings of a
//! frozen `ArcFace` network.
//!
//! This crate is what the `facefold` command is made of, for programs of your own. It parses no command
//! line and prints nothing; long work takes a [`Progress`], which is given how far it is and may stop it.
//!
//! # Start here
//!
//! | to | call | example |
//! | --- | --- | --- |
//! | embed pictures | [`NetworkOptions::extractor`], [`embed()`] | `embed` |
//! | predict with a bundle | [`load_bundles`], [`predictor()`] | `train_and_predict` |
//! | embed a data set into a store | [`Source::load`], [`extract()`] | `train_and_predict` |
//! | extract a data set on several machines | [`extract::DatasetShard`], [`merge()`] | |
//! | import embeddings that another program made | [`import()`](import::import) | |
//! | train a bundle | [`train()`] | `train_and_predict` |
//! | compare heads on stores, with a report | [`cross_validate_stores`] | `cross_validate` |
//! | search for settings, or test across data sets | [`tune_stores`], [`matrix_of_stores`] | |
//! | evaluate predictions of another program | [`judge`](evaluation::judge) | |
//! | run the whole pipeline on synthetic faces | [`demo()`] | |
//! | compare results of several runs | [`compare_results`] | |
//! | compare heads on embeddings and labels in memory, with a report | [`cross_validate_embeddings`] | |
//! | compare heads on features of your own | [`TaskData::new`], [`cross_validate()`], [`compare()`] | `custom_head` |
//!
//! The examples lie in `crates/facefold/examples`; `cargo run -p facefold --example custom_head` needs
//! neither weights nor pictures.
//!
//! # Which head is better?
//!
//! Two classes, separated by the first of eight features, for 40 subjects with three pictures each:
//!
//! ```
//! use facefold::core::{FeatureMatrix, SubjectId, Targets, Task};
//! use facefold::evaluate::{Metrics, RowInfo};
//! use facefold::heads::HeadOptions;
//! use facefold::ndarray::Array2;
//! use facefold::{CvOptions, RowId, TaskData, compare, cross_validate, head};
//!
//! let noise = |row: usize, column: usize| ((row * 31 + column * 17) % 23) as f32 / 23.0;
//! let class = |row: usize| (row / 3) % 2;
//! let features = Array2::from_shape_fn((120, 8), |(row, column)| {
//!     noise(row, column) + if column == 0 { class(row) as f32 } else { 0.0 }
//! });
//! let subject = |row: usize| SubjectId::new(format!("subject {}", row / 3));
//! let rows = (0..120).map(|row| RowInfo::new(format!("{row}.jpg"), subject(row)));
//! let data = TaskData::new(
//!     (Task::Gender, vec!["female".to_owned(), "male".to_owned()]),
//!     FeatureMatrix::new(features, None)?,
//!     &(0..120).map(RowId).collect::<Vec<_>>(),
//!     rows.collect(),
//!     Targets::Classes { indices: (0..120).map(class).collect(), count: 2 },
//! )?;
//!
//! let settings = HeadOptions::default();
//! let heads = vec![head("linear", &settings)?, head("majority", &settings)?];
//! // Five folds that no subject crosses.
//! let outcome = cross_validate(&data, heads, CvOptions::default(), &())?;
//! let Metrics::Classes(linear) = &outcome.result.heads[0].pooled else { unreachable!() };
//! assert!(linear.accuracy > 0.9);
//! let comparison = compare(&outcome, 0)?.expect("two heads");
//! assert_eq!(comparison.ranked()[0].label, "linear");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What lies below
//!
//! The crates that this one puts together are its modules [`core`], [`datasets`], [`vision`],
//! [`insightface`], [`store`], [`heads`], [`evaluate`], [`report`] and [`predict`](mod@predict). Messages of
//! errors name options as the command line calls them.

pub mod data;
mod demo;
mod embed;
mod error;
pub mod evaluation;
pub mod extract;
pub mod import;
mod initial;
mod merge;
pub mod network;
mod options;
pub mod parallel;
pub mod prediction;
mod progress;
pub mod remote;
pub mod run_file;
pub mod stores;
pub mod synthetic;
mod train;

pub use facefold_core as core;
pub use facefold_datasets as datasets;
pub use facefold_evaluate as evaluate;
pub use facefold_heads as heads;
pub use facefold_insightface as insightface;
pub use facefold_predict as predict;
pub use facefold_report as report;
pub use facefold_store as store;
pub use facefold_vision as vision;
pub use ndarray;

pub use data::{JoinedStores, RowId, TaskData};
pub use demo::{Demo, DemoOptions, demo};
pub use embed::embed;
pub use error::{Error, Result};
pub use evaluation::{
    CvOptions, EvaluationOptions, LabelledEmbeddings, MatrixOptions, ResultRow, TuneOptions,
    compare, cross_validate, cross_validate_embeddings, cross_validate_stores, matrix_of_stores,
    tune_stores,
};
pub use extract::{ExtractOptions, ExtractSummary, Source, extract};
pub use facefold_predict::Predictor;
pub use facefold_report::compare_results;
pub use initial::InitialHeads;
pub use merge::{MergeOptions, MergeSummary, merge};
pub use network::{Faces, NetworkOptions};
pub use options::{LearningOptions, Origin, columns, each_once, head, head_options};
pub use parallel::threads;
pub use prediction::{load_bundles, predictor};
pub use progress::{Pace, Progress, Stage, Step};
pub use run_file::RunFile;
pub use train::{TrainOptions, train, training_summary};
