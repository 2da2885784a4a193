//! Particular heads: multi-task, age groups from ages, ordinal regression, warm start, uncertainty.

use facefold_core::rng::seeded;
use facefold_core::{
    AgeGroups, AuxiliaryTask, FeatureDataset, FeatureMatrix, Fit, StateDict, Targets, Task,
};
use facefold_heads::{AgeLoss, HeadOptions, registry};
use ndarray::Array2;
use rand::Rng as _;
use std::sync::Arc;

use crate::support::{
    accuracy, aged, examples, fit, mean_absolute_error, mirrored, probabilities, quick, test_rows,
    whole_fit,
};

/// Features, gender and age of faces, with features that determine both.
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
    let fit_with_auxiliary = |of_age: bool| {
        let examples = |rows: std::ops::Range<usize>| {
            let ((gendered, genders), (aged, years)) = part(rows);
            let (own, task, rows, targets) = if of_age {
                (FeatureDataset::new(&matrix, aged, years), Task::Gender, gendered, genders)
            } else {
                (FeatureDataset::new(&matrix, gendered, genders), Task::Age, aged, years)
            };
            own.unwrap()
                .with_auxiliary_tasks(vec![AuxiliaryTask { kind: task.into(), rows, targets }])
                .unwrap()
        };
        let head = registry::head("mlp-multi-task", &quick()).unwrap();
        assert!(head.uses_auxiliary_tasks());
        let fitted = head.fit(&examples(0..400), &examples(400..500), 1).unwrap().head;
        // Every row that has any of the two labels.
        assert_eq!(fitted.log().rows_used, 320);
        assert!(fitted.log().notes.iter().any(|note| note.contains("auxiliary task")));
        fitted
    };
    let rows: Vec<usize> = (500..600).collect();
    let truth: Vec<usize> = rows.iter().map(|&row| genders[row]).collect();
    let gender = fit_with_auxiliary(false);
    let found = accuracy(&probabilities(gender.predict(&matrix, &rows).unwrap()), &truth);
    assert!(found > 0.85, "{found}");
    let age = fit_with_auxiliary(true);
    let error = mean_absolute_error(age.as_ref(), &matrix, &Targets::exact_years(years.clone()));
    assert!(error < 3.0, "{error}");
    // Each is stored as its trunk and its own outputs.
    assert_eq!(gender.state_dict().tensors["output.bias"].len(), 2);
    assert_eq!(age.state_dict().tensors["output.bias"].len(), 117);
}

#[test]
fn joint_training_without_auxiliary_task_is_an_error() {
    let (matrix, targets) = mirrored();
    let rows: Vec<usize> = (0..100).collect();
    let alone = FeatureDataset::new(&matrix, rows.clone(), targets.select(&rows)).unwrap();
    let head = registry::head("mlp-multi-task", &quick()).unwrap();
    let error = head.fit(&alone, &alone, 1).err().unwrap().to_string();
    assert!(error.contains("--task gender,age") && error.contains("`mlp`"), "{error}");
}

#[test]
fn age_groups_are_predicted_from_ages() {
    let (matrix, targets) = aged(600, 3);
    let Targets::Regression(years) = &targets else { panic!("expected years") };
    let groups = AgeGroups::nine();
    let indices: Vec<usize> =
        years.iter().map(|age| groups.group_of(age.midpoint().max(0.0)).unwrap()).collect();
    let classes = Targets::Classes { indices: indices.clone(), count: 9 };
    let grouped = |rows: std::ops::Range<usize>| {
        let rows: Vec<usize> = rows.collect();
        let ages = AuxiliaryTask {
            kind: Task::Age.into(),
            rows: rows.clone(),
            targets: targets.select(&rows),
        };
        FeatureDataset::new(&matrix, rows.clone(), classes.select(&rows))
            .unwrap()
            .with_auxiliary_tasks(vec![ages])
            .and_then(|examples| examples.with_age_groups(groups.clone()))
            .unwrap()
    };
    let rows = test_rows(&matrix);
    let truth: Vec<usize> = rows.iter().map(|&row| indices[row]).collect();
    for name in ["mlp", "mlp-groups-from-age"] {
        let head = registry::head(name, &quick()).unwrap();
        let fitted = head.fit(&grouped(0..300), &grouped(300..450), 1).unwrap().head;
        let found = accuracy(&probabilities(fitted.predict(&matrix, &rows).unwrap()), &truth);
        assert!(found > if name == "mlp" { 0.6 } else { 0.7 }, "{name}: {found}");
        assert_eq!(
            fitted.predict(&matrix, &rows).unwrap().age_distribution.is_some(),
            name == "mlp-groups-from-age"
        );
        if name == "mlp-groups-from-age" {
            let restored = registry::restore(&fitted.state_dict()).unwrap();
            assert!(
                restored.predict(&matrix, &rows).unwrap()
                    == fitted.predict(&matrix, &rows).unwrap()
            );
        }
    }
    // Without years it says what to do.
    let none = FeatureDataset::new(&matrix, rows.clone(), classes.select(&rows)).unwrap();
    let none = none.with_age_groups(groups).unwrap();
    let head = registry::head("mlp-groups-from-age", &quick()).unwrap();
    let error = head.fit(&none, &none, 1).err().unwrap().to_string();
    assert!(error.contains("`mlp`"), "{error}");
}

