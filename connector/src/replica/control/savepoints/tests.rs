//! Savepoints by agents whose engines are played by the test.

use std::path::Path;
use std::sync::Mutex;

use super::super::tests::{board, replica};
use super::*;
use crate::config::Origin;
use crate::replica::agent::{Agent, Settings};
use crate::replica::status::Status;

const JOB: &str = "
job: orders
kafka: {bootstrap_servers: 'localhost:9092', topics: [orders]}
sink: {url: 'file:///warehouse'}
checkpoint: {timeout: 20m}
";

fn config() -> Config {
    Config::parse(JOB, &Origin(Path::new("job.yaml").into())).unwrap()
}

/// Two replicas on one board, and what they made.
struct Scene {
    board: Board,
    config: Config,
    replicas: Vec<(Arc<Status>, Agent)>,
    made: Arc<Mutex<Vec<String>>>,
}

impl Scene {
    async fn new(result: Result<(), &'static str>) -> Self {
        let mut scene = Self { board: board(), config: config(), replicas: Vec::new(), made: Arc::default() };
        for _ in 0..2 {
            let (status, made) = (Arc::new(Status::default()), scene.made.clone());
            status.set_started();
            let make = move |to: String, id: String| -> BoxFuture<'static, Result<String, RunError>> {
                made.lock().unwrap().push(id.clone());
                Box::pin(async move {
                    tokio::time::sleep(Duration::from_secs(30)).await;
                    result.map(|()| format!("{to}/{id}")).map_err(RunError::failed)
                })
            };
            let settings = Settings {
                board: scene.board.clone(),
                status: status.clone(),
                address: None,
                patience: scene.config.checkpoint.timeout,
                make: Arc::new(make),
            };
            scene.replicas.push((status, Agent::start(settings).await.unwrap()));
        }
        scene
    }

    async fn ask(&self, stop: bool) -> String {
        let wish = Wish { to: Some("memory://s".into()), stop, ..Wish::default() };
        start(&self.board, &self.config, wish).await.unwrap().0
    }

    async fn state(&self, id: &str) -> SavepointState {
        state(&self.board, &self.config, id).await.unwrap().unwrap()
    }

    async fn ended(&self, id: &str) -> SavepointState {
        for _ in 0..200 {
            let state = self.state(id).await;
            if state != SavepointState::InProgress {
                return state;
            }
            seconds(1).await;
        }
        panic!("the savepoint has not ended");
    }

    /// Both engines do what is asked.
    fn carry_out(&self) {
        for (status, _) in &self.replicas {
            status.set_control(1);
        }
    }

    fn made(&self) -> Vec<String> {
        self.made.lock().unwrap().clone()
    }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn one_replica_copies_when_all_have_checkpointed() {
    let scene = Scene::new(Ok(())).await;
    let id = scene.ask(false).await;
    scene.replicas[0].0.set_control(1);
    seconds(20).await;
    assert_eq!((scene.state(&id).await, scene.made()), (SavepointState::InProgress, vec![]));
    scene.replicas[1].0.set_control(1);
    let uri = format!("memory://s/{id}");
    assert_eq!(scene.ended(&id).await, SavepointState::Completed { uri });
    seconds(60).await;
    assert_eq!(scene.made(), [id]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_replica_is_not_waited_for() {
    let scene = Scene::new(Ok(())).await;
    scene.board.report(&replica("frozen", Timestamp::now())).await.unwrap();
    let id = scene.ask(false).await;
    scene.carry_out();
    seconds(2).await;
    assert_eq!(scene.made().len(), 0);
    assert!(matches!(scene.ended(&id).await, SavepointState::Completed { .. }));
}

#[tokio::test(start_paused = true)]
async fn with_a_stop_it_is_made_when_all_have_stopped() {
    let scene = Scene::new(Ok(())).await;
    let id = scene.ask(true).await;
    scene.carry_out();
    scene.replicas[0].0.set_stopped();
    seconds(20).await;
    assert_eq!(scene.made().len(), 0);
    scene.replicas[1].0.set_stopped();
    // Neither process may end before.
    for (_, agent) in &scene.replicas {
        agent.savepoint_settled().await;
    }
    assert!(matches!(scene.state(&id).await, SavepointState::Completed { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_resumption_before_all_have_stopped_fails_it() {
    let scene = Scene::new(Ok(())).await;
    let id = scene.ask(true).await;
    scene.replicas[0].0.set_stopped();
    scene.board.request(Change::Resume, Timestamp::now()).await.unwrap();
    let SavepointState::Failed { reason } = scene.ended(&id).await else { panic!("made all the same") };
    assert!(reason.contains("resumed"), "{reason}");
    assert_eq!(scene.made().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_with_its_reason_and_another_can_be_asked_for() {
    let scene = Scene::new(Err("the bucket is full")).await;
    let id = scene.ask(false).await;
    scene.carry_out();
    let failed = SavepointState::Failed { reason: "the bucket is full".into() };
    assert_eq!(scene.ended(&id).await, failed);
    assert_ne!(scene.ask(false).await, id);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused_at_once() {
    let scene = Scene::new(Ok(())).await;
    let ask = async |id: &str, to: &str| {
        let wish = Wish { id: Some(id.into()), to: Some(to.into()), stop: false };
        start(&scene.board, &scene.config, wish).await
    };
    for (id, to) in [("a", "nowhere"), ("a", "ftp://x/y"), ("../a", "memory://s"), ("", "memory://s")] {
        assert_eq!(ask(id, to).await.unwrap_err().exit_code(), 2, "{id} {to}");
    }
    assert_eq!(scene.board.newest().await.unwrap(), None);
    ask("a", "memory://s").await.unwrap();
    assert_eq!(ask("a", "memory://s").await.unwrap().0, "a");
    assert_eq!(scene.board.newest().await.unwrap().unwrap().n, 1, "the same id is the same savepoint");
    let busy = ask("b", "memory://s").await.unwrap_err();
    assert_eq!(busy.exit_code(), 3, "{busy}");
    assert_eq!(state(&scene.board, &scene.config, "b").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn one_whose_worker_died_is_reported_failed() {
    let (board, config) = (board(), config());
    let wish = Wish { to: Some("memory://s".into()), ..Wish::default() };
    let (id, _) = start(&board, &config, wish).await.unwrap();
    board.objects.create(Folder::SavepointRequests, &claim_name(&id), "dead".into()).await.unwrap();
    let age = async |seconds| {
        let record = board.record(&id).await.unwrap().unwrap();
        let updated = Timestamp::now() - Duration::from_secs(seconds);
        board.put_record(&Record { updated, ..record }).await.unwrap();
        state(&board, &config, &id).await.unwrap().unwrap()
    };
    assert_eq!(age(50).await, SavepointState::InProgress);
    let SavepointState::Failed { reason } = age(70).await else { panic!("still in progress") };
    assert!(reason.contains("died"), "{reason}");
}
