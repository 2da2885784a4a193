//! The threads that do the work: they take pictures from the queue, several at a time where
//! several wait, and send back what became of each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use facefold_core::{Extraction, Face, FaceVariant, Rejection};
use facefold_predict::{ExtractedFaces, ExtractionRequest, Predictor};

use crate::queue::{ExtractionResult, Job, Outcome, Purpose};
use crate::state::Shared;

/// Starts the workers; they end when the queue is closed and empty.
pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<Vec<JoinHandle<()>>> {
    (0..shared.threads)
        .map(|number| {
            let shared = Arc::clone(shared);
            std::thread::Builder::new().name(format!("worker {number}")).spawn(move || {
                while let Some(jobs) = shared.queue.take(shared.limits.batch, shared.threads) {
                    work(&shared, jobs);
                }
            })
        })
        .collect()
}

fn work(shared: &Shared, jobs: Vec<Job>) {
    // Requests that are gone are not processed.
    let jobs: Vec<Job> = jobs.into_iter().filter(|job| !job.reply.is_closed()).collect();
    if jobs.is_empty() {
        return;
    }
    let start = Instant::now();
    let outcomes = catch_unwind(AssertUnwindSafe(|| outcomes(&shared.predictor, &jobs)));
    shared.metrics.batch(jobs.len(), start.elapsed());
    let outcomes = outcomes.unwrap_or_else(|_| {
        tracing::error!("a worker panicked on a batch of {} pictures", jobs.len());
        Vec::new()
    });
    let mut outcomes = outcomes.into_iter();
    for job in jobs {
        let outcome = outcomes.next().flatten();
        shared.metrics.picture(match &outcome {
            Some(ExtractionResult { extraction: Extraction::Embedded { .. }, .. }) => "embedded",
            Some(ExtractionResult { extraction: Extraction::Rejected(rejection), .. }) => {
                rejection.reason.as_str()
            }
            None => "failed",
        });
        // The receiver may be gone: then the outcome is dropped.
        let _ = job.reply.send(outcome);
    }
}

fn outcomes(predictor: &Predictor, jobs: &[Job]) -> Vec<Outcome> {
    let pictures: Vec<(&[u8], ExtractionRequest)> =
        jobs.iter().map(|job| (job.picture.as_ref(), job.request)).collect();
    let extractions = match predictor.extract(&pictures) {
        Ok(extractions) => extractions,
        Err(error) => {
            tracing::error!("the extractor failed: {error}");
            return Vec::new();
        }
    };
    let faces: Vec<ExtractedFaces<'_>> = extractions
        .iter()
        .zip(jobs)
        .map(|(extraction, job)| match extraction {
            Extraction::Embedded { faces, found } if job.purpose == Purpose::Predict => {
                ExtractedFaces { path: "", faces, found: *found }
            }
            _ => ExtractedFaces { path: "", faces: &[], found: 0 },
        })
        .collect();
    let predictions = match predictor.predictions(&faces) {
        Ok(predictions) => predictions,
        Err(error) => {
            tracing::error!("a head failed: {error}");
            return Vec::new();
        }
    };
    let results = extractions.into_iter().zip(predictions).zip(jobs);
    let result = |((extraction, predictions), job): ((Extraction, _), &Job)| {
        Some(match files(predictor, job, &extraction) {
            Ok(files) => ExtractionResult { extraction, predictions, files },
            Err(rejection) => ExtractionResult::rejected(rejection),
        })
    };
    results.map(result).collect()
}

/// The files that are wanted of a picture and its faces.
fn files(
    predictor: &Predictor,
    job: &Job,
    extraction: &Extraction,
) -> Result<Vec<Vec<u8>>, Rejection> {
    let faces: Vec<Face> = match extraction {
        Extraction::Embedded { faces, .. } => {
            faces.iter().filter(|face| face.variant == FaceVariant::PLAIN).cloned().collect()
        }
        Extraction::Rejected(_) => Vec::new(),
    };
    match job.purpose {
        Purpose::Embed | Purpose::Predict => Ok(Vec::new()),
        Purpose::Crops => predictor.crop_files(&job.picture, &faces),
        Purpose::Draw(marks) => match extraction {
            // A picture without a face is drawn as it is.
            Extraction::Rejected(rejection) if !rejection.reason.is_without_face() => {
                Ok(Vec::new())
            }
            _ => Ok(vec![predictor.drawn(&job.picture, &faces, &marks)?]),
        },
    }
}
