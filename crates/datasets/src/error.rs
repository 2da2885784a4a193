//! Why a data set cannot be loaded.

use std::io;
use std::path::PathBuf;

/// Why a data set cannot be loaded or checked.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The file system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// ROOT is not there, or is no folder.
    #[error("`{}` is not a folder; give the folder that holds {expected}", root.display())]
    NoFolder {
        /// What was given as ROOT.
        root: PathBuf,
        /// What the folder should hold.
        expected: &'static str,
    },
    /// What is given as a manifest is neither a list nor a folder.
    #[error(
        "there is no file or folder `{}`: expected a list of pictures (CSV), or the folder that holds \
         `manifest.csv`", .0.display()
    )]
    NoManifest(PathBuf),
    /// There is nothing in the label files.
    #[error(
        "{}: expected at least one label row, found none",
        .0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NoRows(Vec<PathBuf>),
    /// A file or picture that the layout needs is not there.
    #[error("expected {expected} in `{}`, but there is none; {advice}", root.display())]
    Missing {
        /// Where it was looked for.
        root: PathBuf,
        /// What should be there.
        expected: String,
        /// What to do.
        advice: String,
    },
    /// A label file that is not of the expected form as a whole.
    #[error("{}: expected {expected}, found {found}", path.display())]
    File {
        /// The label file.
        path: PathBuf,
        /// What it should hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// A row of a label file that cannot be read.
    #[error("{}, line {line}: expected {expected}, found {found}", path.display())]
    Row {
        /// The label file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the row should hold.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// Folders that can be read in two ways.
    #[error("the folder `{split}` in `{}` has folders above and below it, so either could name the classes; give `{}` as ROOT to take those below", above.display(), above.display())]
    TwoLevels {
        /// The folder above the split's folder.
        above: PathBuf,
        /// The name of the split's folder.
        split: String,
    },
    /// A name that is no kind of data set.
    #[error(
        "expected a kind of data set `adience`, `utkface`, `fairface`, `imdb-wiki`, `folder`, `manifest` or `pictures`, found `{0}`"
    )]
    UnknownKind(String),
    /// A name that is no tree of Adience.
    #[error("expected a tree `aligned` or `faces`, found `{0}`")]
    UnknownTree(String),
    /// A name that is no label policy.
    #[error("expected a label policy `exact`, `remap` or `nearest`, found `{0}`")]
    UnknownPolicy(String),
    /// Age groups that a label policy has no rule for.
    #[error(
        "the label policy `remap` is published for Adience's eight age groups only: expected \
         `adience`, found `{0}`; use the policy `nearest` or `exact`, or the groups `adience`"
    )]
    NoRule(String),
    /// A text that is no range of ages.
    #[error("expected ages such as `21-60`, both included, found `{0}`")]
    InvalidAges(String),
    /// Two sets whose classes differ.
    #[error(
        "the sets cannot be combined for one task: `{set}` has the classes {classes}, `{other}` has \
         {others}; leave one of them out, or give the classes the same names"
    )]
    OtherClasses {
        /// A set.
        set: String,
        /// Its classes.
        classes: String,
        /// Another set.
        other: String,
        /// Its classes.
        others: String,
    },
}
