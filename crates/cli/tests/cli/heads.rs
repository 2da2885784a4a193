//! Heads that need more than a name: several tasks at once, and a trained head to start from.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::support::{Dir, drawn, drawn_store, fail, json, line, succeed};

const QUICK: &str = "--set mlp.epochs=1 --set mlp.min_steps=20 --set mlp.hidden_layer_sizes=[16]";

#[test]
fn tasks_are_learnt_together_and_gone_on_with() {
    let dir = Dir::new();
    let report = json(line(
        &format!(
            "cv --store {{}} --task gender,age-group --head mlp-multi-task {QUICK} --out {{}}"
        ),
        &[drawn_store(), &dir.path("joint")],
    ));
    for (task, other) in [(0, "age-group"), (1, "gender")] {
        let fit = &report["tasks"][task]["result"]["heads"][0]["fits"][0];
        let notes = fit["log"]["notes"].to_string();
        assert!(notes.contains(&format!("auxiliary task {other}")), "{notes}");
    }
    let bundle = dir.path("joint.facefold");
    let train = format!("train --store {{}} --task gender,age-group --head mlp-multi-task {QUICK}");
    succeed(line(&format!("{train} --out {{}}"), &[drawn_store(), &bundle]));
    // The bundle's trunk is a start for a plain head of the same size, and for no other.
    let next = dir.path("next.facefold");
    let go_on = format!("train --store {{}} --task gender --head mlp {QUICK}");
    let arguments = [drawn_store(), &bundle, &next];
    let answer = json(line(&format!("{go_on} --init {{}} --out {{}}"), &arguments));
    let notes = answer["metrics"]["gender"]["log"]["notes"].to_string();
    assert!(notes.contains("started from a trained head"), "{notes}");
    // A bundle does not say who it was trained on, so that its people may be tested on.
    let tune = format!(
        "tune --store {{}} --task gender --head mlp {QUICK} --protocol kfold:2 \
         --grid mlp.dropout=0.2,0.4 --init {{}} --out {{}}"
    );
    let report = json(line(&tune, &[drawn_store(), &bundle, &dir.path("tuned")]));
    assert!(report["warnings"].to_string().contains("(--init): where people"), "{report}");
    for head in 0..2 {
        let head = &report["tasks"][0]["result"]["heads"][head];
        let notes = head["fits"][0]["log"]["notes"].to_string();
        assert!(notes.contains("started from a trained head"), "{}: {notes}", head["name"]);
    }
    let wider = format!("{go_on} --set mlp.hidden_layer_sizes=[8] --init {{}} --out {{}}");
    let message = fail(line(&wider, &arguments), 1);
    assert!(message.contains("mlp.hidden_layer_sizes") && message.contains("[16]"), "{message}");
}

#[test]
fn settings_are_listed_and_wrong_names_get_the_right_one() {
    let all = json(line("heads", &[]));
    let of_svm = json(line("heads svm", &[]));
    let settings = of_svm["settings"].as_array().expect("settings");
    let c = settings.iter().find(|setting| setting["name"] == "svm.c").expect("svm.c");
    assert_eq!(c["default"].to_string(), "[2.0,0.5,1.0,4.0,8.0]");
    assert!(all["settings"].as_array().expect("settings").len() > settings.len());
    let text = succeed(line("heads svm", &[]));
    assert!(text.contains("svm.gamma") && !text.contains("mlp.dropout"), "{text}");
    assert!(succeed(line("heads majority", &[])).contains("no settings"));
    assert!(fail(line("heads svn", &[]), 2).contains("found `svn`"));

    let dir = Dir::new();
    let cv = |set: &str| {
        let command =
            format!("cv --store {{}} --task gender --head svm-linear --set {set} --out {{}}");
        line(&command, &[drawn_store(), &dir.path("report")])
    };
    let report = json(cv("svm.c=0.5,1 --features embedding --protocol kfold:3"));
    let settings = &report["tasks"][0]["result"]["heads"][0]["settings"];
    assert!(settings.to_string().contains("[0.5,1.0]"), "{settings}");
    for (set, expected) in [
        ("svm.C=1", "`svm.C` is no setting of a head; did you mean `svm.c`? `facefold heads`"),
        ("svm.degree=2,3", "expected one value, found 2; `facefold tune --grid svm.degree=2,3`"),
    ] {
        let message = fail(cv(set), 2);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn one_task_alone_is_no_joint_training() {
    let dir = Dir::new();
    let message = fail(
        line(
            "train --store {} --task gender --head mlp-multi-task --out {}",
            &[drawn_store(), &dir.path("joint.facefold")],
        ),
        1,
    );
    assert!(message.contains("--task gender,age"), "{message}");
}

/// A store of drawn pictures with genders and, for all but one subject in five, races.
fn store_with_races(dir: &Dir) -> PathBuf {
    let (root, store) = (dir.path("pictures"), dir.path("store"));
    std::fs::create_dir_all(&root).expect("a directory");
    let mut list = "path,subject,gender,race\n".to_owned();
    let folders = std::fs::read_dir(drawn().join("aligned")).expect("aligned");
    let mut folders: Vec<_> = folders.map(|entry| entry.expect("an entry").path()).collect();
    folders.sort();
    for (subject, folder) in folders.iter().enumerate() {
        let gender = if subject % 2 == 0 { "f" } else { "m" };
        let race = ["Black", "White", "", "Asian", "White"][subject % 5];
        for (number, picture) in std::fs::read_dir(folder).expect("pictures").enumerate() {
            let file = format!("{subject}-{number}.jpg");
            let picture = picture.expect("a picture").path();
            std::fs::copy(picture, root.join(&file)).expect("a copy");
            writeln!(list, "{file},s{subject},{gender},{race}").expect("a line");
        }
    }
    std::fs::write(root.join("manifest.csv"), list).expect("a manifest");
    succeed(line("extract manifest {} --store {} --model untrained", &[&root, &store]));
    store
}

#[test]
fn races_are_auxiliary_labels_and_never_predicted() {
    let dir = Dir::new();
    let store = store_with_races(&dir);
    let cv = format!("cv --store {{}} --task gender --auxiliary race {QUICK} --protocol kfold:4");
    let joint = format!("{cv} --head mlp-multi-task --out {{}}");
    let report = json(line(&joint, &[&store, &dir.path("joint")]));
    assert_eq!(report["tasks"].as_array().expect("tasks").len(), 1);
    let notes = report["tasks"][0]["result"]["heads"][0]["fits"][0]["log"]["notes"].to_string();
    assert!(notes.contains("auxiliary task race: "), "{notes}");
    assert!(notes.contains(" 0 have no label of the main task"), "{notes}");
    let bundle = dir.path("joint.facefold");
    let train =
        format!("train --store {{}} --task gender --auxiliary race --head mlp-multi-task {QUICK}");
    succeed(line(&format!("{train} --out {{}}"), &[&store, &bundle]));

    // A head that would not learn them, labels that no row has, and labels that are none.
    let alone = format!("{cv} --head mlp,linear --out {{}}");
    let message = fail(line(&alone, &[&store, &dir.path("alone")]), 2);
    assert!(
        message.contains("`mlp-multi-task`") && message.contains("found mlp, linear"),
        "{message}"
    );
    let message = fail(line(&joint, &[drawn_store(), &dir.path("none")]), 1);
    assert!(message.contains("at least two races, found 0"), "{message}");
    let message = fail(line(&joint.replace("race", "height"), &[&store, &dir.path("odd")]), 2);
    assert!(message.contains("expected `race` or a task"), "{message}");
}
