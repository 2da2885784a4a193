//! Sessions: what a client, the scheduler and executors agree upon.

use std::sync::Arc;

use anyhow::Result;
use ballista::datafusion::execution::session_state::SessionStateBuilder;
use ballista::datafusion::execution::{FunctionRegistry as _, SessionState};
use ballista::datafusion::prelude::{SessionConfig, SessionContext};
use ballista::extension::SessionConfigExt as _;
use ballista::prelude::SessionContextExt as _;
use ballista_core::ConfigProducer;
use ballista_core::registry::BallistaFunctionRegistry;

use crate::credentials::Credentials;
use crate::functions;

/// Rows that a task works on at a time. An embedding with its features has 20 KB, a picture a few MB.
const BATCH_ROWS: usize = 64;

/// Settings of a session.
pub fn config(credentials: Option<&Credentials>) -> SessionConfig {
    let config = SessionConfig::new_with_ballista().with_batch_size(BATCH_ROWS);
    match credentials {
        Some(credentials) => config
            .with_ballista_use_tls(true)
            .with_ballista_override_create_grpc_client_endpoint(credentials.endpoint()),
        None => config,
    }
}

/// What makes such settings.
pub fn configure(credentials: Option<&Credentials>) -> ConfigProducer {
    let credentials = credentials.cloned();
    Arc::new(move || config(credentials.as_ref()))
}

/// A session's state with facefold's functions.
///
/// # Errors
/// Never, unless a function is refused.
pub fn state(config: SessionConfig) -> ballista::datafusion::error::Result<SessionState> {
    let builder = SessionStateBuilder::new().with_default_features().with_config(config);
    let mut state = builder.build();
    for function in functions::all() {
        state.register_udf(function)?;
    }
    Ok(state)
}

/// The functions that executors know: those of a session.
///
/// # Errors
/// As [`state`].
pub fn registry() -> ballista::datafusion::error::Result<BallistaFunctionRegistry> {
    let state = state(config(None))?;
    let mut registry = BallistaFunctionRegistry::default();
    registry.scalar_functions.extend(state.scalar_functions().clone());
    registry.aggregate_functions.extend(state.aggregate_functions().clone());
    registry.window_functions.extend(state.window_functions().clone());
    Ok(registry)
}

/// A session on the scheduler at `HOST:PORT`.
///
/// # Errors
/// An address that is none. Whether anybody listens there shows at the first query.
pub async fn connect(
    scheduler: &str,
    credentials: Option<&Credentials>,
) -> Result<Arc<SessionContext>> {
    let url = format!("df://{scheduler}");
    let session = SessionContext::remote_with_state(&url, state(config(credentials))?).await?;
    // Ballista puts its own functions in the place of the state's.
    for function in functions::all() {
        session.register_udf(Arc::unwrap_or_clone(function));
    }
    Ok(Arc::new(session))
}
