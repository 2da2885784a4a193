//! `facefold models`: list, fetch and verify weights.

use std::path::Path;

use anyhow::{Result, bail};
use facefold::network::{PackStatus, fetch_weights, pack_status};
use facefold_engine::{Kernel, Precision};
use facefold_vision::models::{ModelPack, PACKS, default_directory, install_from};
use serde::Serialize;

use crate::arguments::ModelsCommand;
use crate::outcome::{Outcome, Usage};
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

fn packs(directory: &Path) -> Result<Vec<PackStatus>> {
    PACKS.iter().map(|pack| Ok(pack_status(pack, directory)?)).collect()
}

fn list(output: Output) -> Result<Outcome> {
    let directory = default_directory();
    let packs = packs(&directory)?;
    output.answer(&packs, || {
        packs.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
    })?;
    Ok(Outcome::Done)
}

fn list_pack(pack: &ModelPack, directory: &Path, output: Output) -> Result<Outcome> {
    let answer = pack_status(pack, directory)?;
    output.answer(&answer, || answer.to_string())?;
    Ok(Outcome::Done)
}

/// What would run, and whether the files are what they should be.
#[derive(Debug, Serialize)]
struct VerifyAnswer {
    kernels: String,
    default_precision: String,
    available_kernels: Vec<String>,
    packs: Vec<PackStatus>,
}

fn verify(output: Output) -> Result<Outcome> {
    let directory = default_directory();
    let kernel = Kernel::choose()?;
    let precision = Precision::default_for(kernel);
    let answer = VerifyAnswer {
        kernels: kernel.to_string(),
        default_precision: precision.to_string(),
        available_kernels: Kernel::available().iter().map(ToString::to_string).collect(),
        packs: packs(&directory)?,
    };
    output.answer(&answer, || {
        let mut lines = vec![format!(
            "CPU engine: {} kernels, {} by default (this machine can run {})",
            answer.kernels,
            answer.default_precision,
            answer.available_kernels.join(", ")
        )];
        lines.extend(answer.packs.iter().map(ToString::to_string));
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
