//! What to learn, from which rows and features: the options of every command that trains.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Result;
use clap::Args;
use facefold::{InitialHeads, LearningOptions, each_once, head_options};
use facefold_core::Task;
use facefold_store::Features;

use super::values::{AGE_GROUPS, MOST_THREADS, known, known_policies, known_tasks, one_of, whole};
use crate::outcome::usage;

/// What to learn, from which rows and features; shared by `cv` and `train`.
#[derive(Debug, Args, Clone)]
pub struct LearningArguments {
    /// Directory of a store; repeat it for several, whose rows are joined. A data set goes by the name
    /// of its store's directory.
    #[arg(long, required = true)]
    pub store: Vec<PathBuf>,
    /// Tasks: gender, age-group, age, class; several with commas.
    #[arg(long, value_delimiter = ',', required = true, value_parser = known_tasks(&[]), hide_possible_values = true)]
    pub task: Vec<String>,
    /// Labels that multi-task heads (`mlp-multi-task`, `mlp-multi-task-ensemble`) learn in addition to each task's own and
    /// never answer: race, or a task; several with commas. Those of test rows are never read.
    #[arg(long, value_delimiter = ',', value_name = "LABELS", value_parser = known_tasks(&["race"]), hide_possible_values = true)]
    pub auxiliary: Vec<String>,
    /// What the heads see: embedding, taps or both. Default: both where the store has taps.
    #[arg(long, value_parser = one_of::<Features>(["embedding", "taps", "both"]), hide_possible_values = true)]
    pub features: Option<Features>,
    #[command(flatten)]
    pub labelling: LabellingArguments,
    /// Leave out rows whose face is worse than this: size=40 (pixels), score=0.6 (of the detector),
    /// norm=15 (of the embedding), luminance=30, sharpness=50; several with commas. They are neither
    /// trained nor tested on, and counted in the report.
    #[arg(long, value_delimiter = ',', value_name = "WHAT=LEAST")]
    pub min_quality: Vec<String>,
    /// Train on pictures as they are only, where the store has augmented versions of them too.
    #[arg(long)]
    pub without_augmented: bool,
    /// First seed of heads, inner validation and random splits.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// A setting of a head, such as mlp.epochs=20 or svm.c=0.1,1,10 (repeat for more; `facefold heads`
    /// lists them).
    #[arg(long = "set", value_name = "HEAD.KEY=VALUE")]
    pub settings: Vec<String>,
    /// Gigabytes that the features or kernel values of one fit may take: above, an SVM is approximated, an
    /// MLP shuffles its rows in windows, `linear` reads them anew in each step. Fits run side by side on
    /// --threads. Default: `mlp.memory_gb`, `svm.memory_gb` and `linear.memory_gb`, which are 4.
    #[arg(long, value_name = "GB")]
    pub memory: Option<f64>,
    /// A bundle whose MLPs this run's start from instead of at random (same features and hidden
    /// layers; their scaling of the features is kept): train on one store, go on with another.
    #[arg(long, value_name = "BUNDLE")]
    pub init: Option<PathBuf>,
    /// Worker threads; 0 takes all cores.
    #[arg(long, default_value_t = 0, value_parser = whole(0..=MOST_THREADS))]
    pub threads: usize,
}

impl LearningArguments {
    /// The library's options.
    ///
    /// # Errors
    /// [`facefold::Error::Options`] naming the option.
    pub fn options(&self) -> Result<LearningOptions> {
        let options = LearningOptions {
            stores: self.store.clone(),
            tasks: each_once(&parsed(&self.task)?),
            auxiliary: each_once(&parsed(&self.auxiliary)?),
            features: self.features,
            quality: parsed(&self.min_quality)?,
            augmented: !self.without_augmented,
            heads: {
                let mut heads = head_options(&self.settings)?;
                for setting in [
                    &mut heads.mlp.memory_gb,
                    &mut heads.svm.memory_gb,
                    &mut heads.linear.memory_gb,
                ] {
                    *setting = self.memory.unwrap_or(*setting);
                }
                heads
            },
            initial: InitialHeads::load(self.init.as_deref())?,
            seed: self.seed,
            threads: self.threads,
            ..self.labelling.options(&[])?
        };
        options.check()?;
        Ok(options)
    }
}

/// What labels mean; shared by all commands that read a store's.
#[derive(Debug, Args, Clone)]
pub struct LabellingArguments {
    /// How age strings become age groups: exact, remap or nearest.
    #[arg(long, default_value = "exact", value_parser = known_policies(), hide_possible_values = true)]
    pub label_policy: String,
    /// Age groups: adience, nine, or a list such as 0-12,13-19,20+.
    #[arg(long, default_value = "adience", value_parser = known(AGE_GROUPS), hide_possible_values = true)]
    pub age_groups: String,
    /// Use only rows with an exact age in this range, both ends included, for all tasks: 21-60 is
    /// what most papers on `UTKFace` use.
    #[arg(long, value_name = "LOW-HIGH")]
    pub ages: Option<String>,
}

impl LabellingArguments {
    /// The library's options, without stores.
    ///
    /// # Errors
    /// [`facefold::Error::Options`] naming the option.
    pub fn options(&self, tasks: &[Task]) -> Result<LearningOptions> {
        Ok(LearningOptions {
            stores: Vec::new(),
            policy: self.label_policy.parse().map_err(usage)?,
            groups: self.age_groups.parse().map_err(usage)?,
            ages: self.ages.as_deref().map(str::parse).transpose().map_err(usage)?,
            ..LearningOptions::new("", tasks)
        })
    }
}

/// Each text as what it names.
fn parsed<T: FromStr<Err: Display>>(texts: &[String]) -> Result<Vec<T>> {
    texts.iter().map(|text| text.parse().map_err(usage)).collect()
}
