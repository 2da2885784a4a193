//! `facefold models`: list, fetch and verify weights.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use facefold::network::fetch_weights;
use facefold_engine::{Kernel, Precision};
use facefold_vision::models::{
    FileState, ModelPack, PACKS, default_directory, install_from, is_complete, status,
};
use serde::Serialize;

use super::Usage;
use crate::Outcome;
use crate::arguments::ModelsCommand;
use crate::output::Output;
use crate::progress::Terminal;

/// Runs `models`.
///
/// # Errors
/// If no source gives a model, or a file that is there is not what it should be.
pub fn run(command: ModelsCommand, output: Output) -> Result<Outcome> {
    match command {
        ModelsCommand::List => list(output),
        ModelsCommand::Fetch { name, from } => {
            let pack = ModelPack::named(&name).map_err(Usage::error)?;
            let directory = default_directory();
            if let Some(file) = from {
                install_from(pack, &directory, &file)?;
            } else {
                fetch_weights(pack, &directory, false, &Terminal::default())?;
            }
            list_pack(pack, &directory, output)
        }
        ModelsCommand::Verify => verify(output),
    }
}

/// A model pack, as `--json` prints it.
#[derive(Debug, Serialize)]
struct PackAnswer {
    name: &'static str,
    summary: &'static str,
    /// Whether it can be used as it is.
    present: bool,
    files: Vec<FileAnswer>,
    licence: &'static str,
}

#[derive(Debug, Serialize)]
struct FileAnswer {
    path: PathBuf,
    sha256: &'static str,
    /// `good`, `absent` or `damaged`.
    state: &'static str,
}

fn describe(pack: &ModelPack, directory: &Path) -> Result<PackAnswer> {
    let found = status(pack, directory)?;
    let present = is_complete(pack, &found);
    let files: Vec<FileAnswer> = found
        .into_iter()
        .map(|found| FileAnswer {
            path: found.path,
            sha256: found.file.sha256,
            state: match found.state {
                FileState::Good => "good",
                FileState::Absent => "absent",
                FileState::Corrupt(_) => "damaged",
            },
        })
        .collect();
    Ok(PackAnswer { name: pack.name, summary: pack.summary, present, files, licence: pack.licence })
}

impl PackAnswer {
    fn text(&self) -> String {
        let state = if self.present { "here" } else { "not here" };
        let mut lines = vec![format!("{} ({state}): {}", self.name, self.summary)];
        let files = self.files.iter();
        lines.extend(files.map(|file| format!("  {:<8} {}", file.state, file.path.display())));
        lines.push(format!("  {}", self.licence));
        lines.join("\n")
    }
}

fn list(output: Output) -> Result<Outcome> {
    let directory = default_directory();
    let packs: Vec<PackAnswer> =
        PACKS.iter().map(|pack| describe(pack, &directory)).collect::<Result<_>>()?;
    output
        .answer(&packs, || packs.iter().map(PackAnswer::text).collect::<Vec<_>>().join("\n\n"))?;
    Ok(Outcome::Done)
}

fn list_pack(pack: &ModelPack, directory: &Path, output: Output) -> Result<Outcome> {
    let answer = describe(pack, directory)?;
    output.answer(&answer, || answer.text())?;
    Ok(Outcome::Done)
}

/// What would run, and whether the files are what they should be.
#[derive(Debug, Serialize)]
struct VerifyAnswer {
    kernels: String,
    default_precision: String,
    available_kernels: Vec<String>,
    packs: Vec<PackAnswer>,
}

fn verify(output: Output) -> Result<Outcome> {
    let directory = default_directory();
    let kernel = Kernel::choose()?;
    let precision: Precision = kernel.default_precision();
    let answer = VerifyAnswer {
        kernels: kernel.to_string(),
        default_precision: precision.to_string(),
        available_kernels: Kernel::available().iter().map(ToString::to_string).collect(),
        packs: PACKS.iter().map(|pack| describe(pack, &directory)).collect::<Result<_>>()?,
    };
    output.answer(&answer, || {
        let mut lines = vec![format!(
            "CPU engine: {} kernels, {} by default (this machine can run {})",
            answer.kernels,
            answer.default_precision,
            answer.available_kernels.join(", ")
        )];
        lines.extend(answer.packs.iter().map(PackAnswer::text));
        lines.join("\n")
    })?;
    let damaged: Vec<String> = answer
        .packs
        .iter()
        .flat_map(|pack| &pack.files)
        .filter(|file| file.state == "damaged")
        .map(|file| file.path.display().to_string())
        .collect();
    if damaged.is_empty() {
        Ok(Outcome::Done)
    } else {
        bail!(
            "not the pinned bytes: {}; delete them and run `facefold models fetch`",
            damaged.join(", ")
        )
    }
}
