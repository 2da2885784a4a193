//! Picture files as users have them: below folders, in lists, and on disks that hold anything.

mod encodings;
mod lists;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::extraction::{RejectReason, Rejection};
use crate::files::{NotRead, read_bounded};

pub use lists::{ListError, list};

/// File name endings, in lower case, of pictures that can be decoded.
pub const ENDINGS: [&str; 15] = [
    "jpg", "jpeg", "jpe", "jfif", "jfi", "jif", "pjpeg", "pjp", "png", "webp", "bmp", "dib", "tif",
    "tiff", "gif",
];

/// No longer file is read: an endless one would take all memory.
pub const MOST_BYTES: u64 = 256 << 20;

/// Names of folders and files that systems, file servers and synchronisers leave among others; any
/// case. What starts with a dot is left out too.
const OF_SYSTEMS: [&str; 40] = [
    // macOS, and Macs on file servers.
    "__macosx",
    "network trash folder",
    "temporary items",
    "thefindbycontentfolder",
    "thevolumesettingsfolder",
    // Windows.
    "$recycle.bin",
    "$extend",
    "$windows.~bt",
    "$windows.~ws",
    "recycled",
    "recycler",
    "system volume information",
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    // Linux and Android.
    "lost+found",
    "lost.dir",
    "__pycache__",
    // File servers: Synology, QNAP, NetApp and others.
    "@__desc",
    "@__qini",
    "@__thumb",
    "@appstore",
    "@autoupdate",
    "@database",
    "@docker",
    "@download",
    "@eadir",
    "@recently-snapshot",
    "@recycle",
    "@s2s",
    "@sharebin",
    "@sharesnap",
    "@synoresource",
    "@synologydrive",
    "@tmp",
    "@transcode",
    "#recycle",
    "#snapshot",
    "~snapshot",
];

/// Why a file or folder was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkippedBecause {
    /// A file whose name does not end as a picture's does.
    NotAPicture,
    /// Hidden, or left by a system, a file server or a synchroniser.
    Hidden,
    /// A pipe, a socket or a device.
    NotAFile,
    /// A file or folder that cannot be read.
    Unreadable,
    /// A link to a folder that was read already, or lies above.
    FolderReadAlready,
}

impl fmt::Display for SkippedBecause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAPicture => "not a picture's name",
            Self::Hidden => "hidden or of the system",
            Self::NotAFile => "a pipe, socket or device",
            Self::Unreadable => "cannot be read",
            Self::FolderReadAlready => "a link to a folder read already or above",
        })
    }
}

/// What lies below a folder; paths are relative to it.
#[derive(Debug, Default)]
pub struct Found {
    /// Files with a picture's name, sorted part by part.
    pub pictures: Vec<PathBuf>,
    /// What was skipped, and why, sorted too.
    pub skipped: Vec<(PathBuf, SkippedBecause)>,
}

/// Lists the pictures below a folder. Links are followed, and each folder is read once: under its
/// own name where it has one below `root`.
///
/// # Errors
/// `root` itself cannot be read; a folder below it that cannot be read is skipped.
pub fn below(root: &Path) -> io::Result<Found> {
    let real = fs::canonicalize(root)?;
    let mut walk = Walk {
        found: Found::default(),
        seen: HashSet::from([real.clone()]),
        above: real.ancestors().skip(1).map(Path::to_owned).collect(),
        folders: Vec::new(),
        links: VecDeque::new(),
    };
    walk.entries(root, Path::new(""))?;
    loop {
        // Links wait until the folders that they may lead to were read.
        let (path, relative) = match walk.folders.pop() {
            Some(folder) => folder,
            None => match walk.links.pop_front() {
                Some(link) => link,
                None => break,
            },
        };
        walk.folder(&path, relative);
    }
    walk.found.pictures.sort();
    walk.found.skipped.sort();
    Ok(walk.found)
}

struct Walk {
    found: Found,
    /// The folders that were read, by their real paths.
    seen: HashSet<PathBuf>,
    /// The folders above the root.
    above: HashSet<PathBuf>,
    /// To be read: paths, and paths relative to the root.
    folders: Vec<(PathBuf, PathBuf)>,
    links: VecDeque<(PathBuf, PathBuf)>,
}

impl Walk {
    fn folder(&mut self, path: &Path, relative: PathBuf) {
        let Ok(real) = fs::canonicalize(path) else {
            return self.skip(relative, SkippedBecause::Unreadable);
        };
        if self.above.contains(&real) || !self.seen.insert(real) {
            return self.skip(relative, SkippedBecause::FolderReadAlready);
        }
        if self.entries(path, &relative).is_err() {
            self.skip(relative, SkippedBecause::Unreadable);
        }
    }

