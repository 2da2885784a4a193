//! A picture that ends an executor's process is rejected at last, and costs no job.
//!
//! An executor notes in its work directory which pictures it works on, and is started again when its process ends by
//! itself ([`supervise`]). Pictures that stand there from before are suspected: each is first decoded in a process of
//! its own, and rejected where that one ends too.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use facefold::core::{ImageKey, RejectReason, Rejection};
use facefold::extract::DecodeProbe;
use facefold_terminal::note;

/// The hidden command that decodes a picture.
pub const DECODE_STDIN: &str = "decode-stdin";
/// Is set for the process that works, which [`supervise`] starts.
const WORKER: &str = "FACEFOLD_CLUSTER_WORKER";
/// A picture at which an executor ended so often is not tried again.
const MOST_ENDS: u32 = 5;
/// Before an executor that ended is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// Pictures in work, and those at which an earlier process ended.
pub struct Crashes {
    in_work: PathBuf,
    suspected: PathBuf,
    /// How often a process ended at each.
    ends: Mutex<HashMap<ImageKey, u32>>,
    probe: DecodeProbe,
}

static OF_THIS_EXECUTOR: OnceLock<Crashes> = OnceLock::new();

/// Notes pictures in an executor's work directory from now on.
///
/// # Errors
/// A directory that cannot be read or written.
pub fn watch(work: &Path) -> Result<()> {
    let probe = DecodeProbe {
        program: std::env::current_exe()?,
        arguments: vec![OsString::from(DECODE_STDIN)],
    };
    let crashes = Crashes::open(work, probe).with_context(|| {
        format!("cannot note pictures in `{}`; name another directory with --work", work.display())
    })?;
    // A second one would be of the same directory.
    let _ = OF_THIS_EXECUTOR.set(crashes);
    Ok(())
}

/// Does something with a picture, noted while that lasts; where no executor runs, unnoted.
///
/// # Errors
/// A rejection of a picture that ends processes.
pub fn noted<T>(key: ImageKey, picture: &[u8], work: impl FnOnce() -> T) -> Result<T, Rejection> {
    match OF_THIS_EXECUTOR.get() {
        Some(crashes) => crashes.noted(key, picture, work),
        None => Ok(work()),
    }
}

impl Crashes {
    fn open(work: &Path, probe: DecodeProbe) -> io::Result<Self> {
        let (in_work, suspected) = (work.join("in-work"), work.join("suspected"));
        let mut ends = HashMap::new();
        for directory in [&in_work, &suspected] {
            fs::create_dir_all(directory)?;
        }
        for key in keys(&suspected)? {
            let count = fs::read_to_string(suspected.join(key.to_string()))?.trim().parse();
            ends.insert(key, count.unwrap_or(1));
        }
        for key in keys(&in_work)? {
            let count = ends.entry(key).or_insert(0);
            *count += 1;
            fs::write(suspected.join(key.to_string()), count.to_string())?;
            fs::remove_file(in_work.join(key.to_string()))?;
        }
        Ok(Self { in_work, suspected, ends: Mutex::new(ends), probe })
    }

    fn noted<T>(
        &self,
        key: ImageKey,
        picture: &[u8],
        work: impl FnOnce() -> T,
    ) -> Result<T, Rejection> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if let Some(ends) = ends {
            if ends >= MOST_ENDS {
                let detail = format!("{ends} times an executor ended while it worked on it");
                return Err(Rejection::new(RejectReason::Crashed, detail));
            }
            let decoded = self.probe.decodes(picture);
            decoded.map_err(|detail| Rejection::new(RejectReason::Crashed, detail))?;
        }
        // A note that cannot be written costs no picture.
        let name = key.to_string();
        let _ = fs::write(self.in_work.join(&name), "");
        let done = work();
        let _ = fs::remove_file(self.in_work.join(&name));
        if ends.is_some() {
            self.ends.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            let _ = fs::remove_file(self.suspected.join(&name));
        }
        Ok(done)
    }
}

