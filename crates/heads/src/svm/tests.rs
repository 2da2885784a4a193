//! The classifiers against linfa-svm and scikit-learn.

use facefold_core::rng::seeded;
use facefold_core::{FeatureDataset, FeatureMatrix, FittedHead, Head, PredictedTargets, Targets};
use ndarray::Array2;
use rand::Rng as _;

use super::choose::vote;
use super::{Kernel, LINEAR_NAME, MultiClass, NAME, REFERENCE_NAME, Scaling, Svm, SvmModel};
use crate::HeadOptions;

type Fitted = crate::estimator::Fitted<SvmModel>;

fn decisions_of(fitted: &Fitted, matrix: &FeatureMatrix, rows: &[usize]) -> Vec<f32> {
    fitted.model.decisions(fitted.features.rows(matrix.plain(), rows, 1.0)).unwrap()
}

fn options(kernel: Kernel) -> HeadOptions {
    let mut options = HeadOptions::default();
    options.svm.kernel = kernel;
    options.svm.c = vec![4.0];
    options.svm.gamma = vec![0.7];
    options
}

/// Rows 0 to `n` of the matrix for training, none for validation.
fn fit(name: &'static str, options: &HeadOptions, matrix: &FeatureMatrix, y: &Targets) -> Fitted {
    let n = y.len();
    let none = match y {
        Targets::Classes { count, .. } => Targets::Classes { indices: Vec::new(), count: *count },
        Targets::Regression(_) => Targets::exact_years(Vec::new()),
    };
    let training = FeatureDataset::new(matrix, (0..n).collect(), y.clone()).unwrap();
    let validation = FeatureDataset::new(matrix, Vec::new(), none).unwrap();
    Svm::head(name, options).unwrap().fitted(&training, &validation, 1).unwrap()
}

/// Four classes in 16 features that overlap: a third of the rows lie on the wrong side.
fn overlapping(n: usize, seed: u64) -> (FeatureMatrix, Vec<usize>) {
    let mut generator = seeded(seed, "overlapping classes");
    let classes: Vec<usize> = (0..n).map(|_| generator.random_range(0..4)).collect();
    let plain = Array2::from_shape_fn((n, 16), |(row, dual)| {
        let noise: f32 = (0..4).map(|_| generator.random_range(-1.0..1.0_f32)).sum();
        let bent = if dual % 4 == classes[row] { noise.abs() } else { 0.0 };
        noise + 0.5 * bent + 0.25 * f32::from(u8::from(dual == classes[row]))
    });
    (FeatureMatrix::new(plain, None).unwrap(), classes)
}

#[test]
fn decisions_are_those_of_linfa() {
    let (matrix, classes) = overlapping(3_000, 1);
    let indices: Vec<usize> = classes[..2_000].iter().map(|class| class % 2).collect();
    let two = Targets::Classes { indices, count: 2 };
    let mut settings = options(Kernel::Gaussian);
    settings.svm.max_rows = Some(2_000);
    let ours = fit(NAME, &settings, &matrix, &two);
    let theirs = fit(REFERENCE_NAME, &settings, &matrix, &two);
    assert_eq!(theirs.log.rows_used, 2_000);
    let rows: Vec<usize> = (0..3_000).collect();
    let decide = |head: &Fitted| decisions_of(head, &matrix, &rows);
    let (ours, theirs) = (decide(&ours), decide(&theirs));
    let same = ours.iter().zip(&theirs).filter(|(a, b)| (**a > 0.0) == (**b > 0.0)).count();
    assert!(same >= 2_985, "{same} of 3,000");
    // The classes do overlap: many training rows lie inside the margin.
    assert!(ours[..2_000].iter().filter(|decision| decision.abs() < 0.9).count() > 300);
}

