//! `--threshold`: decisions at an age, from `cv` and `train` to `predict`.

use crate::pipeline::read_json;
use crate::support::{Dir, drawn, drawn_store, fail, json, line, succeed};

#[test]
fn cv_reports_what_a_challenge_age_costs_and_repeats_no_fit_for_another_threshold() {
    let dir = Dir::new();
    let out = dir.path("results");
    let cv = |further: &str| {
        let arguments = format!(
            "cv --store {{}} --task age --head mlp,linear --features embedding --set mlp.epochs=2 \
             --set mlp.min_steps=20 --out {{}} {further}"
        );
        succeed(line(&arguments, &[drawn_store(), &out]))
    };
    let text = cv("--threshold 40 --threshold 30 --max-false-adult 50%");
    let sections = [text.find("Decisions at 30"), text.find("Decisions at 40")];
    assert!(sections[0].is_some() && sections[0] < sections[1], "{text}");
    for name in ["report.md", "report.html"] {
        let page = std::fs::read_to_string(out.join(name)).expect(name);
        assert!(page.contains("Decisions at 40") && page.contains("over 52 passed"), "{name}");
        assert!(page.contains("mlp, under 18") && page.contains("mlp, 60 and older"), "{name}");
    }
    let report = read_json(&out.join("report.json"));
    let heads = report["tasks"][0]["result"]["heads"].as_array().expect("heads").clone();
    for head in &heads {
        let at = &head["thresholds"][1];
        assert_eq!((&at["age"], &at["max_error"]), (&40.into(), &0.5.into()), "{head}");
        let counted = ["minors", "adults", "not_counted"].map(|key| at[key].as_u64().expect(key));
        assert_eq!(Some(counted.iter().sum()), report["tasks"][0]["rows"]["used"].as_u64());
        assert_eq!(at["challenges"].as_array().map(Vec::len).map(|rows| rows >= 16), Some(true));
        assert_eq!(at["has_distribution"], head["name"] == "mlp", "{}", head["name"]);
    }
    // Another threshold needs no other fit: the seconds of the first run come from the journal.
    cv("--threshold 25 --max-false-adult 50%");
    let again = read_json(&out.join("report.json"));
    let seconds = |report: &serde_json::Value| {
        report["tasks"][0]["result"]["heads"][0]["fits"][0]["seconds"].as_f64()
    };
    assert_eq!(seconds(&report), seconds(&again));
    assert_eq!(again["tasks"][0]["result"]["heads"][0]["thresholds"][0]["age"], 25);
}

#[test]
fn a_bundle_decides_at_the_thresholds_it_was_trained_for() {
    let dir = Dir::new();
    let bundle = dir.path("drawn.facefold");
    succeed(line(
        "train --store {} --task age --head mlp --features embedding --set mlp.epochs=2 \
         --set mlp.min_steps=20 --threshold 40 --threshold 30 --max-false-adult 50% --out {}",
        &[drawn_store(), &bundle],
    ));
    let aligned = drawn().join("aligned");
    let answers = json(line("predict --bundle {} {}", &[&bundle, &aligned]));
    let answers = answers.as_array().expect("answers");
    for answer in answers {
        let at = answer["thresholds"].as_array().expect("thresholds");
        assert_eq!([&at[0]["age"], &at[1]["age"]], [30, 40], "{answer}");
        let decision = at[1]["decision"].as_str().expect("a decision");
        assert!(["over", "under", "undecided"].contains(&decision), "{answer}");
        let [over_30, over_40] = [0, 1].map(|place: usize| at[place]["probability_over"].as_f64());
        assert!(over_30 >= over_40 && over_40 >= Some(0.0), "{answer}");
    }
    let csv = succeed(line("predict --bundle {} --format csv {}", &[&bundle, &aligned]));
    let mut lines = csv.lines();
    assert!(lines.next().expect("a header").ends_with(",class_probability,over_30,over_40"));
    let row = lines.next().expect("a row");
    assert_eq!(row.rsplit(',').next(), answers[0]["thresholds"][1]["decision"].as_str(), "{row}");
    let table = succeed(line("predict --bundle {} {}", &[&bundle, &aligned]));
    assert!(table.contains("40 or older"), "{table}");
}

#[test]
fn thresholds_without_ages_or_with_a_bound_that_is_none_are_wrong_usage() {
    let dir = Dir::new();
    let out = dir.path("out");
    let paths = [drawn_store(), out.as_path()];
    for command in ["cv", "train"] {
        let gender = format!("{command} --store {{}} --task gender --threshold 18 --out {{}}");
        let message = fail(line(&gender, &paths), 2);
        assert!(message.contains("--threshold 18") && message.contains("`age`"), "{message}");
        let bound = format!(
            "{command} --store {{}} --task age --threshold 18 --max-false-adult 70% --out {{}}"
        );
        let message = fail(line(&bound, &paths), 2);
        assert!(message.contains("70%") && message.contains("50 %"), "{message}");
    }
}
