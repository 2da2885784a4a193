//! `facefold bundle`: what a bundle is.

use anyhow::Result;
use facefold_predict::BundleCard;

use crate::Outcome;
use crate::arguments::BundleCommand;
use crate::bundles::{self, stem};
use crate::output::Output;

/// Runs `bundle`.
///
/// # Errors
/// If the bundle cannot be read.
pub fn run(command: BundleCommand, output: Output) -> Result<Outcome> {
    let BundleCommand::Show { bundle } = command;
    for (name, bundle) in bundles::load(bundle.as_slice(), stem)? {
        let card = BundleCard::new(&name, &bundle);
        output.answer(&card, || card.text())?;
    }
    Ok(Outcome::Done)
}
