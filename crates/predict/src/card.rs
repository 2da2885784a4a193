//! A bundle's model card: training data, metrics, terms and limits.
//!
//! After the model cards of Mitchell et al. (2019): the network, the sets trained on, what the
//! heads scored, on what terms they may be used, and for what they must not be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use comfy_table::{Table, presets::NOTHING};
use facefold_heads::{Bundle, TrainingSet, WeightFormat};
use serde::Serialize;
use serde_json::Value;

/// What bundles are for.
pub const INTENDED_USE: &str = "Non-commercial research on age and gender estimation, with \
                                pictures of people who agreed to it.";

/// What no bundle must be used for.
pub const NOT_FOR: [&str; 6] = [
    "Decisions about a person: access, work, credit, insurance, medicine, law, policing, borders.",
    "Gender identity: the labels are binary and were annotated from pictures; how a person identifies \
     cannot be seen in a face.",
    "The only proof of an age: errors of several years are ordinary, and larger for children and \
     old people.",
    "Covert use: people who do not know of it, surveillance, advertising.",
    "Pictures of minors without the consent of those responsible for them.",
    "Faces or cameras unlike those trained on: the figures of this card do not hold there.",
];

/// Parts of the measured figures that are for programs: `--json` has them.
const FOR_PROGRAMS: [&str; 4] = ["log", "confusion", "bins", "cumulative_score"];

/// What tables of slices begin with.
const SLICE_NAMES: [&str; 2] = ["set", "group"];

/// What a user must know of a bundle before believing it. Holds no path.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BundleCard {
    /// Its name.
    pub name: String,
    /// One entry a head.
    pub tasks: Vec<TaskCard>,
    /// What the heads see of a face: `embedding`, `taps` or `both`.
    pub features: String,
    /// Number of features a face.
    pub columns: usize,
    /// Whether predictions are means over the crop and its mirror image, as in training.
    pub mirrored: bool,
    /// Model pack of the embeddings.
    pub model: String,
    /// Embedding network.
    pub network: String,
    /// Detector; `none` where whole pictures are the crops.
    pub detector: String,
    /// Precision class of the embeddings.
    pub precision: String,
    /// What the training embeddings were made with.
    pub fingerprint: String,
    /// How the file stores the heads' matrices.
    pub weights: WeightFormat,
    /// The sets trained on.
    pub training: Vec<TrainingSet>,
    /// How labels became targets.
    pub label_policy: String,
    /// By task the metrics of the heads on held-out subjects.
    pub metrics: Value,
    /// Terms of the weights and the pictures, one line.
    pub licence: String,
    /// What it is for.
    pub intended_use: &'static str,
    /// What it must not be used for.
    pub not_for: [&'static str; 6],
    /// The command that trained the heads.
    pub command: String,
    /// Version of facefold that trained the heads.
    pub facefold_version: String,
}

/// One head of a bundle.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskCard {
    /// `gender`, `age-group`, `age` or `class`.
    pub task: String,
    /// The kind of head: `mlp`, `svm`, `linear`.
    pub head: String,
    /// Names of its classes; empty for years.
    pub classes: Vec<String>,
    /// Whether predictions of years come with an interval.
    pub intervals: bool,
}

impl BundleCard {
    /// The card of a bundle that goes by this name.
    #[must_use]
    pub fn new(name: &str, bundle: &Bundle) -> Self {
        let extractor = &bundle.extractor;
        let tasks = bundle.heads.iter().map(|head| TaskCard {
            task: head.task.to_string(),
            head: head.state.kind.clone(),
            classes: head.classes.clone(),
            intervals: head.age_intervals.is_some(),
        });
        Self {
            name: name.to_owned(),
            tasks: tasks.collect(),
            features: bundle.features.to_string(),
            columns: bundle.features.width(extractor),
            mirrored: bundle.mirrored,
            model: extractor.model.clone(),
            network: extractor.network.clone(),
            detector: extractor.detector.clone(),
            precision: extractor.precision.to_string(),
            fingerprint: bundle.fingerprint.to_string(),
            weights: bundle.weights,
            training: bundle.training.clone(),
            label_policy: bundle.label_policy.clone(),
            metrics: bundle.metrics.clone(),
            licence: bundle.licence.clone(),
            intended_use: INTENDED_USE,
            not_for: NOT_FOR,
            command: bundle.command.clone(),
            facefold_version: bundle.facefold_version.clone(),
        }
    }

