//! The scheduling of an extraction on made-up executors, in made-up time: how long it takes, what is computed
//! twice, and that no job is lost or taken twice.
//!
//! `cargo run --release -p facefold-jobs --example simulate` prints a Markdown table. What gives out the jobs is what `facefold-cluster extract` runs
//! ([`facefold_jobs::run`]); executors and the clock are made up.
//!
//! - Every executor has one thread, a speed between 0.8 and 1.2 of the rate, and one in fifty a tenth of it.
//! - It dies after a time drawn from an exponential distribution, is found dead 20 to 25 s later, and another
//!   one takes its place 120 s after its death.
//! - One answer of a thousand is lost on its way back: the job was done, and is done again.
//! - The scheduler is restarted every six hours: all jobs under way fail.

// What a program prints is its answer.
#![allow(clippy::print_stdout)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use facefold_core::rng::{Rng, seeded};
use facefold_jobs::{Limits, Summary, run};
use rand::Rng as _;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

/// A run.
#[derive(Clone, Copy)]
struct Plan {
    pictures: u64,
    executors: usize,
    /// Share of the executors that die in an hour.
    loss: f64,
    backup_after: Option<f64>,
}

/// Pictures a second of one core with AVX2, from file to stored embedding: `results/bench/engine.md`.
const RATE: f64 = 48.3;
const PICTURES_OF_JOB: u64 = 128;
const REPLACED_AFTER: Duration = Duration::from_mins(2);
const RESTARTED_EVERY: Duration = Duration::from_hours(6);

fn main() -> Result<()> {
    let patient = None;
    let backups = Some(3.0);
    let plan =
        |pictures, executors, loss, backup_after| Plan { pictures, executors, loss, backup_after };
    println!(
        "| pictures | jobs | executors | lost an hour | second tries | hours | hours without any fault | computed twice | tries that failed | \
         jobs lost | jobs taken twice |"
    );
    println!("| ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for plan in [
        plan(1_000_000, 16, 0.05, patient),
        plan(1_000_000, 16, 0.05, backups),
        plan(100_000_000, 1_000, 0.05, patient),
        plan(100_000_000, 1_000, 0.05, backups),
        plan(100_000_000, 1_000, 0.5, backups),
        plan(1_000_000_000, 1_000, 0.05, backups),
    ] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let simulated = tokio::task::LocalSet::new().block_on(&runtime, simulate(plan))?;
        println!("{}", simulated.line(plan));
    }
    Ok(())
}

/// What came of a run.
struct Simulated {
    time: Duration,
    summary: Summary,
    lost: usize,
    doubled: usize,
    /// Seconds spent by executors of speed 1, and those that all jobs take once.
    spent: f64,
    needed: f64,
}

impl Simulated {
    fn line(&self, plan: Plan) -> String {
        let Self { time, summary, lost, doubled, spent, needed } = self;
        // By the mean speed of the executors.
        let ideal = plan.pictures as f64 / RATE / plan.executors as f64 / (0.98 + 0.02 * 0.1);
        format!(
            "| {} | {} | {} | {:.0} % | {} | {:.2} | {:.2} | {:.2} % | {} | {lost} | {doubled} |",
            plan.pictures,
            summary.done,
            plan.executors,
            100.0 * plan.loss,
            if plan.backup_after.is_some() {
                summary.backups.to_string()
            } else {
                "off".to_owned()
            },
            time.as_secs_f64() / 3600.0,
            ideal / 3600.0,
            100.0 * (spent / needed - 1.0),
            summary.failed,
        )
    }
}

