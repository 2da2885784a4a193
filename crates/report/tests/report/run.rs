//! A small run with heads that are right and wrong by rule.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use facefold_core::{
    AgeTarget, Epoch, FeatureDataset, FeatureMatrix, Fit, FittedHead, Fold, Head, HeadError,
    PredictedTargets, Prediction, StateDict, SubjectId, Targets, Task, TrainingLog,
};
use facefold_evaluate::{
    Attribute, AttributeValues, Attributes, AuxiliaryLabels, Budget, Candidate, Choice,
    Configuration, CvPlan, CvResult, CvRun, InnerValidation, Metric, NoJournal, Protocol, RowInfo,
    RowPredictions, SearchResult, SliceReport, Thresholds, Trial, compare, cross_validate, plan,
    slices,
};
use facefold_report::{
    Dataset, FORMAT, LabelErrorCount, Machine, Network, Provenance, Report, RowCounts, TaskReport,
};
use ndarray::Array2;

const CLASSES: usize = 3;

/// Reads the true label from the row's only feature, and misses it in every `wrong`-th row.
struct Rule {
    name: &'static str,
    wrong: usize,
    epochs: usize,
}

impl Head for Rule {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({ "hidden": 256, "wrong": self.wrong })
    }

    fn fit(
        &self,
        training: &FeatureDataset<'_>,
        validation: &FeatureDataset<'_>,
        seed: u64,
    ) -> Result<Fit, HeadError> {
        let epochs = (1..=self.epochs).map(|number| Epoch {
            number,
            training_loss: 1.0 / number as f64,
            validation_loss: 1.2 / number as f64,
            validation_score: 0.5,
            learning_rate: 0.001,
        });
        let subsampled = "trained on a subsample of 5 of 50 rows".to_owned();
        let head = Fitted {
            wrong: self.wrong,
            seed: seed as usize,
            classes: matches!(training.targets(), Targets::Classes { .. }),
            log: TrainingLog {
                epochs: epochs.collect(),
                best_epoch: (self.epochs > 0).then_some(self.epochs),
                rows_used: training.len(),
                notes: if self.epochs == 0 { vec![subsampled] } else { Vec::new() },
            },
        };
        Fit::of(head, validation)
    }
}

struct Fitted {
    wrong: usize,
    seed: usize,
    classes: bool,
    log: TrainingLog,
}

impl FittedHead for Fitted {
    fn predict(&self, matrix: &FeatureMatrix, rows: &[usize]) -> Result<Prediction, HeadError> {
        let missed = |row: usize| (row * 7 + self.seed).is_multiple_of(self.wrong);
        let right = |row: usize| matrix.plain().row(row)[0];
        if !self.classes {
            let years = rows.iter().map(|&row| {
                right(row) * 20.0 + (row % 5) as f32 + if missed(row) { 9.0 } else { 0.5 }
            });
            return Ok(PredictedTargets::Regression(years.collect()).into());
        }
        let mut probabilities = Array2::from_elem((rows.len(), CLASSES), 0.1);
        for (number, &row) in rows.iter().enumerate() {
            let class = right(row) as usize;
            let predicted = if missed(row) { (class + 1) % CLASSES } else { class };
            probabilities[(number, predicted)] = 0.8;
        }
        Ok(PredictedTargets::Classes(probabilities).into())
    }

    fn log(&self) -> &TrainingLog {
        &self.log
    }

    fn state_dict(&self) -> StateDict {
        StateDict {
            kind: "rule".to_owned(),
            config: serde_json::Value::Null,
            tensors: BTreeMap::new(),
        }
    }
}

/// Of 50 people with 6 pictures each.
fn feature(row: usize) -> f32 {
    (row / 6 % CLASSES) as f32
}

