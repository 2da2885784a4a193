//! `facefold store`: look into, verify, merge, compare and export stores, and forget people in them.

use std::iter::once;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use facefold::MergeOptions;
use facefold::import::ImportOptions;
use facefold_core::SubjectId;
use facefold_store::{Forget, ImportFiles, Store};
use facefold_terminal::{self as terminal, Output, Terminal};

use crate::arguments::{ImportArguments, StoreCommand};
use crate::config;
use crate::outcome::{Outcome, usage};

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
                (None, None) => return Err(usage("give --subject or --image")),
            };
            forget(&dir, what, output)
        }
        StoreCommand::Compare { first, second } => compare(&first, &second, output),
        StoreCommand::Export { dir, format, out } => {
            let store = opened(&dir)?;
            let summary = store.export(format, &out)?;
            let lost = store.lost_rows()?;
            if lost > 0 {
                terminal::note(&facefold::data::lost_rows(lost, &store));
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
        terminal::note(&warning);
    }
    output.answer(&summary, || summary.to_string())?;
    Ok(if summary.interrupted { Outcome::Interrupted } else { Outcome::Done })
}

fn merge(stores: Vec<PathBuf>, out: PathBuf, output: Output) -> Result<Outcome> {
    let progress = Terminal::default();
    let options = MergeOptions { stores, out, run_file: config::origin().run_file };
    let summary = facefold::merge(&options, &progress)?;
    progress.finish();
    output.answer(&summary, || summary.to_string())?;
    summary.require_readable()?;
    Ok(Outcome::Done)
}

fn info(dir: &Path, list: bool, output: Output) -> Result<Outcome> {
    let store = opened(dir)?;
    let info = store.info()?;
    let rejected = if list { store.rejected_samples()? } else { Vec::new() };
    let mut answer = serde_json::to_value(&info)?;
    if list {
        answer["rejections"] = serde_json::to_value(&rejected)?;
    }
    output.answer(&answer, || {
        let listed = rejected.iter().map(ToString::to_string);
        once(info.to_string()).chain(listed).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Outcome::Done)
}

fn verify(dir: &Path, output: Output) -> Result<Outcome> {
    let verification = opened(dir)?.verify()?;
    let mut answer = serde_json::to_value(&verification)?;
    answer["ok"] = verification.is_valid().into();
    output.answer(&answer, || verification.to_string())?;
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
    output.answer(&removed, || removed.to_string())?;
    for warning in removed.warnings() {
        terminal::note(&warning);
    }
    Ok(Outcome::Done)
}

fn compare(first: &Path, second: &Path, output: Output) -> Result<Outcome> {
    let difference = opened(first)?.compare(&opened(second)?)?;
    let mut answer = serde_json::to_value(&difference)?;
    answer["equal"] = difference.is_empty().into();
    output.answer(&answer, || difference.to_string())?;
    if difference.is_empty() {
        Ok(Outcome::Done)
    } else {
        bail!("`{}` and `{}` differ", first.display(), second.display())
    }
}
