//! Prints answers as they come, where the format allows it.

use std::io::Result;

use facefold_predict::csv::{self, Columns};
use facefold_predict::{FacePrediction, Predictor, table};
use facefold_terminal::{self as terminal, Output};

use crate::arguments::{AnswerFormat, FacesName, PredictArguments};

/// Where answers go. A table and a JSON array are whole at the end only; lines are printed at once,
/// and memory does not grow with them.
pub enum Printer {
    /// Kept for a table.
    Table(Vec<FacePrediction>),
    /// Kept for a JSON document.
    Json(Vec<FacePrediction>),
    /// A JSON document each.
    JsonLines,
    /// A line of CSV each.
    Csv(Columns),
}

impl Printer {
    /// Prints what stands before the first answer.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn new(
        arguments: &PredictArguments,
        predictor: &Predictor,
        output: Output,
    ) -> Result<Self> {
        if output.is_json() {
            return Ok(Self::Json(Vec::new()));
        }
        Ok(match arguments.format {
            AnswerFormat::Table => Self::Table(Vec::new()),
            AnswerFormat::Json => Self::Json(Vec::new()),
            AnswerFormat::Jsonl => Self::JsonLines,
            AnswerFormat::Csv => {
                let columns = Columns {
                    thresholds: predictor.thresholds(),
                    face_index: arguments.faces == Some(FacesName::All),
                    bundle: predictor.bundles() > 1,
                };
                terminal::line(&csv::header(&columns))?;
                Self::Csv(columns)
            }
        })
    }

    /// Prints the answers for a picture, or keeps them.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn print(&mut self, answers: Vec<FacePrediction>) -> Result<()> {
        // No table has it, and it is the largest part of an answer.
        let short = |answer| FacePrediction { age_distribution: None, ..answer };
        match self {
            Self::Table(kept) => {
                kept.extend(answers.into_iter().map(short));
                Ok(())
            }
            Self::Json(kept) => {
                kept.extend(answers);
                Ok(())
            }
            Self::JsonLines => answers.iter().try_for_each(terminal::document_line),
            Self::Csv(columns) => {
                answers.iter().try_for_each(|answer| terminal::line(&csv::line(answer, columns)))
            }
        }
    }

    /// Prints what was kept.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn finish(self) -> Result<()> {
        match self {
            Self::Table(answers) => terminal::line(&table::table(&answers)),
            Self::Json(answers) => terminal::document(&answers),
            Self::JsonLines | Self::Csv(_) => Ok(()),
        }
    }
}
