//! `facefold bundle`: what a bundle is.

use anyhow::Result;
use facefold::load_bundles;
use facefold::prediction::file_stem;
use facefold_predict::BundleCard;
use facefold_terminal::Output;

use crate::arguments::BundleCommand;
use crate::outcome::Outcome;

/// Runs `bundle`; an error if the bundle cannot be read.
pub fn run(command: BundleCommand, output: Output) -> Result<Outcome> {
    let BundleCommand::Show { bundle } = command;
    for (name, bundle) in load_bundles(bundle.as_slice(), file_stem)? {
        let card = BundleCard::new(&name, &bundle);
        output.answer(&card, || card.text())?;
    }
    Ok(Outcome::Done)
}
