//! `facefold store`: look into, verify, merge, compare and export stores, and forget people in them.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use facefold::import::{ImportOptions, ImportSummary};
use facefold::stores::Forgotten;
use facefold::{MergeOptions, MergeSummary};
use facefold_core::{Rejection, SubjectId};
use facefold_store::{ExportFormat, Forget, ImportFiles, Store};
use serde::Serialize;
use serde_json::json;

use crate::arguments::{ExportFormatName, ImportArguments, StoreCommand};
use crate::config;
use crate::outcome::{Outcome, Usage};
use crate::output::{self, Output};
use crate::progress::Terminal;

/// Runs `store`.
///
/// # Errors
/// If a store cannot be read, is damaged, or differs from the one it is compared with.
pub fn run(command: StoreCommand, output: Output) -> Result<Outcome> {
    match command {
        StoreCommand::Info { dir, rejections } => info(&dir, rejections, output),
        StoreCommand::Import(arguments) => import(&arguments, output),
        StoreCommand::Merge { stores, out } => merge(stores, out, output),
        StoreCommand::Verify { dir } => verify(&dir, output),
        StoreCommand::Forget { dir, subject, image } => {
            let subject = subject.map(SubjectId::new);
            let what = match (&subject, &image) {
                (Some(subject), _) => Forget::Subject(subject),
                (None, Some(image)) => Forget::Image(image),
                (None, None) => return Err(Usage::error("give --subject or --image")),
            };
            forget(&dir, what, output)
        }
        StoreCommand::Compare { first, second } => compare(&first, &second, output),
        StoreCommand::Export { dir, format, out } => {
            let format = match format {
                ExportFormatName::Npy => ExportFormat::Npy,
                ExportFormatName::Parquet => ExportFormat::Parquet,
                ExportFormatName::Csv => ExportFormat::Csv,
            };
            let store = opened(&dir)?;
            let summary = store.export(format, &out)?;
            let lost = store.lost_rows()?;
            if lost > 0 {
                output::note(&facefold::data::lost_rows(lost, &store));
            }
            output.answer(&summary, || {
                format!(
                    "{} rows in {}, {} without an embedding left out",
                    summary.rows,
                    out.display(),
                    summary.left_out
                )
            })?;
            Ok(Outcome::Done)
        }
    }
}

/// A store in a directory, or at an address.
fn opened(path: &Path) -> Result<Store> {
    let progress = Terminal::default();
    let directory = facefold::remote::local_store(path, &progress)?;
    progress.finish();
    Ok(Store::open(&directory)?)
}

fn import(arguments: &ImportArguments, output: Output) -> Result<Outcome> {
    let options = ImportOptions {
        files: ImportFiles {
            embeddings: arguments.embeddings.clone(),
            mirrored: arguments.mirrored.clone(),
            taps: arguments.taps.clone(),
            mirrored_taps: arguments.mirrored_taps.clone(),
            key: arguments.key.clone(),
        },
        labels: arguments.labels.clone(),
        network: arguments.network.clone(),
        store: arguments.store.clone(),
        run_file: config::origin().run_file,
    };
    let progress = Terminal::listening()?;
    let summary = facefold::import::import(&options, &progress)?;
    progress.finish();
    for warning in summary.warnings() {
        output::note(&warning);
    }
    output.answer(&summary, || imported(&summary))?;
    Ok(if summary.interrupted { Outcome::Interrupted } else { Outcome::Done })
}

fn imported(summary: &ImportSummary) -> String {
    let mut lines = vec![format!(
        "{} of {} label rows have an embedding of {} values of `{}`",
        summary.embedded, summary.rows, summary.embedding_length, summary.network
    )];
    if summary.taps_length > 0 {
        lines.push(format!("with {} further features", summary.taps_length));
    }
    if summary.mirrored {
        lines.push("with those of the mirrored pictures".to_owned());
    }
    if summary.interrupted {
        lines.push("stopped before the end; the same command goes on from here".to_owned());
    }
    lines.push(format!("store {} (fingerprint {})", summary.store.display(), summary.fingerprint));
    lines.join("\n")
}

