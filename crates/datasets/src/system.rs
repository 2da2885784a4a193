//! Names that editors, archives, file servers and synchronisers give to their own files and folders.

/// Folders that hold no class, in lower case; names that begin with a dot never do.
const NAMES: [&str; 11] = [
    "__macosx",
    "__pycache__",
    "@eadir",
    "@recycle",
    "@recently-snapshot",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "found.000",
];

/// Whether a file or folder of this name is hidden or a system's own: `.ipynb_checkpoints`,
/// `@eaDir`, `._portrait.jpg`.
pub(crate) fn is_system(name: &str) -> bool {
    name.starts_with('.') || NAMES.contains(&name.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::is_system;

    #[test]
    fn names_of_systems_are_told_from_classes() {
        for name in [".ipynb_checkpoints", ".git", "._1.jpg", "__MACOSX", "@eaDir", "$RECYCLE.BIN"]
        {
            assert!(is_system(name), "{name}");
        }
        for name in ["female", "60+", "(0, 2)", "_old", "@home", "a.b"] {
            assert!(!is_system(name), "{name}");
        }
    }
}
