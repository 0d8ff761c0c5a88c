//! From settings to a sink: the only place that knows which kinds of tables there are.

use std::sync::Arc;

use crate::chain::paths::Paths;
use crate::chain::{Chain, RESERVED};
use crate::model::error::Error;
use crate::settings::{SinkSettings, TableKind};
use crate::store::{self, Store};
use crate::table::Table;
use crate::tables::files::Files;

/// Opens a job's sink. Asks its stores nothing, and creates nothing.
///
/// Errors: `Config`.
pub fn open(settings: SinkSettings) -> Result<Chain, Error> {
    let url = settings.url.trim_end_matches('/');
    let open = if settings.reads_only { store::open_to_read } else { store::open };
    let data = open(url, &settings.options, settings.retries)?;
    let beside = || format!("{url}/{RESERVED}/{}", settings.job);
    let state = settings.state_url.clone().unwrap_or_else(beside);
    let state = open(&state, &settings.options, settings.retries)?;
    on_stores(settings, data, state)
}

/// Opens it on stores that are open already, and of which is known that they create an object at most once:
/// tables and staged files in one, checkpoints and commits in the other.
///
/// Errors: `Config`.
pub fn open_on(settings: SinkSettings, data: Arc<dyn Store>, state: Arc<dyn Store>) -> Result<Chain, Error> {
    on_stores(settings, data, state).map(Chain::proved)
}

fn on_stores(settings: SinkSettings, data: Arc<dyn Store>, state: Arc<dyn Store>) -> Result<Chain, Error> {
    let table = table_of(&settings, &data)?;
    Chain::new(settings, data, state, table)
}

/// The job's tables, of the kind that it asks for; staged files lie in `data`.
///
/// Errors: `Config`.
pub(crate) fn table_of(settings: &SinkSettings, data: &Arc<dyn Store>) -> Result<Arc<dyn Table>, Error> {
    match settings.kind {
        TableKind::Files => Ok(Arc::new(Files::new(
            settings.url.clone(),
            settings.tables.clone(),
            Arc::clone(data),
            Paths::new(&settings.job)?.attempts(),
            settings.copy_grace,
        ))),
    }
}
