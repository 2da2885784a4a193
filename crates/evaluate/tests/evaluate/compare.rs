//! The words of a comparison, and what they rest on.

use std::collections::BTreeMap;

use facefold_core::{Targets, Task};
use facefold_evaluate::{
    Candidate, Comparison, Decision, EvaluateError, PredictedRow, PredictedValues,
    PredictionColumn, RowPredictions, SplitSummary, compare,
};

/// Whether a head gets this row wrong.
type Wrong = fn(usize) -> bool;

/// 200 people with two pictures each, predicted by heads under seeds.
fn predictions(heads: &[(&str, u64, Wrong)]) -> RowPredictions {
    let truth: Vec<usize> = (0..400).map(|row| row / 2 % 2).collect();
    RowPredictions {
        familiarity: None,
        task: Task::Gender,
        classes: vec!["female".to_owned(), "male".to_owned()],
        rows: (0..400)
            .map(|row| PredictedRow {
                path: format!("{row}.jpg").into(),
                subject: format!("person {}", row / 2).into(),
                split: format!("fold {}", row / 80).into(),
            })
            .collect(),
        columns: heads
            .iter()
            .map(|&(head, seed, wrong)| PredictionColumn {
                intervals: None,
                head: head.to_owned(),
                seed,
                predicted_values: PredictedValues::Classes {
                    predicted: truth
                        .iter()
                        .enumerate()
                        .map(|(row, &class)| if wrong(row) { 1 - class } else { class })
                        .collect(),
                    probabilities: truth
                        .iter()
                        .enumerate()
                        .flat_map(
                            |(row, &class)| {
                                if wrong(row) == (class == 1) { [0.9, 0.1] } else { [0.1, 0.9] }
                            },
                        )
                        .collect(),
                },
            })
            .collect(),
        truth: Targets::Classes { indices: truth, count: 2 },
    }
}

fn splits() -> Vec<SplitSummary> {
    (0..5)
        .map(|fold| SplitSummary {
            name: format!("fold {fold}"),
            train: 280,
            validation: 40,
            test: 80,
            shared_test_rows: 0,
            untrained_classes: BTreeMap::new(),
            notes: Vec::new(),
        })
        .collect()
}

fn compared(predictions: &RowPredictions, heads: &[&str]) -> Comparison {
    let splits = splits();
    let candidates: Vec<Candidate<'_>> = heads
        .iter()
        .map(|&head| Candidate {
            label: head.to_owned(),
            head: head.to_owned(),
            predictions,
            splits: &splits,
        })
        .collect();
    compare(&candidates, 1).unwrap()
}

#[test]
fn the_decision_does_not_depend_on_the_order_of_heads() {
    let predictions =
        predictions(&[("good", 1, |row| row % 20 == 0), ("poor", 1, |row| row % 5 == 0)]);
    let comparison = compared(&predictions, &["good", "poor"]);
    let pair = &comparison.pairs[0];
    assert_eq!(pair.decision, Decision::FirstBetter);
    assert!((pair.difference - 0.15).abs() < 1e-12);
    assert!(
        pair.summary.starts_with(
            "`good` is better than `poor` on gender: accuracy higher by 15.00 points (95 % interval 1"
        ),
        "{}",
        pair.summary
    );
    assert!(pair.summary.ends_with(", p < 0.001)."), "{}", pair.summary);
    let mcnemar = pair.mcnemar.unwrap();
    assert_eq!((mcnemar.only_first, mcnemar.only_second), (60, 0));
    assert_eq!(pair.corrected_t.map(|t| t.degrees), None, "every fold differs by the same");
    assert_eq!(comparison.summary(), pair.summary);

    let turned = compared(&predictions, &["poor", "good"]);
    assert_eq!(turned.pairs[0].decision, Decision::SecondBetter);
    let head = |words: &str| words.split(" (").next().unwrap().to_owned();
    assert_eq!(head(&turned.summary()), head(&comparison.summary()));
}

