//! The heads: classifiers and age regressors over a feature matrix (MLP, SVM, boosted trees,
//! k-nearest neighbours, linear), their calibration, and bundles.
//!
//! [`registry::head`] makes a head by name; [`Bundle`] stores fitted heads in one file with all
//! that prediction needs. To add a head, write a file that implements `Algorithm` and `Model`
//! (`estimator.rs`) or `Head` and `FittedHead`, and enter it where `CONTRIBUTING.md` says.
//!
//! [`linfa`] makes estimators of that library of them.
//!
//! Fits and predictions run on the calling thread and start no other, so folds and seeds can be
//! fitted in parallel. The same rows and seed give the same bits.

mod age_graph;
mod bundle;
mod calibration;
mod choice;
mod ensemble;
mod estimator;
mod familiarity;
mod features;
mod flip_tta;
mod group_folds;
mod groups_from_age;
mod inner_products;
mod knn;
mod lbfgs;
mod linear;
pub mod linfa;
mod loss;
mod majority;
mod members;
mod mlp;
mod options;
pub mod registry;
pub mod settings;
pub mod spaces;
mod stacking;
mod state_dict;
mod subsample;
mod surrogate;
mod svm;
mod training_set;
mod trees;
mod weights;
mod years;

pub use bundle::{Bundle, BundleError, TaskHead};
pub use choice::FeatureChoice;
pub use ensemble::EnsembleOptions;
pub use knn::KnnOptions;
pub use linear::LinearOptions;
pub use mlp::{
    AgeDecoding, AgeLoss, Architecture, MlpOptions, MultiTaskOptions, OptimizerKind, Schedule,
};
pub use options::{ClassWeights, HeadOptions};
pub use stacking::StackingOptions;
pub use svm::{Kernel, MultiClass, Scaling, SvmOptions};
pub use training_set::{LabelCount, TaskCounts, TrainingSet};
pub use trees::TreeOptions;
pub use weights::{InvalidWeightFormat, WeightFormat};
