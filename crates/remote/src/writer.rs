//! A run that writes a store: the only one, on this machine and on others.

use std::path::Path;
use std::time::{Duration, Instant};

use facefold_core::FileLock;
use fs_err as fs;
use object_store::{Error, ObjectStoreExt as _, PutMode, PutPayload};
use serde::{Deserialize, Serialize};

use crate::record::{self, Record};
use crate::{HEADER, RemoteError, RemoteStore, Transferred};

/// The object that says who writes the store.
const CLAIM: &str = "writer.json";

/// A claim that was not renewed for so long is that of a run that ended.
const RENEWED_WITHIN: Duration = Duration::from_mins(1);

/// How often a claim of another run is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// What a local run leaves while it removes or merges, and after one that was cut off: the copy is not whole then.
const UNFINISHED: [&str; 2] = ["removal", "merge"];

/// Who writes the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    /// A name of the run that no other has.
    run: String,
    /// Renewed so often.
    renewed: u64,
}

/// A run that writes a store by its local copy. Give it [renewals](Self::renew) at least every 20 seconds, and
/// [finish](Self::finish) it; one that is dropped leaves the rest to the next run.
#[derive(Debug)]
pub struct Writer<'a> {
    remote: &'a RemoteStore,
    copy: &'a Path,
    run: String,
    /// What a run that was cut off had left, and was uploaded at the beginning.
    pub earlier: Transferred,
    /// What was downloaded at the beginning.
    pub downloaded: Transferred,
    _only: FileLock,
}

impl<'a> Writer<'a> {
    pub(crate) fn begin(remote: &'a RemoteStore, copy: &'a Path) -> Result<Self, RemoteError> {
        let busy = || RemoteError::Busy { address: remote.address.clone() };
        let only = record::writer_lock(copy)?.ok_or_else(busy)?;
        let _downloads = record::download_lock(copy)?;
        let record = Record::read(copy)?;
        let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let unique = (started.unwrap_or_default().as_nanos(), std::process::id(), copy);
        let run = blake3::hash(format!("{unique:?}").as_bytes()).to_hex()[..32].to_owned();
        remote.runtime.block_on(claim(remote, &run, record.pending.as_deref()))?;
        let mut earlier = Transferred::default();
        let is_whole = UNFINISHED.iter().all(|marker| !copy.join(marker).exists());
        if record.pending.is_some() && is_whole && copy.join(HEADER).exists() {
            earlier = remote.runtime.block_on(remote.upload(copy, true))?;
        }
        let downloaded = remote.runtime.block_on(remote.fetch(copy, true))?;
        let mut record = Record::read(copy)?;
        record.pending = Some(run.clone());
        record.write(copy)?;
        fs::create_dir_all(copy)?;
        Ok(Self { remote, copy, run, earlier, downloaded, _only: only })
    }

    /// Renews the claim, so that other machines see that this run goes on.
    ///
    /// # Errors
    /// A request that fails.
    pub fn renew(&self, times: u64) -> Result<(), RemoteError> {
        let claim = Claim { run: self.run.clone(), renewed: times };
        self.remote.runtime.block_on(put(self.remote, &claim, PutMode::Overwrite))?;
        Ok(())
    }

    /// Uploads shards that were sealed, while the run goes on.
    ///
    /// # Errors
    /// [`RemoteError::Diverged`] where another program has written the store, or a request that fails.
    pub fn upload_shards(&self) -> Result<Transferred, RemoteError> {
        self.remote.runtime.block_on(self.remote.upload(self.copy, false))
    }

    /// Uploads all that is new, of a run that failed shards alone, and gives the claim back.
    ///
    /// # Errors
    /// [`RemoteError::Busy`] where another run has taken the claim, as this one did not renew it for a minute;
    /// otherwise as [`Self::upload_shards`]. The next run uploads the rest.
    pub fn finish(&self, succeeded: bool) -> Result<Transferred, RemoteError> {
        let Self { remote, copy, run, .. } = self;
        remote.runtime.block_on(async {
            let owner = read(remote).await?;
            if owner.is_some_and(|claim| claim.run != *run) {
                return Err(RemoteError::Busy { address: remote.address.clone() });
            }
            let moved = remote.upload(copy, succeeded).await;
            // Also after a failure: the next run need not wait.
            let deleted = remote.objects.delete(&remote.object(CLAIM)).await;
            let moved = moved?;
            match deleted {
                Ok(()) | Err(Error::NotFound { .. }) => Ok(moved),
                Err(error) => Err(remote.failed(CLAIM, error)),
            }
        })
    }
}

/// Claims the store, waiting for a claim that is not renewed.
async fn claim(remote: &RemoteStore, run: &str, mine: Option<&str>) -> Result<(), RemoteError> {
    let own = Claim { run: run.to_owned(), renewed: 0 };
    let mut seen: Option<(Claim, Instant)> = None;
    loop {
        if put(remote, &own, PutMode::Create).await? {
            return Ok(());
        }
        let Some(found) = read(remote).await? else { continue };
        let since = match &seen {
            Some((claim, since)) if *claim == found => *since,
            Some((claim, _)) if claim.run == found.run => {
                // Renewed: that run goes on.
                return Err(RemoteError::Busy { address: remote.address.clone() });
            }
            _ => Instant::now(),
        };
        // A run of this copy has ended: the copy has one writer on this machine.
        if mine == Some(found.run.as_str()) || since.elapsed() > RENEWED_WITHIN {
            put(remote, &own, PutMode::Overwrite).await?;
            return Ok(());
        }
        seen = Some((found, since));
        tokio::time::sleep(LOOK).await;
    }
}

async fn read(remote: &RemoteStore) -> Result<Option<Claim>, RemoteError> {
    let bytes = match remote.objects.get(&remote.object(CLAIM)).await {
        Ok(found) => found.bytes().await,
        Err(error) => Err(error),
    };
    match bytes {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(remote.failed(CLAIM, error)),
    }
}

/// Writes a claim; whether there was none, where that is asked.
async fn put(remote: &RemoteStore, claim: &Claim, mode: PutMode) -> Result<bool, RemoteError> {
    let text = serde_json::to_vec(claim).map_err(std::io::Error::other)?;
    let (object, payload) = (remote.object(CLAIM), PutPayload::from(text));
    match remote.objects.put_opts(&object, payload.clone(), mode.into()).await {
        Ok(_) => Ok(true),
        // A server without conditions on writes: the claim still warns others.
        Err(Error::NotImplemented { .. } | Error::NotSupported { .. }) => {
            let put = remote.objects.put(&object, payload).await;
            put.map(|_| true).map_err(|error| remote.failed(CLAIM, error))
        }
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
        Err(error) => Err(remote.failed(CLAIM, error)),
    }
}