#[test]
fn an_ordinal_head_predicts_a_distribution_before_and_after_storage() {
    let (matrix, targets) = aged(600, 3);
    let mut options = quick();
    options.mlp.age_loss = AgeLoss::Ordinal;
    let fitted = fit("mlp", &options, &matrix, &targets, 1);
    let rows = test_rows(&matrix);
    let probabilities = fitted.predict(&matrix, &rows).unwrap().age_distribution.unwrap();
    assert_eq!(probabilities.ncols(), 117);
    assert!(probabilities.iter().all(|share| *share >= 0.0));
    assert!(probabilities.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-4));
    let restored = registry::restore(&fitted.state_dict()).unwrap();
    assert!(restored.predict(&matrix, &rows).unwrap() == fitted.predict(&matrix, &rows).unwrap());
    let mut state = fitted.state_dict();
    state.tensors.remove("thresholds");
    assert!(registry::restore(&state).is_err());
}

#[test]
fn a_head_can_be_initialised_from_a_trained_head() {
    let (matrix, targets) = aged(600, 3);
    let trained = fit("mlp", &quick(), &matrix, &targets, 1);
    let mut options = quick();
    options.start = Some(Arc::new(trained.state_dict()));
    // A learning rate too small to change anything: the predictions are those of the trained head,
    // on rows that the scaling was not fitted to.
    options.mlp.learning_rate = 1e-12;
    // The trained bias has its adjustment already.
    options.mlp.logit_adjustment = 0.0;
    options.mlp.min_steps = 1;
    options.mlp.epochs = 1;
    options.mlp.horizontal_flip = false;
    let rows = test_rows(&matrix);
    let head = registry::head("mlp", &options).unwrap();
    let (few, kept) = (examples(&matrix, 0..50, &targets), examples(&matrix, 50..90, &targets));
    let fitted = head.fit(&few, &kept, 2).unwrap().head;
    assert_eq!(
        fitted.state_dict().tensors["features.mean"],
        trained.state_dict().tensors["features.mean"]
    );
    assert_eq!(
        fitted.state_dict().tensors["output.weight"].shape(),
        trained.state_dict().tensors["output.weight"].shape()
    );
    for name in ["hidden.0.weight", "output.bias"] {
        let (ours, theirs) =
            (&fitted.state_dict().tensors[name], &trained.state_dict().tensors[name]);
        let largest = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(largest < 1e-6, "{name}: {largest}");
    }
    assert_eq!(fitted.predict(&matrix, &rows).unwrap().len(), rows.len());
    assert!(fitted.log().notes.iter().any(|note| note.contains("started from")));
    assert_ne!(head.settings(), registry::head("mlp", &quick()).unwrap().settings());

    // Another task takes the hidden layers; a joint one the outputs too.
    let (classes, count) = ((0..600).map(|row| row % 2).collect(), 2);
    let classes = Targets::Classes { indices: classes, count };
    let other =
        head.fit(&examples(&matrix, 0..50, &classes), &examples(&matrix, 0..0, &classes), 2);
    let notes = other.unwrap().head.log().notes.join(" ");
    assert!(notes.contains("initialised at random"), "{notes}");
    let joint =
        registry::head("mlp-multi-task", &options).unwrap().fit(&few, &kept, 2).unwrap().head;
    let weight = |state: &StateDict| state.tensors["output.weight"][[0, 5]];
    assert!((weight(&joint.state_dict()) - weight(&trained.state_dict())).abs() < 1e-6);

    options.mlp.hidden_layer_sizes = vec![16];
    let head = registry::head("mlp", &options).unwrap();
    let error = head.fit(&few, &kept, 2).err().unwrap().to_string();
    assert!(error.contains("mlp.hidden_layer_sizes") && error.contains("[32, 32]"), "{error}");
    options.start = Some(Arc::new(fit("linear", &quick(), &matrix, &targets, 1).state_dict()));
    let head = registry::head("mlp", &options).unwrap();
    let error = head.fit(&few, &kept, 2).err().unwrap().to_string();
    assert!(error.contains("`linear`"), "{error}");
}

