//! `facefold judge`: another program's predictions by our metrics, and next to our heads.

use std::iter::once;

use anyhow::Result;
use facefold::evaluation::judge;
use facefold_report::{compare_results, comparison};
use facefold_terminal::{Output, Terminal};
use serde_json::json;

use crate::arguments::JudgeArguments;
use crate::outcome::Outcome;

/// Runs `judge`.
///
/// # Errors
/// If the predictions or labels cannot be read, or a result to compare with is none.
pub fn run(arguments: &JudgeArguments, output: Output) -> Result<Outcome> {
    let options = arguments.options()?;
    let progress = Terminal::listening()?;
    let report = judge(&options, &progress)?;
    progress.finish();
    let Some(report) = report else { return Ok(Outcome::Interrupted) };
    let results: Vec<_> = once(&arguments.out).chain(&arguments.against).collect();
    let comparisons = if arguments.against.is_empty() {
        Vec::new()
    } else {
        compare_results(&results, arguments.seed)?
    };
    let answer = json!({ "report": report, "comparisons": comparisons });
    output.answer(&answer, || {
        let path = arguments.out.join("report.md");
        let mut blocks = vec![facefold_report::terminal(&report)];
        blocks.extend((!comparisons.is_empty()).then(|| comparison::terminals(&comparisons)));
        blocks.push(path.display().to_string());
        blocks.join("\n")
    })?;
    Ok(Outcome::Done)
}
