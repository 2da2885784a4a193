//! What some kinds of heads are for: several tasks, age groups from years, ordered years, a start, a spread.

use facefold_core::rng::seeded;
use facefold_core::{
    AgeGroups, Companion, Examples, FeatureMatrix, FittedHead, HeadParts, Targets, Task,
};
use facefold_heads::{HeadOptions, YearsLoss, registry};
use ndarray::Array2;
use rand::Rng as _;
use std::sync::Arc;

use crate::support::{
    accuracy, aged, examples, fit, mean_absolute_error, mirrored, quick, shares, test_rows,
};

/// Features, gender and age of faces that tell both.
fn two_labels(n: usize) -> (FeatureMatrix, Vec<usize>, Vec<f32>) {
    let mut generator = seeded(12, "two labels");
    let plain = Array2::from_shape_fn((n, 8), |_| generator.random_range(-1.0..1.0_f32));
    let genders = plain.rows().into_iter().map(|row| usize::from(row[0] + row[1] > 0.0)).collect();
    let years = plain.rows().into_iter().map(|row| 40.0 + 15.0 * row[2] + 10.0 * row[0]).collect();
    (FeatureMatrix::new(plain, None).unwrap(), genders, years)
}

#[test]
fn joint_training_learns_from_rows_that_lack_a_label() {
    let (matrix, genders, years) = two_labels(600);
    let has_gender = |row: &usize| row.is_multiple_of(10);
    let has_age = |row: &usize| row % 5 != 1;
    let part = |rows: std::ops::Range<usize>| {
        let gendered: Vec<usize> = rows.clone().filter(has_gender).collect();
        let aged: Vec<usize> = rows.filter(has_age).collect();
        let genders = gendered.iter().map(|&row| genders[row]).collect();
        let years = aged.iter().map(|&row| years[row]).collect();
        (
            (gendered, Targets::Classes { indices: genders, count: 2 }),
            (aged, Targets::exact_years(years)),
        )
    };
    let told_by = |of_age: bool| {
        let examples = |rows: std::ops::Range<usize>| {
            let ((gendered, genders), (aged, years)) = part(rows);
            let (own, task, rows, targets) = if of_age {
                (Examples::new(&matrix, aged, years), Task::Gender, gendered, genders)
            } else {
                (Examples::new(&matrix, gendered, genders), Task::Age, aged, years)
            };
            own.unwrap()
                .with_companions(vec![Companion { kind: task.into(), rows, targets }])
                .unwrap()
        };
        let head = registry::head("mlp-joint", &quick()).unwrap();
        assert!(head.uses_companions());
        let fitted = head.fit(&examples(0..400), &examples(400..500), 1).unwrap();
        // Every row that has any of the two labels.
        assert_eq!(fitted.log().rows_used, 320);
        assert!(fitted.log().notes.iter().any(|note| note.contains("learnt together with")));
        fitted
    };
    let rows: Vec<usize> = (500..600).collect();
    let truth: Vec<usize> = rows.iter().map(|&row| genders[row]).collect();
    let gender = told_by(false);
    let found = accuracy(&shares(gender.predict(&matrix, &rows).unwrap()), &truth);
    assert!(found > 0.85, "{found}");
    let age = told_by(true);
    let error = mean_absolute_error(age.as_ref(), &matrix, &Targets::exact_years(years.clone()));
    assert!(error < 3.0, "{error}");
    // Each is stored as its trunk and its own outputs.
    assert_eq!(gender.parts().tensors["output.bias"].len(), 2);
    assert_eq!(age.parts().tensors["output.bias"].len(), 117);
}

#[test]
fn joint_training_of_one_task_says_what_to_do() {
    let (matrix, targets) = mirrored();
    let rows: Vec<usize> = (0..100).collect();
    let alone = Examples::new(&matrix, rows.clone(), targets.pick(&rows)).unwrap();
    let head = registry::head("mlp-joint", &quick()).unwrap();
    let error = head.fit(&alone, &alone, 1).err().unwrap().to_string();
    assert!(error.contains("--task gender,age") && error.contains("`mlp`"), "{error}");
}