fn task(task: Task) -> TaskReport {
    let targets = match task {
        Task::Age => {
            let age = |row: usize| feature(row) * 20.0 + (row % 5) as f32;
            Targets::exact_years((0..300).map(age).collect())
        }
        _ => Targets::Classes {
            indices: (0..300).map(|row| feature(row) as usize).collect(),
            count: CLASSES,
        },
    };
    task_of(task, targets)
}

/// A task of years with two ages in three known as a range only.
pub fn of_ranges() -> Report {
    let age = |row: usize| {
        let low = feature(row) * 20.0 + 1.0;
        if row.is_multiple_of(3) {
            AgeTarget::exact(low)
        } else {
            AgeTarget::range(low, low + 9.0).unwrap()
        }
    };
    let targets = Targets::Regression((0..300).map(age).collect());
    Report { tasks: vec![task_of(Task::Age, targets)], ..report() }
}

/// 50 people with 6 pictures each in five folds.
fn task_of(task: Task, targets: Targets) -> TaskReport {
    let n = 300;
    let plain = Array2::from_shape_fn((n, 1), |(row, _)| feature(row));
    let matrix = FeatureMatrix::new(plain, None).unwrap();
    let rows: Vec<RowInfo> = (0..n)
        .map(|row| RowInfo {
            path: format!("{row}.jpg").into(),
            subject: Some(SubjectId::new(format!("person {}", row / 6))),
            fold: Some(Fold((row / 6 % 5) as u16)),
            split: None,
            set: None,
        })
        .collect();
    let classes = match task {
        Task::Age => Vec::new(),
        _ => ["0-12", "13-40", "41+"].map(str::to_owned).to_vec(),
    };
    let splits = plan(&Protocol::Folds, &rows, &targets, 7).unwrap();
    let attributes = attributes();
    let plan = CvPlan {
        task,
        classes,
        matrix: &matrix,
        matrix_rows: (0..n).collect(),
        targets,
        auxiliary_labels: AuxiliaryLabels::default(),
        rows: rows.into(),
        protocol: Protocol::Folds,
        splits,
        heads: vec![
            Box::new(Rule { name: "sharp", wrong: 11, epochs: 3 }),
            Box::new(Rule { name: "blunt", wrong: 3, epochs: 0 }),
        ],
        seed: 7,
        seeds: vec![1, 2],
        thresholds: Some(Thresholds {
            ages: vec![18],
            max_error: "50%".parse().unwrap(),
            attributes: &attributes,
        }),
        stamp: String::new(),
    };
    let run = CvRun {
        threads: 1,
        journal: &NoJournal,
        cancel: &AtomicBool::new(false),
        progress: &|_| {},
    };
    let mut outcome = cross_validate(&plan, &run).unwrap();
    for fit in outcome.result.heads.iter_mut().flat_map(|head| &mut head.fits) {
        fit.seconds = 1.5;
    }
    let candidates: Vec<Candidate<'_>> = ["sharp", "blunt"]
        .into_iter()
        .map(|head| Candidate {
            label: head.to_owned(),
            head: head.to_owned(),
            predictions: &outcome.predictions,
            splits: &outcome.result.splits,
        })
        .collect();
    let comparison = compare(&candidates, 7).unwrap();
    TaskReport {
        rows: RowCounts {
            samples: 310,
            used: n,
            dropped: [("no face".to_owned(), 4), ("no known age".to_owned(), 6)].into(),
            of_sets: BTreeMap::new(),
        },
        slices: Some(sliced(&outcome.predictions)),
        searches: if task == Task::Age { vec![searched(&outcome.result)] } else { Vec::new() },
        label_error_candidates: Some(LabelErrorCount {
            head: "sharp".to_owned(),
            found: 1234,
            listed: 200,
            file: format!("{task}/label-errors.csv"),
        }),
        result: outcome.result,
        comparison: Some(comparison),
    }
}