/// As `random80:N` makes them: the same picture in several splits.
#[test]
fn a_picture_tested_twice_counts_twice_with_its_own_predictions() {
    let mut predictions =
        predictions(&[("late", 1, |row| row >= 360), ("never", 1, |row| row >= 400)]);
    for row in 200..400 {
        predictions.rows[row].path = format!("{}.jpg", row - 200).into();
    }
    let comparison = compared(&predictions, &["late", "never"]);
    assert_eq!((comparison.rows, comparison.rows_left_out), (400, 0));
    let pair = &comparison.pairs[0];
    assert!((pair.difference + 0.1).abs() < 1e-12, "{}", pair.difference);
    // Both take the rows as independent, which they are not.
    assert!(pair.mcnemar.is_none() && comparison.candidates[0].wilson.is_none());
}

#[test]
fn without_evidence_there_is_no_significant_difference() {
    // Each is wrong on 40 rows; 21 people against 20.
    let predictions = predictions(&[
        ("a", 1, |row| row % 20 < 2),
        ("b", 1, |row| row % 20 == 4 || row % 20 == 9 && row != 9),
    ]);
    let comparison = compared(&predictions, &["a", "b"]);
    let pair = &comparison.pairs[0];
    assert_eq!(pair.decision, Decision::Undecided);
    assert!(
        pair.summary.starts_with(
            "No significant difference between `a` and `b` on gender: accuracy of `a` lower by 0."
        ),
        "{}",
        pair.summary
    );
    assert!(pair.summary.ends_with(" at 80 % power."), "{}", pair.summary);
    assert!(
        pair.interval.contains(0.0) && pair.minimum_detectable_difference > pair.difference.abs()
    );
    assert!(pair.corrected_t.is_some());
    assert!(comparison.summary().starts_with("No significant difference between `a` and `b`"));
}

#[test]
fn a_head_does_not_differ_from_itself() {
    let predictions = predictions(&[("a", 1, |row| row % 7 == 0), ("b", 1, |row| row % 7 == 0)]);
    let pair = &compared(&predictions, &["a", "b"]).pairs[0];
    assert_eq!((pair.difference, pair.permutation.p_value), (0.0, 1.0));
    assert_eq!((pair.interval.low, pair.interval.high), (0.0, 0.0));
    assert_eq!(pair.decision, Decision::Undecided);
}

/// Differences that are 0 for all subjects keep their interval; accuracies without an error have one of
/// some width, whatever the number of pictures.
#[test]
fn heads_without_an_error_have_intervals() {
    let predictions = predictions(&[("a", 1, |_| false), ("b", 1, |_| false)]);
    let comparison = compared(&predictions, &["a", "b"]);
    for candidate in &comparison.candidates {
        // scipy.stats.beta.ppf(0.025, 200, 1)
        let low = candidate.interval.low;
        assert!((low - 0.981_724_659_644_863_8).abs() < 1e-9, "{low}");
        assert_eq!((candidate.value, candidate.interval.high), (1.0, 1.0));
    }
    let pair = &comparison.pairs[0];
    assert_eq!((pair.interval.low, pair.interval.high), (0.0, 0.0));
}

#[test]
fn seeds_are_averaged_first_and_mcnemar_is_omitted() {
    let predictions = predictions(&[
        ("a", 1, |row| row % 4 == 0),
        ("a", 2, |_| false),
        ("b", 1, |row| row % 8 == 0),
        ("b", 2, |row| row % 8 == 4),
    ]);
    let comparison = compared(&predictions, &["a", "b"]);
    assert_eq!(comparison.candidates[0].seeds, 2);
    assert!((comparison.candidates[0].value - 0.875).abs() < 1e-12);
    let pair = &comparison.pairs[0];
    assert_eq!((pair.difference, pair.permutation.p_value), (0.0, 1.0), "equal row by row");
    assert_eq!(pair.mcnemar, None);
}

