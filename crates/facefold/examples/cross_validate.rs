//! Cross-validates heads on one or several stores, and writes a report.
//!
//! `cargo run --release -p facefold --example cross_validate -- REPORT STORE [STORE …]`
//!
//! `train_and_predict` makes a store to try it on. Ctrl-C ends it; run again, it goes on from there.

// An example prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::path::PathBuf;

use facefold::core::Task;
use facefold::report::terminal;
use facefold::{EvaluationOptions, LearningOptions, Progress, Step, cross_validate_stores};

/// Prints what goes on.
struct Printed;

impl Progress for Printed {
    fn step(&self, step: Step<'_>) {
        eprintln!("{} of {:?}: {}", step.done, step.total, step.item);
    }

    fn note(&self, message: &str) {
        eprintln!("{message}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let (Some(out), stores) = (arguments.next(), arguments.collect::<Vec<_>>()) else {
        return Err("expected a report's directory and stores, found nothing".into());
    };
    let learning = LearningOptions { stores, ..LearningOptions::new("", &[Task::Gender]) };
    let options = EvaluationOptions::new(learning, &["mlp", "linear"], out);
    if let Some(report) = cross_validate_stores(&options, &Printed)? {
        println!("{}", terminal(&report));
    }
    Ok(())
}