#[test]
fn mc_dropout_uncertainty_is_higher_near_the_border() {
    let (matrix, genders, years) = two_labels(600);
    let rows = test_rows(&matrix);
    for targets in [Targets::exact_years(years), Targets::Classes { indices: genders, count: 2 }] {
        let silent = fit("mlp", &quick(), &matrix, &targets, 1);
        assert_eq!(silent.predict(&matrix, &rows).unwrap().uncertainty, None);
        let mut options = quick();
        options.mlp.mc_dropout_passes = 20;
        let fitted = fit("mlp", &options, &matrix, &targets, 1);
        let deviations = fitted.predict(&matrix, &rows).unwrap().uncertainty.unwrap();
        assert_eq!(deviations.len(), rows.len());
        assert!(deviations.iter().all(|deviations| *deviations >= 0.0 && deviations.is_finite()));
        // A row's uncertainty does not depend on the other rows.
        let alone = rows
            .iter()
            .flat_map(|&row| fitted.predict(&matrix, &[row]).unwrap().uncertainty.unwrap());
        assert!(alone.eq(deviations.iter().copied()));
        // Rows near the border between the genders have a larger uncertainty.
        if let Targets::Classes { .. } = targets {
            let mean = |near: bool| {
                let margin = |row: usize| {
                    let row = matrix.plain().row(row);
                    (row[0] + row[1]).abs()
                };
                let chosen =
                    rows.iter().zip(&deviations).filter(|(row, _)| (margin(**row) < 0.3) == near);
                let chosen: Vec<f32> = chosen.map(|(_, deviations)| *deviations).collect();
                chosen.iter().sum::<f32>() / chosen.len() as f32
            };
            assert!(mean(true) > 1.5 * mean(false), "{} {}", mean(true), mean(false));
        }
        // Dropping nothing varies nothing.
        options.mlp.dropout = 0.0;
        let fitted = fit("mlp", &options, &matrix, &targets, 1);
        let deviations = fitted.predict(&matrix, &rows).unwrap().uncertainty.unwrap();
        assert!(deviations.iter().all(|deviations| *deviations < 1e-6));
    }
}

#[test]
fn a_refit_trains_on_the_validation_rows_and_is_evaluated_without_them() {
    let (matrix, targets) = aged(600, 3);
    let Fit { head: once, validation } = whole_fit("mlp", &quick(), &matrix, &targets, 1);
    let mut options = quick();
    options.mlp.refit = true;
    let Fit { head: twice, validation: of_twice } =
        whole_fit("mlp", &options, &matrix, &targets, 1);
    assert_eq!((once.log().rows_used, twice.log().rows_used), (300, 450));
    let kept: Vec<usize> = (300..450).collect();
    assert!(validation == once.predict(&matrix, &kept).unwrap());
    // What is said of the validation rows is what the first fit said.
    assert!(of_twice == validation);
    assert!(twice.predict(&matrix, &kept).unwrap() != validation);
    assert!(twice.log().epochs == once.log().epochs);
    let error = mean_absolute_error(twice.as_ref(), &matrix, &targets);
    assert!(error < 3.0, "{error}");
    // Classes keep the temperature that the validation rows chose.
    let (matrix, targets) = mirrored();
    let temperature = |options: &HeadOptions| {
        fit("mlp", options, &matrix, &targets, 1).state_dict().tensors["decoder"][[0]]
    };
    assert_eq!(temperature(&quick()), temperature(&options));
}

#[test]
fn a_fit_that_learns_its_rows_by_heart_is_not_refitted() {
    // Features that say nothing of the age.
    let mut generator = seeded(1, "noise");
    let noise = Array2::from_shape_fn((300, 40), |_| generator.random_range(-1.0..1.0_f32));
    let years = (0..300).map(|row: u16| f32::from(20 + row * 7 % 50)).collect();
    let (matrix, targets) = (FeatureMatrix::new(noise, None).unwrap(), Targets::exact_years(years));
    let mut options = quick();
    options.mlp.min_steps = 900;
    let once = fit("mlp", &options, &matrix, &targets, 1);
    options.mlp.refit = true;
    let refitted = fit("mlp", &options, &matrix, &targets, 1);
    let notes = &refitted.log().notes;
    assert!(notes.iter().any(|note| note.starts_with("not refitted on all rows")), "{notes:?}");
    let rows = test_rows(&matrix);
    assert!(refitted.predict(&matrix, &rows).unwrap() == once.predict(&matrix, &rows).unwrap());
}