#[test]
fn more_heads_need_more_evidence() {
    let predictions = predictions(&[
        ("a", 1, |row| row % 20 == 0),
        ("b", 1, |row| row % 11 == 0),
        ("c", 1, |row| row % 9 == 0),
    ]);
    let comparison = compared(&predictions, &["a", "b", "c"]);
    assert_eq!(comparison.pairs.len(), 3);
    let least = comparison.pairs.iter().map(|pair| pair.permutation.p_value).fold(1.0, f64::min);
    let adjusted = comparison.pairs.iter().map(|pair| pair.adjusted_p).fold(1.0, f64::min);
    assert!((adjusted - (3.0 * least).min(1.0)).abs() < 1e-12);
}

#[test]
fn results_are_compared_on_their_common_rows() {
    let first = predictions(&[("a", 1, |row| row % 20 == 0)]);
    let mut second = predictions(&[("a", 1, |row| row % 5 == 0)]);
    second.rows[0].path = "elsewhere.jpg".into();
    let Targets::Classes { indices, .. } = &mut second.truth else { panic!() };
    indices[1] = 1 - indices[1];
    let splits = splits();
    let candidate = |label: &str, predictions| Candidate {
        label: label.to_owned(),
        head: "a".to_owned(),
        predictions,
        splits: &splits,
    };
    let comparison = compare(&[candidate("one", &first), candidate("two", &second)], 1).unwrap();
    assert_eq!((comparison.rows, comparison.rows_left_out, comparison.subjects), (398, 3, 199));
    assert_eq!(comparison.rows_with_other_labels, 1);
    let warning = "3 rows are left out: 2 that only some results have, and 1 whose label differs";
    assert!(comparison.warnings[0].starts_with(warning), "{:?}", comparison.warnings);
    assert_eq!(comparison.pairs[0].corrected_t, None, "partitions of other rows");

    let error = compare(&[candidate("one", &first), candidate("one", &second)], 1).unwrap_err();
    assert!(error.to_string().contains("two heads are called `one`"), "{error}");
    let mut third = second.clone();
    third.classes.reverse();
    let error = compare(&[candidate("one", &first), candidate("two", &third)], 1).unwrap_err();
    assert!(matches!(&error, EvaluateError::Incomparable(_)));
    assert!(error.to_string().contains("`two` predicts gender (male, female)"), "{error}");
}

/// Of two results one names people with ten pictures each, the other none, or other people.
#[test]
fn rows_are_one_subject_where_any_result_says_so() {
    let by = |wrong: Wrong, subject: &dyn Fn(usize) -> String| {
        let mut result = predictions(&[("head", 1, wrong)]);
        for (row, info) in result.rows.iter_mut().enumerate() {
            info.subject = subject(row).into();
        }
        result
    };
    let person = |row: usize| format!("person {}", row / 10);
    let picture = |row: usize| format!("{row}.jpg");
    // Wrong about three people of 40, and about few pictures of all.
    let (few_people, few_pictures): (Wrong, Wrong) =
        (|row| row / 10 % 13 == 0 && row < 390, |row| row % 80 == 3);
    let named = by(few_people, &person);
    let splits = splits();
    let both = |results: [&RowPredictions; 2]| {
        let [first, second] = [0, 1].map(|number| Candidate {
            label: ["one", "two"][number].to_owned(),
            head: "head".to_owned(),
            predictions: results[number],
            splits: &splits,
        });
        compare(&[first, second], 1).unwrap()
    };
    let alike = both([&named, &by(few_pictures, &person)]);
    assert_eq!((alike.subjects, &alike.warnings), (40, &Vec::new()));
    assert_eq!(alike.pairs[0].decision, Decision::Undecided);

    let unnamed = by(few_pictures, &picture);
    let (forth, back) = (both([&named, &unnamed]), both([&unnamed, &named]));
    for comparison in [&forth, &back] {
        assert_eq!((comparison.rows, comparison.subjects), (400, 40));
        assert_eq!(comparison.pairs[0].decision, Decision::Undecided);
        assert_eq!(comparison.pairs[0].permutation.p_value, alike.pairs[0].permutation.p_value);
    }
    assert_eq!(forth.pairs, alike.pairs);
    let [warning] = forth.warnings.as_slice() else { panic!("{:?}", forth.warnings) };
    assert!(warning.contains("common rows: `one`: 40; `two`: 400. "), "{warning}");
    assert!(warning.ends_with("which gives 40."), "{warning}");
    assert!(back.warnings[0].contains("`one`: 400; `two`: 40."), "{:?}", back.warnings);

    // Other names of the same people are the same subjects; an equal name in both joins no rows.
    let renamed = by(few_pictures, &|row| format!("person {}", 39 - row / 10));
    let other_names = both([&named, &renamed]);
    assert_eq!((other_names.subjects, &other_names.warnings), (40, &Vec::new()));
    assert_eq!(other_names.pairs, alike.pairs);

    // The first joins rows 0 to 9, the second 5 to 14, and so on: in the end all are one.
    let shifted = by(few_pictures, &|row| format!("person {}", (row + 5) / 10));
    let chained = both([&named, &shifted]);
    assert_eq!(chained.subjects, 1);
    assert!(chained.warnings[0].contains("`one`: 40; `two`: 41."), "{:?}", chained.warnings);
}