#[test]
fn age_groups_are_told_from_years() {
    let (matrix, targets) = aged(600, 3);
    let Targets::Years(years) = &targets else { panic!("expected years") };
    let groups = AgeGroups::nine();
    let indices: Vec<usize> =
        years.iter().map(|age| groups.group_of(age.midpoint().max(0.0)).unwrap()).collect();
    let classes = Targets::Classes { indices: indices.clone(), count: 9 };
    let grouped = |rows: std::ops::Range<usize>| {
        let rows: Vec<usize> = rows.collect();
        let ages =
            Companion { kind: Task::Age.into(), rows: rows.clone(), targets: targets.pick(&rows) };
        Examples::new(&matrix, rows.clone(), classes.pick(&rows))
            .unwrap()
            .with_companions(vec![ages])
            .and_then(|examples| examples.with_age_groups(groups.clone()))
            .unwrap()
    };
    let rows = test_rows(&matrix);
    let truth: Vec<usize> = rows.iter().map(|&row| indices[row]).collect();
    for name in ["mlp", "mlp-by-years"] {
        let head = registry::head(name, &quick()).unwrap();
        let fitted = head.fit(&grouped(0..300), &grouped(300..450), 1).unwrap();
        let found = accuracy(&shares(fitted.predict(&matrix, &rows).unwrap()), &truth);
        assert!(found > if name == "mlp" { 0.6 } else { 0.7 }, "{name}: {found}");
        assert_eq!(
            fitted.year_distribution(&matrix, &rows).unwrap().is_some(),
            name == "mlp-by-years"
        );
        if name == "mlp-by-years" {
            let restored = registry::restore(&fitted.parts()).unwrap();
            assert!(
                restored.predict(&matrix, &rows).unwrap()
                    == fitted.predict(&matrix, &rows).unwrap()
            );
        }
    }
    // Without years it says what to do.
    let none = Examples::new(&matrix, rows.clone(), classes.pick(&rows)).unwrap();
    let none = none.with_age_groups(groups).unwrap();
    let head = registry::head("mlp-by-years", &quick()).unwrap();
    let error = head.fit(&none, &none, 1).err().unwrap().to_string();
    assert!(error.contains("`mlp`"), "{error}");
}

#[test]
fn an_ordinal_head_tells_a_distribution_and_survives_storage() {
    let (matrix, targets) = aged(600, 3);
    let mut options = quick();
    options.mlp.years_loss = YearsLoss::Ordinal;
    let fitted = fit("mlp", &options, &matrix, &targets, 1);
    let rows = test_rows(&matrix);
    let shares = fitted.year_distribution(&matrix, &rows).unwrap().unwrap();
    assert_eq!(shares.ncols(), 117);
    assert!(shares.iter().all(|share| *share >= 0.0));
    assert!(shares.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-4));
    let restored = registry::restore(&fitted.parts()).unwrap();
    assert!(restored.predict(&matrix, &rows).unwrap() == fitted.predict(&matrix, &rows).unwrap());
    let mut parts = fitted.parts();
    parts.tensors.remove("thresholds");
    assert!(registry::restore(&parts).is_err());
}

#[test]
fn a_trained_head_can_be_started_from() {
    let (matrix, targets) = aged(600, 3);
    let trained = fit("mlp", &quick(), &matrix, &targets, 1);
    let mut options = quick();
    options.start = Some(Arc::new(trained.parts()));
    // A learning rate too small to move anything: the answers are those of the trained head, on
    // rows that the scaling was not fitted to.
    options.mlp.learning_rate = 1e-12;
    options.mlp.least_steps = 1;
    options.mlp.epochs = 1;
    options.mlp.mirror = false;
    let rows = test_rows(&matrix);
    let head = registry::head("mlp", &options).unwrap();
    let (few, kept) = (examples(&matrix, 0..50, &targets), examples(&matrix, 50..90, &targets));
    let fitted = head.fit(&few, &kept, 2).unwrap();
    assert_eq!(fitted.parts().tensors["features.mean"], trained.parts().tensors["features.mean"]);
    assert_eq!(
        fitted.parts().tensors["output.weight"].shape(),
        trained.parts().tensors["output.weight"].shape()
    );
    for name in ["hidden.0.weight", "output.bias"] {
        let (ours, theirs) = (&fitted.parts().tensors[name], &trained.parts().tensors[name]);
        let largest = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(largest < 1e-6, "{name}: {largest}");
    }
    assert_eq!(fitted.predict(&matrix, &rows).unwrap().len(), rows.len());
    assert!(fitted.log().notes.iter().any(|note| note.contains("started from")));
    assert_ne!(head.settings(), registry::head("mlp", &quick()).unwrap().settings());

    // Another question takes the hidden layers; a joint one the outputs too.
    let (classes, count) = ((0..600).map(|row| row % 2).collect(), 2);
    let classes = Targets::Classes { indices: classes, count };
    let other =
        head.fit(&examples(&matrix, 0..50, &classes), &examples(&matrix, 0..0, &classes), 2);
    let notes = other.unwrap().log().notes.join(" ");
    assert!(notes.contains("drawn anew"), "{notes}");
    let joint = registry::head("mlp-joint", &options).unwrap().fit(&few, &kept, 2).unwrap();
    let weight = |parts: &HeadParts| parts.tensors["output.weight"][[0, 5]];
    assert!((weight(&joint.parts()) - weight(&trained.parts())).abs() < 1e-6);

    options.mlp.hidden = vec![16];
    let head = registry::head("mlp", &options).unwrap();
    let error = head.fit(&few, &kept, 2).err().unwrap().to_string();
    assert!(error.contains("mlp.hidden") && error.contains("[32, 32]"), "{error}");
    options.start = Some(Arc::new(fit("linear", &quick(), &matrix, &targets, 1).parts()));
    let head = registry::head("mlp", &options).unwrap();
    let error = head.fit(&few, &kept, 2).err().unwrap().to_string();
    assert!(error.contains("`linear`"), "{error}");
}