fn merge(stores: Vec<PathBuf>, out: PathBuf, output: Output) -> Result<Outcome> {
    let progress = Terminal::default();
    let options = MergeOptions { stores, out, run_file: config::origin().run_file };
    let summary = facefold::merge(&options, &progress)?;
    progress.finish();
    output.answer(&summary, || merged(&summary))?;
    summary.require_readable()?;
    Ok(Outcome::Done)
}

fn merged(summary: &MergeSummary) -> String {
    let mut lines = vec![format!(
        "{} label rows of {} stores: {} pictures with embeddings and {} rejected ones taken over, {} known \
         before",
        summary.rows, summary.stores, summary.embedded, summary.rejected, summary.known
    )];
    if let Some(first) = summary.kept.first() {
        lines.push(format!(
            "{} label rows stay that none of the stores has any more, the first is {}: to remove one, \
             `facefold store forget {} --image PATH`",
            summary.kept.len(),
            first.display(),
            summary.store.display()
        ));
    }
    lines.push(format!("store {} (fingerprint {})", summary.store.display(), summary.fingerprint));
    lines.join("\n")
}

/// A label row without an embedding.
#[derive(Debug, Serialize)]
struct RejectedRow {
    path: String,
    #[serde(flatten)]
    rejection: Rejection,
}

fn info(dir: &Path, list: bool, output: Output) -> Result<Outcome> {
    let store = opened(dir)?;
    let info = store.info()?;
    let rejected = if list { store.rejected_samples()? } else { Vec::new() };
    let rejections: Vec<RejectedRow> = rejected
        .into_iter()
        .map(|row| RejectedRow { path: row.path.display().to_string(), rejection: row.rejection })
        .collect();
    let mut answer = serde_json::to_value(&info)?;
    if list {
        answer["rejections"] = serde_json::to_value(&rejections)?;
    }
    output.answer(&answer, || {
        let extractor = &info.header.extractor;
        let mut lines = vec![
            format!(
                "made from     {} at {}",
                info.header.dataset.kind,
                info.header.dataset.root.display()
            ),
            format!(
                "network       {} ({}), detector {}",
                extractor.network, extractor.model, extractor.detector
            ),
            format!(
                "computed by   {}, precision class {}",
                extractor.execution, extractor.precision
            ),
            format!("fingerprint   {}", info.header.fingerprint),
            format!(
                "features      embedding {}, taps {}",
                extractor.embedding_length, extractor.taps_length
            ),
            format!(
                "pictures      {} embedded, {} rejected",
                info.embedded,
                info.rejected.values().sum::<usize>()
            ),
        ];
        lines.extend(info.rejected.iter().map(|(reason, count)| format!("{count:>14} {reason}")));
        lines.push(match info.samples {
            Some(rows) => format!("label rows    {rows}"),
            None => {
                "label rows    none yet: what makes the store has not come to its end".to_owned()
            }
        });
        lines.push(format!(
            "on disk       {} shards, {:.1} MB, and {:.1} MB that can be made again",
            info.shards,
            info.bytes as f64 / 1e6,
            info.derived_bytes as f64 / 1e6
        ));
        lines.push(format!("terms         {}", extractor.licence));
        lines.extend(rejections.iter().map(|row| {
            format!("rejected {}: {} ({})", row.path, row.rejection.reason, row.rejection.detail)
        }));
        lines.join("\n")
    })?;
    Ok(Outcome::Done)
}

