//! Heads that need more than a name: several tasks at once, and a trained head to start from.

use crate::support::{Dir, drawn_store, fail, json, line, succeed};

const QUICK: &str = "--set mlp.epochs=1 --set mlp.least_steps=20 --set mlp.hidden=[16]";

#[test]
fn tasks_are_learnt_together_and_gone_on_with() {
    let dir = Dir::new();
    let report = json(line(
        &format!("cv --store {{}} --task gender,age-group --head mlp-joint {QUICK} --out {{}}"),
        &[drawn_store(), &dir.path("joint")],
    ));
    for (task, other) in [(0, "age-group"), (1, "gender")] {
        let fit = &report["tasks"][task]["result"]["heads"][0]["fits"][0];
        let notes = fit["log"]["notes"].to_string();
        assert!(notes.contains(&format!("learnt together with {other}")), "{notes}");
    }
    let bundle = dir.path("joint.facefold");
    let train = format!("train --store {{}} --task gender,age-group --head mlp-joint {QUICK}");
    succeed(line(&format!("{train} --out {{}}"), &[drawn_store(), &bundle]));
    // The bundle's trunk is a start for a plain head of the same size, and for no other.
    let next = dir.path("next.facefold");
    let go_on = format!("train --store {{}} --task gender --head mlp {QUICK}");
    let arguments = [drawn_store(), &bundle, &next];
    let answer = json(line(&format!("{go_on} --init {{}} --out {{}}"), &arguments));
    let notes = answer["metrics"]["gender"]["log"]["notes"].to_string();
    assert!(notes.contains("started from a trained head"), "{notes}");
    let wider = format!("{go_on} --set mlp.hidden=[8] --init {{}} --out {{}}");
    let message = fail(line(&wider, &arguments), 1);
    assert!(message.contains("mlp.hidden") && message.contains("[16]"), "{message}");
}

#[test]
fn one_task_alone_is_no_joint_training() {
    let dir = Dir::new();
    let message = fail(
        line(
            "train --store {} --task gender --head mlp-joint --out {}",
            &[drawn_store(), &dir.path("joint.facefold")],
        ),
        1,
    );
    assert!(message.contains("--task gender,age"), "{message}");
}