/// Pictures tested twice by one result only are tested once in the comparison.
#[test]
fn the_order_of_results_does_not_decide_whether_rows_are_repeated() {
    let once = predictions(&[("a", 1, |row| row % 20 == 0)]);
    let mut twice = predictions(&[("a", 1, |row| row % 5 == 0)]);
    for row in 200..400 {
        twice.rows[row].path = format!("{}.jpg", row - 200).into();
        twice.rows[row].subject = format!("person {}", (row - 200) / 2).into();
    }
    let splits = splits();
    let candidate = |label: &str, predictions| Candidate {
        label: label.to_owned(),
        head: "a".to_owned(),
        predictions,
        splits: &splits,
    };
    for results in [[&once, &twice], [&twice, &once]] {
        let both = [candidate("one", results[0]), candidate("two", results[1])];
        let comparison = compare(&both, 1).unwrap();
        assert_eq!((comparison.rows, comparison.subjects), (200, 100));
        assert!(comparison.pairs[0].mcnemar.is_some());
    }
}

#[test]
fn fewer_years_of_error_are_better() {
    let mut predictions = predictions(&[]);
    predictions.task = Task::Age;
    predictions.classes.clear();
    predictions.truth = Targets::exact_years((0..400).map(|row| (row % 80) as f32).collect());
    let column = |head: &str, error: f32| PredictionColumn {
        intervals: None,
        head: head.to_owned(),
        seed: 1,
        predicted_values: PredictedValues::Regression(
            (0..400).map(|row| (row % 80) as f32 + error + (row % 3) as f32).collect(),
        ),
    };
    predictions.columns = vec![column("near", 1.0), column("far", 2.5)];
    let comparison = compared(&predictions, &["near", "far"]);
    let pair = &comparison.pairs[0];
    assert_eq!(pair.decision, Decision::FirstBetter);
    assert!(
        pair.summary.starts_with(
            "`near` is better than `far` on age: mean absolute error lower by 1.50 years (95 % interval"
        ),
        "{}",
        pair.summary
    );
    assert_eq!((pair.mcnemar, comparison.candidates[0].wilson), (None, None));
}

#[test]
fn the_leading_pair_is_the_best_head_and_the_next_best() {
    let predictions = predictions(&[
        ("poor", 1, |row| row % 5 == 0),
        ("good", 1, |row| row % 20 == 0),
        ("fair", 1, |row| row % 10 == 0),
    ]);
    let comparison = compared(&predictions, &["poor", "good", "fair"]);
    let ranked: Vec<&str> = comparison.ranked().iter().map(|head| head.label.as_str()).collect();
    assert_eq!(ranked, ["good", "fair", "poor"]);
    let pair = comparison.leading_pair().unwrap();
    assert_eq!((pair.first.as_str(), pair.second.as_str()), ("good", "fair"));
    assert!(comparison.summary().starts_with("`good` is better than `fair` on gender: accuracy"));
}
