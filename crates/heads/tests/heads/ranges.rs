//! Age labels that are ranges: every head accepts them, and MLPs use an interval-censored loss.

use facefold_core::rng::seeded;
use facefold_core::{
    AgeTarget, AuxiliaryTask, FeatureDataset, FeatureMatrix, FittedHead, Targets, Task,
};
use facefold_heads::{AgeLoss, HeadOptions, registry};
use ndarray::Array2;
use rand::Rng as _;

use crate::support::{fit, quick, test_rows, years};

/// Whole ages from 10 to 69, and one feature that shows them to within some years.
fn people(n: usize) -> (FeatureMatrix, Vec<f32>) {
    let mut generator = seeded(4, "people");
    let ages: Vec<f32> = (0..n).map(|_| generator.random_range(10..70_u8).into()).collect();
    let mut shown = |age: f32| {
        let off: f32 = (0..3).map(|_| generator.random_range(-3.0..3.0_f32)).sum();
        (age + off - 40.0) / 17.0
    };
    let plain = Array2::from_shape_vec((n, 1), ages.iter().map(|&age| shown(age)).collect());
    (FeatureMatrix::new(plain.unwrap(), None).unwrap(), ages)
}

fn decade(age: f32) -> AgeTarget {
    let low = (age / 10.0).floor() * 10.0;
    AgeTarget::range(low, low + 9.0).unwrap()
}

fn decades(ages: &[f32]) -> Targets {
    Targets::Regression(ages.iter().map(|&age| decade(age)).collect())
}

/// The same, as a head takes them that knows no ranges.
fn middles(ages: &[f32]) -> Targets {
    Targets::exact_years(ages.iter().map(|&age| decade(age).midpoint()).collect())
}

/// Mean absolute error in true years of the test rows, and the share in the right decade.
fn errors(fitted: &dyn FittedHead, matrix: &FeatureMatrix, ages: &[f32]) -> (f32, f32) {
    let rows = test_rows(matrix);
    let found = years(fitted.predict(matrix, &rows).unwrap());
    let pairs = || rows.iter().map(|&row| ages[row]).zip(&found);
    let n = rows.len() as f32;
    let error: f32 = pairs().map(|(age, found)| (age - found).abs()).sum();
    let inside = pairs().filter(|(age, found)| decade(*age).distance(**found) == 0.0).count();
    (error / n, inside as f32 / n)
}

#[test]
fn ages_are_learnt_from_decade_labels() {
    let (matrix, ages) = people(2_000);
    let of = |targets| errors(fit("mlp", &quick(), &matrix, &targets, 1).as_ref(), &matrix, &ages);
    let ((error, inside), (of_exact, _)) =
        (of(decades(&ages)), of(Targets::exact_years(ages.clone())));
    // What can be had from this feature and decades: 2.5 years, 80 % in the right decade.
    assert!(error < of_exact + 1.5 && inside > 0.7, "{error} {inside}, by exact ages {of_exact}");
}

#[test]
fn every_kind_of_mlp_learns_from_exact_ages_and_ranges() {
    let (matrix, ages) = people(800);
    let mixed = ages.iter().enumerate();
    let mixed = mixed.map(|(row, &age)| match row % 3 {
        0 => AgeTarget::exact(age),
        _ => decade(age),
    });
    let mixed = Targets::Regression(mixed.collect());
    let with = |loss: Option<AgeLoss>, mixup: f64| {
        let mut options = quick();
        options.ensemble.members = 2;
        options.mlp.mixup = mixup;
        options.mlp.age_loss = loss.unwrap_or(options.mlp.age_loss);
        options
    };
    let of_loss = |loss| ("mlp", with(Some(loss), 0.4));
    let mut tried: Vec<(&str, HeadOptions)> =
        [AgeLoss::Ordinal, AgeLoss::L1, AgeLoss::L2].map(of_loss).to_vec();
    tried.extend(
        ["mlp", "mlp-multi-task", "mlp-ensemble", "mlp-stacked"].map(|n| (n, with(None, 0.4))),
    );
    for (name, options) in tried {
        let fitted = fit(name, &options, &matrix, &mixed, 1);
        let (error, _) = errors(fitted.as_ref(), &matrix, &ages);
        let loss = options.mlp.age_loss;
        assert!(error < 4.5, "{name} {loss:?}: {error}");
        let notes = fitted.log().notes.join("; ");
        assert!(notes.contains("have an age range"), "{name}: {notes}");
        // A third of 200 validation rows have an exact age: too few to choose for all.
        let chosen = "mean distance to the age range in years of 200 rows, 66 of them";
        assert!(notes.contains(chosen), "{name}: {notes}");
    }
}

#[test]
fn age_groups_are_predicted_from_ranges() {
    let (matrix, ages) = people(800);
    let groups: facefold_core::AgeGroups = "10-29,30-49,50+".parse().unwrap();
    let group = |age: f32| groups.group_of(age).unwrap();
    let indices: Vec<usize> = ages.iter().map(|&age| group(age)).collect();
    let (classes, known) = (Targets::Classes { indices, count: 3 }, decades(&ages));
    let examples = |rows: std::ops::Range<usize>| {
        let rows: Vec<usize> = rows.collect();
        let targets = known.select(&rows);
        let ages = AuxiliaryTask { kind: Task::Age.into(), rows: rows.clone(), targets };
        let own = FeatureDataset::new(&matrix, rows.clone(), classes.select(&rows)).unwrap();
        own.with_auxiliary_tasks(vec![ages])
            .and_then(|own| own.with_age_groups(groups.clone()))
            .unwrap()
    };
    let head = registry::head("mlp-groups-from-age", &quick()).unwrap();
    let fitted = head.fit(&examples(0..400), &examples(400..600), 1).unwrap().head;
    let rows = test_rows(&matrix);
    let truth: Vec<usize> = rows.iter().map(|&row| group(ages[row])).collect();
    let found = crate::support::probabilities(fitted.predict(&matrix, &rows).unwrap());
    let right = crate::support::accuracy(&found, &truth);
    assert!(right > 0.8, "{right}");
}

#[test]
fn other_heads_use_range_midpoints_and_note_it() {
    let (matrix, ages) = people(400);
    for name in ["svm", "linear", "trees", "knn", "majority"] {
        let of = |targets: &Targets| fit(name, &quick(), &matrix, targets, 1);
        let fitted = of(&decades(&ages));
        let note = "200 of 200 rows have an age range; its midpoint was used";
        assert!(fitted.log().notes.iter().any(|said| said == note), "{name}");
        assert!(of(&middles(&ages)).log().notes.iter().all(|said| !said.contains("range")));
        let (error, _) = errors(fitted.as_ref(), &matrix, &ages);
        // By cosine one feature is a sign and no more.
        let most = if ["majority", "knn"].contains(&name) { 20.0 } else { 5.0 };
        assert!(error < most, "{name}: {error}");
    }
}
