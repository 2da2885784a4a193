//! Slices of the test rows, and label-error candidates.

use facefold_core::{Targets, Task};
use facefold_evaluate::{
    Attribute, AttributeValues, Attributes, PredictedRow, PredictedValues, PredictionColumn,
    RowPredictions, SliceReport, label_error_candidates, slices,
};

/// 200 people with two pictures each: those of group `b`, a quarter, are missed in every third
/// row, the others in every tenth.
fn predictions() -> RowPredictions {
    let missed =
        |row: usize| if in_b(row) { row.is_multiple_of(3) } else { row.is_multiple_of(10) };
    RowPredictions {
        familiarity: None,
        task: Task::Gender,
        classes: vec!["female".to_owned(), "male".to_owned()],
        rows: (0..400).map(row).collect(),
        truth: Targets::Classes { indices: vec![0; 400], count: 2 },
        columns: vec![PredictionColumn {
            intervals: None,
            head: "mlp".to_owned(),
            seed: 0,
            predicted_values: PredictedValues::Classes {
                predicted: (0..400).map(|row| usize::from(missed(row))).collect(),
                probabilities: (0..400)
                    .flat_map(|row| if missed(row) { [0.2, 0.8] } else { [0.8, 0.2] })
                    .collect(),
            },
        }],
    }
}

fn row(number: usize) -> PredictedRow {
    PredictedRow {
        path: format!("{number}.jpg").into(),
        subject: format!("person {}", number / 2).into(),
        split: "fold 0".into(),
    }
}

fn in_b(row: usize) -> bool {
    (row / 2).is_multiple_of(4)
}

fn names(name: &str, of_row: impl Fn(usize) -> Option<&'static str>) -> Attribute {
    let values = (0..400).map(|row| of_row(row).map(Into::into)).collect();
    Attribute { name: name.to_owned(), values: AttributeValues::Names(values) }
}

fn measured(columns: Vec<Attribute>) -> SliceReport {
    let paths: Vec<_> = (0..400).map(|row| format!("{row}.jpg").into()).collect();
    slices(&predictions(), "mlp", &Attributes::new(&paths, columns).unwrap(), 3).unwrap()
}

#[test]
fn the_worst_group_is_first_with_its_gap() {
    let group = names("group", |row| Some(if in_b(row) { "b" } else { "a" }));
    let report = measured(vec![group]);
    let [group] = report.attributes.as_slice() else { panic!("{report:?}") };
    let [b, a] = group.slices.as_slice() else { panic!("{group:?}") };
    assert_eq!((b.name.as_str(), b.rows, b.subjects), ("b", 100, 50));
    assert_eq!((a.name.as_str(), a.rows, a.subjects), ("a", 300, 150));
    assert!((b.value - 0.66).abs() < 1e-12 && (a.value - 0.9).abs() < 1e-12, "{b:?} {a:?}");
    assert!((b.gap + 0.24).abs() < 1e-12 && (a.gap - 0.24).abs() < 1e-12);
    // subject = arange(400) // 2; group = (subject % 4 == 0) * 1
    // right = where(group == 1, arange(400) % 3 != 0, arange(400) % 10 != 0)
    // n = s = zeros((200, 2)); add.at(n, (subject, group), 1); add.at(s, (subject, group), right)
    // d = default_rng(0).multinomial(200, [1 / 200] * 200, size=100000); m = (d @ s) / (d @ n)
    // quantile(m[:, 1], [.025, .975]); quantile(m[:, 1] - m[:, 0], [.025, .975])
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 0.006, "{found}");
    near(b.interval.low, 0.5976);
    near(b.interval.high, 0.7273);
    near(b.gap_interval.low, -0.3103);
    near(b.gap_interval.high, -0.1655);
    assert_eq!(report.worst_first()[0].1, b);
    assert!((report.value - 0.84).abs() < 1e-12);
}

