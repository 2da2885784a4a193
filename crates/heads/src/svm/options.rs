//! Settings of the support vector machines.

use facefold_core::HeadError;
use serde::{Deserialize, Serialize};

use crate::options::{one_or_more, require};

/// How two rows are compared, after their features were scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kernel {
    /// exp(-gamma * squared distance).
    Gaussian,
    /// The inner product.
    Linear,
    /// (gamma * inner product + 1) to the power of the degree.
    Polynomial,
}

/// How binary classifiers are combined for several classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MultiClass {
    /// A classifier for each pair of classes.
    OneVsOne,
    /// A classifier for each class, against all others.
    OneVsRest,
}

/// How features are scaled before rows are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scaling {
    /// Each feature to mean 0 and standard deviation 1 over the training rows.
    Standard,
    /// Each row to length 1. Independent of the training rows, so that one Gram matrix serves all
    /// folds.
    Unit,
}

/// Settings of `svm`, `svm-linear` and `svm-linfa`.
///
/// Lists are tried in all combinations, and the best on the validation rows is kept (the first of
/// each list, where there are none). On UTKFace with `w600k_mbf` (training on three folds, looking
/// at a fourth) the best were cost 4 to 8 and gamma 0.25 to 0.7 on embeddings, cost 1 to 2 and
/// gamma 0.25 to 0.5 with taps, and among those of the default grid no more than 0.3 % or 0.05
/// years from the best of a finer one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SvmOptions {
    /// How features are scaled; `svm-linfa` always standardises. On UTKFace (3,000 training rows)
    /// unit rows were as good as standardised ones on embeddings (0.886 and 0.543, gender and nine
    /// age groups, against 0.886 and 0.544), and worse with taps, whose columns differ in size
    /// (0.932 and 0.592 against 0.940 and 0.611): hence the default.
    pub scaling: Scaling,
    /// Kernel of `svm` and `svm-linfa`; `svm-linear` is always linear.
    pub kernel: Kernel,
    /// Regularisation parameter C: one number or a list. `svm-linfa` takes the first.
    #[serde(deserialize_with = "one_or_more")]
    pub c: Vec<f64>,
    /// Of the Gaussian and the polynomial kernel: one number or a list; 1 is scikit-learn's
    /// `gamma='scale'`. `svm-linfa` takes the first.
    #[serde(deserialize_with = "one_or_more")]
    pub gamma: Vec<f64>,
    /// Of the polynomial kernel.
    pub degree: u32,
    /// Regression: half-width of the epsilon-insensitive tube, in standard deviations of the age.
    pub epsilon: f64,
    /// How several classes are combined; `svm-linfa` is always one-vs-rest.
    pub multi_class: MultiClass,
    /// Gigabytes that the kernel values of one fit of `svm` or `svm-linear` may take. Where the
    /// exact solver would need more (6 bytes for each pair of rows, for two classes or years; less
    /// for many), the primal problem is solved instead, on landmarks.
    pub memory_gb: f64,
    /// Nyström landmarks of the primal problem; fewer where the memory allows no more.
    pub landmarks: usize,
    /// `svm-linfa` leaves out training rows above this number by a stratified draw. `None`: as
    /// many stay as fit into about a minute, which at 512 features is 7,900 for two classes and
    /// 2,800 for eight.
    pub max_rows: Option<usize>,
}

impl Default for SvmOptions {
    fn default() -> Self {
        Self {
            scaling: Scaling::Standard,
            kernel: Kernel::Gaussian,
            c: vec![2.0, 0.5, 1.0, 4.0, 8.0],
            gamma: vec![0.5, 0.25],
            degree: 3,
            epsilon: 0.1,
            multi_class: MultiClass::OneVsOne,
            memory_gb: 4.0,
            landmarks: 2_000,
            max_rows: None,
        }
    }
}

impl SvmOptions {
    /// Refuses values out of range, naming the setting.
    pub(crate) fn check(&self) -> Result<(), HeadError> {
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let list = |values: &[f64]| !values.is_empty() && values.iter().all(|&v| positive(v));
        let expected = "a number above 0, or a list of them";
        require(list(&self.c), "svm.c", expected, &self.c)?;
        require(list(&self.gamma), "svm.gamma", expected, &self.gamma)?;
        require((1..=10).contains(&self.degree), "svm.degree", "1 to 10", self.degree)?;
        require(positive(self.epsilon), "svm.epsilon", "above 0", self.epsilon)?;
        require(positive(self.memory_gb), "svm.memory_gb", "above 0 gigabytes", self.memory_gb)?;
        require(self.landmarks >= 2, "svm.landmarks", "at least 2", self.landmarks)?;
        let rows = self.max_rows;
        require(rows.is_none_or(|rows| rows >= 2), "svm.max_rows", "at least 2", rows)
    }
}

#[cfg(test)]
mod tests {
    use super::SvmOptions;

    #[test]
    fn a_cost_may_be_one_number_or_a_list() {
        let one: SvmOptions = serde_json::from_str(r#"{"c": 3}"#).unwrap();
        assert_eq!(one.c, [3.0]);
        let more: SvmOptions = serde_json::from_str(r#"{"c": [1, 2.5]}"#).unwrap();
        assert_eq!(more.c, [1.0, 2.5]);
        more.check().unwrap();
        let none: SvmOptions = serde_json::from_str(r#"{"c": []}"#).unwrap();
        assert!(none.check().unwrap_err().to_string().contains("svm.c"));
    }
}
