//! `facefold models`: list, fetch and verify weights.

use anyhow::Result;
use facefold::network::{fetch_weights, pack_status, pack_statuses, verify_weights};
use facefold_terminal::{Output, Terminal};
use facefold_vision::models::{ModelPack, default_directory, install_from};

use crate::arguments::ModelsCommand;
use crate::outcome::{Outcome, usage};

/// Runs `models`.
///
/// # Errors
/// If no source gives a model, or a file that is there is not what it should be.
pub fn run(command: ModelsCommand, output: Output) -> Result<Outcome> {
    match command {
        ModelsCommand::List => list(output),
        ModelsCommand::Fetch { name, from } => {
            let pack = ModelPack::named(&name).map_err(usage)?;
            let directory = default_directory();
            if let Some(file) = from {
                install_from(pack, &directory, &file)?;
            } else {
                fetch_weights(pack, &directory, false, &Terminal::default())?;
            }
            let answer = pack_status(pack, &directory)?;
            output.answer(&answer, || answer.to_string())?;
            Ok(Outcome::Done)
        }
        ModelsCommand::Verify => verify(output),
    }
}

fn list(output: Output) -> Result<Outcome> {
    let packs = pack_statuses(&default_directory())?;
    output.answer(&packs, || {
        packs.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
    })?;
    Ok(Outcome::Done)
}

fn verify(output: Output) -> Result<Outcome> {
    let found = verify_weights(&default_directory())?;
    output.answer(&found, || found.to_string())?;
    found.require_undamaged()?;
    Ok(Outcome::Done)
}
