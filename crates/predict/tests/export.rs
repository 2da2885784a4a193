//! Exported heads, without a network: their metadata, and onnxruntime predicts by
//! them as the heads do.
//!
//! onnxruntime runs where `FACEFOLD_PARITY_PYTHON` names a python3 with numpy and onnxruntime.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use facefold_core::{
    AuxiliaryTask, ExtractorInfo, FeatureDataset, FeatureMatrix, Fingerprint, Precision,
    PredictedTargets, Targets, Task,
};
use facefold_heads::{
    AgeDecoding, AgeLoss, Bundle, FeatureChoice, HeadOptions, MultiClass, TaskHead, WeightFormat,
    registry,
};
use facefold_predict::export::{WeightStorage, export};
use facefold_testing::{Need, given};
use ndarray::Array2;
use serde_json::Value;

const ROWS: usize = 160;
const WIDTH: usize = 12;

/// Smooth rows, of which the first columns determine the targets.
fn matrix() -> FeatureMatrix {
    let value = |(row, column): (usize, usize)| {
        (row as f32 * (0.37 + 0.11 * column as f32)).sin() * (1.0 + column as f32)
    };
    FeatureMatrix::new(Array2::from_shape_fn((ROWS, WIDTH), value), None).unwrap()
}

fn targets(task: Task, matrix: &FeatureMatrix, rows: &[usize]) -> Targets {
    let sum = |&row: &usize| {
        let row = matrix.plain().row(row);
        row[0] + row[1] / 2.0
    };
    match task {
        Task::Age => Targets::exact_years(rows.iter().map(|row| 40.0 + 15.0 * sum(row)).collect()),
        _ => Targets::Classes {
            indices: rows.iter().map(|row| usize::from(sum(row) > 0.0)).collect(),
            count: 2,
        },
    }
}

fn head(kind: &str, task: Task, options: &HeadOptions, matrix: &FeatureMatrix) -> TaskHead {
    let examples = |rows: std::ops::Range<usize>| {
        let rows: Vec<usize> = rows.collect();
        let other = if task == Task::Age { Task::Gender } else { Task::Age };
        let auxiliary = AuxiliaryTask {
            kind: other.into(),
            rows: rows.clone(),
            targets: targets(other, matrix, &rows),
        };
        let own = FeatureDataset::new(matrix, rows.clone(), targets(task, matrix, &rows)).unwrap();
        own.with_auxiliary_tasks(vec![auxiliary]).unwrap()
    };
    let head = registry::head(kind, options).unwrap();
    let fitted = head.fit(&examples(0..120), &examples(120..ROWS), 3).unwrap().head;
    let classes = match task {
        Task::Age => Vec::new(),
        _ => vec!["female".to_owned(), "male".to_owned()],
    };
    TaskHead {
        task,
        classes,
        age_groups: None,
        age_intervals: None,
        age_thresholds: Vec::new(),
        state: fitted.state_dict(),
    }
}

fn options() -> HeadOptions {
    let mut options = HeadOptions::default();
    options.mlp.hidden_layer_sizes = vec![24, 24];
    options.mlp.min_steps = 60;
    options.ensemble.members = 2;
    options
}

fn bundle(heads: Vec<TaskHead>) -> Bundle {
    let extractor = ExtractorInfo {
        backend: "local".to_owned(),
        model: "untrained".to_owned(),
        detector: "none".to_owned(),
        network: "mobilefacenet".to_owned(),
        precision: Precision::F32Equivalent,
        execution: "test".to_owned(),
        embedding_length: 8,
        taps_length: WIDTH - 8,
        taps_layout: facefold_core::TAPS_LAYOUT.to_owned(),
        licence: "terms of the weights".to_owned(),
    };
    Bundle {
        heads,
        features: FeatureChoice::Both,
        mirrored: false,
        familiarity: None,
        fingerprint: Fingerprint::builder().text("test", "export").finish(),
        licence: extractor.licence.clone(),
        extractor,
        training: Vec::new(),
        weights: WeightFormat::F32,
        label_policy: "exact".to_owned(),
        command: "facefold train".to_owned(),
        metrics: serde_json::json!({ "age": { "validation": 1.5 } }),
        seed: 3,
        facefold_version: "0.1.0".to_owned(),
    }
}