/// Twelve people without an error may have more errors than none; so may none of 200.
#[test]
fn a_slice_without_an_error_has_an_interval() {
    let group = names("group", |row| Some(if row < 48 { "few" } else { "many" }));
    let mut predictions = predictions();
    for (number, row) in predictions.rows[..48].iter_mut().enumerate() {
        row.subject = format!("person {}", number / 4).into();
    }
    let PredictedValues::Classes { predicted, .. } = &mut predictions.columns[0].predicted_values
    else {
        panic!()
    };
    predicted[..48].fill(0);
    let paths: Vec<_> = (0..400).map(|row| format!("{row}.jpg").into()).collect();
    let attributes = Attributes::new(&paths, vec![group]).unwrap();
    let report = slices(&predictions, "mlp", &attributes, 3).unwrap();
    let slices = &report.attributes[0].slices;
    let [many, few] = slices.as_slice() else { panic!("{slices:?}") };
    assert_eq!((few.name.as_str(), few.subjects, few.value), ("few", 12, 1.0));
    // scipy.stats.beta.ppf(0.025, 12, 1)
    assert!((few.interval.low - 0.735_351_530_602_948_8).abs() < 1e-9, "{few:?}");
    assert_eq!(few.interval.high, 1.0);
    assert!(many.interval.low > 0.7 && many.interval.high < 0.9, "{many:?}");
}

#[test]
fn names_are_crossed_numbers_binned_and_constant_attributes_dropped() {
    let group = names("group", |row| Some(if in_b(row) { "b" } else { "a" }));
    let side = names("side", |row| Some(if row % 2 == 0 { "left" } else { "right" }));
    let same = names("same", |_| Some("all alike"));
    let score = Attribute {
        name: "score".to_owned(),
        values: AttributeValues::Numbers((0..400).map(|row| Some(row as f32)).collect()),
    };
    let report = measured(vec![group, side, same, score]);
    let found: Vec<(&str, usize)> = report
        .attributes
        .iter()
        .map(|attribute| (attribute.name.as_str(), attribute.slices.len()))
        .collect();
    let expected = [
        ("group", 2),
        ("side", 2),
        ("score", 5),
        ("group × side", 4),
        ("group × same", 2),
        ("side × same", 2),
    ];
    assert_eq!(found, expected);
    let both = &report.attributes[3];
    assert!(both.slices.iter().any(|slice| slice.name == "b, left" && slice.rows == 50));
    for attribute in &report.attributes {
        let rows: usize = attribute.slices.iter().map(|slice| slice.rows).sum();
        assert_eq!(rows, 400, "{}", attribute.name);
        let values: Vec<f64> = attribute.slices.iter().map(|slice| slice.value).collect();
        assert!(values.is_sorted(), "worst first: {values:?}");
    }
}

#[test]
fn small_slices_and_unknown_rows_are_counted_only() {
    // 20 rows; 40 rows of few people; 60 rows unknown; the others.
    let rare = names("rare", |row| match row {
        0..20 => Some("few rows"),
        20..60 => Some("few people"),
        60..120 => None,
        _ => Some("many"),
    });
    let mut predictions = predictions();
    for row in &mut predictions.rows[20..60] {
        row.subject = "one person".into();
    }
    let paths: Vec<_> = (0..400).map(|row| format!("{row}.jpg").into()).collect();
    let attributes = Attributes::new(&paths, vec![rare]).unwrap();
    let report = slices(&predictions, "mlp", &attributes, 3).unwrap();
    let [rare] = report.attributes.as_slice() else { panic!("{report:?}") };
    assert_eq!(rare.unknown_rows, 60);
    assert_eq!(rare.slices.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["many"]);
    let small: Vec<(&str, usize, usize)> =
        rare.small.iter().map(|s| (s.name.as_str(), s.rows, s.subjects)).collect();
    assert_eq!(small, [("few people", 40, 1), ("few rows", 20, 10)]);
}

