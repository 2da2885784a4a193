//! The bounded queue on which requests put pictures and from which workers take them.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use facefold_core::{Extraction, Rejection};
use facefold_predict::{DetectionMarks, ExtractionRequest, FacePrediction};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// What is done with the faces of a picture, once they are embedded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Purpose {
    /// Nothing more.
    Embed,
    /// The bundles predict.
    Predict,
    /// Their crops become files.
    Crops,
    /// They are drawn on the picture, which becomes a file.
    Draw(DetectionMarks),
}

/// A picture and what to do with it.
pub(crate) struct Job {
    pub picture: Bytes,
    pub request: ExtractionRequest,
    pub purpose: Purpose,
    /// Closed when the request is gone.
    pub reply: oneshot::Sender<Outcome>,
}

/// What became of a picture; none where the server failed on it.
pub(crate) type Outcome = Option<ExtractionResult>;

/// An extracted picture, with the bundles' predictions or files if requested.
#[derive(Debug)]
pub(crate) struct ExtractionResult {
    pub extraction: Extraction,
    /// By face, then by bundle.
    pub predictions: Vec<Vec<FacePrediction>>,
    /// The crops of its faces, or the picture with its faces drawn on it, as JPEG files.
    pub files: Vec<Vec<u8>>,
}

impl ExtractionResult {
    /// A picture that never became a job.
    pub fn rejected(rejection: Rejection) -> Self {
        let extraction = Extraction::Rejected(rejection);
        Self { extraction, predictions: Vec::new(), files: Vec::new() }
    }
}

/// Jobs in the order of their coming.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Each with its place, which is free again once a worker has taken the job.
    jobs: VecDeque<(Job, OwnedSemaphorePermit)>,
    closed: bool,
}

impl Queue {
    pub fn put(&self, job: Job, place: OwnedSemaphorePermit) {
        self.lock().jobs.push_back((job, place));
        self.changed.notify_one();
    }

    /// Waits for jobs and takes up to `most` of them, but no more than one worker's share of what
    /// waits: two pictures on two idle cores are done side by side, not one after the other.
    /// None once the queue is closed and empty.
    pub fn take(&self, most: usize, workers: usize) -> Option<Vec<Job>> {
        let mut state = self.lock();
        loop {
            let share = state.jobs.len().div_ceil(workers.max(1)).min(most.max(1));
            if share > 0 {
                let taken = state.jobs.drain(..share);
                return Some(taken.map(|(job, _)| job).collect());
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Number of pictures that wait.
    pub fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Ends the workers once the queue is empty.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use facefold_predict::ExtractionRequest;
    use tokio::sync::{Semaphore, oneshot};

    use super::{Job, Purpose, Queue};

    fn job(number: u8) -> Job {
        Job {
            picture: Bytes::from(vec![number]),
            request: ExtractionRequest { faces: 1, aligned: false, mirrored: false, augmented: 0 },
            purpose: Purpose::Embed,
            reply: oneshot::channel().0,
        }
    }

    #[test]
    fn a_worker_takes_pictures_in_order_and_at_most_a_batch() {
        let (queue, places) = (Queue::default(), Arc::new(Semaphore::new(16)));
        for number in 0..10 {
            queue.put(job(number), Arc::clone(&places).try_acquire_owned().unwrap());
        }
        assert_eq!(places.available_permits(), 6);
        let mut taken = Vec::new();
        let mut sizes = Vec::new();
        while queue.len() > 0 {
            let jobs = queue.take(4, 2).unwrap();
            sizes.push(jobs.len());
            taken.extend(jobs.iter().map(|job| job.picture[0]));
        }
        assert_eq!(sizes, [4, 3, 2, 1]);
        assert_eq!(taken, (0..10).collect::<Vec<u8>>());
        assert_eq!(places.available_permits(), 16);
        queue.close();
        assert!(queue.take(4, 2).is_none());
    }
}