    fn entries(&mut self, folder: &Path, relative: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (path, relative) = (entry.path(), relative.join(entry.file_name()));
            if is_hidden(&path) {
                self.skip(relative, SkippedBecause::Hidden);
                continue;
            }
            let link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() && link => self.links.push_back((path, relative)),
                Ok(metadata) if metadata.is_dir() => self.folders.push((path, relative)),
                Ok(metadata) if !metadata.is_file() => {
                    self.skip(relative, SkippedBecause::NotAFile);
                }
                // A broken link with a picture's name too: it is rejected by name when it is read.
                _ if is_picture(&path) => self.found.pictures.push(relative),
                _ => self.skip(relative, SkippedBecause::NotAPicture),
            }
        }
        Ok(())
    }

    fn skip(&mut self, relative: PathBuf, reason: SkippedBecause) {
        self.found.skipped.push((relative, reason));
    }
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let lower = name.to_lowercase();
    name.starts_with('.') || OF_SYSTEMS.contains(&lower.as_str()) || is_of_disk_check(&lower)
}

/// Whether Windows put what a check of the disk found into a folder of this name: `found.000` and so on.
fn is_of_disk_check(lower: &str) -> bool {
    let number = lower.strip_prefix("found.").unwrap_or_default();
    number.len() == 3 && number.bytes().all(|digit| digit.is_ascii_digit())
}

/// Whether a file's name ends as a picture's does.
#[must_use]
pub fn is_picture(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    ENDINGS.contains(&ending.as_str())
}

/// One line for a person about what was skipped below `root`: counts by reason, and a few
/// names; none where nothing was.
pub fn skipped_note<R: fmt::Display + Ord>(
    root: &Path,
    skipped: impl IntoIterator<Item = (String, R)>,
) -> Option<String> {
    const NAMED: usize = 3;
    let mut reasons: BTreeMap<R, Vec<String>> = BTreeMap::new();
    for (what, reason) in skipped {
        reasons.entry(reason).or_default().push(what);
    }
    let total: usize = reasons.values().map(Vec::len).sum();
    let parts: Vec<String> = reasons
        .iter()
        .map(|(reason, names)| {
            let named = names.iter().take(NAMED).map(|name| format!("`{name}`"));
            let named = named.collect::<Vec<_>>().join(", ");
            let more = if names.len() > NAMED { ", …" } else { "" };
            format!("{} {reason} ({named}{more})", names.len())
        })
        .collect();
    let root = root.display();
    (total > 0).then(|| format!("skipped {total} below `{root}`: {}", parts.join("; ")))
}