/// The case of the golden values below: rows of sines, whose first 60 are trained on, with two
/// classes and with years.
fn sines() -> (FeatureMatrix, Targets, Targets) {
    let plain = Array2::from_shape_fn((90, 4), |(i, j)| {
        (1.7 * i as f64 * (j as f64 + 1.0) + j as f64).sin() as f32
    });
    let x = |i: usize, j: usize| plain[[i, j]];
    let wave = |i: usize| 0.5 * (5.0 * i as f64).sin();
    let two = (0..60)
        .map(|i| usize::from(f64::from(x(i, 0) + x(i, 1) * x(i, 2)) + wave(i) > 0.0))
        .collect();
    let years = (0..60).map(|i| 40.0 + 20.0 * x(i, 0) + 10.0 * x(i, 1).powi(2)).collect();
    let two = Targets::Classes { indices: two, count: 2 };
    (FeatureMatrix::new(plain, None).unwrap(), two, Targets::exact_years(years))
}

/// Golden values from scikit-learn 1.9, whose SVC and SVR are LIBSVM:
/// ```python
/// import numpy as np
/// from sklearn.preprocessing import StandardScaler
/// from sklearn.svm import SVC, SVR
/// i, j = np.arange(90)[:, None], np.arange(4)[None]
/// x = np.sin(1.7 * i * (j + 1) + j).astype(np.float32)
/// two = (x[:, 0] + x[:, 1] * x[:, 2] + 0.5 * np.sin(5.0 * i[:, 0]) > 0).astype(int)
/// three, years, m = i[:, 0] % 3, 40 + 20 * x[:, 0] + 10 * x[:, 1] ** 2, 60
/// y, d = years[:m].mean(), years[:m].std()
/// for kernel in ("rbf", "linear", "poly"):
///     s = StandardScaler().fit(x[:m]).transform(x) / (2 if kernel == "linear" else 1)
///     k = dict(kernel=kernel, gamma=0.7 / 4, degree=3, coef0=1, C=4, tol=1e-5)
///     print(SVC(**k).fit(s[:m], two[:m]).decision_function(s[m:m+6]))
///     print(SVR(epsilon=0.1, **k).fit(s[:m], (years[:m] - y) / d).predict(s[m:m+6]) * d + y)
///     print(SVC(**k).fit(s[:m], three[:m]).predict(s[m:]))
/// ```
#[test]
fn predictions_are_those_of_scikit_learn() {
    let (matrix, two, years) = sines();
    let three = Targets::Classes { indices: (0..60).map(|i| i % 3).collect(), count: 3 };
    let rows: Vec<usize> = (60..66).collect();
    for (name, kernel, decisions, ages, classes) in [
        (
            NAME,
            Kernel::Gaussian,
            [1.8581, -1.6569, -0.5232, 1.1282, 0.036, -0.7855],
            [63.562, 48.35, 30.421, 54.193, 66.636, 38.655],
            "120220021122210220210122101202",
        ),
        (
            LINEAR_NAME,
            Kernel::Linear,
            [1.5478, -0.1897, -1.6085, 0.1325, 1.126, -0.982],
            [62.499, 44.318, 26.864, 54.584, 67.565, 38.91],
            "120210022002202120210022021202",
        ),
        (
            NAME,
            Kernel::Polynomial,
            [3.5193, -3.289, -0.3375, 1.6289, -0.9935, -0.3462],
            [63.568, 45.786, 28.366, 54.292, 66.548, 38.566],
            "121120121221210220112120101201",
        ),
    ] {
        let options = options(kernel);
        // scikit-learn's decisions are for the second class, ours for the first.
        let found = decisions_of(&fit(name, &options, &matrix, &two), &matrix, &rows);
        for (found, expected) in found.iter().zip(decisions) {
            assert!((found + expected).abs() < 4e-3, "{kernel:?}: {found} {expected}");
        }
        let fitted = fit(name, &options, &matrix, &years);
        let PredictedTargets::Regression(found) = fitted.predict(&matrix, &rows).unwrap().targets
        else {
            panic!()
        };
        for (found, expected) in found.iter().zip(ages) {
            assert!((found - expected).abs() < 0.05, "{kernel:?}: {found} {expected}");
        }
        let fitted = fit(name, &options, &matrix, &three);
        let decisions = decisions_of(&fitted, &matrix, &(60..90).collect::<Vec<_>>());
        let voted: String = decisions
            .chunks(3)
            .map(|row| vote(&fitted.model.class_pairs, row, 3).to_string())
            .collect();
        assert_eq!(voted, classes, "{kernel:?}");
    }
}

