//! What the status page asks for: the job at a glance, and the last hour. Nothing here waits for the store.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::{Extension, Json};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shown;
use super::extract::Query;
use super::problem::Problem;
use crate::replica::control::Board;
use crate::replica::status::history::{CheckpointRecord, Sample};
use crate::replica::status::overview::{self, Overview, Peers};
use crate::tasks;

/// How long the store may take to tell of the replicas.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn routes(shown: &Shown) -> OpenApiRouter<Shown> {
    let page = Page {
        process: Timestamp::now(),
        board: shown.board.clone(),
        seen: Arc::new(RwLock::new(Seen::default())),
    };
    OpenApiRouter::new().routes(routes!(overview)).routes(routes!(history)).layer(Extension(page))
}

/// What the replicas said, as of the last look. It is looked at in the background,
/// and only while somebody asks.
#[derive(Clone, Debug)]
struct Page {
    process: Timestamp,
    board: Board,
    seen: Arc<RwLock<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    asked: Option<Instant>,
    peers: Option<Peers>,
}

impl Page {
    /// What is known, while a new look begins if one is due.
    fn peers(&self) -> Peers {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if seen.asked.is_none_or(|asked| asked.elapsed() >= self.board.poll()) {
            seen.asked = Some(Instant::now());
            tasks::spawn("page", self.clone().look());
        }
        let unknown = || Peers { failure: Some("The store has been asked.".into()), ..Peers::default() };
        seen.peers.clone().unwrap_or_else(unknown)
    }

    async fn look(self) {
        let look = async { Ok((self.board.replicas().await?, self.board.newest().await?)) };
        let answer: Result<_, tidegate_sinks::Error> = match tokio::time::timeout(PATIENCE, look).await {
            Ok(answer) => answer,
            Err(_) => Err(tidegate_sinks::Error::new(
                tidegate_sinks::Kind::Retry,
                format!("the store has not answered within {} s", PATIENCE.as_secs()),
            )),
        };
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok((replicas, control)) => seen.peers = Some(Peers { replicas, control, failure: None }),
            // What was asked of the job still holds; who holds what may not.
            Err(error) => {
                let control = seen.peers.take().and_then(|peers| peers.control);
                let failure = Some(format!("The replicas are not known: {error}."));
                seen.peers = Some(Peers { replicas: Vec::new(), control, failure });
            }
        }
    }
}

/// The job at a glance, as this replica sees it
#[utoipa::path(get, path = "/overview", responses((status = OK, body = Overview)))]
async fn overview(State(shown): State<Shown>, Extension(page): Extension<Page>) -> Json<Overview> {
    let Shown { config, status, .. } = &shown;
    let config = status.in_force(config);
    Json(overview::overview(&config, status, &page.peers(), page.process, Timestamp::now()))
}

/// What this replica did in the last hour.
#[derive(Debug, Serialize, ToSchema)]
struct LastHour {
    /// One every 5 s, oldest first.
    samples: Vec<Sample>,
    /// The last hundred that this replica made, oldest first.
    checkpoints: Vec<CheckpointRecord>,
}

/// Which samples.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct After {
    /// Only samples after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    after: Option<Timestamp>,
}

/// The last hour, and the last checkpoints, of this replica
#[utoipa::path(get, path = "/history", responses((status = OK, body = LastHour)))]
async fn history(State(shown): State<Shown>, Query(asked): Query<After>) -> Result<Json<LastHour>, Problem> {
    let mut samples = shown.status.samples();
    samples.retain(|sample| asked.after.is_none_or(|after| sample.time > after));
    Ok(Json(LastHour { samples, checkpoints: shown.status.checkpoints() }))
}