/// Reads a picture's file.
///
/// # Errors
/// [`RejectReason::Unreadable`] where it cannot be read or is a folder, pipe, socket or device,
/// which is not opened; [`RejectReason::TooLarge`] above [`MOST_BYTES`].
pub fn read(path: &Path) -> Result<Vec<u8>, Rejection> {
    read_bounded(path, MOST_BYTES).map_err(|why| match why {
        // The caller adds the path; the system's message is enough here.
        NotRead::Failed(error) => {
            Rejection::new(RejectReason::Unreadable, error.kind().to_string())
        }
        NotRead::Irregular(found) => {
            let detail = format!("expected a regular file, found {found}");
            Rejection::new(RejectReason::Unreadable, detail)
        }
        NotRead::TooLong(length) => {
            let detail = format!("the file has {length} bytes; at most {MOST_BYTES} are read");
            Rejection::new(RejectReason::TooLarge, detail)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Found, MOST_BYTES, SkippedBecause, below, read, skipped_note};
    use crate::extraction::RejectReason;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, b"x").unwrap();
        }
        root
    }

    fn found(root: &Path) -> (Vec<String>, Vec<(String, SkippedBecause)>) {
        let Found { pictures, skipped } = below(root).unwrap();
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let skipped = skipped.into_iter().map(|(path, reason)| (text(path), reason));
        (pictures.into_iter().map(text).collect(), skipped.collect())
    }

    #[test]
    fn lists_in_order_and_reports_skipped_files() {
        let root = folder(&["b/2.JPG", "b/10.jpg", "a/x.png", "a/notes.txt", "z.webp", "c/q.JFIF"]);
        let (pictures, skipped) = found(root.path());
        assert_eq!(pictures, ["a/x.png", "b/10.jpg", "b/2.JPG", "c/q.JFIF", "z.webp"]);
        assert_eq!(skipped, [("a/notes.txt".to_owned(), SkippedBecause::NotAPicture)]);
        assert!(below(&root.path().join("missing")).is_err());
        let note = skipped_note(Path::new("d"), skipped).unwrap();
        assert_eq!(note, "skipped 1 below `d`: 1 not a picture's name (`a/notes.txt`)");
        assert_eq!(skipped_note(Path::new("d"), Vec::<(String, SkippedBecause)>::new()), None);
    }

    #[test]
    fn hidden_and_system_folders_are_skipped() {
        let hidden = [
            ".ipynb_checkpoints",
            "a/.git",
            "__MACOSX",
            "a/@eaDir",
            "lost+found",
            "$RECYCLE.BIN",
            "System Volume Information",
            "#recycle",
            "found.000",
            "a/FOUND.013",
            "RECYCLED",
            "LOST.DIR",
            "@SynoResource",
            "a/@__thumb",
        ];
        let mut files: Vec<String> = hidden.iter().map(|name| format!("{name}/1.jpg")).collect();
        files.extend(["a/1.jpg".to_owned(), "a/._1.jpg".to_owned()]);
        let kept = ["@__anna", "@anna", "@synoptic", "found.jpg", "found.year", "recycled art"];
        files.extend(kept.iter().map(|name| format!("{name}/1.jpg")));
        let root = folder(&files.iter().map(String::as_str).collect::<Vec<_>>());
        let (pictures, skipped) = found(root.path());
        let read = [
            "@__anna/1.jpg",
            "@anna/1.jpg",
            "@synoptic/1.jpg",
            "a/1.jpg",
            "found.jpg/1.jpg",
            "found.year/1.jpg",
            "recycled art/1.jpg",
        ];
        assert_eq!(pictures, read);
        assert_eq!(skipped.len(), hidden.len() + 1);
        assert!(skipped.iter().all(|(_, reason)| *reason == SkippedBecause::Hidden));
        // A folder that is named explicitly is read.
        assert_eq!(found(&root.path().join(".ipynb_checkpoints")).0, ["1.jpg"]);
    }

    #[cfg(unix)]
    #[test]
    fn each_folder_is_read_once_despite_links() {
        use std::os::unix::fs::symlink;

        let outer = folder(&["set/b/1.jpg", "elsewhere/2.jpg", "outside.jpg"]);
        let root = outer.path().join("set");
        for (target, name) in [
            (".", "self"),
            ("..", "parent"),
            ("/", "b/top"),
            ("b", "a-link-before-its-folder"),
            ("../elsewhere", "c"),
            ("../elsewhere", "d"),
            ("loop.jpg", "loop.jpg"),
            ("nowhere", "broken.jpg"),
        ] {
            symlink(target, root.join(name)).unwrap();
        }
        let (pictures, skipped) = found(&root);
        assert_eq!(pictures, ["b/1.jpg", "broken.jpg", "c/2.jpg", "loop.jpg"]);
        let names: Vec<&str> = skipped.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a-link-before-its-folder", "b/top", "d", "parent", "self"]);
        assert!(skipped.iter().all(|(_, reason)| *reason == SkippedBecause::FolderReadAlready));
        assert_eq!(read(&root.join("loop.jpg")).unwrap_err().reason, RejectReason::Unreadable);
    }

    #[cfg(unix)]
    #[test]
    fn only_regular_files_of_a_bounded_length_are_read() {
        let root = folder(&["1.jpg"]);
        let path = |name: &str| root.path().join(name);
        let _socket = std::os::unix::net::UnixListener::bind(path("socket.jpg")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("endless.jpg")).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(path("pipe.jpg")).status().unwrap();
        assert!(pipe.success());
        fs_err::File::create(path("huge.jpg")).unwrap().set_len(MOST_BYTES + 1).unwrap();
        let (pictures, skipped) = found(root.path());
        assert_eq!(pictures, ["1.jpg", "huge.jpg"]);
        assert_eq!(skipped.len(), 3);
        for (name, reason) in skipped {
            assert_eq!(reason, SkippedBecause::NotAFile, "{name}");
            assert_eq!(read(&path(&name)).unwrap_err().reason, RejectReason::Unreadable, "{name}");
        }
        assert_eq!(read(&path("huge.jpg")).unwrap_err().reason, RejectReason::TooLarge);
        assert_eq!(read(root.path()).unwrap_err().reason, RejectReason::Unreadable);
        assert_eq!(read(&path("1.jpg")).unwrap(), b"x");
    }

    #[cfg(unix)]
    #[test]
    fn an_unreadable_folder_is_reported_and_skipped() {
        use std::os::unix::fs::PermissionsExt;

        let root = folder(&["a/1.jpg", "locked/2.jpg"]);
        let locked = root.path().join("locked");
        let allow = |mode| {
            fs_err::set_permissions(&locked, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        allow(0o000);
        let (pictures, skipped) = found(root.path());
        let readable = fs_err::read_dir(&locked).is_ok();
        allow(0o755);
        // Who may do everything reads it all the same.
        if !readable {
            assert_eq!(pictures, ["a/1.jpg"]);
            assert_eq!(skipped, [("locked".to_owned(), SkippedBecause::Unreadable)]);
        }
    }
}