    /// The card as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.summary();
        text.push_str("\nTrained on (training rows and validation rows)\n");
        text.push_str(&indented(&self.training_table()));
        for set in &self.training {
            let _ = writeln!(text, "  Terms of {}: {}", set.name, set.terms);
        }
        for (task, measured) in self.metrics.as_object().into_iter().flatten() {
            let _ = writeln!(text, "\nFigures of {task}");
            let card = self.tasks.iter().find(|card| card.task == *task);
            let classes = card.map(|card| card.classes.as_slice()).unwrap_or_default();
            let mut figures = Figures { classes, ..Figures::default() };
            figures.collect("", measured);
            text.push_str(&indented(&figures.text()));
        }
        let _ = writeln!(text, "\nFor: {}", self.intended_use);
        text.push_str("Not for\n");
        for purpose in self.not_for {
            let _ = writeln!(text, "  - {purpose}");
        }
        text
    }

    fn summary(&self) -> String {
        let task = |card: &TaskCard| {
            let intervals = if card.intervals { ", with 80 % intervals" } else { "" };
            format!("{} ({}{intervals})", card.task, card.head)
        };
        let tasks: Vec<String> = self.tasks.iter().map(task).collect();
        let network = format!("{} ({}, detector {})", self.network, self.model, self.detector);
        let crops = if self.mirrored { "the crop and its mirror image" } else { "the crop" };
        let rows = [
            ("bundle", self.name.clone()),
            ("predicts", tasks.join(", ")),
            ("network", network),
            ("precision", format!("class {}", self.precision)),
            ("features", format!("{} ({} columns), of {crops}", self.features, self.columns)),
            ("fingerprint", self.fingerprint.clone()),
            ("weights", self.weights.to_string()),
            ("label policy", self.label_policy.clone()),
            ("trained by", format!("facefold {}: {}", self.facefold_version, self.command)),
            ("terms", self.licence.clone()),
        ];
        rows.iter()
            .fold(String::new(), |text, (name, value)| text + &format!("{name:<14}{value}\n"))
    }

    fn training_table(&self) -> Table {
        let mut table = plain();
        table.set_header(["set", "kind", "task", "rows", "subjects", "rows by label"]);
        for set in &self.training {
            for task in set.tasks.iter().filter(|task| task.rows > 0) {
                let labels =
                    task.labels.iter().map(|count| format!("{} {}", count.label, count.rows));
                table.add_row([
                    set.name.clone(),
                    set.kind.clone(),
                    task.task.to_string(),
                    task.rows.to_string(),
                    task.subjects.to_string(),
                    labels.collect::<Vec<_>>().join(", "),
                ]);
            }
        }
        table
    }
}

/// The measured figures of a task: single ones, and tables of slices.
#[derive(Default)]
struct Figures<'a> {
    classes: &'a [String],
    single: Vec<(String, String)>,
    tables: Vec<(String, Vec<BTreeMap<String, String>>)>,
}

impl Figures<'_> {
    /// Takes what a value holds, under a name.
    fn collect(&mut self, name: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in
                    fields.iter().filter(|(key, _)| !FOR_PROGRAMS.contains(&key.as_str()))
                {
                    self.collect(&format!("{name} {}", key.replace('_', " ")), value);
                }
            }
            Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_object) => {
                self.tables.push((name.trim().to_owned(), items.iter().map(row).collect()));
            }
            Value::Array(items) if items.len() == self.classes.len() => {
                for (class, item) in self.classes.iter().zip(items) {
                    self.single.push((format!("{} of {class}", name.trim()), figure(item)));
                }
            }
            Value::Array(_) | Value::Null => {}
            value => self.single.push((name.trim().to_owned(), figure(value))),
        }
    }

    fn text(&self) -> String {
        let mut single = plain();
        for (name, value) in &self.single {
            single.add_row([name, value]);
        }
        let mut text = format!("{single}\n");
        for (name, rows) in &self.tables {
            let names: BTreeSet<&String> = rows.iter().flat_map(BTreeMap::keys).collect();
            let mut names: Vec<&String> = names.into_iter().collect();
            names.sort_by_key(|name| !SLICE_NAMES.contains(&name.as_str()));
            let mut table = plain();
            table.set_header(&names);
            for row in rows {
                table.add_row(names.iter().map(|name| row.get(*name).map_or("–", String::as_str)));
            }
            let _ = write!(text, "{name}\n{}", indented(&table));
        }
        text
    }
}

/// The figures of one slice by their names.
fn row(slice: &Value) -> BTreeMap<String, String> {
    let mut figures = Figures::default();
    figures.collect("", slice);
    figures.single.into_iter().collect()
}

/// A formatted figure: three decimals, `–` for none.
fn figure(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => {
            format!("{:.3}", number.as_f64().unwrap_or(f64::NAN))
        }
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table
}

/// Lines moved to the right, each ended.
fn indented(text: &impl ToString) -> String {
    text.to_string().lines().fold(String::new(), |all, line| all + "  " + line.trim_end() + "\n")
}

#[cfg(test)]
mod tests {
    use facefold_core::Task;
    use facefold_heads::{LabelCount, TaskCounts, TrainingSet};
    use serde_json::json;

    use super::{BundleCard, NOT_FOR};
    use crate::default_bundle::default_bundle;

    #[test]
    fn a_card_has_sets_counts_figures_terms_and_limits() {
        let mut bundle = default_bundle().unwrap();
        let labels = vec![LabelCount { label: "female".to_owned(), rows: 4_711 }];
        let task = TaskCounts { task: Task::Gender, rows: 4_711, subjects: 815, labels };
        let [name, kind, terms] = ["faces", "utkface", "research only"].map(str::to_owned);
        bundle.training = vec![TrainingSet { name, kind, terms, tasks: vec![task] }];
        bundle.metrics = json!({
            "gender": {
                "validation_rows": 20,
                "validation": { "classes": {
                    "accuracy": 0.951_234,
                    "recall": [0.75, null],
                    "confusion": [[123_456, 1], [2, 3]],
                } },
                "by_set": [
                    { "set": "faces", "accuracy": 0.9, "rows": 20 },
                    { "set": "ranges", "ranges": { "inside": 0.625 } },
                ],
                "log": { "rows_used": 654_321 },
            },
        });
        let text = BundleCard::new("mine", &bundle).text();
        for part in [
            "bundle        mine",
            &bundle.fingerprint.to_string(),
            "4711",
            "815",
            "female 4711",
            "Terms of faces: research only",
            "validation classes accuracy",
            "0.951",
            "validation classes recall of female",
            "by set",
            "ranges inside",
            "0.625",
            "non-commercial",
        ] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
        assert!(NOT_FOR.iter().all(|purpose| text.contains(purpose)), "{text}");
        assert!(!text.contains("123456") && !text.contains("654321"), "for programs:\n{text}");
    }
}
