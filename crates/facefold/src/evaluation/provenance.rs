//! Where a result comes from: command, commit, machine, network and samples.

use std::time::Duration;

use facefold_core::{ExtractorInfo, Task};
use facefold_report::{Dataset, Machine, Network, Provenance, SetInfo};
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

use crate::data::{DataSet, JoinedStores, Role};
use crate::options::{LearningOptions, Origin};

/// The machine, as far as the system says.
#[must_use]
pub fn machine() -> Machine {
    let what = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(what);
    let cpu = system.cpus().first().map(|cpu| cpu.brand().trim()).filter(|name| !name.is_empty());
    Machine {
        cpu: cpu.unwrap_or("unknown").to_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory: system.total_memory(),
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
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
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
