//! A job in one process, through stops that were asked for.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Asking, Summary};
use crate::replica::agent::Agent;
use crate::replica::control::Control;
use crate::replica::status::Status;

/// What a process does when its job has been stopped by a control object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStop {
    /// It ends, and its next start resumes the job.
    #[default]
    Exit,
    /// It stays alive, out of the group, until the job is resumed; so does its next start.
    Hold,
}

/// Runs `engine`, and again after each stop that is followed by a resumption; until
/// it ends by itself, or `stop` is true.
pub async fn run_and_hold<E>(
    agent: &Agent,
    on_stop: OnStop,
    status: &Status,
    mut stop: watch::Receiver<bool>,
    mut engine: impl AsyncFnMut() -> Result<Summary, E>,
) -> Result<Summary, E> {
    let mut asking = agent.asking();
    let mut all = Summary::default();
    loop {
        if on_stop == OnStop::Hold && is_stopped(asking.borrow().as_ref()) {
            status.set_holding();
            tracing::info!("holding: the job is stopped; `tidegate resume JOB` starts it again");
            if !is_resumed(&mut asking, &mut stop).await {
                return Ok(all);
            }
            tracing::info!("resumed");
            status.set_starting();
        }
        let ended = engine().await?;
        all.add(ended);
        if !ended.stopped_by_control {
            return Ok(all);
        }
        status.set_stopped();
        tokio::select! {
            () = agent.savepoint_settled() => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(all),
        }
        if on_stop == OnStop::Exit {
            return Ok(all);
        }
    }
}

fn is_stopped(control: Option<&Arc<Control>>) -> bool {
    control.is_some_and(|control| control.stopped)
}

/// Waits for a resumption. False, when the process is to end.
async fn is_resumed(asking: &mut Asking, stop: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => false,
        resumed = asking.wait_for(|control| !is_stopped(control.as_ref())) => resumed.is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use tidegate_sinks::SharedObjects;
    use tidegate_sinks::store::{self, Retries};

    use super::*;
    use crate::error::RunError;
    use crate::replica::control::tests::settings;
    use crate::replica::control::{Board, Change, ReplicaState};

    struct Scene {
        board: Board,
        status: Arc<Status>,
        agent: Agent,
        stop: watch::Sender<bool>,
    }

    async fn scene() -> Scene {
        let store = store::open("memory://hold", &Default::default(), Retries::default()).unwrap();
        let board = Board::new(SharedObjects::new(store), Duration::from_secs(1));
        let status = Arc::new(Status::default());
        let agent = Agent::start(settings(&board, &status)).await.unwrap();
        Scene { board, status, agent, stop: watch::channel(false).0 }
    }

    /// An engine that runs until it is asked to stop.
    async fn engine(agent: &Agent) -> Result<Summary, RunError> {
        let mut asking = agent.asking();
        asking
            .wait_for(|control| is_stopped(control.as_ref()))
            .await
            .map_err(|e| RunError::failed(e.to_string()))?;
        Ok(Summary { commits: 1, stopped_by_control: true, ..Summary::default() })
    }

    async fn run(scene: &Scene, on_stop: OnStop) -> Summary {
        let engine = async || engine(&scene.agent).await;
        run_and_hold(&scene.agent, on_stop, &scene.status, scene.stop.subscribe(), engine).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_process_unless_it_holds() {
        let scene = scene().await;
        scene.board.request(Change::Stop, Timestamp::now()).await.unwrap();
        assert_eq!(run(&scene, OnStop::Exit).await.commits, 1);
        assert_eq!(scene.status.state(), ReplicaState::Stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_job_goes_on_when_it_is_resumed_and_ends_with_the_process() {
        let scene = scene().await;
        let ask = async |change| {
            scene.board.request(change, Timestamp::now()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(3)).await;
            scene.status.state()
        };
        let people = async {
            assert_eq!(ask(Change::Stop).await, ReplicaState::Holding);
            assert_eq!(ask(Change::Resume).await, ReplicaState::Starting);
            assert_eq!(ask(Change::Stop).await, ReplicaState::Holding);
            assert!(scene.status.stopping(), "not ready");
            scene.stop.send_replace(true);
        };
        let (summary, ()) = tokio::join!(run(&scene, OnStop::Hold), people);
        assert_eq!(summary.commits, 2);
    }
}
