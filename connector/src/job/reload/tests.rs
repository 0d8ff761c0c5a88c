use std::path::Path;

use super::*;

const JOB: &str = "job: j\nkafka: {bootstrap_servers: \"k:9092\", topics: [a]}\nformat: {columns: [{name: id, type: int64}]}\n\
                   sink: {url: \"file:///w\", table: t}\ncontrol: {poll: 100ms}\n";

struct Scene {
    folder: tempfile::TempDir,
    in_force: watch::Receiver<Arc<Config>>,
    status: Arc<Status>,
    hangups: mpsc::Sender<()>,
}

/// A watched job file, which is a link as in a ConfigMap.
async fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin(folder.path().join("job.yaml"));
    std::os::unix::fs::symlink("data/job.yaml", &origin.0).unwrap();
    let scene_folder = folder.path().to_owned();
    swap(&scene_folder, 0, JOB);
    let text = Config::read(&origin).unwrap();
    let (sender, in_force) = watch::channel(Arc::new(Config::parse(&text, &origin).unwrap()));
    let status = Arc::new(Status::default());
    let (hangups, received) = mpsc::channel(1);
    let reloader = Reloader {
        origin,
        seen: Some(text),
        in_force: sender,
        status: status.clone(),
        sets_log_level: false,
    };
    tokio::spawn(reloader.watch(received));
    Scene { folder, in_force, status, hangups }
}

/// Lets the link `data` lead to another folder, in one step.
fn swap(folder: &Path, number: u32, text: &str) {
    let (data, link) = (format!("data-{number}"), folder.join("data.new"));
    std::fs::create_dir(folder.join(&data)).unwrap();
    std::fs::write(folder.join(&data).join("job.yaml"), text).unwrap();
    std::os::unix::fs::symlink(&data, &link).unwrap();
    std::fs::rename(link, folder.join("data")).unwrap();
}

impl Scene {
    async fn outcome(&self, before: Option<&Reload>) -> Reload {
        loop {
            match self.status.reload() {
                Some(reload) if Some(&reload) != before => return reload,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

#[tokio::test]
async fn a_swapped_link_is_seen_and_all_or_nothing_is_taken_over() {
    let mut scene = scene().await;
    swap(scene.folder.path(), 1, &format!("{JOB}speed: {{bytes_per_second: 5MB}}\n"));
    scene.in_force.changed().await.unwrap();
    assert_eq!(scene.in_force.borrow_and_update().speed.bytes_per_second, 5_000_000);
    let first = scene.outcome(None).await;
    assert_eq!((first.keys.as_slice(), &first.failure), (&["speed.bytes_per_second".to_owned()][..], &None));

    let changed = JOB.replace("table: t", "table: other");
    swap(scene.folder.path(), 2, &format!("{changed}speed: {{bytes_per_second: 9MB}}\n"));
    let second = scene.outcome(Some(&first)).await;
    assert!(second.failure.as_ref().unwrap().starts_with("sink.table cannot change"), "{second:?}");
    swap(scene.folder.path(), 3, "job: [");
    let third = scene.outcome(Some(&second)).await;
    assert!(third.failure.as_ref().unwrap().contains("not valid YAML"), "{third:?}");
    std::fs::remove_file(scene.folder.path().join("data")).unwrap();
    let fourth = scene.outcome(Some(&third)).await;
    assert!(fourth.failure.as_ref().unwrap().contains("cannot read the job file"), "{fourth:?}");
    assert!(!scene.in_force.has_changed().unwrap(), "the old one stays in force");
    assert_eq!(scene.in_force.borrow().speed.bytes_per_second, 5_000_000);

    swap(scene.folder.path(), 4, JOB);
    scene.in_force.changed().await.unwrap();
    assert_eq!(scene.in_force.borrow().speed.bytes_per_second, 0);
    assert_eq!(scene.outcome(Some(&fourth)).await.failure, None);
}

#[tokio::test]
async fn a_hangup_reads_the_file_at_once_though_it_has_not_changed() {
    let scene = scene().await;
    scene.hangups.send(()).await.unwrap();
    let outcome = scene.outcome(None).await;
    assert_eq!((outcome.keys.len(), outcome.failure), (0, None));
}
