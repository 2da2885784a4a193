//! Jobs for executors that crash, run slowly or lose their replies: each job is done once.
//!
//! A job that fails is tried again. When none waits any more, those that take much longer than others are
//! tried a second time while the first try runs on, and the first answer counts (backup tasks: Dean and
//! Ghemawat, `MapReduce`, OSDI 2004, section 3.6).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, MissedTickBehavior};

/// The pause before a job is tried again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How often jobs are looked through for those that take long.
const LOOK: Duration = Duration::from_secs(1);

/// Jobs whose time the median of all is taken of: the last ones.
const TIMED_JOBS: usize = 101;

/// How jobs are given out.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Jobs at a time.
    pub at_a_time: usize,
    /// How long a job is tried again while it fails, and how long one try may take.
    pub patience: Duration,
    /// A job is tried a second time once it has taken so many times the median of the last ones; `None`:
    /// never.
    pub backup_after: Option<f64>,
}

/// What became of all jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Jobs done.
    pub done: usize,
    /// Tries that failed.
    pub failed: usize,
    /// Jobs that were tried a second time because they took long.
    pub backups: usize,
    /// Answers to jobs that another try had done.
    pub late: usize,
}

/// A job under way.
struct Running<J> {
    job: Arc<J>,
    since: Instant,
    tries: usize,
    /// Whether it was tried a second time because it took long.
    backed_up: bool,
}

/// Has all jobs done by `attempt`; `done` takes each job's answer, once.
///
/// `note` gets a sentence for each try that failed.
///
/// # Errors
/// A job that failed for longer than `limits.patience`, or what `done` fails with. Answers that came before
/// have been taken.
pub async fn run<J, O>(
    jobs: impl IntoIterator<Item = J>,
    limits: Limits,
    attempt: impl AsyncFn(&J) -> Result<O>,
    note: impl Fn(&str),
    mut done: impl FnMut(&J, O) -> Result<()>,
) -> Result<Summary> {
    let (attempt, note) = (&attempt, &note);
    let try_it = |number: usize, job: Arc<J>| async move {
        let (answer, failed) = answer(&*job, limits.patience, attempt, note).await;
        (number, answer, failed)
    };
    let mut waiting = jobs.into_iter().enumerate();
    let mut running: HashMap<usize, Running<J>> = HashMap::new();
    let mut tries = FuturesUnordered::new();
    let mut times = Times::default();
    let mut summary = Summary::default();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        while tries.len() < limits.at_a_time.max(1)
            && let Some((number, job)) = waiting.next()
        {
            let job = Arc::new(job);
            tries.push(try_it(number, Arc::clone(&job)));
            running
                .insert(number, Running { job, since: Instant::now(), tries: 1, backed_up: false });
        }
        if running.is_empty() {
            // Tries of jobs that are done may still run: nothing is to be had of them.
            return Ok(summary);
        }
        let next = tokio::select! {
            next = tries.next() => next,
            _ = look.tick() => None,
        };
        let Some((number, answer, failed)) = next else {
            let free = limits.at_a_time.saturating_sub(tries.len());
            for number in slow(&running, limits.backup_after, &times).into_iter().take(free) {
                if let Some(job) = running.get_mut(&number) {
                    job.tries += 1;
                    job.backed_up = true;
                    tries.push(try_it(number, Arc::clone(&job.job)));
                    summary.backups += 1;
                }
            }
            continue;
        };
        summary.failed += failed;
        let Some(job) = running.get_mut(&number) else {
            summary.late += usize::from(answer.is_ok());
            continue;
        };
        job.tries -= 1;
        match answer {
            Ok(answer) => {
                times.add(job.since.elapsed());
                done(&job.job, answer)?;
                running.remove(&number);
                summary.done += 1;
            }
            Err(error) if job.tries == 0 => return Err(error),
            Err(_) => {}
        }
    }
}

