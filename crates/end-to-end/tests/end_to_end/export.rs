//! `facefold export`: files with the network inside, run by onnxruntime, answer as `predict` does.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::imageops::FilterType;
use serde_json::Value;

use facefold_testing::{Need, given, skip};

use crate::support::{Dir, drawn, fail, has_weights, json, line, pictures, succeed};

/// Settings under which an MLP is trained in a moment.
const QUICK: &str = "--set mlp.hidden_layer_sizes=[32] --set mlp.epochs=2 --set mlp.min_steps=60 \
                     --set ensemble.members=2";

/// The crops that onnxruntime is asked for.
const ASKED: usize = 12;

/// A folder of the first drawn faces as crops, and a store of more of them with genders and years by a
/// manifest: the synthetic dataset's own ages are ranges.
fn prepared(dir: &Dir, model: &str, taps: &str) -> (PathBuf, PathBuf) {
    let [root, store] =
        [format!("drawn-{model}"), format!("store-{model}{taps}")].map(|name| dir.path(&name));
    let [crops, asked] = ["crops", "asked"].map(|name| root.join(name));
    for folder in [&crops, &asked] {
        std::fs::create_dir_all(folder).expect("a folder");
    }
    let mut list = "path,subject,age,gender\n".to_owned();
    for (number, path) in pictures(drawn()).iter().take(48).enumerate() {
        let picture = image::open(path).expect("a picture");
        let crop = picture.resize_exact(112, 112, FilterType::Triangle).into_rgb8();
        let name = format!("{number:02}.png");
        crop.save(crops.join(&name)).expect("a crop");
        if number < ASKED {
            crop.save(asked.join(&name)).expect("a crop");
        }
        let (subject, gender) = (number / 2, ["f", "m"][number / 2 % 2]);
        writeln!(list, "crops/{number:02}.png,s{subject},{},{gender}", 20 + subject)
            .expect("a line");
    }
    std::fs::write(root.join("manifest.csv"), list).expect("a manifest");
    let extract = format!("extract manifest {{}} --store {{}} --model {model} --aligned {taps}");
    succeed(line(&extract, &[&root, &store]));
    (asked, store)
}

fn bundle(dir: &Dir, store: &Path, head: &str, more: &str) -> PathBuf {
    let bundle = dir.path(&format!("{head}.facefold"));
    let train =
        format!("train --store {{}} --task gender,age --head {head} {QUICK} {more} --out {{}}");
    succeed(line(&train, &[store, &bundle]));
    bundle
}

/// What onnxruntime makes of each file.
fn ask(python: &Path, models: &[PathBuf], crops: &Path) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/parity_export.py");
    let mut command = Command::new(python);
    let output = command.arg(script).args(models).arg("--crops").arg(crops).output();
    let output = output.expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The largest distances of probabilities and years between a file's answers and facefold's.
fn distances(output: &Value, answers: &Value) -> [f64; 2] {
    let mut furthest = [0.0_f64; 2];
    let classes = output["notes"]["classes.gender"].as_str().expect("class names");
    let classes: Vec<String> = serde_json::from_str(classes).expect("a list");
    for (row, answer) in answers.as_array().expect("answers").iter().enumerate() {
        let years = output["outputs"]["age"][row].as_f64().expect("years");
        let expected = answer["age"].as_f64().expect("years");
        furthest[1] = furthest[1].max((years - expected).abs());
        let probabilities = answer["gender"]["probabilities"].as_array().expect("probabilities");
        for (probability, class) in probabilities.iter().zip(&classes) {
            assert_eq!(probability[0].as_str(), Some(class.as_str()));
            let place = classes.iter().position(|name| name == class).expect("a class");
            let found = output["outputs"]["gender_probability"][row][place].as_f64();
            let difference =
                found.expect("a probability") - probability[1].as_f64().expect("a probability");
            furthest[0] = furthest[0].max(difference.abs());
        }
    }
    furthest
}