/// What onnxruntime makes of the file for all rows; none where it is not to be had.
fn ask(test: &str, file: &[u8], matrix: &FeatureMatrix) -> Option<Value> {
    let python = given(Need::Python)?;
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("head.onnx");
    fs_err::write(&model, file).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/parity_export.py");
    let mut child = Command::new(python)
        .args([&script, &model])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let rows: Vec<Vec<f32>> = (0..matrix.rows()).map(|row| matrix.plain().row(row)).collect();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(&rows).unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{test}: onnxruntime refuses the file");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// The largest distance between a head's predictions and a file's.
fn distance(head: &TaskHead, predicted: &Value, matrix: &FeatureMatrix) -> f32 {
    let rows: Vec<usize> = (0..ROWS).collect();
    let (name, expected) = match head.fitted().unwrap().predict(matrix, &rows).unwrap().targets {
        PredictedTargets::Regression(years) => ("age", years),
        PredictedTargets::Classes(probabilities) => {
            ("gender_probability", probabilities.iter().copied().collect())
        }
    };
    let given = predicted["outputs"][name].as_array().unwrap();
    let found: Vec<f64> = match given[0] {
        Value::Array(_) => given.iter().flat_map(|row| row.as_array().unwrap()).collect(),
        _ => given.iter().collect::<Vec<_>>(),
    }
    .into_iter()
    .map(|value| value.as_f64().unwrap())
    .collect();
    assert_eq!(found.len(), expected.len());
    let far = |(a, b): (&f64, &f32)| (*a as f32 - b).abs();
    found.iter().zip(&expected).map(far).fold(0.0, f32::max)
}

/// Both compute in f32 and differ in the order of their sums: the last bits of a probability, and
/// of years those times the slope of the median or of the years' deviation.
const TOLERANCE: [f32; 2] = [1e-5, 1e-3];

#[test]
fn onnxruntime_predicts_as_the_heads_do() {
    let test = "onnxruntime_predicts_as_the_heads_do";
    let matrix = matrix();
    let mut cases = Vec::new();
    for kind in [
        "mlp",
        "mlp-residual",
        "mlp-ensemble",
        "mlp-multi-task",
        "mlp-multi-task-ensemble",
        "linear",
        "svm",
        "svm-linear",
    ] {
        cases.push((kind, kind.to_owned(), options()));
    }
    for loss in [AgeLoss::Ordinal, AgeLoss::L1, AgeLoss::L2] {
        let mut options = options();
        options.mlp.age_loss = loss;
        cases.push(("mlp", format!("{loss:?}"), options));
    }
    let mut varied = options();
    varied.mlp.age_decoding = AgeDecoding::Expectation;
    varied.mlp.batch_norm = false;
    varied.unit_columns = Some((0, 8));
    varied.svm.multi_class = MultiClass::OneVsRest;
    cases.push(("mlp", "expectation of unit columns".to_owned(), varied.clone()));
    cases.push(("svm-linfa", "svm-linfa".to_owned(), varied));
    for (kind, name, options) in cases {
        let bundle = bundle(
            [Task::Gender, Task::Age].map(|task| head(kind, task, &options, &matrix)).into(),
        );
        let exported = export(&bundle, None, &[], WeightStorage::F32).unwrap();
        let Some(predicted) = ask(test, &exported.bytes, &matrix) else { return };
        for (head, tolerance) in bundle.heads.iter().zip(TOLERANCE) {
            let furthest = distance(head, &predicted, &matrix);
            println!("{name}, {}: {furthest:e}", head.task);
            assert!(furthest < tolerance, "{name}, {}: off by {furthest}", head.task);
        }
    }
}

#[test]
fn quantised_weights_are_smaller_and_predictions_close() {
    let test = "quantised_weights_are_smaller_and_predictions_close";
    let matrix = matrix();
    let mut wide = options();
    wide.mlp.hidden_layer_sizes = vec![128, 128];
    // Not rounded to years, where a median that lies at a half moves by a whole one.
    wide.mlp.age_decoding = AgeDecoding::Median;
    let bundle = bundle(vec![head("mlp", Task::Age, &wide, &matrix)]);
    let file = |weights| export(&bundle, None, &[], weights).unwrap().bytes;
    let [whole, half, eighth] =
        [WeightStorage::F32, WeightStorage::F16, WeightStorage::Int8].map(file);
    assert!(half.len() * 9 < whole.len() * 5 && eighth.len() * 3 < whole.len());
    // f16 keeps 11 bits of a weight, int8 7 of the largest of its unit.
    for (bytes, tolerance) in [(half, 0.2), (eighth, 2.0)] {
        let Some(predicted) = ask(test, &bytes, &matrix) else { return };
        let furthest = distance(&bundle.heads[0], &predicted, &matrix);
        println!("{} bytes: {furthest}", bytes.len());
        assert!(furthest < tolerance, "{} bytes: off by {furthest}", bytes.len());
    }
}

#[test]
fn exported_files_have_inputs_outputs_and_provenance() {
    let test = "exported_files_have_inputs_outputs_and_provenance";
    let matrix = matrix();
    let heads = [Task::Gender, Task::Age].map(|task| head("linear", task, &options(), &matrix));
    let bundle = bundle(heads.into());
    let exported = export(&bundle, None, &[Task::Gender], WeightStorage::F32).unwrap();
    assert_eq!((exported.input.name.as_str(), &exported.input.shape[..]), ("features", &[12][..]));
    let outputs: Vec<&str> = exported.outputs.iter().map(|port| port.name.as_str()).collect();
    assert_eq!(outputs, ["gender_probability"]);
    assert_eq!(exported, export(&bundle, None, &[Task::Gender], WeightStorage::F32).unwrap());
    let Some(predicted) = ask(test, &exported.bytes, &matrix) else { return };
    for (key, value) in [
        ("classes.gender", r#"["female","male"]"#),
        ("head.gender", "linear"),
        ("features", r#"{"embedding":[0,8],"taps":[8,12]}"#),
        ("mirrored", "false"),
        ("licence", "terms of the weights"),
        ("metrics", r#"{"age":{"validation":1.5}}"#),
        ("facefold_version", "0.1.0"),
        ("fingerprint", &bundle.fingerprint.to_string()),
    ] {
        assert_eq!(predicted["notes"][key].as_str(), Some(value), "{key}");
    }
}

#[test]
fn what_cannot_be_exported_is_named() {
    let matrix = matrix();
    let heads = [("knn", Task::Gender), ("linear", Task::Age)];
    let bundle = bundle(heads.map(|(kind, task)| head(kind, task, &options(), &matrix)).into());
    let refused =
        |tasks: &[Task]| export(&bundle, None, tasks, WeightStorage::F32).unwrap_err().to_string();
    let message = refused(&[Task::Class]);
    assert!(message.contains("`class`") && message.contains("`gender`, `age`"), "{message}");
    let message = refused(&[]);
    assert!(message.contains("`gender`") && message.contains("`knn`"), "{message}");
}
