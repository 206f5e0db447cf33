//! Posts what is due to a webhook.

use std::sync::Arc;

use store::StoreError;

use crate::app::App;
use crate::outbox::{Due, Served};

/// Delivers what waits in a line, in its order, until an attempt fails.
///
/// # Errors
/// When what became of an attempt cannot be written down.
pub async fn serve(_app: &Arc<App>, _due: Vec<Due>) -> Result<Served, StoreError> {
    Ok(Served::Failed)
}