/// Tries a job until it is done; its answer, and how often it failed.
async fn answer<J, O>(
    job: &J,
    patience: Duration,
    attempt: &impl AsyncFn(&J) -> Result<O>,
    note: &impl Fn(&str),
) -> (Result<O>, usize) {
    let (start, mut pause) = (Instant::now(), FIRST_PAUSE);
    for failed in 0.. {
        let error = match tokio::time::timeout(patience, attempt(job)).await {
            Ok(Ok(answer)) => return (Ok(answer), failed),
            Ok(Err(error)) => error,
            Err(_) => anyhow!("no answer within {} s", patience.as_secs()),
        };
        if start.elapsed() + pause > patience {
            let failed_for = format!("a job failed for {} s", patience.as_secs());
            return (Err(error).context(failed_for), failed + 1);
        }
        note(&format!("a job failed and is sent again: {error:#}"));
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
    unreachable!("the loop ends by an answer or by patience")
}

/// Jobs without a second try that have taken much longer than the last ones, the slowest first.
fn slow<J>(
    running: &HashMap<usize, Running<J>>,
    backup_after: Option<f64>,
    times: &Times,
) -> Vec<usize> {
    let Some((times_median, median)) = backup_after.zip(times.median()) else {
        return Vec::new();
    };
    let limit = median.mul_f64(times_median).max(LOOK);
    let slow = running.iter().filter(|(_, job)| !job.backed_up && job.since.elapsed() > limit);
    let mut slow: Vec<(Instant, usize)> = slow.map(|(&number, job)| (job.since, number)).collect();
    slow.sort_unstable();
    slow.into_iter().map(|(_, number)| number).collect()
}

/// How long the last jobs took.
#[derive(Default)]
struct Times {
    last: Vec<Duration>,
    next: usize,
}

impl Times {
    fn add(&mut self, time: Duration) {
        if self.last.len() < TIMED_JOBS {
            self.last.push(time);
        } else {
            self.last[self.next] = time;
            self.next = (self.next + 1) % TIMED_JOBS;
        }
    }

    fn median(&self) -> Option<Duration> {
        let mut sorted = self.last.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::time::Duration;

    use anyhow::bail;
    use tokio::time::{Instant, sleep};

    use super::{Limits, run};

    const LIMITS: Limits =
        Limits { at_a_time: 4, patience: Duration::from_mins(10), backup_after: Some(3.0) };

    #[tokio::test(start_paused = true)]
    async fn failing_jobs_are_tried_again_and_each_is_done_once() {
        let tries = RefCell::new(vec![0; 100]);
        let attempt = async |&job: &usize| {
            sleep(Duration::from_secs(2)).await;
            tries.borrow_mut()[job] += 1;
            if job % 5 == 0 && tries.borrow()[job] < 3 {
                bail!("the executor died")
            }
            Ok(10 * job)
        };
        let mut found = vec![0; 100];
        let summary = run(
            0..100,
            LIMITS,
            attempt,
            |_| (),
            |&job, answer| {
                assert_eq!(answer, 10 * job);
                found[job] += 1;
                Ok(())
            },
        )
        .await
        .unwrap();
        assert_eq!(found, [1; 100]);
        assert_eq!((summary.done, summary.failed), (100, 40));
    }

    /// One job hangs the first time it is tried: the second try answers, long before patience is over.
    #[tokio::test(start_paused = true)]
    async fn a_job_that_takes_long_is_tried_a_second_time() {
        let first = Cell::new(true);
        let attempt = async |&job: &usize| {
            let hangs = job == 7 && first.replace(false);
            sleep(Duration::from_secs(if hangs { 500 } else { 2 })).await;
            Ok(job)
        };
        let (start, mut found) = (Instant::now(), Vec::new());
        let take = |&job: &usize, answer| {
            assert_eq!(job, answer);
            found.push(job);
            Ok(())
        };
        let summary = run(7..27, LIMITS, attempt, |_| (), take).await.unwrap();
        assert_eq!(summary.backups, 1);
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        found.sort_unstable();
        assert_eq!(found, (7..27).collect::<Vec<_>>());
        let patient = Limits { backup_after: None, ..LIMITS };
        first.set(true);
        let (start, attempt) = (Instant::now(), async |&job: &usize| {
            let hangs = job == 7 && first.replace(false);
            sleep(Duration::from_secs(if hangs { 500 } else { 2 })).await;
            Ok(())
        });
        run(7..27, patient, attempt, |_| (), |_, ()| Ok(())).await.unwrap();
        assert!(start.elapsed() >= Duration::from_secs(500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_always_fails_ends_the_run_when_patience_is_over() {
        let attempt = async |&job: &usize| {
            if job == 3 {
                bail!("no such file")
            }
            Ok(())
        };
        let (start, mut done) = (Instant::now(), 0);
        let found = run(
            0..10,
            LIMITS,
            attempt,
            |_| (),
            |_, ()| {
                done += 1;
                Ok(())
            },
        )
        .await;
        let error = format!("{:#}", found.unwrap_err());
        assert!(error.contains("failed for 600 s") && error.contains("no such file"), "{error}");
        assert!(start.elapsed() <= 2 * LIMITS.patience);
        assert_eq!(done, 9);
    }
}
