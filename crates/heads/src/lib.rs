//! MLP, SVM, trees, neighbours and linear heads, calibration, and bundles.
//!
//! A head turns rows of a feature matrix into classes or years. [`registry::head`] makes one by
//! name; [`Bundle`] keeps fitted ones in a file with all that they need to answer. To add a head,
//! write a file that implements `Head` and `FittedHead`, and add a line to [`registry`].
//!
//! Every fit runs on the thread that asks for it and starts no other, so run folds and seeds side
//! by side. The same rows and seed give the same bits.

mod bundle;
mod by_years;
mod calibration;
mod choice;
mod ensemble;
mod familiarity;
mod features;
pub mod formula;
mod knn;
mod lbfgs;
mod linear;
mod loss;
mod majority;
mod members;
mod mlp;
mod options;
mod parts;
pub mod registry;
mod sides;
pub mod spaces;
mod subsample;
mod svm;
mod threads;
mod training_set;
mod trees;
mod two_step;
mod weights;
mod years;

pub use bundle::{Bundle, BundleError, TaskHead};
pub use choice::FeatureChoice;
pub use ensemble::EnsembleOptions;
pub use knn::KnnOptions;
pub use linear::LinearOptions;
pub use mlp::{Form, JointOptions, MlpOptions, Optimiser, Schedule, YearsAnswer, YearsLoss};
pub use options::{ClassWeights, HeadOptions};
pub use svm::{Kernel, Scaling, Scheme, SvmOptions};
pub use training_set::{LabelCount, TaskCounts, TrainingSet};
pub use trees::TreeOptions;
pub use two_step::TwoStepOptions;
pub use weights::WeightFormat;