async fn simulate(plan: Plan) -> Result<Simulated> {
    let jobs = plan.pictures.div_ceil(PICTURES_OF_JOB) as usize;
    let cluster = Rc::new(Cluster::new(plan));
    let limits = Limits {
        at_a_time: plan.executors * 2,
        patience: Duration::from_hours(1),
        backup_after: plan.backup_after,
    };
    let mut taken = vec![0_u16; jobs];
    let start = Instant::now();
    let attempt = async |_: &usize| cluster.run_job().await;
    let summary = run(
        0..jobs,
        limits,
        attempt,
        |_| (),
        |&job, ()| {
            taken[job] = taken[job].saturating_add(1);
            Ok(())
        },
    )
    .await?;
    let (lost, doubled) =
        (taken.iter().filter(|&&n| n == 0).count(), taken.iter().filter(|&&n| n > 1).count());
    ensure!(lost == 0 && doubled == 0, "{lost} jobs lost, {doubled} taken twice");
    Ok(Simulated {
        time: start.elapsed(),
        summary,
        lost,
        doubled,
        spent: cluster.spent.get(),
        needed: jobs as f64 * PICTURES_OF_JOB as f64 / RATE,
    })
}

/// Executors that are given jobs as they ask for them.
struct Cluster {
    free: RefCell<Vec<Executor>>,
    freed: Notify,
    drawn: RefCell<Rng>,
    loss: f64,
    started: Instant,
    /// Seconds spent on jobs, of an executor of speed 1.
    spent: Cell<f64>,
}

/// An executor until it dies.
#[derive(Clone, Copy)]
struct Executor {
    speed: f64,
    dies: Instant,
}

impl Cluster {
    fn new(plan: Plan) -> Self {
        let cluster = Self {
            free: RefCell::default(),
            freed: Notify::new(),
            drawn: RefCell::new(seeded(plan.pictures, "simulation")),
            loss: plan.loss,
            started: Instant::now(),
            spent: Cell::default(),
        };
        let executors = (0..plan.executors).map(|_| cluster.start()).collect();
        cluster.free.replace(executors);
        cluster
    }

    /// An executor that starts now.
    fn start(&self) -> Executor {
        let drawn = &mut *self.drawn.borrow_mut();
        let speed = if drawn.random_bool(0.02) { 0.1 } else { drawn.random_range(0.8..1.2) };
        // A share of `loss` is dead after an hour.
        let rate_of_death = -(1.0 - self.loss).ln() / 3600.0;
        let life = -drawn.random_range(f64::MIN_POSITIVE..1.0).ln() / rate_of_death;
        Executor { speed, dies: Instant::now() + Duration::from_secs_f64(life.min(1e8)) }
    }

    async fn run_job(self: &Rc<Self>) -> Result<()> {
        let executor = self.ask().await;
        let seconds = PICTURES_OF_JOB as f64 / (RATE * executor.speed);
        let begun = Instant::now();
        let ends = begun + Duration::from_secs_f64(seconds);
        let restart = self.next_restart();
        sleep_until(ends.min(executor.dies).min(restart)).await;
        let spent = begun.elapsed().as_secs_f64() * executor.speed;
        self.spent.set(self.spent.get() + spent);
        if Instant::now() >= executor.dies {
            self.replace(executor.dies);
            let noticed = self.drawn.borrow_mut().random_range(20.0..25.0);
            sleep(Duration::from_secs_f64(noticed)).await;
            bail!("the executor died")
        }
        self.give_back(executor);
        if Instant::now() >= restart {
            bail!("the scheduler was restarted")
        }
        if self.drawn.borrow_mut().random_bool(0.001) {
            bail!("the answer was lost")
        }
        Ok(())
    }

    fn next_restart(&self) -> Instant {
        let past = self.started.elapsed().as_secs() / RESTARTED_EVERY.as_secs();
        self.started + RESTARTED_EVERY * (past as u32 + 1)
    }

    /// The next executor that is free; the dead among them are replaced.
    async fn ask(self: &Rc<Self>) -> Executor {
        loop {
            let next = self.free.borrow_mut().pop();
            match next {
                Some(executor) if executor.dies > Instant::now() => return executor,
                Some(dead) => self.replace(dead.dies),
                None => self.freed.notified().await,
            }
        }
    }

    fn give_back(&self, executor: Executor) {
        self.free.borrow_mut().push(executor);
        self.freed.notify_one();
    }

    /// Starts another executor some time after one died.
    fn replace(self: &Rc<Self>, died: Instant) {
        let cluster = Rc::clone(self);
        tokio::task::spawn_local(async move {
            sleep_until(died + REPLACED_AFTER).await;
            let executor = cluster.start();
            cluster.give_back(executor);
        });
    }
}