#[test]
fn one_vs_rest_predicts_the_classes_too() {
    let (matrix, classes) = overlapping(900, 2);
    let predicted = Targets::Classes { indices: classes[..600].to_vec(), count: 4 };
    let right = |multi_class| {
        let mut options = options(Kernel::Gaussian);
        options.svm.multi_class = multi_class;
        let fitted = fit(NAME, &options, &matrix, &predicted);
        let rows: Vec<usize> = (600..900).collect();
        let PredictedTargets::Classes(probabilities) =
            fitted.predict(&matrix, &rows).unwrap().targets
        else {
            panic!()
        };
        let right = probabilities.rows().into_iter().zip(&classes[600..]).filter(|(row, class)| {
            assert!((row.sum() - 1.0).abs() < 1e-5);
            row.iter().all(|share| *share <= row[**class])
        });
        (fitted.model.class_pairs.len(), right.count())
    };
    let (one_vs_one, one_vs_rest) = (right(MultiClass::OneVsOne), right(MultiClass::OneVsRest));
    assert_eq!((one_vs_one.0, one_vs_rest.0), (6, 4));
    assert!(one_vs_one.1 > 100 && one_vs_rest.1 > 100, "{one_vs_one:?} {one_vs_rest:?}");
}

#[test]
fn the_grid_search_keeps_the_best_validation_score_and_notes_it() {
    let (matrix, classes) = overlapping(900, 3);
    let part = |rows: std::ops::Range<usize>| {
        let indices = classes[rows.clone()].to_vec();
        let targets = Targets::Classes { indices, count: 4 };
        FeatureDataset::new(&matrix, rows.collect(), targets).unwrap()
    };
    let (training, validation) = (part(0..600), part(600..900));
    let alone = |cost: f64, gamma: f64| {
        let mut options = options(Kernel::Gaussian);
        (options.svm.c, options.svm.gamma) = (vec![cost], vec![gamma]);
        let svm = Svm::head(NAME, &options).unwrap();
        svm.fitted(&training, &validation, 1).unwrap()
    };
    let mut options = options(Kernel::Gaussian);
    (options.svm.c, options.svm.gamma) = (vec![8.0, 0.5], vec![0.2, 3.0]);
    let svm = Svm::head(NAME, &options).unwrap();
    let chosen = svm.fitted(&training, &validation, 1).unwrap();
    let accuracy = |fitted: &Fitted| {
        let decisions = decisions_of(fitted, &matrix, validation.rows());
        let rows = decisions.chunks(6).zip(&classes[600..]);
        rows.filter(|(row, class)| vote(&fitted.model.class_pairs, row, 4) == **class).count()
    };
    let all: Vec<usize> = [(8.0, 0.2), (0.5, 0.2), (8.0, 3.0), (0.5, 3.0)]
        .map(|(cost, gamma)| accuracy(&alone(cost, gamma)))
        .to_vec();
    // A warm start ends within the tolerance of a cold one, not at the same bits.
    let best = all.iter().max().unwrap();
    assert!(accuracy(&chosen).abs_diff(*best) <= 2, "{} {all:?}", accuracy(&chosen));
    assert!(all.iter().min().unwrap() + 10 < *best, "{all:?}");
    let note = &chosen.log.notes[0];
    assert!(note.contains("best of 4 on 300 validation rows"), "{note}");
    assert!(note.contains("C 0.5 gamma 3"), "{note}");
}

