//! The heads by name.
//!
//! To add a head: its file, a line in the table `HEADS`, and its settings; `CONTRIBUTING.md` lists the places.

use facefold_core::{FittedHead, Head, HeadError, StateDict};
use facefold_onnx::computation::{ComputationGraph, Value};

use crate::ensemble::{self, Ensemble};
use crate::estimator::Fitted;
use crate::groups_from_age::{self, GroupsFromAge};
use crate::knn::{self, Knn, Neighbours};
use crate::linear::{self, Linear, LinearModel};
use crate::majority::{self, Majority};
use crate::members::{Export, Restore};
use crate::mlp::{self, Architecture, Mlp};
use crate::options::HeadOptions;
use crate::stacking::{self, Stacking};
use crate::svm::{self, Svm, SvmModel};
use crate::trees::{self, Booster, Trees};

type Make = fn(&HeadOptions) -> Result<Box<dyn Head>, HeadError>;

/// A head that can be made by name.
struct Entry {
    name: &'static str,
    /// What it is, for `--help`.
    sentence: &'static str,
    make: Make,
    restore: Restore,
    /// Exports its computation; `None` for heads that cannot be exported.
    export: Option<Export>,
}

const MLP_ENSEMBLE: &str = "mlp-ensemble";
const MLP_MULTI_TASK_ENSEMBLE: &str = "mlp-multi-task-ensemble";

static HEADS: [Entry; 14] = [
    Entry {
        name: mlp::NAME,
        sentence: "Multi-layer perceptron with batch norm, dropout and mixup.",
        make: |options| Ok(Box::new(Mlp::new(Architecture::Plain, options)?)),
        restore: mlp::restore,
        export: Some(mlp::export),
    },
    Entry {
        name: MLP_ENSEMBLE,
        sentence: "The mean of several `mlp` fits under different seeds.",
        make: |options| {
            let member = Mlp::new(Architecture::Plain, options)?;
            Ok(Box::new(Ensemble::new(MLP_ENSEMBLE, member, options)?))
        },
        restore: ensemble::restore,
        export: Some(ensemble::export),
    },
    Entry {
        name: mlp::MULTI_TASK_NAME,
        sentence: "An `mlp` that learns the tasks of a run together: one trunk, outputs a task.",
        make: |options| Ok(Box::new(Mlp::multi_task(options)?)),
        restore: mlp::restore,
        export: Some(mlp::export),
    },
    Entry {
        name: MLP_MULTI_TASK_ENSEMBLE,
        sentence: "The mean of several `mlp-multi-task` fits under different seeds.",
        make: |options| {
            let member = Mlp::multi_task(options)?;
            Ok(Box::new(Ensemble::new(MLP_MULTI_TASK_ENSEMBLE, member, options)?))
        },
        restore: ensemble::restore,
        export: Some(ensemble::export),
    },
    Entry {
        name: groups_from_age::NAME,
        sentence: "Age groups by an `mlp` that is trained on years; other tasks as `mlp`.",
        make: |options| Ok(Box::new(GroupsFromAge::new(Mlp::fitted_once(options)?))),
        restore: groups_from_age::restore,
        export: None,
    },
    Entry {
        name: stacking::NAME,
        sentence: "Age in years by an `mlp` that also sees the age-group probabilities of another (stacking).",
        make: |options| Ok(Box::new(Stacking::new(Mlp::fitted_once(options)?, &options.stacking)?)),
        restore: stacking::restore,
        export: None,
    },
    Entry {
        name: mlp::RESIDUAL_NAME,
        sentence: "Multi-layer perceptron of residual blocks: batch norm, dropout, linear, ReLU.",
        make: |options| Ok(Box::new(Mlp::new(Architecture::Residual, options)?)),
        restore: mlp::restore,
        export: Some(mlp::export),
    },
    Entry {
        name: svm::NAME,
        sentence: "Support vector machine, Gaussian (RBF) kernel, one-vs-one.",
        make: |options| Ok(Box::new(Svm::head(svm::NAME, options)?)),
        restore: Fitted::<SvmModel>::restore,
        export: Some(svm::export),
    },
    Entry {
        name: svm::LINEAR_NAME,
        sentence: "Support vector machine, linear kernel, one-vs-one.",
        make: |options| Ok(Box::new(Svm::head(svm::LINEAR_NAME, options)?)),
        restore: Fitted::<SvmModel>::restore,
        export: Some(svm::export),
    },
    Entry {
        name: svm::REFERENCE_NAME,
        sentence: "Support vector machine by linfa-svm, one-vs-rest: the reference implementation, slow.",
        make: |options| Ok(Box::new(Svm::head(svm::REFERENCE_NAME, options)?)),
        restore: Fitted::<SvmModel>::restore,
        export: Some(svm::export),
    },
    Entry {
        name: trees::NAME,
        sentence: "Gradient-boosted trees over binned features.",
        make: |options| Ok(Box::new(Trees::head(options)?)),
        restore: Fitted::<Booster>::restore,
        export: None,
    },
    Entry {
        name: knn::NAME,
        sentence: "The nearest training rows by cosine.",
        make: |options| Ok(Box::new(Knn::head(options)?)),
        restore: Fitted::<Neighbours>::restore,
        export: None,
    },
    Entry {
        name: linear::NAME,
        sentence: "Logistic regression for classes, ridge regression for years.",
        make: |options| Ok(Box::new(Linear::head(options)?)),
        restore: Fitted::<LinearModel>::restore,
        export: Some(linear::export),
    },
    Entry {
        name: majority::NAME,
        sentence: "The most frequent class, or the median age, for every face: the baseline.",
        make: |_| Ok(Box::new(Majority)),
        restore: majority::restore,
        export: None,
    },
];

