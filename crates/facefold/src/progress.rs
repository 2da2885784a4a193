//! Progress and cancellation: how long work speaks to whoever started it.

use std::time::Instant;

/// What long work is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Fetching a model pack; counted in bytes.
    Fetching,
    /// Drawing synthetic pictures.
    Drawing,
    /// Embedding pictures.
    Extracting,
    /// Reading embeddings that another program made.
    Importing,
    /// Taking over the pictures of several stores.
    Merging,
    /// Fitting heads.
    Fitting,
    /// Predicting for pictures.
    Predicting,
    /// Predicting for the frames of a video.
    Frames,
    /// Computing occlusion maps of pictures.
    Explaining,
}

impl Stage {
    /// The word for it: `extracting`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetching => "fetching",
            Self::Drawing => "drawing",
            Self::Extracting => "extracting",
            Self::Importing => "importing",
            Self::Merging => "merging",
            Self::Fitting => "fitting",
            Self::Predicting => "predicting",
            Self::Frames => "frames",
            Self::Explaining => "explaining",
        }
    }
}

impl Stage {
    /// What is counted in it: `pictures`.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Fetching => "bytes",
            Self::Drawing | Self::Extracting | Self::Predicting | Self::Explaining => "pictures",
            Self::Importing => "rows",
            Self::Merging => "stores",
            Self::Fitting => "fits",
            Self::Frames => "frames",
        }
    }
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// The stage.
    pub stage: Stage,
    /// Items (of [`Stage::Fetching`], bytes) that are finished.
    pub done: u64,
    /// Items of the whole stage, where that is known.
    pub total: Option<u64>,
    /// The item that was finished last, where it has a name; else empty.
    pub item: &'a str,
    /// Whether the item that was finished last took no work, as an earlier run had done it.
    pub known: bool,
}

impl Step<'_> {
    /// So many items of a stage, the last of which was worked on and has no name.
    #[must_use]
    pub fn new(stage: Stage, done: u64, total: Option<u64>) -> Self {
        Self { stage, done, total, item: "", known: false }
    }
}

/// How fast a stage goes, by the items that were worked on: those that an earlier run had done are not
/// counted.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    begun: Instant,
    known: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { begun: Instant::now(), known: 0 }
    }
}

impl Pace {
    /// The pace after a step, with its unit and the time that is left: `12.5 pictures/s, 40 s left`.
    pub fn after(&mut self, step: Step<'_>) -> String {
        self.known += u64::from(step.known);
        let worked = step.done.saturating_sub(self.known);
        let left = step.total.map(|total| total.saturating_sub(step.done));
        pace(step.stage.unit(), worked, left, self.begun.elapsed().as_secs_f64())
    }
}

/// A pace in words; nothing where nothing was worked on.
fn pace(unit: &str, worked: u64, left: Option<u64>, seconds: f64) -> String {
    if worked == 0 || seconds <= 0.0 {
        return String::new();
    }
    let rate = worked as f64 / seconds;
    let digits = usize::from(rate < 10.0);
    let speed = if rate < 0.1 {
        format!("{:.0} s for one of the {unit}", 1.0 / rate)
    } else {
        format!("{rate:.digits$} {unit}/s")
    };
    match left.map(|left| left as f64 / rate) {
        None => speed,
        Some(seconds) if seconds < 90.0 => format!("{speed}, {seconds:.0} s left"),
        Some(seconds) if seconds < 5400.0 => format!("{speed}, {:.0} min left", seconds / 60.0),
        Some(seconds) => format!("{speed}, {:.1} h left", seconds / 3600.0),
    }
}

/// Listens to long work, and may ask it to stop. Called from several threads at once.
///
/// Every method has a default that does nothing: `&()` is a listener that hears nothing and never
/// stops the work.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use facefold::{Progress, Step};
///
/// /// Prints to stderr, and stops when the flag is set.
/// struct Printed(AtomicBool);
///
/// impl Progress for Printed {
///     fn step(&self, step: Step<'_>) {
///         eprintln!("{} {} of {:?}", step.stage.as_str(), step.done, step.total);
///     }
///     fn note(&self, message: &str) {
///         eprintln!("{message}");
///     }
///     fn is_cancelled(&self) -> bool {
///         self.0.load(Ordering::Relaxed)
///     }
/// }
/// ```
pub trait Progress: Sync {
    /// An item of a stage is finished. Steps may arrive slightly out of order.
    fn step(&self, _step: Step<'_>) {}

    /// Something a person should read now: rows that are left out and why, a warning, a choice that
    /// was made. Whatever concerns the result is also part of the result.
    fn note(&self, _message: &str) {}

    /// Whether to stop. Work stops before its next item, keeps what is finished and says so.
    fn is_cancelled(&self) -> bool {
        false
    }
}

impl Progress for () {}

#[cfg(test)]
mod tests {
    use super::{Pace, Stage, Step, pace};

    #[test]
    fn a_pace_has_its_unit_and_the_time_that_is_left() {
        assert_eq!(pace("pictures", 0, Some(9), 3.0), "");
        assert_eq!(pace("pictures", 30, Some(60), 2.0), "15 pictures/s, 4 s left");
        assert_eq!(pace("fits", 4, Some(1000), 8.0), "0.5 fits/s, 33 min left");
        assert_eq!(pace("fits", 1, Some(1000), 20.0), "20 s for one of the fits, 5.6 h left");
        assert_eq!(pace("frames", 30, None, 1.0), "30 frames/s");
    }

    #[test]
    fn what_was_known_before_is_no_speed() {
        let mut known = Pace::default();
        let step = |done, known| Step { known, ..Step::new(Stage::Extracting, done, Some(1000)) };
        for done in 1..=900 {
            assert_eq!(known.after(step(done, true)), "");
        }
        let before = known.begun.checked_sub(std::time::Duration::from_secs(50));
        let mut new = Pace { begun: before.expect("a clock that has run so long"), known: 900 };
        assert_eq!(new.after(step(910, false)), "0.2 pictures/s, 8 min left");
    }
}