/// A search of three configurations in two iterations, of which one could not be fitted.
fn searched(result: &CvResult) -> SearchResult {
    let configuration = |settings: serde_json::Value| -> Configuration {
        serde_json::from_value(settings).unwrap()
    };
    let mut trials = Vec::new();
    let mut choices = Vec::new();
    for (fold, split) in result.splits.iter().enumerate() {
        let trial = |configuration: usize, iteration: usize, score: Option<f64>| Trial {
            split: split.name.clone(),
            configuration,
            iteration,
            rows: 30,
            score,
            failure: score.is_none().then(|| "cannot train: the loss is not finite".to_owned()),
            seconds: 0.5,
        };
        let years = fold as f64 / 10.0;
        trials.extend([
            trial(0, 0, Some(5.0 + years)),
            trial(1, 0, Some(4.5 + years)),
            trial(2, 0, None),
            trial(1, 1, Some(4.0 + years)),
        ]);
        choices.push(Choice { split: split.name.clone(), configuration: 1, score: 4.0 + years });
    }
    SearchResult {
        head: "sharp".to_owned(),
        name: "sharp-tuned".to_owned(),
        metric: Metric::MeanAbsoluteError,
        budget: Budget::Epochs,
        halving: 3,
        inner: InnerValidation::HoldOut,
        budget_fractions: vec![1.0 / 3.0, 1.0],
        configurations: vec![
            Configuration::default(),
            configuration(serde_json::json!({ "sharp.wrong": 7, "sharp.scaling": "unit" })),
            configuration(serde_json::json!({ "sharp.hidden": [64, 32] })),
        ],
        trials,
        choices,
    }
}

/// An attribute with a small slice and unknown rows, and a number.
fn attributes() -> Attributes {
    let light = |row: usize| match row {
        0..12 => Some("dusk"),
        12..18 => None,
        _ if (row / 6).is_multiple_of(2) => Some("day"),
        _ => Some("night"),
    };
    let columns = vec![
        Attribute {
            name: "light".to_owned(),
            values: AttributeValues::Names(
                (0..300).map(|row| light(row).map(Into::into)).collect(),
            ),
        },
        Attribute {
            name: "face size (pixels)".to_owned(),
            values: AttributeValues::Numbers((0..300).map(|row| Some((row % 50) as f32)).collect()),
        },
    ];
    let paths: Vec<_> = (0..300).map(|row| format!("{row}.jpg").into()).collect();
    Attributes::new(&paths, columns).unwrap()
}

fn sliced(predictions: &RowPredictions) -> SliceReport {
    slices(predictions, "sharp", &attributes(), 7).unwrap()
}

/// The report of that run.
pub fn report() -> Report {
    Report {
        format: FORMAT,
        warnings: vec![
            "The samples are synthetic faces and the network is `untrained`: these numbers are no \
             result."
                .to_owned(),
        ],
        provenance: Provenance {
            command: "facefold cv --store faces --task age-group,age --out results/made-up"
                .to_owned(),
            version: "0.1.0".to_owned(),
            commit: Some("abc1234".to_owned()),
            date: "2026-11-22T05:00:00Z".to_owned(),
            seconds: 123.4,
            machine: Machine {
                cpu: "Test CPU".to_owned(),
                cores: 2,
                memory: 15 << 29,
                system: "linux x86_64".to_owned(),
            },
            network: Network {
                name: "untrained".to_owned(),
                fingerprint: "0123456789abcdef0123456789abcdef".to_owned(),
                precision: "exact".to_owned(),
                licence: "for non-commercial research only".to_owned(),
                imported: false,
            },
            features: "embedding".to_owned(),
        },
        dataset: Dataset {
            kind: "synthetic".to_owned(),
            root: "faces".to_owned(),
            sets: Vec::new(),
            label_policy: Some("exact".to_owned()),
            age_groups: Some("0-12,13-40,41+".to_owned()),
            samples: 310,
            embedded: 306,
            rejected: [("no face".to_owned(), 4)].into(),
            notes: Vec::new(),
        },
        tasks: vec![task(Task::AgeGroup), task(Task::Age)],
    }
}