/// The minimum of the primal objective, by scipy, on the rows of sines:
/// ```python
/// import numpy as np
/// from scipy.optimize import minimize
/// from sklearn.preprocessing import StandardScaler
/// i, j = np.arange(90)[:, None], np.arange(4)[None]
/// x = np.sin(1.7 * i * (j + 1) + j).astype(np.float32)
/// two = np.where(x[:, 0] + x[:, 1] * x[:, 2] + 0.5 * np.sin(5.0 * i[:, 0]) > 0, -1, 1)
/// years, m, C = 40 + 20 * x[:, 0] + 10 * x[:, 1] ** 2, 60, 4
/// y, d = years[:m].mean(), years[:m].std()
/// s = StandardScaler().fit(x[:m]).transform(x).astype(float) / 2
/// gaussian = np.exp(-0.7 * ((s[:, None] - s[None, :m]) ** 2).sum(-1))
/// l = np.linalg.cholesky(gaussian[:m] + 1e-4 * np.eye(m))
/// def hinge(f): return (np.maximum(0, 1 - two[:m] * f) ** 2).sum()
/// def tube(f): return (np.maximum(0, np.abs(f - (years[:m] - y) / d) - 0.1) ** 2).sum()
/// for v in (s, np.linalg.solve(l, gaussian.T).T):
///     for loss, back in ((hinge, lambda f: f), (tube, lambda f: f * d + y)):
///         target = lambda w: w[:-1] @ w[:-1] / 2 + C * loss(v[:m] @ w[:-1] + w[-1])
///         w = minimize(target, np.zeros(v.shape[1] + 1), method="L-BFGS-B",
///                      options=dict(ftol=1e-15, gtol=1e-9, maxiter=9999, maxfun=10**7)).x
///         print(back(v[m:m+6] @ w[:-1] + w[-1]))
/// ```
#[test]
fn the_primal_is_solved_to_its_minimum() {
    let (matrix, two, years) = sines();
    let rows: Vec<usize> = (60..66).collect();
    for (name, kernel, decisions, ages) in [
        (
            LINEAR_NAME,
            Kernel::Linear,
            [-0.7067, 0.0405, 0.6762, -0.1671, -0.6022, 0.3272],
            [62.612, 44.2504, 27.1918, 54.1097, 67.3733, 38.4326],
        ),
        (
            NAME,
            Kernel::Gaussian,
            [-1.4519, 1.7249, 0.2907, -1.0924, 0.3757, 0.1544],
            [62.4561, 48.023, 30.9801, 53.5876, 65.1132, 39.3856],
        ),
    ] {
        let mut options = options(kernel);
        // 60 rows need 21,600 bytes; this leaves room for all of them as landmarks.
        options.svm.memory_gb = 20_000e-9;
        let fitted = fit(name, &options, &matrix, &two);
        let found = decisions_of(&fitted, &matrix, &rows);
        for (found, expected) in found.iter().zip(decisions) {
            assert!((found - expected).abs() < 4e-3, "{kernel:?}: {found} {expected}");
        }
        let note = &fitted.log.notes[0];
        assert!(note.contains("approximate") && note.contains("svm.memory_gb"), "{note}");
        let fitted = fit(name, &options, &matrix, &years);
        let PredictedTargets::Regression(found) = fitted.predict(&matrix, &rows).unwrap().targets
        else {
            panic!()
        };
        for (found, expected) in found.iter().zip(ages) {
            assert!((found - expected).abs() < 0.03, "{kernel:?}: {found} {expected}");
        }
    }
}

#[test]
fn few_landmarks_approximate_the_exact_classifiers() {
    let (matrix, classes) = overlapping(1_500, 4);
    let targets = Targets::Classes { indices: classes[..1_000].to_vec(), count: 4 };
    let rows: Vec<usize> = (1_000..1_500).collect();
    let right = |memory: f64| {
        let mut options = options(Kernel::Gaussian);
        options.svm.gamma = vec![0.2];
        (options.svm.memory_gb, options.svm.landmarks) = (memory, 200);
        let fitted = fit(NAME, &options, &matrix, &targets);
        let decisions = decisions_of(&fitted, &matrix, &rows);
        let votes = decisions.chunks(6).map(|row| vote(&fitted.model.class_pairs, row, 4));
        let right = votes.zip(&classes[1_000..]).filter(|(voted, class)| voted == *class);
        (right.count(), fitted.log.notes.iter().any(|note| note.contains("200 landmarks")))
    };
    let (exact, approximate) = (right(1.0), right(0.001));
    assert_eq!((exact.1, approximate.1), (false, true));
    assert!(exact.0 > 200 && approximate.0 + 25 > exact.0, "{exact:?} {approximate:?}");
}

