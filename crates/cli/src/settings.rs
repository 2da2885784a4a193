//! The options of the commands that learn, checked before anything is read.

use anyhow::Result;
use facefold_core::{AgeGroups, AuxiliaryKind, Head, Task};
use facefold_datasets::{ExactAges, LabelPolicy};
use facefold_heads::HeadOptions;
use serde_json::Value;

use crate::arguments::LearningArguments;
use crate::commands::Usage;
use crate::quality::LeastQuality;
use crate::start::Start;

/// The options of `cv` and `train`, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tasks, each once, in the order given.
    pub tasks: Vec<Task>,
    /// What joint heads learn, each once: the tasks, then what was named beside them.
    pub companions: Vec<AuxiliaryKind>,
    /// How age strings become groups.
    pub policy: LabelPolicy,
    /// The groups.
    pub groups: AgeGroups,
    /// The least quality of a face that is used.
    pub quality: Vec<LeastQuality>,
    /// The exact ages that rows are restricted to.
    pub ages: Option<ExactAges>,
    /// Whether the store's augmented versions are trained on.
    pub augmented: bool,
    /// Settings of all heads.
    pub heads: HeadOptions,
    /// What they start from.
    pub start: Start,
}

impl Settings {
    /// Checks the options that need no store.
    ///
    /// # Errors
    /// [`Usage`] naming the option.
    pub fn check(arguments: &LearningArguments) -> Result<Self> {
        let mut tasks = Vec::new();
        for name in &arguments.task {
            let task: Task = name.parse().map_err(Usage::error)?;
            if !tasks.contains(&task) {
                tasks.push(task);
            }
        }
        let mut companions: Vec<AuxiliaryKind> = tasks.iter().map(|&task| task.into()).collect();
        for name in &arguments.beside {
            let kind = name.parse().map_err(Usage::error)?;
            if !companions.contains(&kind) {
                companions.push(kind);
            }
        }
        let policy: LabelPolicy = arguments.label_policy.parse().map_err(Usage::error)?;
        let groups: AgeGroups = arguments.age_groups.parse().map_err(Usage::error)?;
        policy.check(&groups).map_err(Usage::error)?;
        Ok(Self {
            tasks,
            companions,
            policy,
            groups,
            quality: arguments
                .min_quality
                .iter()
                .map(|text| text.parse().map_err(Usage::error))
                .collect::<Result<_>>()?,
            ages: arguments.ages.as_deref().map(str::parse).transpose().map_err(Usage::error)?,
            augmented: !arguments.without_augmented,
            heads: head_options(&arguments.settings, arguments.memory)?,
            start: Start::load(arguments.init.as_deref())?,
        })
    }

    /// Refuses labels beside the tasks' own where none of the heads would learn them.
    ///
    /// # Errors
    /// [`Usage`] naming the heads that do.
    pub fn require_learner(&self, heads: &[Box<dyn Head>]) -> Result<()> {
        let named = self.companions.len() > self.tasks.len();
        if !named || heads.iter().any(|head| head.uses_auxiliary_tasks()) {
            return Ok(());
        }
        let names: Vec<&str> = heads.iter().map(|head| head.name()).collect();
        Err(Usage::error(format!(
            "--beside: expected a head that learns several tasks together (`mlp-joint`, \
             `mlp-joint-ensemble`), found {}; name one, or leave --beside out",
            names.join(", ")
        )))
    }
}

/// Lays `mlp.epochs=20` and the like, and the memory given, over the defaults.
fn head_options(settings: &[String], memory: Option<f64>) -> Result<HeadOptions> {
    let mut options = serde_json::to_value(HeadOptions::default())?;
    for setting in settings {
        let (path, value) = setting.split_once('=').ok_or_else(|| {
            Usage::error(format!("expected --set HEAD.KEY=VALUE, found `{setting}`"))
        })?;
        // A bare word is a string; everything else is JSON.
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        lay_over(&mut options, path, value).map_err(Usage::error)?;
    }
    if let Some(gigabytes) = memory {
        options["svm"]["memory"] = gigabytes.into();
    }
    serde_json::from_value(options)
        .map_err(|error| Usage::error(format!("--set {}: {error}", settings.join(" --set "))))
}

/// Puts a value in the place of a setting, `mlp.epochs`, in a document of all of them.
///
/// # Errors
/// Where there is no such setting.
pub fn lay_over(options: &mut Value, path: &str, value: Value) -> Result<(), String> {
    let mut place = options;
    for key in path.split('.') {
        place = place
            .get_mut(key)
            .ok_or_else(|| format!("`{path}` is no setting of a head (at `{key}`)"))?;
    }
    *place = value;
    Ok(())
}