/// Name and a sentence of every head, best first.
pub fn names() -> impl Iterator<Item = (&'static str, &'static str)> {
    HEADS.iter().map(|entry| (entry.name, entry.sentence))
}

/// The head of this name, with checked settings.
///
/// ```
/// use facefold_heads::{HeadOptions, registry};
/// let head = registry::head("mlp", &HeadOptions::default())?;
/// assert_eq!(head.name(), "mlp");
/// # Ok::<_, facefold_core::HeadError>(())
/// ```
///
/// # Errors
/// [`HeadError::Setting`] where no head has the name, or a setting is out of range.
pub fn head(name: &str, options: &HeadOptions) -> Result<Box<dyn Head>, HeadError> {
    let entry = HEADS.iter().find(|entry| entry.name == name).ok_or_else(|| {
        HeadError::Setting(format!("expected a head {}, found `{name}`", known()))
    })?;
    (entry.make)(options)
}

/// Restores a fitted head from its state dict.
///
/// # Errors
/// [`HeadError::Corrupt`] where the state dict is not that of a head.
pub fn restore(state: &StateDict) -> Result<Box<dyn FittedHead>, HeadError> {
    (entry(state)?.restore)(state)
}

/// Appends the computation of the head of this state dict to a graph, and gives its prediction:
/// class probabilities, n x classes, or ages in years, n x 1.
///
/// # Errors
/// [`HeadError::Setting`] for a head that cannot be exported, naming those that can;
/// [`HeadError::Corrupt`] where the state dict is not that of a head.
pub fn export(state: &StateDict, graph: &mut ComputationGraph) -> Result<Value, HeadError> {
    match entry(state)?.export {
        Some(export) => export(state, graph),
        None => Err(HeadError::Setting(format!(
            "a `{}` head cannot be exported: expected a head {}",
            state.kind,
            listed(HEADS.iter().filter(|entry| entry.export.is_some()))
        ))),
    }
}

fn entry(state: &StateDict) -> Result<&'static Entry, HeadError> {
    HEADS.iter().find(|entry| entry.name == state.kind).ok_or_else(|| {
        HeadError::Corrupt(format!("expected a head {}, found `{}`", known(), state.kind))
    })
}

fn known() -> String {
    listed(HEADS.iter())
}

fn listed(entries: impl Iterator<Item = &'static Entry>) -> String {
    entries.map(|entry| format!("`{}`", entry.name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{head, names};
    use crate::HeadOptions;

    #[test]
    fn every_name_makes_the_head_of_that_name() {
        for (name, _) in names() {
            assert_eq!(head(name, &HeadOptions::default()).unwrap().name(), name);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = head("mpl", &HeadOptions::default()).err().unwrap().to_string();
        assert!(error.contains("`mlp`") && error.contains("`mpl`"), "{error}");
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let mut options = HeadOptions::default();
        options.mlp.dropout = 1.0;
        options.svm.c = vec![0.0];
        options.linear.l2_penalties.clear();
        for (name, setting) in
            [("mlp", "mlp.dropout"), ("svm", "svm.c"), ("linear", "linear.l2_penalties")]
        {
            let error = head(name, &options).err().unwrap().to_string();
            assert!(error.contains(setting), "{error}");
        }
    }
}