/// By both crops where the heads were trained on both, and by one where the store has no mirrored crops.
#[test]
fn files_with_the_network_answer_as_predict_does() {
    let Some(python) = given(Need::Python) else { return };
    let mut cases = vec![
        ("untrained", "--taps", "mlp", "", "true"),
        ("untrained", "--taps", "mlp-ensemble", "--features taps", "true"),
        ("untrained", "--taps", "linear", "--features embedding", "true"),
        ("untrained", "", "linear", "", "false"),
    ];
    if has_weights() {
        cases.push(("buffalo_s", "--taps", "mlp", "", "true"));
    } else {
        skip(Need::Weights);
    }
    let dir = Dir::new();
    for (model, taps, head, more, mirrored) in cases {
        let (crops, store) = prepared(&dir, model, taps);
        let bundle = bundle(&dir, &store, head, more);
        let answers = json(line("predict --aligned --bundle {} {}", &[&bundle, &crops]));
        // Two f32 networks differ in the order of their sums: the last bits of features, which the
        // heads pass on. Where `predict` runs in bf16x3, with 16 bits a factor, a probability was
        // 1e-4 away. f16 keeps 11 bits of a weight, int8 7 of the largest of its channel.
        let tolerances = [("f32", [3e-4, 5e-3]), ("f16", [0.05, 0.5]), ("int8", [0.3, 4.0])];
        let files = tolerances.map(|(weights, _)| {
            let file = dir.path(&format!("{weights}.onnx"));
            let export = format!("export {{}} --with-backbone --weights {weights} --out {{}}");
            succeed(line(&export, &[&bundle, &file]));
            file
        });
        let outputs = ask(&python, &files, &crops);
        assert_eq!(outputs.len(), files.len());
        for ((weights, tolerance), output) in tolerances.into_iter().zip(outputs) {
            assert_eq!(output["notes"]["mirrored"], mirrored);
            let furthest = distances(&output, &answers);
            println!("{model}, {taps}, {head}, {weights}: {furthest:?}");
            assert!(furthest[0] < tolerance[0] && furthest[1] < tolerance[1], "{furthest:?}");
        }
    }
}

#[test]
fn a_file_states_its_size_input_and_outputs() {
    let dir = Dir::new();
    let bundle = bundle(&dir, &prepared(&dir, "untrained", "--taps").1, "linear", "");
    let [head, whole] = ["head.onnx", "whole.onnx"].map(|name| dir.path(name));
    let output = json(line("export {} --task age --out {}", &[&bundle, &head]));
    assert_eq!(output["input"]["name"], "features");
    assert_eq!(output["input"]["shape"][0], 2_560);
    assert_eq!(output["outputs"].as_array().map(Vec::len), Some(1));
    let bytes = std::fs::metadata(&head).expect("a file").len();
    assert_eq!(output["bytes"].as_u64(), Some(bytes));
    let output =
        json(line("export {} --with-backbone --weights int8 --out {}", &[&bundle, &whole]));
    assert_eq!(output["input"]["shape"], serde_json::json!([3, 112, 112]));
    assert!(output["bytes"].as_u64().expect("a size") < 5_000_000, "{output}");

    let message = fail(line("export {} --task class --out {}", &[&bundle, &head]), 2);
    assert!(message.contains("`class`") && message.contains("`gender`, `age`"), "{message}");
}

/// The network, a head with a narrow first layer and one task stay below 5 MB: what a phone's page
/// can load.
#[test]
fn a_narrow_head_behind_its_network_is_below_5_megabytes() {
    let dir = Dir::new();
    let (_, store) = prepared(&dir, "untrained", "--taps");
    let [bundle, out] = ["narrow.facefold", "narrow.onnx"].map(|name| dir.path(name));
    let train = "train --store {} --task age --set mlp.epochs=1 --set mlp.min_steps=1 \
                 --set mlp.hidden_layer_sizes=[96,256,256] --out {}";
    succeed(line(train, &[&store, &bundle]));
    let export = "export {} --with-backbone --weights int8 --out {}";
    let output = json(line(export, &[&bundle, &out]));
    assert!(output["bytes"].as_u64().expect("a size") < 5_000_000, "{output}");
}
