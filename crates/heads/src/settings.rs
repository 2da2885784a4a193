//! Every setting of the heads by its name, `svm.c`, with what it may be and what it does.
//!
//! The table names the fields of [`HeadOptions`], from which the defaults come; tests hold it to them, to
//! what each head reads, and to `docs/heads.md`.

use facefold_core::text;
use serde_json::Value;

use crate::options::HeadOptions;
use crate::registry;

/// A setting of one or several heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The name, as `--set` and `--grid` take it.
    pub name: &'static str,
    /// The values that it may have; empty where any of its type will do.
    pub values: &'static str,
    /// What it is.
    pub meaning: &'static str,
}

/// The groups of settings that each head reads, in addition to those without a group.
const GROUPS: [(&str, &[&str]); 14] = [
    ("mlp", &["mlp"]),
    ("mlp-ensemble", &["mlp", "ensemble"]),
    ("mlp-multi-task", &["mlp", "multi_task"]),
    ("mlp-multi-task-ensemble", &["mlp", "multi_task", "ensemble"]),
    ("mlp-groups-from-age", &["mlp"]),
    ("mlp-stacked", &["mlp", "stacking"]),
    ("mlp-residual", &["mlp"]),
    ("svm", &["svm"]),
    ("svm-linear", &["svm"]),
    ("svm-linfa", &["svm"]),
    ("trees", &["trees"]),
    ("knn", &["knn"]),
    ("linear", &["linear"]),
    ("majority", &[]),
];

impl Setting {
    /// The group: `svm` of `svm.c`; none of a common setting.
    #[must_use]
    pub fn group(&self) -> Option<&'static str> {
        Some(self.name.split_once('.')?.0)
    }

    /// The value that it has where none is given.
    #[must_use]
    pub fn default(&self) -> Value {
        let options = serde_json::to_value(HeadOptions::default()).unwrap_or_default();
        self.name.split('.').fold(options, |value, key| value[key].clone())
    }

    /// The default as documents show it: JSON, but `none` for what is not there, and numbers as short
    /// as they are written.
    #[must_use]
    pub fn default_text(&self) -> String {
        match self.default() {
            Value::Null => "none".to_owned(),
            Value::String(text) => text,
            value => shown(&value),
        }
    }

    /// The heads that read it.
    pub fn heads(&self) -> impl Iterator<Item = &'static str> {
        let group = self.group();
        let reads = move |groups: &[&str]| match group {
            Some(group) => groups.contains(&group),
            None => !groups.is_empty(),
        };
        GROUPS.iter().filter(move |(_, groups)| reads(groups)).map(|(head, _)| *head)
    }
}

/// All settings, those of all heads first.
#[must_use]
pub fn all() -> &'static [Setting] {
    &SETTINGS
}

/// The setting of a name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The settings that a head reads; none where there is no such head.
#[must_use]
pub fn of_head(head: &str) -> Option<Vec<&'static Setting>> {
    registry::names().find(|(name, _)| *name == head)?;
    Some(SETTINGS.iter().filter(|setting| setting.heads().any(|name| name == head)).collect())
}

/// The setting whose name is most like one that there is not: `svm.c` for `svm.C`, `c` or `smv.c`.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    let name = name.trim().to_lowercase();
    let key = |setting: &Setting| setting.name.rsplit('.').next().unwrap_or(setting.name);
    if let Some(same) = SETTINGS.iter().find(|setting| key(setting) == name) {
        return Some(same.name);
    }
    text::nearest(&name, SETTINGS.iter().map(|setting| setting.name))
}

