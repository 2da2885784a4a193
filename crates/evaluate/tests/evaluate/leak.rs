//! Labels that belong to people and not to looks: only a leak of subjects can predict them.

use std::sync::atomic::AtomicBool;

use facefold_core::Task;
use facefold_evaluate::{
    AuxiliaryLabels, CvPlan, CvRun, Metric, NoJournal, Protocol, cross_validate, plan,
};

use crate::heads::{Nearest, people};

fn accuracy(protocol: Protocol) -> f64 {
    let people = people(150, 6, 5);
    let splits = plan(&protocol, &people.rows, &people.targets, 7).unwrap();
    let plan = CvPlan {
        task: Task::Gender,
        classes: vec!["female".to_owned(), "male".to_owned()],
        matrix: &people.matrix,
        matrix_rows: (0..people.rows.len()).collect(),
        targets: people.targets.clone(),
        auxiliary_labels: AuxiliaryLabels::default(),
        rows: people.rows.into(),
        protocol,
        splits,
        heads: vec![Box::new(Nearest::default())],
        seed: 7,
        seeds: vec![7],
        thresholds: None,
        stamp: String::new(),
    };
    let run = CvRun {
        threads: 2,
        journal: &NoJournal,
        cancel: &AtomicBool::new(false),
        progress: &|_| {},
    };
    let outcome = cross_validate(&plan, &run).unwrap();
    outcome.result.heads[0]
        .summary
        .iter()
        .find(|line| line.metric == Metric::Accuracy)
        .unwrap()
        .pooled
}

#[test]
fn subject_exclusive_protocols_score_at_chance_on_random_labels() {
    // 150 subjects guessed by a coin: standard deviation 0.04 about 0.5.
    for protocol in [Protocol::Folds, Protocol::KFold(5)] {
        let accuracy = accuracy(protocol);
        assert!((0.38..=0.62).contains(&accuracy), "{protocol}: {accuracy}");
    }
}

#[test]
fn a_random_split_by_row_scores_above_chance_by_leakage() {
    let accuracy = accuracy(Protocol::Random80(1));
    assert!(accuracy > 0.9, "{accuracy}");
}
