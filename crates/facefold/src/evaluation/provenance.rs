//! Where a result comes from: command, commit, machine, network and samples.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use facefold_core::{ExtractorInfo, Task};
use facefold_report::{Dataset, Machine, Network, Provenance, SetInfo};

use crate::data::{DataSet, JoinedStores, Role};
use crate::options::{LearningOptions, Origin};

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
pub fn of(stores: &JoinedStores, origin: &Origin, duration: Duration) -> Provenance {
    let header = stores.store().header();
    Provenance {
        command: origin.command.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: origin.commit.clone(),
        date: today(),
        seconds: duration.as_secs_f64(),
        machine: machine(),
        network: Network {
            name: network_name(&header.extractor),
            fingerprint: header.fingerprint.to_string(),
            precision: header.extractor.precision.to_string(),
            licence: header.extractor.licence.clone(),
            imported: header.extractor.is_imported(),
        },
        features: stores.features.as_str().to_owned(),
    }
}

/// Network, pack and detector in one line: `w600k_mbf (buffalo_s, detector scrfd_500m_bnkps)`; of
/// imported embeddings `clip-vit-l14 (imported)`.
#[must_use]
pub fn network_name(extractor: &ExtractorInfo) -> String {
    if extractor.is_imported() {
        return format!("{} (imported)", extractor.network);
    }
    format!("{} ({}, detector {})", extractor.network, extractor.model, extractor.detector)
}

/// The samples of a run, without any path.
#[must_use]
pub fn dataset(stores: &JoinedStores, options: &LearningOptions) -> Dataset {
    let by_groups = options.tasks.contains(&Task::AgeGroup);
    let rejected = &stores.rejected;
    let sets = if stores.sets.len() > 1 { set_infos(stores) } else { Vec::new() };
    Dataset {
        kind: kind(stores),
        root: roots(stores),
        sets,
        label_policy: by_groups.then(|| options.policy.to_string()),
        age_groups: by_groups.then(|| options.groups.to_string()),
        samples: stores.samples.len(),
        embedded: stores.samples.len() - rejected.values().sum::<usize>(),
        rejected: rejected.clone(),
        notes: stores.notes.clone(),
    }
}

/// The kind of the only data set, else the names of all.
fn kind(stores: &JoinedStores) -> String {
    if let [only] = &stores.sets[..] {
        return only.store.header().dataset.kind.clone();
    }
    let names = |of: &dyn Fn(Role) -> bool| {
        let sets = stores.sets.iter().filter(|set| of(set.role));
        sets.map(|set| set.name.to_string()).collect::<Vec<_>>().join(" + ")
    };
    let tested = names(&|role| role == Role::Test);
    let trained = names(&|role| role != Role::Test);
    if tested.is_empty() { trained } else { format!("{trained}, tested on {tested}") }
}

/// Last parts of the roots' names.
fn roots(stores: &JoinedStores) -> String {
    let name = |set: &DataSet| {
        let root = &set.store.header().dataset.root;
        root.file_name().map_or_else(String::new, |name| name.to_string_lossy().into())
    };
    stores.sets.iter().map(name).collect::<Vec<String>>().join(", ")
}

fn set_infos(stores: &JoinedStores) -> Vec<SetInfo> {
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
        embedded: stores.embedded_rows(set),
    };
    stores.sets.iter().map(info).collect()
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
    use super::today;

    #[test]
    fn today_is_a_date() {
        let today = today();
        assert_eq!(today.len(), 10, "{today}");
        assert!(today.as_str() > "2026-01-01" && today.as_str() < "2100", "{today}");
    }
}
