//! What an executor holds for as long as it runs: extractors and predictors, each loaded at its first use.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use facefold::prediction::file_stem;
use facefold::vision::decode::Limits;
use facefold::vision::extractor::LocalExtractor;
use facefold::{Error, Faces, NetworkOptions, Predictor, Result, load_bundles, predictor};

/// Which embeddings are wanted. It goes with every job, so that executors need no settings of their own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EmbedOptions {
    /// The model pack.
    pub model: String,
    /// Keep pooled intermediate features, and embed the mirrored crop.
    pub taps: bool,
    /// Skip detection: the whole picture is the aligned crop.
    pub aligned: bool,
}

impl EmbedOptions {
    /// As text, for a literal of a query.
    pub fn to_text(&self) -> String {
        let Self { model, taps, aligned } = self;
        serde_json::json!({ "model": model, "taps": taps, "aligned": aligned }).to_string()
    }

    /// From text: a JSON object, or the name of a model pack.
    ///
    /// # Errors
    /// JSON with other keys or values.
    pub fn parse(text: &str) -> Result<Self> {
        let mut options =
            Self { model: NetworkOptions::default().model, taps: false, aligned: false };
        if !text.trim_start().starts_with('{') {
            text.clone_into(&mut options.model);
            return Ok(options);
        }
        let document: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)?;
        for (key, value) in document {
            match (key.as_str(), value) {
                ("model", serde_json::Value::String(model)) => options.model = model,
                ("taps", serde_json::Value::Bool(taps)) => options.taps = taps,
                ("aligned", serde_json::Value::Bool(aligned)) => options.aligned = aligned,
                (key, value) => {
                    return Err(Error::options(format!(
                        "embed: expected the options model (text), taps and aligned (true or false), found \
                         `{key}`: {value}"
                    )));
                }
            }
        }
        Ok(options)
    }

    /// Loads the networks. Missing weights are fetched.
    ///
    /// # Errors
    /// Weights that cannot be had.
    pub fn load(&self) -> Result<LocalExtractor> {
        let faces = Faces { taps: self.taps, aligned: self.aligned, all: false };
        let network = NetworkOptions::default().of_model(&self.model);
        network.extractor(faces, Limits::default(), &())
    }
}

/// The extractor of these options.
///
/// # Errors
/// As [`EmbedOptions::load`].
pub fn extractor(options: &EmbedOptions) -> Result<Arc<LocalExtractor>> {
    static LOADED: LazyLock<Mutex<HashMap<EmbedOptions, Arc<LocalExtractor>>>> =
        LazyLock::new(Mutex::default);
    once(&LOADED, options.clone(), || options.load())
}

/// The predictor of a bundle; without a path the embedded one.
///
/// # Errors
/// A file that is no bundle, or networks that cannot be had.
pub fn bundle_predictor(bundle: Option<&Path>) -> Result<Arc<Predictor>> {
    static LOADED: LazyLock<Mutex<HashMap<Option<PathBuf>, Arc<Predictor>>>> =
        LazyLock::new(Mutex::default);
    let bundle = bundle.map(Path::to_owned);
    once(&LOADED, bundle.clone(), || {
        let bundles = load_bundles(bundle.as_slice(), file_stem)?;
        let network = NetworkOptions::default();
        predictor(bundles, &network, Faces::default(), Limits::default(), &())
    })
}

/// What was loaded for a key, loaded now if need be: once, however many threads ask.
fn once<K: Eq + Hash, V>(
    loaded: &Mutex<HashMap<K, Arc<V>>>,
    key: K,
    load: impl FnOnce() -> Result<V>,
) -> Result<Arc<V>> {
    let mut loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = loaded.get(&key) {
        return Ok(Arc::clone(known));
    }
    let new = Arc::new(load()?);
    loaded.insert(key, Arc::clone(&new));
    Ok(new)
}
