//! Heads that start from the weights of a bundle instead of at random.

use std::path::Path;
use std::sync::Arc;

use facefold_core::Task;
use facefold_heads::{Bundle, HeadOptions};
use facefold_store::Store;

use crate::error::{Context, Result};

/// The bundle whose heads a run starts from, if any.
#[derive(Debug, Clone, Default)]
pub struct InitialHeads(Option<Arc<Bundle>>);

impl InitialHeads {
    /// Reads the bundle; where there is no path, heads start at random.
    ///
    /// # Errors
    /// If there is a path, and no bundle there.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let bundle = path.map(Bundle::load).transpose().context(option)?;
        Ok(Self(bundle.map(Arc::new)))
    }

    /// Refuses a store whose embeddings were made with something else than the bundle's.
    pub(crate) fn check(&self, store: &Store) -> Result<()> {
        match &self.0 {
            Some(bundle) => bundle.check(&store.header().fingerprint).context(option),
            None => Ok(()),
        }
    }

    /// What a reader must know where heads that start from a bundle are evaluated: it does not say which
    /// people it was trained on, so that no split keeps them apart from the test rows.
    pub(crate) fn warning<'a>(&self, tested: impl Iterator<Item = &'a str>) -> Option<String> {
        let bundle = self.0.as_deref()?;
        let trained: Vec<&str> = bundle.training.iter().map(|set| set.name.as_str()).collect();
        let both: Vec<String> = tested
            .filter(|set| trained.contains(set))
            .map(|set| format!(" A set `{set}` is tested here, too."))
            .collect();
        Some(format!(
            "Heads start from a bundle that was trained on `{}` (--init): where people, or pictures, of these \
             stand among the test rows, figures are too good.{}",
            trained.join("`, `"),
            both.concat()
        ))
    }

    /// The settings with the bundle's head for this task to start from, or, where it has none, with
    /// its first one, whose hidden layers serve other tasks too.
    pub(crate) fn options(&self, task: Task, settings: &HeadOptions) -> HeadOptions {
        let heads = self.0.iter().flat_map(|bundle| &bundle.heads);
        let head = heads.clone().find(|head| head.task == task).or(heads.clone().next());
        let start = head.map(|head| Arc::new(head.state.clone()));
        HeadOptions { start, ..settings.clone() }
    }
}

/// What failed.
fn option() -> String {
    "--init".to_owned()
}
