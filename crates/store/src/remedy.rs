//! What to do about a store that has lost something: the command that fills it again.

use std::path::Path;

use facefold_core::text::shell_word as quoted;
use serde_json::Value;

use crate::header::StoreHeader;
use crate::layout::Layout;
use crate::store::Store;

/// The option of [`crate::DatasetInfo::options`] with the files of an import.
pub const IMPORT: &str = "import";

/// The files of an import that are options of its command.
const FILES: [&str; 4] = ["key", "mirrored", "taps", "mirrored_taps"];

impl Store {
    /// The advice to run the command again that made the store: the extraction, or the import with its
    /// files.
    #[must_use]
    pub fn run_again(&self) -> String {
        self.header().run_again(self.directory())
    }

    /// What to do about [`Self::lost_rows`], as the end of a sentence.
    #[must_use]
    pub fn remedy_for_lost_rows(&self) -> String {
        if self.removal_is_unfinished() {
            // The extraction would bring back the person who was to be forgotten.
            FINISH_REMOVAL.to_owned()
        } else {
            self.run_again()
        }
    }
}

/// What to do about a removal that is not finished, as the end of a sentence.
pub const FINISH_REMOVAL: &str = "wait for the `store forget` that is at work, or run the same `store forget` \
    command again, which was cut off";

/// As [`Store::run_again`], of a store that may not open.
pub(crate) fn run_again(directory: &Path) -> String {
    match StoreHeader::read(directory, &Layout::new(directory).header()) {
        Ok(Some(header)) => header.run_again(directory),
        Ok(None) | Err(_) => {
            "run the `extract` or `store import` command again that made the store".to_owned()
        }
    }
}

impl StoreHeader {
    /// As [`Store::run_again`].
    fn run_again(&self, directory: &Path) -> String {
        if !self.extractor.is_imported() {
            return "run the same `extract` command again".to_owned();
        }
        let Some(command) = self.import(directory) else {
            return "run the same `store import` command again".to_owned();
        };
        format!("run `{command}` again")
    }

    /// The command that imported the store; none where its header does not name the files.
    fn import(&self, directory: &Path) -> Option<String> {
        let options = &self.dataset.options;
        let files = options.get(IMPORT)?;
        let embeddings = files.get("embeddings")?.as_str()?;
        let labels = options.get("source")?.as_str()?;
        let mut parts =
            vec!["facefold store import".to_owned(), quoted(embeddings), quoted(labels)];
        parts.push(format!("--store {}", quoted(&directory.to_string_lossy())));
        parts.push(format!("--network {}", quoted(&self.extractor.network)));
        for name in FILES {
            let value = files.get(name).and_then(Value::as_str);
            parts.extend(
                value.map(|value| format!("--{} {}", name.replace('_', "-"), quoted(value))),
            );
        }
        Some(parts.join(" "))
    }
}