fn verify(dir: &Path, output: Output) -> Result<Outcome> {
    let verification = opened(dir)?.verify()?;
    let mut answer = serde_json::to_value(&verification)?;
    answer["ok"] = verification.is_valid().into();
    output.answer(&answer, || {
        let rows: usize = verification.shards.iter().map(|shard| shard.rows).sum();
        let mut lines = vec![format!(
            "{} shards with {rows} rows, {} pictures in the log",
            verification.shards.len(),
            verification.log_records
        )];
        if verification.incomplete_log_bytes > 0 {
            lines.push(format!(
                "{} bytes at the log's end, from byte {}, are no whole record; the command that made \
                 the store clears them when it is run again",
                verification.incomplete_log_bytes, verification.incomplete_log_at
            ));
        }
        if !verification.has_checksums {
            lines.push(
                "store.json and samples.parquet carry no checksums, so that a changed label cannot be \
                 found; run the same `extract` command once, which adds them"
                    .to_owned(),
            );
        }
        lines.extend(verification.problems.iter().cloned());
        lines.push(if verification.is_valid() { "sound" } else { "damaged" }.to_owned());
        lines.join("\n")
    })?;
    if verification.is_valid() {
        Ok(Outcome::Done)
    } else {
        bail!("the store `{}` is damaged", dir.display())
    }
}

fn forget(dir: &Path, what: Forget<'_>, output: Output) -> Result<Outcome> {
    let progress = Terminal::default();
    let removed = facefold::stores::forget(dir, what, &progress)?;
    progress.finish();
    output.answer(&removed, || {
        let mut lines = vec![if removed.pictures + removed.label_rows > 0 {
            format!(
                "removed {} pictures and {} label rows from {}",
                removed.pictures,
                removed.label_rows,
                dir.display()
            )
        } else {
            format!("finished the removal from {} that was cut off", dir.display())
        }];
        for (report, rows) in &removed.reports {
            lines.push(format!("removed {rows} rows and all fits from {}", report.display()));
        }
        for report in &removed.reports_not_found {
            lines.push(format!("not found: the report {}, made from this store", report.display()));
        }
        lines.push(
            "not searched: pictures, label files, files of imported embeddings, trained bundles, and copies made elsewhere"
                .to_owned(),
        );
        lines.join("\n")
    })?;
    for warning in left_behind(&removed) {
        output::note(&warning);
    }
    Ok(Outcome::Done)
}

/// Where the forgotten person may still be found.
fn left_behind(removed: &Forgotten) -> Vec<String> {
    let mut warnings = Vec::new();
    let missing = removed.reports_not_found.len();
    if missing > 0 {
        warnings.push(format!(
            "warning: {missing} reports made from this store were not found where they were written: one that \
             was moved still has its rows of the forgotten person; delete it, or make it anew"
        ));
    }
    for (original, reports) in &removed.reports_of_original {
        warnings.push(format!(
            "warning: {} reports were left as they are, as they were made from {}, of which this store is a \
             copy: run `store forget` on that one too",
            reports.len(),
            original.display()
        ));
    }
    if removed.other_removal_unfinished {
        warnings.push(
            "warning: an earlier removal from this store is not finished: run that `store forget` command again"
                .to_owned(),
        );
    }
    warnings
}

fn compare(first: &Path, second: &Path, output: Output) -> Result<Outcome> {
    let difference = opened(first)?.compare(&opened(second)?)?;
    let answer = json!({
        "equal": difference.is_empty(),
        "fingerprints": difference.fingerprints,
        "only_first": difference.only_first,
        "only_second": difference.only_second,
        "different": difference.different,
    });
    output.answer(&answer, || match &difference.fingerprints {
        _ if difference.is_empty() => "equal: the same keys and the same bits".to_owned(),
        Some((first, second)) => format!("different networks: fingerprints {first} and {second}"),
        None => format!(
            "{} pictures only in the first, {} only in the second, {} with other bits",
            difference.only_first.len(),
            difference.only_second.len(),
            difference.different.len()
        ),
    })?;
    if difference.is_empty() {
        Ok(Outcome::Done)
    } else {
        bail!("`{}` and `{}` differ", first.display(), second.display())
    }
}