#[test]
fn slices_do_not_depend_on_the_number_of_threads() {
    let group = || names("group", |row| Some(if in_b(row) { "b" } else { "a" }));
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| measured(vec![group()]))
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn an_attribute_of_another_length_is_refused() {
    let error = Attributes::new(&[], vec![names("group", |_| None)]).unwrap_err();
    assert!(error.to_string().contains("`group` has 400 values for 0 pictures"), "{error}");
}

/// Predictions of two heads; `sure` under two seeds.
fn label_errors() -> RowPredictions {
    let column =
        |head: &str, seed, predicted: [usize; 5], probability: [f32; 5]| PredictionColumn {
            intervals: None,
            head: head.to_owned(),
            seed,
            predicted_values: PredictedValues::Classes {
                predicted: predicted.to_vec(),
                probabilities: predicted
                    .iter()
                    .zip(probability)
                    .flat_map(|(&class, p)| if class == 1 { [1.0 - p, p] } else { [p, 1.0 - p] })
                    .collect(),
            },
        };
    RowPredictions {
        familiarity: None,
        task: Task::Gender,
        classes: vec!["female".to_owned(), "male".to_owned()],
        rows: (0..5).map(row).collect(),
        truth: Targets::Classes { indices: vec![0, 0, 0, 1, 1], count: 2 },
        columns: vec![
            column("sure", 0, [1, 1, 1, 0, 1], [0.95, 0.99, 0.99, 0.91, 0.99]),
            // Row 1 is right under this seed, row 2 unsure.
            column("sure", 1, [1, 0, 1, 0, 1], [0.95, 0.99, 0.60, 0.93, 0.99]),
            column("other", 0, [1, 0, 1, 1, 1], [0.97, 0.99, 0.97, 0.6, 0.99]),
            column("majority", 0, [1, 1, 1, 1, 1], [1.0; 5]),
        ],
    }
}

#[test]
fn confident_predictions_under_every_seed_make_a_label_error_candidate() {
    let found = label_error_candidates(&label_errors(), "sure").unwrap();
    let rows: Vec<(&str, &str, &str, usize)> = found
        .rows
        .iter()
        .map(|s| (s.path.as_str(), s.label.as_str(), s.prediction.as_str(), s.agreeing))
        .collect();
    assert_eq!(rows, [("0.jpg", "female", "male", 1), ("3.jpg", "male", "female", 0)]);
    assert_eq!(found.others, 1, "the majority baseline is not asked");
    assert!(label_error_candidates(&label_errors(), "none").is_err());
}

#[test]
fn a_large_age_error_makes_a_label_error_candidate() {
    let truth: Vec<f32> = vec![30.0; 20];
    let mut predicted = vec![31.0_f32; 20];
    predicted[7] = 60.0;
    let years = |head: &str, predicted: Vec<f32>| PredictionColumn {
        intervals: None,
        head: head.to_owned(),
        seed: 0,
        predicted_values: PredictedValues::Regression(predicted),
    };
    let predictions = RowPredictions {
        familiarity: None,
        task: Task::Age,
        classes: Vec::new(),
        rows: (0..20).map(row).collect(),
        truth: Targets::exact_years(truth),
        columns: vec![years("mlp", predicted.clone()), years("svm", predicted)],
    };
    let found = label_error_candidates(&predictions, "mlp").unwrap();
    let [one] = found.rows.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (one.path.as_str(), one.label.as_str(), one.prediction.as_str()),
        ("7.jpg", "30", "60.0")
    );
    assert_eq!((one.score, one.agreeing), (30.0, 1));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("label-errors.csv");
    found.write_csv(&path, 10).unwrap();
    assert_eq!(
        fs_err::read_to_string(&path).unwrap(),
        "path,subject,partition,label,prediction,score,agreeing_heads\n\
         7.jpg,person 3,fold 0,30,60.0,30.000,1 of 1\n"
    );
    found.write_csv(&path, 0).unwrap();
    assert_eq!(fs_err::read_to_string(&path).unwrap().lines().count(), 1);
}
