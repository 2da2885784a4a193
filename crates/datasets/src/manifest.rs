//! A manifest: a CSV list of one's own pictures and what is known of them.
//!
//! Columns, of which only `path` must be there, in any order: `path` (relative to ROOT),
//! `subject`, `age` (years or a range: `35`, `25-32`, `60+`), `gender`, `fold` (a number from 0),
//! `split`, `race`, `class`. An empty field is unknown, and so is `nan` or another word for what is
//! not known ([`crate::known`]). Any other column is an error and not passed over: a misspelt
//! `subjects` would otherwise let subjects leak between folds.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use facefold_core::{Fold, Gender, Sample, SubjectId};

use crate::dataset::{Dataset, DatasetKind, require_folder};
use crate::deduplication::Deduplication;
use crate::error::DatasetError;
use crate::table::{Columns, Row, Table};

/// The columns that a manifest may have.
const COLUMNS: [&str; 8] = ["path", "subject", "age", "gender", "fold", "split", "race", "class"];

/// A gender that is not known, as Adience writes it.
const UNKNOWN_GENDER: &str = "u";

/// Loads `labels`, else `manifest.csv` in `root`; `root` may also be the list itself, whose
/// folder is then ROOT.
pub(crate) fn load(root: &Path, labels: Option<&Path>) -> Result<Dataset, DatasetError> {
    let (root, path) = if root.is_file() && labels.is_none() {
        let folder = root.parent().filter(|parent| !parent.as_os_str().is_empty());
        (folder.unwrap_or(Path::new(".")), root.to_owned())
    } else {
        (root, labels.map_or_else(|| root.join("manifest.csv"), Path::to_owned))
    };
    if labels.is_none() && !root.exists() {
        return Err(DatasetError::NoManifest(root.to_owned()));
    }
    require_folder(root, "the pictures that the manifest names")?;
    if labels.is_none() && !path.is_file() {
        return Err(DatasetError::Missing {
            root: root.to_owned(),
            expected: "the list `manifest.csv`".to_owned(),
            advice: format!(
                "write one with the columns `{}`, or name it with --labels",
                COLUMNS.join(",")
            ),
        });
    }
    let table = Table::read(&path, Columns::Commas)?;
    let unknown: Vec<&str> = table
        .header
        .iter()
        .zip(&table.names)
        .filter(|(_, name)| !COLUMNS.contains(&name.as_str()))
        .map(|(column, _)| column.as_str())
        .collect();
    if !unknown.is_empty() {
        return Err(DatasetError::File {
            path,
            expected: format!("no columns but `{}`", COLUMNS.join("`, `")),
            found: format!("`{}`", unknown.join("`, `")),
        });
    }
    table.require("path")?;
    let columns = COLUMNS.map(|name| table.column(name));
    let mut dataset = Dataset::new(DatasetKind::Manifest, root);
    let mut keys = Deduplication::default();
    let mut folders = Folders::below(root)?;
    for row in table.rows() {
        let sample = sample(row, columns, root)?;
        if !folders.hold(&sample.path) {
            let found =
                format!("{}, which a link to a folder leads out of it", sample.path.display());
            return Err(row.error("a path below ROOT", &found));
        }
        let key = sample.path.to_string_lossy().into_owned();
        keys.add(&mut dataset, key, sample, row.get(columns[3]));
    }
    keys.finish(&mut dataset);
    dataset.label_files.push(path);
    Ok(dataset)
}

fn sample(row: Row<'_>, columns: [Option<usize>; 8], root: &Path) -> Result<Sample, DatasetError> {
    let [path, subject, age, gender, fold, split, race, class] = columns;
    let gender = match row.known(gender) {
        None => None,
        Some(letter) if letter.eq_ignore_ascii_case(UNKNOWN_GENDER) => None,
        Some(letter) => Some(
            Gender::parse(letter)
                .ok_or_else(|| row.error("a gender `f` or `m`, or an empty field", letter))?,
        ),
    };
    let split = match row.known(split) {
        None => None,
        Some(name) => {
            Some(name.parse().map_err(|_| row.error("a split train, validation or test", name))?)
        }
    };
    Ok(Sample {
        raw_age: row.get(age).to_owned(),
        gender,
        race: row.known(race).map(str::to_owned),
        subject: row.known(subject).map(SubjectId::new),
        fold: row.number(fold, "a fold's number from 0, or an empty field")?.map(Fold),
        split,
        class: row.known(class).map(str::to_owned),
        ..Sample::unlabelled(relative_path(row, row.get(path), root)?)
    })
}

