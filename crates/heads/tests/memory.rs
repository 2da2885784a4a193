//! Predictions leave memory as it is: in a binary of its own, where no other test's memory is
//! counted.

// Helpers of tests fail by panicking and say what they saw, as tests do; not all are used here.
#![allow(clippy::unwrap_used, clippy::print_stdout, dead_code)]

#[path = "heads/support.rs"]
mod support;

use facefold_core::{FeatureMatrix, FittedHead, Targets};
use facefold_heads::{HeadOptions, registry};
use facefold_testing::{Need, skip};

use crate::support::{aged, examples, mirrored, quick};

/// Calls that are counted, and calls before them that may take what is kept for good.
const CALLS: usize = 1_000;
const FIRST: usize = 200;
/// Most bytes that a call may leave behind on average.
const MOST: usize = 512;

/// Resident bytes; `None` where the system does not report them.
fn resident() -> Option<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}

fn fitted(
    name: &str,
    options: &HeadOptions,
    matrix: &FeatureMatrix,
    targets: &Targets,
) -> Option<Box<dyn FittedHead>> {
    let head = registry::head(name, options).unwrap();
    let (training, validation) =
        (examples(matrix, 0..60, targets), examples(matrix, 60..90, targets));
    head.fit(&training, &validation, 1).ok()
}

/// What a command asks of a head about one face.
fn ask(head: &dyn FittedHead, matrix: &FeatureMatrix, row: usize) {
    head.predict(matrix, &[row]).unwrap();
    head.age_distribution(matrix, &[row]).unwrap();
    head.uncertainty(matrix, &[row]).unwrap();
}

#[test]
fn predictions_of_no_head_leak_memory() {
    if resident().is_none() {
        return skip(Need::Proc);
    }
    let mut options = quick();
    options.mlp.epochs = 2;
    options.mlp.min_steps = 10;
    options.mlp.mc_dropout_passes = 2;
    options.svm.max_rows = Some(60);
    let mut measured = 0;
    for (matrix, targets) in [mirrored(), aged(200, 3)] {
        for (name, _) in registry::names() {
            let Some(head) = fitted(name, &options, &matrix, &targets) else { continue };
            (0..FIRST).for_each(|call| ask(head.as_ref(), &matrix, call % 200));
            let before = resident().unwrap();
            (0..CALLS).for_each(|call| ask(head.as_ref(), &matrix, call % 200));
            let grown = resident().unwrap().saturating_sub(before);
            assert!(grown <= MOST * CALLS + (1 << 20), "{name}: {grown} bytes in {CALLS} calls");
            measured += 1;
        }
    }
    // All on classes, and most in years.
    let heads = registry::names().count();
    assert!(measured > heads + heads / 2, "{measured} of {heads} heads twice");
}
