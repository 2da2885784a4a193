//! Metrics against scikit-learn.

use facefold_core::{PredictedTargets, Targets, Task};
use facefold_evaluate::{Metric, Metrics, PredictedValues};
use ndarray::array;

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-7, "found {found}, expected {expected}");
}

// truth = [0, 0, 0, 1, 1, 2, 2, 2, 2, 3]; predicted = [0, 1, 3, 1, 1, 2, 1, 0, 2, 3]
// P = np.array([[.9, .05, .03, .02], [.3, .4, .2, .1], [.3, .15, .2, .35], [.1, .8, .05, .05], [.2, .55, .15, .1],
//     [.1, .1, .7, .1], [.1, .5, .3, .1], [.45, .1, .4, .05], [0, 0, 1, 0], [.2, .1, .1, .6]]); p = P.max(1)
// accuracy_score(truth, predicted), balanced_accuracy_score(truth, predicted)
// f1_score(truth, predicted, average="macro"), cohen_kappa_score(truth, predicted)
// roc_auc_score(truth, P, multi_class="ovr", average="macro")
// confusion_matrix(truth, predicted), recall_score(truth, predicted, average=None)
// (abs(t - q) <= 1).mean()
// edges = np.linspace(0, 1, 16); ece = 0
// for lo, hi in zip(edges[:-1], edges[1:]):
//     m = (p > lo) & (p <= hi)
//     if m.any(): ece += abs((t == q)[m].mean() - p[m].mean()) * m.mean()
#[test]
fn class_metrics_match_scikit_learn() {
    let predicted_values = PredictedValues::Classes {
        predicted: vec![0, 1, 3, 1, 1, 2, 1, 0, 2, 3],
        probabilities: [
            [0.9, 0.05, 0.03, 0.02],
            [0.3, 0.4, 0.2, 0.1],
            [0.3, 0.15, 0.2, 0.35],
            [0.1, 0.8, 0.05, 0.05],
            [0.2, 0.55, 0.15, 0.1],
            [0.1, 0.1, 0.7, 0.1],
            [0.1, 0.5, 0.3, 0.1],
            [0.45, 0.1, 0.4, 0.05],
            [0.0, 0.0, 1.0, 0.0],
            [0.2, 0.1, 0.1, 0.6],
        ]
        .concat(),
    };
    let targets = Targets::Classes { indices: vec![0, 0, 0, 1, 1, 2, 2, 2, 2, 3], count: 4 };
    let metrics = Metrics::measure(&predicted_values, &targets, true).unwrap().unwrap();
    close(metrics.get(Metric::Accuracy).unwrap(), 0.6);
    close(metrics.get(Metric::BalancedAccuracy).unwrap(), 0.708_333_333_333_333_3);
    close(metrics.get(Metric::OneOffAccuracy).unwrap(), 0.8);
    close(metrics.get(Metric::CalibrationError).unwrap(), 0.315);
    close(metrics.get(Metric::MacroF1).unwrap(), 0.6);
    close(metrics.get(Metric::CohensKappa).unwrap(), 0.473_684_210_526_315_8);
    close(metrics.get(Metric::RocAuc).unwrap(), 0.976_190_476_190_476_2);
    let Metrics::Classes(classes) = metrics else { panic!("not classes") };
    assert_eq!(
        classes.confusion,
        [[1, 1, 0, 1], [0, 2, 0, 0], [1, 1, 2, 0], [0, 0, 0, 1]].map(Vec::from)
    );
    assert_eq!(classes.recall[2], Some(0.5));
}

// a = [1, 20, 33.5, 70, 44]; b = [3.5, 20, 38.5, 50, 49.5]
// mean_absolute_error(a, b), root_mean_squared_error(a, b), np.mean(np.array(b) - a), np.corrcoef(a, b)[0, 1],
// [(abs(np.array(a) - b) <= k).mean() for k in (0, 2, 3, 5, 20)]
#[test]
fn age_metrics_match_scikit_learn() {
    let truth = Targets::exact_years(vec![1.0, 20.0, 33.5, 70.0, 44.0]);
    let predicted_values = PredictedValues::Regression(vec![3.5, 20.0, 38.5, 50.0, 49.5]);
    let metrics = Metrics::measure(&predicted_values, &truth, false).unwrap().unwrap();
    let Metrics::Regression(years) = metrics else { panic!("not years") };
    assert_eq!((years.exact_rows(), years.ranges), (5, None));
    let exact = years.exact.unwrap();
    close(exact.mean_absolute_error, 6.6);
    close(exact.root_mean_squared_error.unwrap(), 9.607_288_899_580_36);
    close(exact.mean_error, -1.4);
    close(exact.correlation.unwrap(), 0.923_135_094_349_159_1);
    for (limit, share) in [(0, 0.2), (2, 0.2), (3, 0.4), (5, 0.6), (20, 1.0)] {
        close(exact.cumulative_score[limit], share);
    }
}

