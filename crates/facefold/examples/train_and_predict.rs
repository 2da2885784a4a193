//! From pictures to predictions: draws synthetic faces, embeds them into a store, trains a bundle on
//! it, and predicts for one of the faces.
//!
//! `cargo run --release -p facefold --example train_and_predict -- [DIRECTORY [MODEL]]`
//!
//! With the model `untrained` nothing is fetched, and the predictions mean nothing.

// An example prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::path::PathBuf;

use facefold::core::Task;
use facefold::datasets::DatasetKind;
use facefold::synthetic::SyntheticOptions;
use facefold::vision::decode::Limits;
use facefold::{
    ExtractOptions, Faces, LearningOptions, NetworkOptions, Source, TrainOptions, extract,
    predictor, synthetic, train,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap_or("target/train_and_predict".into()));
    let network = NetworkOptions::default();
    let network = network.of_model(arguments.next().unwrap_or(network.model.clone()));

    let pictures = directory.join("pictures");
    let options = SyntheticOptions { subjects: 32, pictures: 160, ..SyntheticOptions::default() };
    synthetic::generate(&pictures, &options, &())?;

    let source = Source::new(DatasetKind::Adience, &pictures);
    let dataset = source.load(&())?;
    let extractor = network.extractor(Faces::default(), Limits::default(), &())?;
    let store = directory.join("store");
    let summary = extract(&source, &dataset, &extractor, &ExtractOptions::new(&store), &())?;
    println!("{} pictures embedded, {} known before", summary.embedded, summary.known);

    let learning = LearningOptions::new(&store, &[Task::Gender, Task::AgeGroup]);
    let bundle = train(&TrainOptions::new(learning, "linear"), &())?;
    bundle.save(&directory.join("heads.facefold"))?;

    let bundles = vec![("mine".to_owned(), bundle)];
    let predictor = predictor(bundles, &network, Faces::default(), Limits::default(), &())?;
    let path = pictures.join(&dataset.samples[0].path);
    for answer in predictor.predict(&path.display().to_string(), &std::fs::read(&path)?)? {
        println!("{}: {:?}", answer.path, answer.status);
        for class in [answer.gender, answer.age_group].into_iter().flatten() {
            println!("  {} ({:.0} %)", class.label, 100.0 * class.probability);
        }
    }
    Ok(())
}
