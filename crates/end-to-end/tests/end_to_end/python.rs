//! The Python package's tests (`crates/python/tests`), on the extension module that was built with this program:
//! what Python gets is what the program stores and prints.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::path::{Path, PathBuf};
use std::process::Command;

use facefold_testing::{Need, given};

/// The crate of the package.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../python")
}

/// A directory from which Python imports `facefold`: its modules, and the extension module as it was built.
fn package() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let package = root.join("facefold");
    // What was imported by another run stays what it was.
    let _ = std::fs::remove_dir_all(&package);
    std::fs::create_dir_all(&package).expect("a directory");
    let modules = std::fs::read_dir(sources().join("python/facefold")).expect("modules");
    for module in modules {
        let path = module.expect("a module").path();
        if path.is_file() {
            std::fs::copy(&path, package.join(path.file_name().expect("a name"))).expect("copied");
        }
    }
    let this = std::env::current_exe().expect("this program");
    let built = this.parent().expect("the directory of what was built");
    let built = built.join(format!("{DLL_PREFIX}_facefold{DLL_SUFFIX}"));
    let ending = if cfg!(windows) { "pyd" } else { "abi3.so" };
    std::fs::copy(&built, package.join(format!("_facefold.{ending}")))
        .unwrap_or_else(|error| panic!("{}: {error}", built.display()));
    root
}

#[test]
fn the_python_package_gives_the_bits_of_the_program() {
    let Some(python) = given(Need::Python) else { return };
    let mut tests = Command::new(python);
    tests
        .args(["-m", "unittest", "discover", "--start-directory"])
        .arg(sources().join("tests"))
        .env("PYTHONPATH", package())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("FACEFOLD_PROGRAM", crate::PROGRAM);
    let output = tests.output().expect("python starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stdout));
    // A package that loses its tests passes them all.
    assert!(text.contains("\nOK") && !text.contains("Ran 0 tests"), "{text}");
}