#[test]
fn exact_ages_and_ranges_are_measured_separately() {
    let truth = |labels: &[&str]| {
        Targets::Regression(labels.iter().map(|label| label.parse().unwrap()).collect())
    };
    let measure = |labels: &[&str], predicted: &[f32]| {
        let predicted_values = PredictedValues::Regression(predicted.to_vec());
        Metrics::measure(&predicted_values, &truth(labels), false).unwrap().unwrap()
    };
    let both = measure(&["20-29", "40", "70+", "3-9", "30"], &[25.0, 43.0, 64.0, 11.0, 29.0]);
    let value = |metric| both.get(metric).unwrap();
    close(value(Metric::MeanAbsoluteError), 2.0);
    close(value(Metric::MeanError), 1.0);
    close(value(Metric::InsideRange), 1.0 / 3.0);
    close(value(Metric::RangeDistance), 8.0 / 3.0);
    assert_eq!((both.rows(), both.rows_of(Metric::MeanAbsoluteError)), (5, 2));
    assert_eq!(both.rows_of(Metric::RangeDistance), 3);
    let ranges = measure(&["20-29"], &[31.0]);
    assert_eq!(ranges.get(Metric::MeanAbsoluteError), None);
    assert_eq!(ranges.get(Metric::RangeDistance), Some(2.0));
    for metrics in [both, ranges, measure(&["4"], &[5.0])] {
        let text = serde_json::to_string(&metrics).unwrap();
        assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), metrics, "{text}");
    }
    let primary = |labels: &[&str]| Metric::primary(Task::Age, &truth(labels));
    assert_eq!(primary(&["20-29", "40"]), Metric::MeanAbsoluteError);
    assert_eq!(primary(&["20-29", "40", "30-39"]), Metric::RangeDistance, "one exact age of three");
    assert_eq!(primary(&["20-29", "70+"]), Metric::RangeDistance);
}

#[test]
fn a_class_without_rows_has_no_recall_and_no_weight() {
    let predicted_values = PredictedValues::Classes {
        predicted: vec![0, 0],
        probabilities: [[1.0, 0.0, 0.0]; 2].concat(),
    };
    let targets = Targets::Classes { indices: vec![0, 2], count: 3 };
    let Some(Metrics::Classes(classes)) =
        Metrics::measure(&predicted_values, &targets, false).unwrap()
    else {
        panic!("not classes")
    };
    assert_eq!(classes.recall, [Some(1.0), None, Some(0.0)]);
    close(classes.balanced_accuracy, 0.5);
    assert_eq!(classes.one_off_accuracy, None);
}

#[test]
fn predictions_that_are_not_finite_are_refused() {
    let error = PredictedValues::new(&PredictedTargets::Classes(array![[0.5, f32::NAN]]));
    assert!(error.unwrap_err().to_string().contains("found NaN"));
    assert!(PredictedValues::new(&PredictedTargets::Regression(vec![f32::INFINITY])).is_err());
}

#[test]
fn no_rows_give_no_metrics() {
    let empty = PredictedValues::Regression(Vec::new());
    assert_eq!(Metrics::measure(&empty, &Targets::exact_years(Vec::new()), false).unwrap(), None);
}

#[test]
fn probabilities_that_do_not_fit_the_classes_are_refused() {
    let predicted_values =
        PredictedValues::Classes { predicted: vec![0, 1], probabilities: vec![0.9, 0.1, 0.4] };
    let targets = Targets::Classes { indices: vec![0, 1], count: 2 };
    let error = Metrics::measure(&predicted_values, &targets, false).unwrap_err().to_string();
    assert!(error.contains("probabilities of 2 classes for 2 rows, found 3"), "{error}");
}

#[test]
fn reports_from_before_auc_and_rmse_are_read() {
    let years = PredictedValues::Regression(vec![3.5, 20.0]);
    let classes =
        PredictedValues::Classes { predicted: vec![0, 1], probabilities: vec![1.0, 0.0, 0.0, 1.0] };
    let measured = [
        Metrics::measure(&years, &Targets::exact_years(vec![1.0, 20.0]), false),
        Metrics::measure(&classes, &Targets::Classes { indices: vec![0, 1], count: 2 }, false),
    ];
    for metrics in measured {
        let mut stored = serde_json::to_value(metrics.unwrap().unwrap()).unwrap();
        for kind in stored.as_object_mut().unwrap().values_mut() {
            let fields = kind.as_object_mut().unwrap();
            assert!(fields.remove("auc").or(fields.remove("root_mean_squared_error")).is_some());
        }
        let read: Metrics = serde_json::from_value(stored).unwrap();
        assert_eq!(
            (read.get(Metric::RocAuc), read.get(Metric::RootMeanSquaredError)),
            (None, None)
        );
        assert!(read.get(Metric::Accuracy).or(read.get(Metric::MeanAbsoluteError)).is_some());
    }
}