/// The pictures that are noted in a directory.
fn keys(directory: &Path) -> io::Result<Vec<ImageKey>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        found.extend(name.to_str().and_then(|name| name.parse::<ImageKey>().ok()));
    }
    Ok(found)
}

/// Whether this process is to work; else it has started one that does, again and again until that one came to its end.
///
/// # Errors
/// A process that cannot be started. Where it fails, this one ends with its exit code.
pub async fn supervise() -> Result<bool> {
    if std::env::var_os(WORKER).is_some() {
        end_with_supervisor();
        return Ok(true);
    }
    let program = std::env::current_exe()?;
    loop {
        let mut worker = Command::new(&program)
            .args(std::env::args_os().skip(1))
            .env(WORKER, "1")
            .stdin(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        let status = tokio::select! {
            () = stopped() => {
                end(&mut worker);
                return Ok(false);
            }
            status = ended(&mut worker) => status?,
        };
        match status.code() {
            Some(0) => return Ok(false),
            // It has said why.
            Some(code) => std::process::exit(code),
            None => note(&format!("the executor's process ended: {status}; it is started again")),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Ends this process when the one that supervises it ends: the pipe between them closes then.
fn end_with_supervisor() {
    std::thread::spawn(|| {
        let mut stdin = io::stdin();
        while matches!(stdin.read(&mut [0; 64]), Ok(count) if count > 0) {}
        std::process::exit(0);
    });
}

async fn ended(worker: &mut Child) -> io::Result<std::process::ExitStatus> {
    loop {
        if let Some(status) = worker.try_wait()? {
            return Ok(status);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn end(worker: &mut Child) {
    // Its pipe closes, and it ends; not at once where it is stuck.
    drop(worker.stdin.take());
    for _ in 0..50 {
        if !matches!(worker.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = worker.kill();
    let _ = worker.wait();
}

/// Waits for Ctrl-C or SIGTERM.
async fn stopped() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

#[cfg(test)]
mod tests {
    use std::fs;

    use facefold::core::{ImageKey, RejectReason};
    use facefold::extract::DecodeProbe;

    use super::{Crashes, MOST_ENDS};

    /// A program that ends by a signal where the picture says so.
    #[cfg(unix)]
    fn probe() -> DecodeProbe {
        let script = "read word; if [ \"$word\" = bad ]; then kill -9 $$; fi";
        DecodeProbe { program: "sh".into(), arguments: vec!["-c".into(), script.into()] }
    }

    #[cfg(unix)]
    #[test]
    fn pictures_at_which_a_process_ended_are_tried_in_another_one() {
        let work = tempfile::tempdir().unwrap();
        let open = || Crashes::open(work.path(), probe()).unwrap();
        let (good, bad) = (&b"good\n"[..], &b"bad\n"[..]);
        let keys = [good, bad].map(ImageKey::of);
        let noted = |key: &ImageKey| work.path().join("in-work").join(key.to_string());
        let crashes = open();
        for (key, picture) in keys.iter().zip([good, bad]) {
            assert_eq!(crashes.noted(*key, picture, || noted(key).exists()), Ok(true));
            assert!(!noted(key).exists());
            // As a process leaves it that ends at both.
            fs::write(noted(key), "").unwrap();
        }
        let crashes = open();
        assert_eq!(crashes.noted(keys[0], good, || 1), Ok(1));
        for _ in 0..2 {
            let rejection = crashes.noted(keys[1], bad, || 1).unwrap_err();
            assert_eq!(rejection.reason, RejectReason::Crashed);
            assert!(rejection.detail.contains("ends the program"), "{}", rejection.detail);
        }
        // One that no other process ends at, but executors do.
        for _ in 0..MOST_ENDS {
            fs::write(noted(&keys[0]), "").unwrap();
            open();
        }
        let rejection = open().noted(keys[0], good, || 1).unwrap_err();
        assert!(rejection.detail.contains("5 times"), "{}", rejection.detail);
    }
}
