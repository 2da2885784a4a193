//! A wheel through pip, which reaches package indexes and mirrors that this machine is set up for.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fs_err as fs;

/// Lets each of these commands in turn download the wheel that `requirement` names into
/// `directory`, without what it depends on, until one does.
///
/// Gives the wheel's path, or each command with its reason.
pub(super) fn download(
    commands: &[Vec<String>],
    requirement: &str,
    directory: &Path,
    timeout: Duration,
) -> Result<PathBuf, String> {
    let mut reasons = Vec::new();
    for command in commands {
        match attempt(command, requirement, directory, timeout) {
            Ok(wheel) => return Ok(wheel),
            Err(reason) => reasons.push(format!("`{}`: {reason}", command.join(" "))),
        }
    }
    if reasons.is_empty() {
        reasons.push("no command to run pip is known".to_owned());
    }
    Err(reasons.join("; "))
}

fn attempt(
    command: &[String],
    requirement: &str,
    directory: &Path,
    timeout: Duration,
) -> Result<PathBuf, String> {
    let (program, arguments) = command.split_first().ok_or("empty command")?;
    // Through a file: a full pipe without a reader would block pip.
    let log = directory.join("pip.log");
    let stderr = fs::File::create(&log).map_err(|error| error.to_string())?;
    let child = Command::new(program)
        .args(arguments)
        .args(["download", "--no-deps", "--only-binary", ":all:", "--ignore-requires-python"])
        .args(["--disable-pip-version-check", "--no-input", "--quiet", "--retries", "1", "--dest"])
        .arg(directory)
        .arg(requirement)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr.into_file())
        .spawn()
        .map_err(|error| error.to_string())?;
    let status = wait(child, timeout)?;
    if !status.success() {
        let log = fs::read(&log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let last = log.lines().rev().find(|line| !line.trim().is_empty());
        return Err(last.map_or_else(|| status.to_string(), |line| line.trim().to_owned()));
    }
    let mut entries = fs::read_dir(directory).map_err(|error| error.to_string())?;
    entries
        .find_map(|entry| {
            let path = entry.ok()?.path();
            (path.extension()? == "whl").then_some(path)
        })
        .ok_or_else(|| format!("it ended well and left no wheel of {requirement}"))
}

fn wait(mut child: Child, timeout: Duration) -> Result<ExitStatus, String> {
    let start = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if start.elapsed() < timeout => thread::sleep(Duration::from_millis(50)),
            outcome => {
                // The child is ended and reaped whatever happens; the reason is the timeout's.
                let _ = child.kill();
                let _ = child.wait();
                return Err(match outcome {
                    Err(error) => error.to_string(),
                    Ok(_) => format!("no end after {} s", timeout.as_secs()),
                });
            }
        }
    }
}
