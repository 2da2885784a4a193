//! `TensorBoard` event files, as its own reader finds them.

use std::path::Path;
use std::process::Command;

use facefold_testing::{Need, given};
use serde_json::{Value, json};

use crate::pipeline::read_json;
use crate::support::{Dir, drawn_store, line, succeed};

/// The last scalar of each tag, by run.
const READ: &str = r#"
import json, sys
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
runs = EventMultiplexer().AddRunsFromDirectory(sys.argv[1]).Reload()
found = {}
for run, data in runs.Runs().items():
    found[run] = {}
    for tag in data["tensors"]:
        events = runs.Tensors(run, tag)
        values = [float(event.tensor_proto.float_val[0]) for event in events]
        found[run][tag] = [len(events), events[-1].step, values[-1]]
print(json.dumps(found))
"#;

fn has_events(directory: &Path) -> bool {
    std::fs::read(directory.join("events.out.tfevents.0.facefold"))
        .is_ok_and(|bytes| bytes.windows(13).any(|bytes| bytes == b"brain.Event:2"))
}

#[test]
fn runs_leave_event_files_that_tensorboard_reads() {
    let dir = Dir::new();
    let [out, tuned, events, bundle] =
        ["out", "tuned", "events", "faces.facefold"].map(|name| dir.path(name));
    let settings = "--features embedding --set mlp.epochs=3 --set mlp.min_steps=3 --tensorboard {}";
    let words = "--store {} --task gender,age --protocol kfold:2 --out {}";
    let cv = || {
        line(&format!("cv --head mlp,linear {words} {settings}"), &[drawn_store(), &out, &events])
    };
    succeed(cv());
    // Replaced, not doubled.
    succeed(cv());
    let tune =
        format!("tune --head linear --grid linear.l2_penalties=[0.1],[1] {words} {settings}");
    succeed(line(&tune, &[drawn_store(), &tuned, &events]));
    succeed(line(
        &format!("train --head mlp --store {{}} --task gender --out {{}} {settings}"),
        &[drawn_store(), &bundle, &events],
    ));
    let runs = ["gender/mlp/all-test-rows", "gender/mlp", "age/linear-tuned/all-test-rows"];
    for run in runs {
        assert!(has_events(&events.join(run)), "{run}");
    }

    let Some(python) = given(Need::Python) else { return };
    let output = Command::new(python).args(["-c", READ]).arg(&events).output().expect("python");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let report = read_json(&out.join("report.json"));
    for task in report["tasks"].as_array().expect("tasks") {
        let result = &task["result"];
        for head in result["heads"].as_array().expect("heads") {
            let name = head["name"].as_str().expect("a name");
            for fit in head["fits"].as_array().expect("fits") {
                let split = fit["split"].as_str().expect("a split").replace(' ', "-");
                let run =
                    format!("{}/{name}/{split}-seed-0", result["task"].as_str().expect("a task"));
                let tags = &found[&run];
                let epochs = fit["log"]["epochs"].as_array().expect("epochs");
                if let Some(last) = epochs.last() {
                    let loss = last["training_loss"].as_f64().expect("a loss") as f32;
                    assert_eq!(
                        tags["loss/training"],
                        json!([epochs.len(), epochs.len(), loss]),
                        "{run}"
                    );
                }
                if result["task"] == "gender" {
                    let accuracy =
                        fit["test"]["classes"]["accuracy"].as_f64().expect("accuracy") as f32;
                    assert_eq!(tags["test/accuracy"][2], json!(accuracy), "{run}");
                    assert!(tags["validation/accuracy"][2].is_number(), "{run}: {tags}");
                } else {
                    // A fold without exact years is measured by its ranges.
                    let measured = &fit["test"]["regression"];
                    let (tag, value) = match measured["mean_absolute_error"].as_f64() {
                        Some(error) => ("mean-absolute-error", error),
                        None => (
                            "range-distance",
                            measured["ranges"]["mean_distance"].as_f64().expect("a distance"),
                        ),
                    };
                    assert_eq!(
                        tags[format!("test/{tag}")][2],
                        json!(value as f32),
                        "{run}: {tags}"
                    );
                }
            }
        }
    }
    assert!(found["gender/mlp"]["validation/accuracy"][2].is_number(), "{found}");
}
