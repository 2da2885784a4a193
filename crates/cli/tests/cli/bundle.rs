//! The embedded bundle, and what a bundle says of itself.

use std::path::PathBuf;

use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::serve::Served;
use facefold_testing::{Need, skip};

use crate::support::{
    Dir, drawn, drawn_bundle, drawn_store, fail, has_tiles, has_weights, json, line, pictures, run,
    succeed,
};

#[test]
fn the_embedded_bundle_shows_its_card() {
    let text = succeed(line("bundle show", &[]));
    for part in
        ["default", "buffalo_s", "Trained on", "Figures of gender", "Not for", "non-commercial"]
    {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    let card = json(line("bundle show", &[]));
    assert!(text.contains(card["fingerprint"].as_str().expect("a fingerprint")), "{text}");
    for set in card["training"].as_array().expect("sets") {
        for task in set["tasks"].as_array().expect("tasks") {
            let rows = task["rows"].as_u64().expect("rows");
            let labels = task["labels"].as_array().expect("labels").iter();
            let labelled: u64 = labels.map(|label| label["rows"].as_u64().expect("rows")).sum();
            assert_eq!(labelled, rows, "{task}");
            assert!(text.contains(&rows.to_string()), "{rows} is not in:\n{text}");
        }
    }
    assert!(!card["not_for"].as_array().expect("a list").is_empty());
}

#[test]
fn a_trained_bundle_tells_its_rows_and_no_place_of_the_machine() {
    let dir = Dir::new();
    let bundle = dir.path("mine.facefold");
    let train = "train --store {} --task gender,age-group --head linear --weights f16 --out {}";
    succeed(line(train, &[drawn_store(), &bundle]));
    let card = json(line("bundle show {}", &[&bundle]));
    assert_eq!((&card["name"], &card["weights"]), (&"mine".into(), &"f16".into()));
    let command = "facefold train --store store --task gender,age-group --head linear \
                   --weights f16 --out mine.facefold";
    assert_eq!(card["command"], command);
    let set = &card["training"][0];
    assert_eq!((&set["name"], &set["kind"]), (&"store".into(), &"adience".into()));
    assert!(set["terms"].as_str().expect("terms").contains("research only"), "{set}");
    for task in set["tasks"].as_array().expect("tasks") {
        let measured = &card["metrics"][task["task"].as_str().expect("a name")];
        let rows = |name: &str| measured[name].as_u64().expect("rows");
        assert_eq!(task["rows"], rows("training_rows") + rows("validation_rows"));
    }
    let bytes = String::from_utf8_lossy(&std::fs::read(&bundle).expect("a bundle")).into_owned();
    let place = dir.path("").display().to_string();
    assert!(!bytes.contains(place.trim_end_matches('/')) && !bytes.contains("/tmp"), "{place}");
    let message = fail(line("bundle show {}", &[&dir.path("nowhere.facefold")]), 1);
    assert!(message.contains("nowhere.facefold"), "{message}");
}

#[test]
fn a_bundle_of_two_sets_tells_of_each() {
    let dir = Dir::new();
    let [other, store, bundle] =
        ["other", "other-store", "both.facefold"].map(|name| dir.path(name));
    succeed(line("data generate {} --subjects 12 --pictures 40 --seed 8", &[&other]));
    succeed(line("extract adience {} --store {} --model untrained --taps", &[&other, &store]));
    let train = "train --store {} --store {} --task gender --head linear --out {}";
    succeed(line(train, &[drawn_store(), &store, &bundle]));
    let card = json(line("bundle show {}", &[&bundle]));
    let names = |list: &Value, key: &str| -> Vec<String> {
        let items = list.as_array().expect("a list").iter();
        items.map(|item| item[key].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(&card["training"], "name"), ["store", "other-store"]);
    let gender = &card["metrics"]["gender"];
    assert_eq!(names(&gender["by_set"], "set"), ["other-store", "store"]);
    let number = |value: &Value| value.as_f64().expect("a number");
    let sets = gender["by_set"].as_array().expect("sets");
    let rows: f64 = sets.iter().map(|set| number(&set["rows"])).sum();
    let right: f64 = sets.iter().map(|set| number(&set["rows"]) * number(&set["accuracy"])).sum();
    assert_eq!(rows, number(&gender["validation_rows"]));
    let accuracy = number(&gender["validation"]["classes"]["accuracy"]);
    assert!((right / rows - accuracy).abs() < 1e-9, "{gender}");
}

/// A store with taps has mirrored rows too, which heads on embeddings alone are trained and measured on.
#[test]
fn a_bundle_predicts_alike_alone_and_with_others() {
    let dir = Dir::new();
    let [store, alone, crop] =
        ["store", "embedding.facefold", "crop.facefold"].map(|name| dir.path(name));
    let train =
        "train --store {} --task gender,age-group --head linear --features embedding --out {}";
    succeed(line(train, &[drawn_store(), &alone]));
    // Without mirrored rows.
    succeed(line("extract adience {} --store {} --model untrained", &[drawn(), &store]));
    succeed(line(train, &[&store, &crop]));
    let bundles = [drawn_bundle(), alone, crop];
    let mirrored = |bundle: &PathBuf| json(line("bundle show {}", &[bundle]))["mirrored"].clone();
    assert_eq!(bundles.each_ref().map(mirrored), [true, true, false]);

    let photos = pictures(drawn());
    let [one, two, three] = [0, 20, 40].map(|number| &photos[number]);
    let [both, embedding, crop] = &bundles;
    let together = json(line(
        "predict --bundle {} --bundle {} --bundle {} {} {} {}",
        &[both, embedding, crop, one, two, three],
    ));
    let together = together.as_array().expect("predictions");
    let mut first = Vec::new();
    for bundle in &bundles {
        let found = json(line("predict --bundle {} {} {} {}", &[bundle, one, two, three]));
        let of_bundle = |prediction: &&Value| prediction["bundle"] == found[0]["bundle"];
        let among: Vec<Value> = together.iter().filter(of_bundle).cloned().collect();
        assert_eq!(Value::from(among), found, "{}", bundle.display());
        first.push(found[0].clone());
    }

    let serve = "serve --bundle {} --bundle {} --bundle {} --listen 127.0.0.1:0 --threads 1";
    let served = Served::start(line(serve, &[both, embedding, crop]));
    let bytes = std::fs::read(one).expect("a picture");
    let (status, body) = served.ask("POST", "/v1/predict", "image/jpeg", &bytes);
    assert_eq!(status, 200, "{body}");
    let reply: Value = serde_json::from_str(&body).expect("JSON");
    let predictions = &reply["pictures"][0]["faces"][0]["predictions"];
    for (number, alone) in first.iter().enumerate() {
        for key in ["gender", "age_group", "familiarity"] {
            assert_eq!(predictions[number][key], alone[key], "{key} of {}", alone["bundle"]);
        }
    }
}

#[test]
fn a_picture_is_predicted_without_naming_a_bundle() {
    if !has_weights() {
        return skip(Need::Weights);
    }
    let dir = Dir::new();
    let (picture, empty) = (pictures(drawn()).swap_remove(0), dir.path("empty.png"));
    RgbImage::from_pixel(300, 300, Rgb([120, 130, 140])).save(&empty).expect("a picture");
    let predicted = json(line("predict --offline {} {}", &[&picture, &empty]));
    let face = &predicted[0];
    assert_eq!((&face["bundle"], &face["status"]), (&"default".into(), &"ok".into()));
    for key in ["gender", "age_group"] {
        let probability = face[key]["probability"].as_f64().expect("a probability");
        assert!((0.0..=1.0).contains(&probability), "{face}");
    }
    let years = ["age_low", "age", "age_high"].map(|key| face[key].as_f64().expect("years"));
    assert!(years.is_sorted(), "{face}");
    let rejected = &predicted[1];
    assert_eq!((&rejected["bundle"], &rejected["status"]), (&"default".into(), &"no-face".into()));

    let served = Served::start(line("serve --offline --listen 127.0.0.1:0 --threads 1", &[]));
    let bytes = std::fs::read(&picture).expect("a picture");
    let (status, body) = served.ask("POST", "/v1/predict", "image/jpeg", &bytes);
    assert_eq!(status, 200, "{body}");
    let reply: Value = serde_json::from_str(&body).expect("JSON");
    let answer = &reply["pictures"][0]["faces"][0]["predictions"][0];
    for key in ["bundle", "gender", "age_group", "age", "age_low", "age_high"] {
        assert_eq!(answer[key], face[key], "{key}");
    }
    let models: Value =
        serde_json::from_str(&served.ask("GET", "/v1/models", "text/plain", b"").1).expect("JSON");
    assert_eq!(models["bundles"][0], json(line("bundle show", &[])));
}

#[test]
fn the_embedded_bundle_refuses_another_precision_class() {
    if !has_weights() {
        return skip(Need::Weights);
    }
    if !has_tiles() {
        return skip(Need::Amx);
    }
    let picture = pictures(drawn()).swap_remove(0);
    let message = fail(line("predict --offline --precision bf16 {}", &[&picture]), 1);
    let expected = json(line("bundle show", &[]))["fingerprint"].clone();
    for part in
        [expected.as_str().expect("a fingerprint"), "precision class f32-equivalent", "buffalo_s"]
    {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn without_weights_and_network_it_is_said_what_to_put_where() {
    let dir = Dir::new();
    let picture = pictures(drawn()).swap_remove(0);
    let mut command = line("predict --offline {}", &[&picture]);
    command.env("FACEFOLD_MODELS", dir.path("models")).env("HOME", dir.path("home"));
    let output = run(command);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in ["buffalo_s", "--offline", "w600k_mbf.onnx"] {
        assert!(message.contains(part), "{message}");
    }
}
