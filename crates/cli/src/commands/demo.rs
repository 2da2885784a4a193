//! `facefold demo`: the whole pipeline on synthetic faces.

use anyhow::Result;
use facefold::{Demo, DemoOptions, demo};
use facefold_terminal::{Output, Terminal};

use super::extract::probe;
use crate::arguments::DemoArguments;
use crate::config;
use crate::outcome::Outcome;

/// What to try after the demo.
const NEXT: &str = "
Next:
  facefold predict photo.jpg     gender, age and age group of the face in a photograph
  facefold serve                 the same over HTTP, with a page at http://127.0.0.1:8080
  facefold bundle show           what it was trained on, and what it must not be used for";

/// Runs `demo`.
///
/// # Errors
/// If a step fails. What was drawn, extracted and fitted is kept, and the same command goes on.
pub fn run(arguments: &DemoArguments, output: Output) -> Result<Outcome> {
    let progress = Terminal::listening()?;
    let options = DemoOptions {
        out: arguments.out.clone(),
        pictures: arguments.pictures,
        subjects: arguments.subjects,
        model: arguments.model.clone(),
        seed: arguments.seed,
        threads: arguments.threads,
        offline: arguments.offline,
        probe: probe(),
        origin: config::origin(),
    };
    let said = |text: &str| progress.suspend(|| output.say(text));
    let Some(Demo { report, face }) = demo(&options, &progress, said)? else {
        return Ok(Outcome::Interrupted);
    };
    progress.finish();
    output.answer(&report, || facefold_report::terminal(&report))?;
    output.say(&face)?;
    output.say(&format!("\n{}\n{NEXT}", arguments.out.join("report.html").display()))?;
    Ok(Outcome::Done)
}
