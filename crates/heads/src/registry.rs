//! The heads by name.
//!
//! To add a head: write its file, then give it a line in the table `HEADS`.

use facefold_core::{FittedHead, Head, HeadError, HeadParts};

use crate::by_years::{self, ByYears};
use crate::ensemble::{self, Ensemble};
use crate::formula::{Formula, Value};
use crate::knn::{self, Knn};
use crate::linear::{self, Linear};
use crate::majority::{self, Majority};
use crate::members::{Restore, Write};
use crate::mlp::{self, Form, Mlp};
use crate::options::HeadOptions;
use crate::svm::{self, Svm};
use crate::trees::{self, Trees};
use crate::two_step::{self, TwoStep};

type Make = fn(&HeadOptions) -> Result<Box<dyn Head>, HeadError>;

/// A head that can be asked for by name.
struct Entry {
    name: &'static str,
    /// What it is, for `--help`.
    sentence: &'static str,
    make: Make,
    restore: Restore,
    /// Writes what it computes; `None` where that cannot be said in elementary steps.
    write: Option<Write>,
}

const MLP_ENSEMBLE: &str = "mlp-ensemble";
const MLP_JOINT_ENSEMBLE: &str = "mlp-joint-ensemble";

static HEADS: [Entry; 14] = [
    Entry {
        name: mlp::NAME,
        sentence: "Multi-layer perceptron with batch norm, dropout and mixup.",
        make: |options| Ok(Box::new(Mlp::new(Form::Plain, options)?)),
        restore: mlp::restore,
        write: Some(mlp::write),
    },
    Entry {
        name: MLP_ENSEMBLE,
        sentence: "The mean of several `mlp` fits under different seeds.",
        make: |options| {
            let member = Mlp::new(Form::Plain, options)?;
            Ok(Box::new(Ensemble::new(MLP_ENSEMBLE, member, options)?))
        },
        restore: ensemble::restore,
        write: Some(ensemble::write),
    },
    Entry {
        name: mlp::JOINT_NAME,
        sentence: "An `mlp` that learns the tasks of a run together: one trunk, outputs a task.",
        make: |options| Ok(Box::new(Mlp::joint(options)?)),
        restore: mlp::restore,
        write: Some(mlp::write),
    },
    Entry {
        name: MLP_JOINT_ENSEMBLE,
        sentence: "The mean of several `mlp-joint` fits under different seeds.",
        make: |options| {
            let member = Mlp::joint(options)?;
            Ok(Box::new(Ensemble::new(MLP_JOINT_ENSEMBLE, member, options)?))
        },
        restore: ensemble::restore,
        write: Some(ensemble::write),
    },
    Entry {
        name: by_years::NAME,
        sentence: "Age groups by an `mlp` that is trained on years; other tasks as `mlp`.",
        make: |options| Ok(Box::new(ByYears::new(Box::new(Mlp::fitted_once(options)?)))),
        restore: |parts| by_years::restore(parts, mlp::restore),
        write: None,
    },
    Entry {
        name: two_step::NAME,
        sentence: "Years by an `mlp` that also sees what another tells of age groups.",
        make: |options| {
            let member = Box::new(Mlp::fitted_once(options)?);
            Ok(Box::new(TwoStep::new(member, &options.two_step)?))
        },
        restore: |parts| two_step::restore(parts, mlp::restore),
        write: None,
    },
    Entry {
        name: mlp::RESIDUAL_NAME,
        sentence: "Multi-layer perceptron of residual blocks: batch norm, dropout, linear, ReLU.",
        make: |options| Ok(Box::new(Mlp::new(Form::Residual, options)?)),
        restore: mlp::restore,
        write: Some(mlp::write),
    },
    Entry {
        name: svm::NAME,
        sentence: "Support vector machine, Gaussian kernel, a machine for each pair of classes.",
        make: |options| Ok(Box::new(Svm::new(svm::NAME, options)?)),
        restore: svm::restore,
        write: Some(svm::write),
    },
    Entry {
        name: svm::LINEAR_NAME,
        sentence: "Support vector machine, linear kernel, a machine for each pair of classes.",
        make: |options| Ok(Box::new(Svm::new(svm::LINEAR_NAME, options)?)),
        restore: svm::restore,
        write: Some(svm::write),
    },
    Entry {
        name: svm::REFERENCE_NAME,
        sentence: "Support vector machine by linfa-svm, one class against the rest: the reference, slow.",
        make: |options| Ok(Box::new(Svm::new(svm::REFERENCE_NAME, options)?)),
        restore: svm::restore,
        write: Some(svm::write),
    },
    Entry {
        name: trees::NAME,
        sentence: "Gradient-boosted trees over binned features.",
        make: |options| Ok(Box::new(Trees::new(options)?)),
        restore: trees::restore,
        write: None,
    },
    Entry {
        name: knn::NAME,
        sentence: "The nearest training rows by cosine.",
        make: |options| Ok(Box::new(Knn::new(options)?)),
        restore: knn::restore,
        write: None,
    },
    Entry {
        name: linear::NAME,
        sentence: "Logistic regression for classes, ridge regression for years.",
        make: |options| Ok(Box::new(Linear::new(options)?)),
        restore: linear::restore,
        write: Some(linear::write),
    },
    Entry {
        name: majority::NAME,
        sentence: "The commonest class, or the median age, whatever the face: the floor.",
        make: |_| Ok(Box::new(Majority)),
        restore: majority::restore,
        write: None,
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

/// Makes a fitted head from its stored parts.
///
/// # Errors
/// [`HeadError::Damaged`] where the parts do not make a head.
pub fn restore(parts: &HeadParts) -> Result<Box<dyn FittedHead>, HeadError> {
    (entry(parts)?.restore)(parts)
}

/// Writes into a formula what the head of these parts computes, and gives the value that is its
/// answer: class shares, n x classes, or years, n x 1.
///
/// # Errors
/// [`HeadError::Setting`] for a head that has no formula, naming those that have;
/// [`HeadError::Damaged`] where the parts do not make a head.
pub fn write(parts: &HeadParts, formula: &mut Formula) -> Result<Value, HeadError> {
    match entry(parts)?.write {
        Some(write) => write(parts, formula),
        None => Err(HeadError::Setting(format!(
            "a `{}` head has no formula: expected a head {}",
            parts.kind,
            listed(HEADS.iter().filter(|entry| entry.write.is_some()))
        ))),
    }
}

fn entry(parts: &HeadParts) -> Result<&'static Entry, HeadError> {
    HEADS.iter().find(|entry| entry.name == parts.kind).ok_or_else(|| {
        HeadError::Damaged(format!("expected a head {}, found `{}`", known(), parts.kind))
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
        options.svm.cost = vec![0.0];
        options.linear.penalties.clear();
        for (name, setting) in
            [("mlp", "mlp.dropout"), ("svm", "svm.cost"), ("linear", "linear.penalties")]
        {
            let error = head(name, &options).err().unwrap().to_string();
            assert!(error.contains(setting), "{error}");
        }
    }
}
