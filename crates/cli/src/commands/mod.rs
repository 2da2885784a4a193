//! The commands, one file each, and what they share.

mod bundle;
mod compare;
mod cv;
mod data;
mod demo;
mod explain;
mod export;
mod extract;
mod heads;
mod judge;
mod matrix;
mod models;
mod predict;
mod report;
mod serve;
mod store;
mod train;
mod tune;

use anyhow::Result;
use clap::CommandFactory;
use facefold_terminal::{self as terminal, Output};

use crate::arguments::{Arguments, Command};
use crate::outcome::Outcome;

/// Runs one command.
///
/// # Errors
/// Whatever the command could not do; [`facefold::Error::Options`] where it was asked wrongly.
pub fn run(command: Command, output: Output) -> Result<Outcome> {
    match command {
        Command::Demo(arguments) => demo::run(&arguments, output),
        Command::Models(command) => models::run(command, output),
        Command::Data(command) => data::run(command, output),
        Command::Extract(arguments) => extract::run(&arguments, output),
        Command::Store(command) => store::run(command, output),
        Command::Heads(arguments) => heads::run(&arguments, output),
        Command::Cv(arguments) => cv::run(&arguments, output),
        Command::Tune(arguments) => tune::run(&arguments, output),
        Command::Matrix(arguments) => matrix::run(&arguments, output),
        Command::Compare(arguments) => compare::run(&arguments, output),
        Command::JudgePredictions(arguments) => judge::run(&arguments, output),
        Command::Train(arguments) => train::run(&arguments, output),
        Command::Bundle(command) => bundle::run(command, output),
        Command::Predict(arguments) => predict::run(&arguments, output),
        Command::Explain(arguments) => explain::run(&arguments, output),
        Command::Export(arguments) => export::run(&arguments, output),
        Command::Serve(arguments) => serve::run(&arguments, output),
        Command::Report(command) => report::run(command, output),
        Command::DecodeStdin => {
            facefold::extract::decode_input(std::io::stdin().lock())?;
            Ok(Outcome::Done)
        }
        Command::Man { out } => {
            fs_err::create_dir_all(&out)?;
            clap_mangen::generate_to(Arguments::command(), &out)?;
            output.say(&format!("{}", out.join("facefold.1").display()))?;
            Ok(Outcome::Done)
        }
        Command::Completions { shell } => {
            // Not straight to stdout: a reader that has gone would be a panic.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "facefold", &mut script);
            terminal::script(&String::from_utf8_lossy(&script))?;
            Ok(Outcome::Done)
        }
    }
}