/// A value as documents show it.
fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => {
            let wide = number.as_f64().unwrap_or_default();
            let narrow = wide as f32;
            // What was written as f32 is as short as it was written.
            if f64::from(narrow) == wide { narrow.to_string() } else { wide.to_string() }
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| format!("\"{name}\": {}", shown(value));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

const SETTINGS: [Setting; 51] = [
    Setting {
        name: "class_weights",
        values: "`none`, `balanced`, `sampled`",
        meaning: "`balanced` weights a row by n / (classes · rows of its class); `sampled` makes MLPs sample each class equally often (other heads use `balanced`)",
    },
    Setting {
        name: "unit_columns",
        values: "`[first, end]`",
        meaning: "columns that are scaled to length 1 before everything else, such as the embedding's",
    },
    Setting {
        name: "mlp.hidden_layer_sizes",
        values: "widths of 1 to 65,536",
        meaning: "hidden layers; on embeddings without taps two are better",
    },
    Setting {
        name: "mlp.batch_norm",
        values: "`true`, `false`",
        meaning: "batch norm in the hidden layers",
    },
    Setting {
        name: "mlp.input_dropout",
        values: "0 to below 1",
        meaning: "dropout of the standardised features",
    },
    Setting { name: "mlp.dropout", values: "0 to below 1", meaning: "dropout of the hidden units" },
    Setting {
        name: "mlp.optimizer",
        values: "`adamw`, `adam` (`weight_decay`), `sgd` (`momentum`, `weight_decay`)",
        meaning: "optimizer; `weight_decay` at least 0, `momentum` 0 to below 1",
    },
    Setting { name: "mlp.l1", values: "at least 0", meaning: "L1 penalty (proximal step)" },
    Setting {
        name: "mlp.learning_rate",
        values: "above 0",
        meaning: "initial rate, or the highest of a one-cycle schedule",
    },
    Setting {
        name: "mlp.schedule",
        values: "`\"constant\"`, `exponential` (`factor`), `one-cycle` (`warmup`), `plateau` (`factor`, `patience`)",
        meaning: "learning rate schedule; `factor` above 0 and at most 1, `warmup` between 0 and 1, `patience` at least 1",
    },
    Setting { name: "mlp.epochs", values: "at least 1", meaning: "passes over the training rows" },
    Setting {
        name: "mlp.min_steps",
        values: "",
        meaning: "minimum of optimizer steps: small sets get more epochs",
    },
    Setting {
        name: "mlp.batch_size",
        values: "at least 2",
        meaning: "batch size; reduced (to 32 at least) where an epoch would have less than 20 steps",
    },
    Setting {
        name: "mlp.patience",
        values: "at least 1",
        meaning: "early stopping: epochs without a better validation score",
    },
    Setting {
        name: "mlp.horizontal_flip",
        values: "`true`, `false`",
        meaning: "random horizontal flip of training rows, where the store has mirrored crops",
    },
    Setting { name: "mlp.mixup", values: "at least 0", meaning: "alpha of mixup; 0 for none" },
    Setting {
        name: "mlp.age_loss",
        values: "`distribution` (`sigma` 0.1 to 50, `growth` 0 to 1, `l1` at least 0), `\"ordinal\"`, `\"l1\"`, `\"l2\"`",
        meaning: "loss of age: label distribution (a normal distribution of `sigma` + `growth` · age years, plus `l1` times the absolute error of the mean), CORAL, absolute or squared error",
    },
    Setting {
        name: "mlp.age_decoding",
        values: "`median-year`, `median`, `expectation`",
        meaning: "how the age is decoded from the distribution: median in whole years (the lowest absolute error for labels in whole years), median, mean",
    },
    Setting {
        name: "mlp.logit_adjustment",
        values: "0 to 1",
        meaning: "of the `distribution` loss: the logits of ages less this times the log of the ages' frequencies among the training rows, so that rare ages, such as those of old people, are not predicted as more frequent ones (Menon et al. 2021); 0 for none",
    },
    Setting {
        name: "mlp.temperature",
        values: "`true`, `false`",
        meaning: "temperature scaling of class probabilities on the validation rows",
    },
    Setting {
        name: "mlp.refit",
        values: "`true`, `false`",
        meaning: "a second fit on training and validation rows together, for all epochs, unless the set is small and the validation error of the first rose again until its last epoch. Validation scores and intervals are those of the first fit; `mlp-groups-from-age` and `mlp-stacked` do not refit",
    },
    Setting {
        name: "mlp.memory_gb",
        values: "above 0",
        meaning: "gigabytes of training rows that are shuffled together; more are shuffled in windows of so many, made of blocks of neighbouring rows drawn from all over the training set",
    },
    Setting {
        name: "mlp.mc_dropout_passes",
        values: "0, or 2 to 10,000",
        meaning: "Monte-Carlo dropout passes for an uncertainty of each prediction; `predict --format json` then has `age_mc_dropout_uncertainty` (years), the bundle's metrics the mean uncertainty of small and of large errors",
    },
    Setting {
        name: "multi_task.regression_weight",
        values: "above 0",
        meaning: "weight of the loss of a regression task",
    },
    Setting {
        name: "multi_task.classification_weight",
        values: "above 0",
        meaning: "weight of the loss of a classification task",
    },
    Setting {
        name: "ensemble.members",
        values: "1 to 1,000",
        meaning: "fits; the prediction is decoded from the mean of their distributions",
    },
    Setting {
        name: "stacking.groups",
        values: "as `--age-groups`",
        meaning: "groups of the first step",
    },
    Setting {
        name: "stacking.folds",
        values: "2 to 100",
        meaning: "folds of the out-of-fold predictions that the second step is trained on",
    },
    Setting {
        name: "svm.scaling",
        values: "`standard`, `unit`",
        meaning: "features to mean 0 and standard deviation 1, or rows to length 1, which shares one Gram matrix between folds",
    },
    Setting {
        name: "svm.kernel",
        values: "`gaussian`, `linear`, `polynomial`",
        meaning: "kernel; `svm-linear` is always linear",
    },
    Setting {
        name: "svm.c",
        values: "numbers above 0",
        meaning: "C; a list is a grid, of which the best on the validation rows is used (the first without validation rows)",
    },
    Setting {
        name: "svm.gamma",
        values: "numbers above 0",
        meaning: "in units of scikit-learn's `gamma='scale'`; a list is a grid",
    },
    Setting { name: "svm.degree", values: "1 to 10", meaning: "of the polynomial kernel" },
    Setting {
        name: "svm.epsilon",
        values: "above 0",
        meaning: "half-width of the insensitive tube, in standard deviations of the age",
    },
    Setting {
        name: "svm.multi_class",
        values: "`one-vs-one`, `one-vs-rest`",
        meaning: "several classes",
    },
    Setting {
        name: "svm.memory_gb",
        values: "above 0",
        meaning: "gigabytes for the Gram matrix; above it, the primal problem on Nyström landmarks is solved instead",
    },
    Setting { name: "svm.landmarks", values: "at least 2", meaning: "Nyström landmarks" },
    Setting {
        name: "svm.max_rows",
        values: "at least 2",
        meaning: "`svm-linfa`: training rows (a stratified subsample above); none: about a minute's worth",
    },
    Setting {
        name: "trees.num_iterations",
        values: "at least 1",
        meaning: "boosting iterations, at most",
    },
    Setting {
        name: "trees.early_stopping_rounds",
        values: "at least 1, or none",
        meaning: "early stopping: iterations without a lower validation loss",
    },
    Setting {
        name: "trees.learning_rate",
        values: "above 0, at most 1",
        meaning: "shrinkage: factor on the values of each tree",
    },
    Setting {
        name: "trees.num_leaves",
        values: "2 to 65,536",
        meaning: "leaves of a tree, at most",
    },
    Setting {
        name: "trees.min_data_in_leaf",
        values: "at least 1",
        meaning: "rows in a leaf, at least",
    },
    Setting {
        name: "trees.lambda_l2",
        values: "at least 0",
        meaning: "L2 regularisation of leaf values",
    },
    Setting { name: "trees.max_bin", values: "2 to 256", meaning: "histogram bins of a feature" },
    Setting {
        name: "trees.features_per_tree",
        values: "at least 1",
        meaning: "features sampled for each tree",
    },
    Setting {
        name: "knn.n_neighbors",
        values: "at least 1",
        meaning: "number of neighbours; a list is a grid",
    },
    Setting {
        name: "knn.scaling",
        values: "`standard`, `unit`",
        meaning: "features to mean 0 and standard deviation 1, or not",
    },
    Setting {
        name: "linear.l2_penalties",
        values: "above 0",
        meaning: "L2 penalties; a list is a grid",
    },
    Setting {
        name: "linear.max_iter",
        values: "",
        meaning: "L-BFGS steps for each penalty, at most",
    },
    Setting {
        name: "linear.memory_gb",
        values: "above 0",
        meaning: "gigabytes for the standardised training rows; more are read from the store in each step",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::{GROUPS, SETTINGS, all, named, nearest, of_head};
    use crate::options::HeadOptions;
    use crate::registry;

    fn options() -> Value {
        serde_json::to_value(HeadOptions::default()).unwrap()
    }

    /// Every name of a field of the options: `class_weights`, `mlp.epochs`.
    fn fields() -> BTreeSet<String> {
        let groups: BTreeSet<&str> =
            GROUPS.iter().flat_map(|(_, groups)| *groups).copied().collect();
        let mut fields = BTreeSet::new();
        for (name, value) in options().as_object().unwrap() {
            if groups.contains(name.as_str()) {
                let keys = value.as_object().unwrap().keys();
                fields.extend(keys.map(|key| format!("{name}.{key}")));
            } else {
                fields.insert(name.clone());
            }
        }
        fields
    }

    #[test]
    fn the_table_has_every_field_of_the_options_once_and_nothing_else() {
        let names: BTreeSet<String> = SETTINGS.iter().map(|s| s.name.to_owned()).collect();
        assert_eq!(names.len(), SETTINGS.len(), "a name stands twice");
        assert_eq!(names, fields(), "give each field of the options a line in the table");
        for setting in all() {
            assert!(setting.meaning.len() > 10, "{}: {}", setting.name, setting.meaning);
        }
    }

    /// Another value of the same type, which most settings accept.
    fn other(value: &Value) -> Option<Value> {
        Some(match value {
            Value::Bool(flag) => json!(!flag),
            Value::Number(number) if number.is_u64() => json!(number.as_u64()? + 2),
            Value::Number(number) => json!(number.as_f64()? * 1.5 + 0.01),
            Value::Array(items) => json!([other(items.first()?)?]),
            Value::Null => json!(7),
            Value::String(_) | Value::Object(_) => return None,
        })
    }

    #[test]
    fn a_head_reads_the_groups_of_the_table_and_no_others() {
        let heads: Vec<&str> = registry::names().map(|(name, _)| name).collect();
        assert_eq!(
            GROUPS.map(|(name, _)| name).to_vec(),
            heads,
            "the heads of the registry, in order"
        );
        let settings = |head: &str, options: Value| {
            let options: HeadOptions = serde_json::from_value(options).ok()?;
            Some(registry::head(head, &options).ok()?.settings())
        };
        for (head, groups) in GROUPS {
            let as_given = settings(head, options()).unwrap();
            let mut read = BTreeSet::new();
            for setting in all() {
                let Some((group, key)) = setting.name.split_once('.') else { continue };
                let mut changed = options();
                let Some(value) = other(&changed[group][key]) else { continue };
                changed[group][key] = value;
                if settings(head, changed).is_some_and(|found| found != as_given) {
                    read.insert(group);
                }
            }
            assert_eq!(read, groups.iter().copied().collect(), "{head}");
            let all_of_head = of_head(head).unwrap();
            assert_eq!(all_of_head.iter().any(|s| s.name == "class_weights"), !groups.is_empty());
        }
        assert!(of_head("oracle").is_none());
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/heads.md");
        let page = std::fs::read_to_string(page).unwrap();
        for setting in all() {
            let default = match setting.default() {
                Value::Null | Value::Number(_) => setting.default_text(),
                _ => format!("`{}`", setting.default_text()),
            };
            let row = |name: &str| {
                let cells = [&format!("`{name}`"), &default, setting.values, setting.meaning];
                cells.map(|cell| format!("| {cell}")).join(" ").replace("|  |", "| |") + " |"
            };
            let short = setting.name.rsplit('.').next().unwrap();
            let rows = [row(setting.name), row(short)];
            let found = page.lines().any(|line| rows.iter().any(|row| row == line));
            assert!(found, "docs/heads.md has no row\n{}\nor\n{}", rows[0], rows[1]);
        }
        let rows = page.lines().skip_while(|line| *line != "## Common settings");
        let rows = rows.filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, all().len(), "docs/heads.md has rows of other settings");
    }

    #[test]
    fn wrong_names_get_the_nearest_right_one() {
        for (wrong, right) in [
            ("mlp.dropuot", Some("mlp.dropout")),
            ("svm.C", Some("svm.c")),
            ("c", Some("svm.c")),
            ("smv.gamma", Some("svm.gamma")),
            ("mlp.epoch", Some("mlp.epochs")),
            ("num_leaves", Some("trees.num_leaves")),
            ("forest.size_of_the_hut", None),
        ] {
            assert_eq!(nearest(wrong), right, "{wrong}");
        }
        assert_eq!(named("svm.c").unwrap().default_text(), "[2, 0.5, 1, 4, 8]");
        assert_eq!(named("mlp.input_dropout").unwrap().default_text(), "0.2");
        assert_eq!(named("mlp.patience").unwrap().default_text(), "none");
    }
}
