//! Predictions leave memory as it is and start no thread: in a binary of its own, where no other
//! test's memory and threads are counted.

// Helpers of tests fail by panicking and say what they saw, as tests do; not all are used here.
#![allow(clippy::unwrap_used, clippy::print_stdout, dead_code)]

#[path = "heads/support.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

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
    head.fit(&training, &validation, 1).ok().map(|fit| fit.head)
}

/// What a command asks of a head about one face.
fn ask(head: &dyn FittedHead, matrix: &FeatureMatrix, row: usize) {
    head.predict(matrix, &[row]).unwrap();
}

/// Identifiers of this process's threads that are seen while `work` runs.
fn threads_during(work: impl FnOnce() + Send) -> BTreeSet<String> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            loop {
                let over = done.load(Ordering::Relaxed);
                let tasks = std::fs::read_dir("/proc/self/task").unwrap();
                seen.extend(tasks.map(|task| task.unwrap().file_name().into_string().unwrap()));
                if over {
                    return seen;
                }
            }
        });
        work();
        done.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    })
}

#[test]
fn predictions_leak_no_memory_and_start_no_thread() {
    if resident().is_none() {
        return skip(Need::Proc);
    }
    let mut options = quick();
    options.mlp.epochs = 2;
    options.mlp.min_steps = 10;
    options.mlp.mc_dropout_passes = 2;
    options.svm.max_rows = Some(60);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let mut measured = 0;
    for (matrix, targets) in [mirrored(), aged(200, 3)] {
        for (name, _) in registry::names() {
            let Some(head) = fitted(name, &options, &matrix, &targets) else { continue };
            (0..FIRST).for_each(|call| ask(head.as_ref(), &matrix, call % 200));
            let before = resident().unwrap();
            (0..CALLS).for_each(|call| ask(head.as_ref(), &matrix, call % 200));
            let grown = resident().unwrap().saturating_sub(before);
            assert!(grown <= MOST * CALLS + (1 << 20), "{name}: {grown} bytes in {CALLS} calls");
            // As in a cross-validation, which predicts in a pool of its own.
            let before = threads_during(|| ());
            let during = threads_during(|| {
                pool.install(|| (0..CALLS / 10).for_each(|call| ask(head.as_ref(), &matrix, call)));
            });
            // One is the thread that watches.
            let started = during.difference(&before).count();
            assert!(started <= 1, "{name}: {started} threads in {} calls", CALLS / 10);
            measured += 1;
        }
    }
    // All on classes, and most in years.
    let heads = registry::names().count();
    assert!(measured > heads + heads / 2, "{measured} of {heads} heads twice");
}