#[test]
fn dropout_tells_how_sure_a_head_is() {
    let (matrix, genders, years) = two_labels(600);
    let rows = test_rows(&matrix);
    for targets in [Targets::exact_years(years), Targets::Classes { indices: genders, count: 2 }] {
        let silent = fit("mlp", &quick(), &matrix, &targets, 1);
        assert_eq!(silent.spread(&matrix, &rows).unwrap(), None);
        let mut options = quick();
        options.mlp.spread_passes = 20;
        let fitted = fit("mlp", &options, &matrix, &targets, 1);
        let spread = fitted.spread(&matrix, &rows).unwrap().unwrap();
        assert_eq!(spread.len(), rows.len());
        assert!(spread.iter().all(|spread| *spread >= 0.0 && spread.is_finite()));
        assert_eq!(fitted.spread(&matrix, &rows).unwrap().unwrap(), spread);
        // Rows near the border between the genders are told less surely.
        if let Targets::Classes { .. } = targets {
            let mean = |near: bool| {
                let margin = |row: usize| {
                    let row = matrix.plain().row(row);
                    (row[0] + row[1]).abs()
                };
                let chosen =
                    rows.iter().zip(&spread).filter(|(row, _)| (margin(**row) < 0.3) == near);
                let chosen: Vec<f32> = chosen.map(|(_, spread)| *spread).collect();
                chosen.iter().sum::<f32>() / chosen.len() as f32
            };
            assert!(mean(true) > 1.5 * mean(false), "{} {}", mean(true), mean(false));
        }
        // Dropping nothing varies nothing.
        options.mlp.dropout = 0.0;
        let spread = fit("mlp", &options, &matrix, &targets, 1).spread(&matrix, &rows).unwrap();
        assert!(spread.unwrap().iter().all(|spread| *spread < 1e-6));
    }
}

#[test]
fn a_refit_learns_from_the_validation_rows_and_is_not_judged_by_them() {
    let (matrix, targets) = aged(600, 3);
    let once = fit("mlp", &quick(), &matrix, &targets, 1);
    let mut options = quick();
    options.mlp.refit = true;
    let twice = fit("mlp", &options, &matrix, &targets, 1);
    assert_eq!((once.log().rows_used, twice.log().rows_used), (300, 450));
    let kept: Vec<usize> = (300..450).collect();
    let validation = |fitted: &dyn FittedHead| fitted.predict_validation(&matrix, &kept).unwrap();
    assert!(validation(once.as_ref()) == once.predict(&matrix, &kept).unwrap());
    // What is said of the validation rows is what the first fit said.
    assert!(validation(twice.as_ref()) == validation(once.as_ref()));
    assert!(twice.predict(&matrix, &kept).unwrap() != validation(once.as_ref()));
    assert!(twice.log().epochs == once.log().epochs);
    let error = mean_absolute_error(twice.as_ref(), &matrix, &targets);
    assert!(error < 3.0, "{error}");
    // Classes keep the temperature that the validation rows chose.
    let (matrix, targets) = mirrored();
    let temperature = |options: &HeadOptions| {
        fit("mlp", options, &matrix, &targets, 1).parts().tensors["answer"][[0]]
    };
    assert_eq!(temperature(&quick()), temperature(&options));
}