#[test]
fn folds_of_unit_rows_share_the_gram_matrix() {
    let (matrix, classes) = overlapping(600, 5);
    let (copy, none) = (FeatureMatrix::of_rows(matrix.plain().clone(), None).unwrap(), Vec::new());
    let mut options = options(Kernel::Gaussian);
    options.svm.scaling = Scaling::Unit;
    let svm = Svm::head(NAME, &options).unwrap();
    let rows =
        |fold: usize| -> Vec<usize> { (0..600).rev().filter(|row| row % 3 != fold).collect() };
    let examples = |matrix, rows: Vec<usize>| {
        let indices = rows.iter().map(|&row| classes[row]).collect();
        FeatureDataset::new(matrix, rows, Targets::Classes { indices, count: 4 }).unwrap()
    };
    let held = || {
        svm.algorithm.shared.lock().unwrap().as_ref().map(|(_, gram)| std::sync::Arc::as_ptr(gram))
    };
    let fit = |matrix, fold: usize| {
        let validation: Vec<usize> = (0..600).filter(|row| row % 3 == fold).collect();
        svm.fitted(&examples(matrix, rows(fold)), &examples(matrix, validation), 1).unwrap()
    };
    let first = fit(&matrix, 0);
    let products = held();
    let second = fit(&matrix, 1);
    assert!(products.is_some() && held() == products);
    // Another matrix has other products, though its values are the same; and so are the
    // predictions.
    let again = fit(&copy, 1);
    assert_ne!(held(), products);
    assert!(again.state_dict() == second.state_dict() && first.state_dict() != second.state_dict());

    // Products of only the rows of the fit, which another validation matrix asks for, agree.
    let (training, validation) = (examples(&matrix, rows(1)), examples(&copy, none));
    let alone = Svm::head(NAME, &options).unwrap().fitted(&training, &validation, 1).unwrap();
    let all: Vec<usize> = (0..600).collect();
    let decide = |head: &Fitted| decisions_of(head, &matrix, &all);
    for (one, other) in decide(&alone).iter().zip(decide(&second)) {
        assert!((one - other).abs() < 5e-3, "{one} {other}");
    }
    assert!(svm.fit(&training, &validation, 1).is_ok());
}

/// Rows of `people` subjects, five each, in ten features: subjects differ much, their rows little.
/// The classes differ by `shift` in the first feature, which is negative for wrong labels.
fn people(people: usize, shift: f32, seed: u64) -> (FeatureMatrix, Vec<usize>, Vec<usize>) {
    let mut generator = seeded(seed, "people");
    let mut draw = |size: f32| -> f32 {
        (0..4).map(|_| generator.random_range(-size..size)).sum::<f32>() / 2.0
    };
    let subjects: Vec<usize> = (0..5 * people).map(|row| row / 5).collect();
    let classes: Vec<usize> = subjects.iter().map(|subject| subject % 2).collect();
    let faces = Array2::from_shape_fn((people, 10), |(subject, column)| {
        let sign = if subject % 2 == 0 { 1.0 } else { -1.0 };
        draw(1.7) + if column == 0 { sign * shift } else { 0.0 }
    });
    let plain = Array2::from_shape_fn((5 * people, 10), |(row, column)| {
        faces[[row / 5, column]] + draw(0.1)
    });
    (FeatureMatrix::new(plain, None).unwrap(), classes, subjects)
}

/// Some rows of [`people`], with or without their subjects.
fn of_people(
    (matrix, classes, subjects): &(FeatureMatrix, Vec<usize>, Vec<usize>),
    rows: std::ops::Range<usize>,
    named: bool,
) -> FeatureDataset<'_> {
    let targets = Targets::Classes { indices: classes[rows.clone()].to_vec(), count: 2 };
    let dataset = FeatureDataset::new(matrix, rows.clone().collect(), targets).unwrap();
    if named { dataset.with_subjects(subjects[rows].to_vec()).unwrap() } else { dataset }
}

