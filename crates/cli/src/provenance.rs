//! Where a result comes from: command, commit, machine.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use facefold_core::{ExtractorInfo, Task};
use facefold_report::{Dataset, Machine, Network, Provenance, SetInfo};

use crate::learning::{DataSet, Learning, Role};
use crate::settings::Settings;

/// The commit that the binary was built from, or `unknown`.
pub const COMMIT: &str = env!("FACEFOLD_COMMIT");

/// The command as it was typed, with the program's name without its directory.
#[must_use]
pub fn command_line() -> String {
    joined(&words())
}

/// The same without what changes nothing of what is trained, so that the bytes of a bundle do not
/// depend on the machine either: the number of threads, and the directories that files lie in.
#[must_use]
pub fn training_command() -> String {
    joined(&without_directories(without_threads(words())))
}

fn words() -> Vec<String> {
    std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
}

fn joined(words: &[String]) -> String {
    let words = words.iter().map(|word| quoted(word));
    std::iter::once("facefold".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

fn without_threads(words: Vec<String>) -> Vec<String> {
    let mut kept = Vec::with_capacity(words.len());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--threads" {
            words.next();
        } else if !word.starts_with("--threads=") {
            kept.push(word);
        }
    }
    kept
}

/// Options of `train` whose values are paths.
const PATHS: [&str; 3] = ["--store", "--out", "--init"];

fn without_directories(words: Vec<String>) -> Vec<String> {
    let last = |path: &str| {
        let name = Path::new(path).file_name();
        name.map_or_else(|| path.to_owned(), |name| name.to_string_lossy().into_owned())
    };
    let mut is_path = false;
    let shorten = |word: String| {
        let short = match word.split_once('=') {
            _ if is_path => last(&word),
            Some((option, path)) if PATHS.contains(&option) => format!("{option}={}", last(path)),
            _ => word,
        };
        is_path = PATHS.contains(&short.as_str());
        short
    };
    words.into_iter().map(shorten).collect()
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,=@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The machine, as far as the system tells.
#[must_use]
pub fn machine() -> Machine {
    let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        text.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
    };
    let kibibytes = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0);
    Machine {
        cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory: kibibytes * 1024,
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}

/// Where the numbers of a run on a store come from.
#[must_use]
pub fn of(learning: &Learning, duration: Duration) -> Provenance {
    let header = learning.store().header();
    Provenance {
        command: command_line(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: (COMMIT != "unknown").then(|| COMMIT.to_owned()),
        date: today(),
        seconds: duration.as_secs_f64(),
        machine: machine(),
        network: Network {
            name: network_name(&header.extractor),
            fingerprint: header.fingerprint.to_string(),
            precision: header.extractor.precision.to_string(),
            licence: header.extractor.licence.clone(),
        },
        features: learning.features.as_str().to_owned(),
    }
}

/// Network, pack and detector in one line: `w600k_mbf (buffalo_s, detector scrfd_500m_bnkps)`.
#[must_use]
pub fn network_name(extractor: &ExtractorInfo) -> String {
    format!("{} ({}, detector {})", extractor.network, extractor.model, extractor.detector)
}

/// The samples of a run, without any path.
#[must_use]
pub fn dataset(learning: &Learning, settings: &Settings) -> Dataset {
    let by_groups = settings.tasks.contains(&Task::AgeGroup);
    let rejected = &learning.rejected;
    let sets = if learning.sets.len() > 1 { set_infos(learning) } else { Vec::new() };
    Dataset {
        kind: kind(learning),
        root: roots(learning),
        sets,
        label_policy: by_groups.then(|| settings.policy.to_string()),
        age_groups: by_groups.then(|| settings.groups.to_string()),
        samples: learning.samples.len(),
        embedded: learning.samples.len() - rejected.values().sum::<usize>(),
        rejected: rejected.clone(),
        notes: learning.notes.clone(),
    }
}

/// The kind of the only data set, else the names of all.
fn kind(learning: &Learning) -> String {
    if let [only] = &learning.sets[..] {
        return only.store.header().dataset.kind.clone();
    }
    let names = |of: &dyn Fn(Role) -> bool| {
        let sets = learning.sets.iter().filter(|set| of(set.role));
        sets.map(|set| set.name.to_string()).collect::<Vec<_>>().join(" + ")
    };
    let tested = names(&|role| role == Role::Test);
    let trained = names(&|role| role != Role::Test);
    if tested.is_empty() { trained } else { format!("{trained}, tested on {tested}") }
}

/// Last parts of the roots' names.
fn roots(learning: &Learning) -> String {
    let name = |set: &DataSet| {
        let root = &set.store.header().dataset.root;
        root.file_name().map_or_else(String::new, |name| name.to_string_lossy().into())
    };
    learning.sets.iter().map(name).collect::<Vec<String>>().join("`, `")
}

fn set_infos(learning: &Learning) -> Vec<SetInfo> {
    let info = |set: &DataSet| SetInfo {
        name: set.name.clone(),
        kind: set.store.header().dataset.kind.clone(),
        serves: match set.role {
            Role::Both => "training and test",
            Role::Training => "training",
            Role::Test => "test",
        }
        .to_owned(),
        samples: set.rows.len(),
        embedded: learning.embedded_rows(set),
    };
    learning.sets.iter().map(info).collect()
}

/// The sentence that stands first in a report on rows of some ages only.
#[must_use]
pub fn ages_warning(settings: &Settings) -> Option<String> {
    let ages = settings.ages?;
    Some(format!(
        "Only faces with an exact age in {ages} are trained and tested on (`--ages {ages}`): compare \
         these figures with published ones of that protocol only, not with figures over all ages."
    ))
}

/// Today's date in UTC, `2026-11-22`.
#[must_use]
pub fn today() -> String {
    let days = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() / 86_400) as i64;
    // Howard Hinnant, chrono-compatible low-level date algorithms, civil_from_days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::{joined, quoted, today, without_directories, without_threads};

    #[test]
    fn a_training_command_does_not_tell_its_threads() {
        for typed in ["train --threads 2 --seed 3", "train --threads=1 --seed 3", "train --seed 3"]
        {
            let words = typed.split(' ').map(str::to_owned).collect();
            assert_eq!(joined(&without_threads(words)), "facefold train --seed 3");
        }
    }

    #[test]
    fn a_training_command_does_not_tell_where_files_lie() {
        let typed = "train --store /home/ann/stores/a --store=stores/b/ --out ../x.facefold";
        let words = typed.split(' ').map(str::to_owned).collect();
        assert_eq!(
            joined(&without_directories(words)),
            "facefold train --store a --store=b --out x.facefold"
        );
    }

    #[test]
    fn words_are_quoted_as_a_shell_needs_them() {
        assert_eq!(quoted("results/a-b"), "results/a-b");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn today_is_a_date() {
        let today = today();
        assert_eq!(today.len(), 10, "{today}");
        assert!(today.as_str() > "2026-01-01" && today.as_str() < "2100", "{today}");
    }
}
