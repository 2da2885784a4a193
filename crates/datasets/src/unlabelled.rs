//! Pictures without labels: those below a folder, or listed ones.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use facefold_core::Sample;

use crate::dataset::{Dataset, DatasetKind, SkipReason, Skipped, require_folder};
use crate::error::DatasetError;
use crate::pictures;

/// Takes `listed` (relative to `root`, or absolute) once each, in their order; without a list all
/// pictures below `root`.
pub(crate) fn load(root: &Path, listed: Option<&[PathBuf]>) -> Result<Dataset, DatasetError> {
    require_folder(root, "the pictures")?;
    let mut dataset = Dataset::new(DatasetKind::Pictures, root);
    let Some(listed) = listed else {
        let found = pictures::below(root)?;
        dataset.ignored = found.ignored;
        found.paths.into_iter().for_each(|path| dataset.add_unlabelled(Sample::unlabelled(path)));
        return require_some(dataset);
    };
    let mut seen = HashSet::new();
    for path in listed {
        if path.to_str().is_none() {
            let what = path.to_string_lossy().into_owned();
            dataset.ignored.push(Skipped { what, reason: SkipReason::NotUnicode });
        } else if seen.insert(path) {
            dataset.add_unlabelled(Sample::unlabelled(path));
        }
    }
    require_some(dataset)
}

fn require_some(dataset: Dataset) -> Result<Dataset, DatasetError> {
    if dataset.samples.is_empty() {
        return Err(DatasetError::Missing {
            root: dataset.root,
            expected: "a picture in any folder".to_owned(),
            advice: format!("pictures must end in {}", facefold_core::pictures::ENDINGS.join(", ")),
        });
    }
    Ok(dataset)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use crate::dataset::{Dataset, DatasetKind, LoadOptions, load};

    fn paths(dataset: &Dataset) -> Vec<&str> {
        dataset.samples.iter().map(|sample| sample.path.to_str().unwrap()).collect()
    }

    #[test]
    fn pictures_below_a_folder_have_no_labels() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for name in ["train/men/2.jpg", "1.png", ".git/3.jpg", "notes.txt"] {
            fs_err::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs_err::write(root.join(name), b"").unwrap();
        }
        let dataset = load(DatasetKind::Pictures, root, &LoadOptions::default()).unwrap();
        assert_eq!(paths(&dataset), ["1.png", "train/men/2.jpg"]);
        assert_eq!((dataset.rows, dataset.unlabelled, dataset.ignored.len()), (0, 2, 2));
        let labelled =
            |sample: &facefold_core::Sample| sample.class.is_some() || sample.split.is_some();
        assert!(!dataset.samples.iter().any(labelled));
        let empty = load(DatasetKind::Pictures, &root.join(".git/no"), &LoadOptions::default());
        assert!(empty.unwrap_err().to_string().contains("is not a folder"));
    }

    #[test]
    fn listed_pictures_keep_their_names_and_order_and_are_taken_once() {
        let listed = ["b.jpg", "/elsewhere/a.jpg", "b.jpg", "../c"].map(PathBuf::from).to_vec();
        let options = LoadOptions { pictures: Some(listed), ..LoadOptions::default() };
        let dataset = load(DatasetKind::Pictures, Path::new("."), &options).unwrap();
        assert_eq!(paths(&dataset), ["b.jpg", "/elsewhere/a.jpg", "../c"]);
        let options = LoadOptions { pictures: Some(Vec::new()), ..LoadOptions::default() };
        let error = load(DatasetKind::Pictures, Path::new("."), &options).unwrap_err();
        assert!(error.to_string().contains("expected a picture"), "{error}");
    }
}