/// Platt's sigmoid on two validation subjects of each sign, whose labels are wrong, would reverse
/// the classifier, as it once did: AUC 0.09 where scikit-learn's decisions have 0.79.
#[test]
fn few_subjects_never_reverse_the_decisions() {
    let options = options(Kernel::Gaussian);
    let mut data = people(60, 1.5, 1);
    for class in &mut data.1[200..220] {
        *class = 1 - *class;
    }
    let training = of_people(&data, 0..200, true);
    for (rows, named, note) in [
        (200..220, true, "too few subjects among the validation rows: 1 of 1"),
        (200..220, false, "wrong more often than right: 1 of 1"),
        (200..200, true, "too few subjects among the validation rows: 1 of 1"),
    ] {
        let validation = of_people(&data, rows.clone(), named);
        let fitted = Svm::head(NAME, &options).unwrap().fitted(&training, &validation, 1).unwrap();
        let notes = &fitted.log.notes;
        let on_training_rows = |text: &String| {
            text.contains(note) && text.contains("out-of-fold decisions on the training rows")
        };
        assert!(notes.iter().any(on_training_rows), "{notes:?}");
        assert!(fitted.model.sigmoids[0].a < -0.5, "{:?}", fitted.model.sigmoids);
        let tested: Vec<usize> = (220..300).collect();
        let PredictedTargets::Classes(found) = fitted.predict(&data.0, &tested).unwrap().targets
        else {
            panic!()
        };
        let right = found.rows().into_iter().zip(&data.1[220..]);
        let right = right.filter(|(row, class)| row[**class] > 0.5).count();
        assert!(right > 60, "{right} of 80");
    }
    // A head that has no out-of-fold decisions stays as it is.
    let validation = of_people(&data, 200..220, false);
    let mut reference = options.clone();
    reference.svm.max_rows = Some(200);
    let head = Svm::head(REFERENCE_NAME, &reference).unwrap();
    let fitted = head.fitted(&training, &validation, 1).unwrap();
    assert_eq!(fitted.model.sigmoids, [crate::calibration::Sigmoid::UNCALIBRATED]);
    let note = fitted.log.notes.last().unwrap();
    assert!(note.contains("1 of 1 binary classifiers are not calibrated"), "{note}");
}

/// Of people whose classes cannot be distinguished, no fold knows the faces of another: the
/// probabilities are near a half. Folds that cut people in two made them 0.80 at an accuracy of 0.53.
#[test]
fn folds_for_calibration_cut_no_subject_in_two() {
    let options = options(Kernel::Gaussian);
    let confidence = |named: bool| -> f32 {
        let mut sum = 0.0;
        for seed in 0..5 {
            let data = people(40, 0.0, seed);
            let (training, none) = (of_people(&data, 0..150, named), of_people(&data, 0..0, named));
            let fitted = Svm::head(NAME, &options).unwrap().fitted(&training, &none, 1).unwrap();
            let tested: Vec<usize> = (150..200).collect();
            let PredictedTargets::Classes(found) =
                fitted.predict(&data.0, &tested).unwrap().targets
            else {
                panic!()
            };
            sum += found.column(0).iter().map(|p| p.max(1.0 - p)).sum::<f32>() / 250.0;
        }
        sum
    };
    let (by_subject, by_row) = (confidence(true), confidence(false));
    assert!(by_subject < 0.65 && by_row > 0.75, "{by_subject} {by_row}");
}

#[test]
fn subjects_of_one_row_each_change_nothing() {
    let (matrix, classes) = overlapping(300, 6);
    let indices = |rows: &[usize]| rows.iter().map(|&row| classes[row]).collect();
    for kept in [200, 230] {
        let state = |named: bool| {
            let dataset = |rows: std::ops::Range<usize>| {
                let rows: Vec<usize> = rows.collect();
                let targets = Targets::Classes { indices: indices(&rows), count: 4 };
                let subjects = rows.iter().map(|row| 1_000 - row).collect();
                let dataset = FeatureDataset::new(&matrix, rows, targets).unwrap();
                if named { dataset.with_subjects(subjects).unwrap() } else { dataset }
            };
            let head = Svm::head(NAME, &options(Kernel::Gaussian)).unwrap();
            head.fitted(&dataset(0..kept), &dataset(kept..240), 1).unwrap().state_dict()
        };
        assert!(state(true) == state(false));
    }
}
