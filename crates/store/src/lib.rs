//! Embeddings on disk: append, resume, verify, load.
//!
//! A store is a directory. [`Store::create_or_open`] gives its one [`StoreWriter`], which appends
//! the outcome of every picture to a log and seals the log into immutable Parquet shards;
//! [`Store::open`] reads it, also while a writer is at work or after one was killed. The matrix
//! that heads are fitted on comes from [`Store::load_features`], which keeps `.npy` copies next to
//! the shards, maps them, and builds them again where they were deleted. `docs/store-format.md`
//! describes every file for readers without this crate.
//!
//! ```
//! # use facefold_core::{Embedding, Extraction, ExtractorInfo, Face, FaceVariant, Fingerprint};
//! # use facefold_core::{ImageKey, Precision};
//! # use facefold_store::{DatasetInfo, Features, Select, Store, StoreHeader};
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path().join("store");
//! # let info = ExtractorInfo {
//! #     backend: "local".into(), model: "untrained".into(), detector: "none".into(),
//! #     network: "mbf".into(), precision: Precision::F32Equivalent, execution: "candle f32".into(),
//! #     embedding_length: 2, taps_length: 0, taps_layout: String::new(), licence: String::new(),
//! # };
//! # let face = Face {
//! #     index: 0, variant: FaceVariant::PLAIN, embedding: Embedding::new(vec![3.0, 4.0])?,
//! #     norm: Some(5.0), taps: vec![], bounding_box: [0.0; 4].into(), landmarks: [[0.0; 2]; 5],
//! #     score: 1.0, luminance: 127.0, sharpness: 50.0,
//! # };
//! # let fingerprint = Fingerprint::builder().text("network", "mbf").finish();
//! let header = StoreHeader::new(fingerprint, info, DatasetInfo::new("folder", "faces"));
//! let mut writer = Store::create_or_open(&directory, header)?;
//! let key = ImageKey::of(b"the bytes of a picture");
//! writer.append(key, &Extraction::Embedded { faces: vec![face], found: 1 })?;
//! writer.finish()?;
//!
//! let store = Store::open(&directory)?;
//! let keys = [key];
//! let select = Select { variant: FaceVariant::PLAIN, features: Features::Embedding, keys: &keys };
//! assert_eq!(store.load_matrix(&select)?, ndarray::arr2(&[[3.0, 4.0]]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(target_endian = "big")]
compile_error!("stores are little-endian and read without turning bytes round");

mod attempts;
mod codec;
mod compare;
mod disk;
mod error;
mod export;
#[cfg(test)]
mod fixtures;
mod forget;
mod header;
mod import;
mod index;
mod inspect;
mod layout;
mod log;
mod matrix;
mod merge;
mod npy;
mod remedy;
mod removal;
mod samples;
mod seal;
mod shard;
mod store;
mod table;
#[cfg(test)]
mod write_faults;
mod writer;

pub use attempts::Attempts;
pub use compare::Difference;
pub use error::StoreError;
pub use export::{EmbeddedSample, ExportFormat, Exported, InvalidExportFormat};
pub use forget::{Forget, Forgotten, NotedReport};
pub use header::{DatasetInfo, LIST, SHARD, StoreHeader};
pub use import::{ImportError, ImportFiles, ImportedRow, ImportedRows, TextColumn};
pub use inspect::{ShardCheck, StoreInfo, Verification};
pub use matrix::{Features, InvalidFeatures, Select};
pub use merge::{FINISH_MERGE, Merged};
pub use npy::write_npy;
pub use remedy::{FINISH_REMOVAL, IMPORT};
pub use samples::{RejectedSample, SampleRow, TakenOver, rejection_of};
pub use shard::FaceSummary;
pub use store::{Outcome, Store};
pub use writer::{SealLimits, StoreWriter};
