//! `--init`: heads that start from those of a bundle.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use facefold_core::Task;
use facefold_heads::{Bundle, HeadOptions};
use facefold_store::Store;

/// The bundle to start from, if any.
#[derive(Debug, Clone, Default)]
pub struct Start(Option<Arc<Bundle>>);

impl Start {
    /// Reads the bundle.
    ///
    /// # Errors
    /// If there is a path, and no bundle there.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let bundle = path.map(Bundle::load).transpose().context("--init")?;
        Ok(Self(bundle.map(Arc::new)))
    }

    /// Refuses a store whose embeddings were made with something else than the bundle's.
    ///
    /// # Errors
    /// Naming both fingerprints.
    pub fn check(&self, store: &Store) -> Result<()> {
        match &self.0 {
            Some(bundle) => bundle.check(&store.header().fingerprint).context("--init"),
            None => Ok(()),
        }
    }

    /// The settings with the bundle's head for this task to start from, or, where it has none, with
    /// its first one, whose hidden layers serve other tasks too.
    pub fn options(&self, task: Task, settings: &HeadOptions) -> HeadOptions {
        let heads = self.0.iter().flat_map(|bundle| &bundle.heads);
        let head = heads.clone().find(|head| head.task == task).or(heads.clone().next());
        let start = head.map(|head| Arc::new(head.state.clone()));
        HeadOptions { start, ..settings.clone() }
    }
}