/// The path relative to ROOT with `/` between its parts, so that equal pictures have equal keys.
fn relative_path(row: Row<'_>, text: &str, root: &Path) -> Result<PathBuf, DatasetError> {
    let path = Path::new(text);
    let path = path.strip_prefix(root).ok().filter(|_| path.is_absolute()).unwrap_or(path);
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy()),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(row.error("a path below ROOT", text));
            }
        }
    }
    if parts.is_empty() {
        return Err(row.error("a path below ROOT", text));
    }
    Ok(parts.join("/").into())
}

/// The folders below ROOT whose pictures are listed, looked at once each.
struct Folders<'a> {
    root: &'a Path,
    /// ROOT without links.
    real_root: PathBuf,
    inside: HashMap<PathBuf, bool>,
}

impl<'a> Folders<'a> {
    fn below(root: &'a Path) -> Result<Self, DatasetError> {
        Ok(Self { root, real_root: fs_err::canonicalize(root)?, inside: HashMap::new() })
    }

    /// Whether a path stays below ROOT where its folders are links. A picture may be a link itself, and what
    /// is not there leads nowhere.
    fn hold(&mut self, path: &Path) -> bool {
        let Some(folder) = path.parent() else { return true };
        if let Some(&known) = self.inside.get(folder) {
            return known;
        }
        let real = fs_err::canonicalize(self.root.join(folder));
        let inside = real.map_or(true, |real| real.starts_with(&self.real_root));
        self.inside.insert(folder.to_owned(), inside);
        inside
    }
}

#[cfg(test)]
mod tests {
    use facefold_core::{Fold, Gender, Split};

    use super::load;
    use crate::dataset::{Dataset, DatasetKind, LoadOptions};

    fn set(text: &str) -> Result<Dataset, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("manifest.csv");
        fs_err::write(&path, text).unwrap();
        let load = |root| {
            let options = LoadOptions::default();
            crate::load(DatasetKind::Manifest, root, &options).map_err(|error| error.to_string())
        };
        let (by_file, by_folder) = (load(&path), load(directory.path()));
        assert_eq!(by_file, by_folder);
        by_folder
    }

    #[test]
    fn reads_every_column_and_leaves_out_any() {
        let dataset = set("path,subject,age,gender,fold,split,race,class\r\n\
                           ./a/1.jpg,ann,25-32,Female,3,val,Asian,x\r\n\
                           a/2.jpg,,35,,,,,\r\n\
                           a/1.jpg,ann,25-32,Female,3,val,Asian,x\r\n\
                           a/3.jpg,bob,None,u,,,unknown,\r\n")
        .unwrap();
        assert_eq!((dataset.rows, dataset.duplicates, dataset.samples.len()), (4, 1, 3));
        let first = &dataset.samples[0];
        assert_eq!(first.path.to_str(), Some("a/1.jpg"));
        assert_eq!((first.fold, first.split), (Some(Fold(3)), Some(Split::Validation)));
        assert_eq!((first.gender, first.class.as_deref()), (Some(Gender::Female), Some("x")));
        assert_eq!(dataset.samples[1].subject, None);
        assert_eq!((dataset.samples[2].gender, dataset.samples[2].race.clone()), (None, None));
        assert_eq!(set("path\nonly.jpg\n").unwrap().rows, 1);
        let capitals = set("Path,SUBJECT,Age, Gender\na.jpg,ann,35,f\n").unwrap();
        assert!(capitals.samples[0].subject.is_some());
        assert_eq!(capitals.samples[0].gender, Some(Gender::Female));
    }

    #[test]
    fn missing_value_words_are_no_label_of_any_column() {
        let dataset = set("path,subject,age,gender,fold,split,race,class\n\
                           1.jpg,nan,NaN,N/A,-,null,unknown,None\n\
                           2.jpg,NaN,-,?,nan,n/a,nil,NULL\n\
                           3.jpg,ann,30,f,0,test,Asian,x\n")
        .unwrap();
        for sample in &dataset.samples[..2] {
            assert_eq!((&sample.subject, &sample.class, &sample.race), (&None, &None, &None));
            assert_eq!((sample.gender, sample.fold, sample.split), (None, None, None));
            assert_eq!(crate::known(&sample.raw_age), None);
        }
        assert!(dataset.samples[2].subject.is_some() && dataset.samples[2].class.is_some());
        assert!(dataset.notes.is_empty());
    }

    #[test]
    fn absolute_paths_must_lie_below_root() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let inside = root.join("x.jpg");
        fs_err::write(root.join("manifest.csv"), format!("path\n{}\n", inside.display())).unwrap();
        assert_eq!(load(root, None).unwrap().samples[0].path.to_str(), Some("x.jpg"));
    }

    #[test]
    #[cfg(unix)]
    fn folders_that_are_links_stay_below_root() {
        use std::os::unix::fs::symlink;

        let directory = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (directory.path().join("root"), directory.path().join("elsewhere"));
        for folder in [&root.join("real"), &elsewhere] {
            fs_err::create_dir_all(folder).unwrap();
            fs_err::write(folder.join("x.jpg"), b"").unwrap();
        }
        symlink(&elsewhere, root.join("out")).unwrap();
        symlink("real", root.join("in")).unwrap();
        symlink(elsewhere.join("x.jpg"), root.join("one.jpg")).unwrap();
        let listed = |path: &str| {
            fs_err::write(root.join("manifest.csv"), format!("path\n{path}\n")).unwrap();
            load(&root, None).map(|set| set.samples.len()).map_err(|error| error.to_string())
        };
        assert_eq!(
            ["real/x.jpg", "in/x.jpg", "one.jpg", "gone/x.jpg"].map(listed),
            [(); 4].map(|()| Ok(1))
        );
        let message = listed("out/x.jpg").unwrap_err();
        assert!(
            message.contains("line 2: expected a path below ROOT, found `out/x.jpg"),
            "{message}"
        );
    }

    #[test]
    fn errors_name_the_cause() {
        for (text, expected) in [
            ("path,subjects,agee\n", "found `subjects`, `agee`"),
            ("path,age,gender,age\na.jpg,3,f,40\n", "each column once, found two columns `age`"),
            ("path,age,Age\na.jpg,3,40\n", "two columns of one name, `age` and `Age`"),
            (
                "path,subject\na.jpg,\"Ann\nb.jpg,Bob\n",
                "line 2: expected the quoted cell `Ann` to end",
            ),
            ("subject\nann\n", "expected a column `path`"),
            ("path,gender\na.jpg,f\nb.jpg,x\n", "line 3: expected a gender"),
            ("path,fold\na.jpg,-1\n", "line 2: expected a fold's number"),
            ("path,split\na.jpg,later\n", "line 2: expected a split"),
            ("path\n../a.jpg\n", "line 2: expected a path below ROOT, found `../a.jpg`"),
            ("path\n/etc/a.jpg\n", "expected a path below ROOT"),
            ("path\n", "manifest.csv: expected at least one label row, found none"),
        ] {
            let message = set(text).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        let empty = tempfile::tempdir().unwrap();
        let message = load(empty.path(), None).unwrap_err().to_string();
        assert!(message.contains("expected the list `manifest.csv`"), "{message}");
        let message = load(&empty.path().join("nowhere.csv"), None).unwrap_err().to_string();
        assert!(message.contains("no file or folder") && message.contains("list"), "{message}");
    }
}
