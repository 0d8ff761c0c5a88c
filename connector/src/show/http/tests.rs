mod bounds;
mod changing;

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, header};
use axum::response::Response;
use serde_json::Value;
use tempfile::TempDir;
use tidegate_sinks::{Checkpoint, CommitId, Genesis, PartitionState, Retracted, Sink, TopicPartition};
use tower::ServiceExt;

use super::*;
use crate::cli::open_sink;
use crate::config::{Origin, Secret};
use crate::replica::status::{OpenTransaction, PartitionStatus, Reload, Standing};

const HERE: Access = Access { is_loopback: true, token: None };

/// A job in a folder of its own, with a chain of checkpoints, and nothing that runs.
struct Scene {
    _dir: TempDir,
    shown: Shown,
}

async fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let text = format!(
        "job: orders\nkafka: {{bootstrap_servers: 'localhost:1', topics: [t], properties: {{sasl.password: hunter2}}}}\n\
         sink: {{url: 'file://{}'}}\n",
        dir.path().join("lake").display()
    );
    let config = Config::parse(&text, &Origin("job.yaml".into())).unwrap();
    let sink = open_sink(&config, false).unwrap();
    let state = PartitionState { start: 0, next: 0, rows: 0 };
    let genesis = Genesis {
        cluster_id: None,
        partitions: BTreeMap::from([(TopicPartition::new("t", 0), state)]),
        pinned: Value::Null,
        ..Genesis::default()
    };
    sink.begin_chain(genesis).await.unwrap();
    let metrics = Metrics::unrecorded();
    let status = Arc::new(Status::default());
    Scene {
        _dir: dir,
        shown: Shown {
            board: Board::of(&sink, &config),
            config: Arc::new(config),
            sink: Arc::new(sink),
            status,
            metrics,
        },
    }
}

impl Scene {
    async fn ask(&self, access: Access, request: Request<Body>) -> Response {
        router(self.shown.clone(), access, Bounds::default()).oneshot(request).await.unwrap()
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let response = self.ask(HERE, request(Method::GET, path)).await;
        (response.status(), json(response).await)
    }
}

fn request(method: Method, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).header(header::HOST, "localhost").body(Body::empty()).unwrap()
}

async fn json(response: Response) -> Value {
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{error}: {bytes:?}"))
}

#[tokio::test]
async fn the_job_is_told_without_its_secrets() {
    let (status, job) = scene().await.get("/api/v1/job").await;
    assert_eq!((status, &job["job"], &job["state"]), (StatusCode::OK, &"orders".into(), &"starting".into()));
    assert_eq!(job["settings"]["kafka"]["properties"]["sasl.password"], "***");
}

#[tokio::test]
async fn position_and_checkpoints_are_those_of_the_store() {
    let scene = scene().await;
    let (status, position) = scene.get("/api/v1/position").await;
    assert_eq!((status, &position["checkpoint"]), (StatusCode::OK, &1.into()));
    assert_eq!(position["partitions"][0]["next"], 0);
    let (status, checkpoints) = scene.get("/api/v1/checkpoints?limit=5").await;
    assert_eq!((status, &checkpoints[0]["n"]), (StatusCode::OK, &1.into()));
}

#[tokio::test]
async fn what_cannot_be_asked_is_a_problem_that_says_why() {
    let scene = scene().await;
    for (path, status, detail) in [
        ("/api/v1/checkpoints?limt=3", StatusCode::BAD_REQUEST, "limt"),
        ("/api/v1/checkpoints?limit=0", StatusCode::BAD_REQUEST, "1 to 900"),
        ("/api/v1/checkpoints?limit=many", StatusCode::BAD_REQUEST, "limit"),
        ("/api/v2/job", StatusCode::NOT_FOUND, "openapi.json"),
    ] {
        let response = scene.ask(HERE, request(Method::GET, path)).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json", "{path}");
        let problem = json(response).await;
        assert_eq!(problem["status"], status.as_u16(), "{path}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{path}: {problem}");
    }
}

#[tokio::test]
async fn another_method_is_refused_with_those_that_are_served() {
    let response = scene().await.ask(HERE, request(Method::DELETE, "/api/v1/job")).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
    assert_eq!(json(response).await["status"], 405);
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_keep_other_pages_out() {
    let scene = scene().await;
    for path in ["/livez", "/api/v1/job", "/nowhere"] {
        let response = scene.ask(HERE, request(Method::GET, path)).await;
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}

#[tokio::test]
async fn another_host_name_is_refused_on_loopback() {
    let scene = scene().await;
    let mut request = request(Method::GET, "/api/v1/job");
    request.headers_mut().insert(header::HOST, "evil.example".parse().unwrap());
    assert_eq!(scene.ask(HERE, request).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn beyond_loopback_only_health_and_metrics_are_served() {
    let scene = scene().await;
    let away = Access { is_loopback: false, token: None };
    for (path, status) in
        [("/livez", 200), ("/metrics", 200), ("/api/v1/job", 403), ("/api/v1/openapi.json", 403)]
    {
        let response = scene.ask(away.clone(), request(Method::GET, path)).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn beyond_loopback_the_token_opens_the_api() {
    let scene = scene().await;
    let away = Access { is_loopback: false, token: Some(Secret::new("0123456789abcdef")) };
    let response = scene.ask(away.clone(), request(Method::GET, "/api/v1/job")).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"tidegate\"");
    let mut with_token = request(Method::GET, "/api/v1/openapi.json");
    with_token.headers_mut().insert(header::AUTHORIZATION, "Bearer 0123456789abcdef".parse().unwrap());
    let document = json(scene.ask(away, with_token).await).await;
    assert!(document["paths"]["/api/v1/job"]["get"]["security"][0]["token"].is_array(), "{document:#}");
}

#[tokio::test]
async fn the_document_describes_every_route_and_its_problems() {
    let (status, document) = scene().await.get("/api/v1/openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{document:#}");
    let paths = document["paths"].as_object().unwrap();
    for path in ["/job", "/position", "/checkpoints"] {
        let get = &paths[&format!("/api/v1{path}")]["get"];
        let problem = &get["responses"]["503"]["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(problem, "#/components/schemas/Problem", "{path}: {get:#}");
    }
}

#[tokio::test]
async fn the_page_comes_with_all_that_it_names_and_may_load_nothing_else() {
    let scene = scene().await;
    let mut waiting = vec!["/".to_owned()];
    let mut seen = Vec::new();
    while let Some(path) = waiting.pop() {
        let response = scene.ask(HERE, request(Method::GET, &path)).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
        let tag = response.headers()[header::ETAG].clone();
        let mut again = request(Method::GET, &path);
        again.headers_mut().insert(header::IF_NONE_MATCH, tag);
        assert_eq!(scene.ask(HERE, again).await.status(), StatusCode::NOT_MODIFIED, "{path}");
        let text =
            String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap();
        assert!(!text.contains("https://") && !text.contains(" style="), "{path}");
        let named =
            text.split(['"', '\'']).filter(|part| part.starts_with("/page/") || part.starts_with("./"));
        seen.push(path);
        for name in named.map(|part| part.replace("./", "/page/")) {
            if !seen.contains(&name) && !waiting.contains(&name) {
                waiting.push(name);
            }
        }
    }
    assert_eq!(seen.len(), 13, "{seen:?}");
}

#[tokio::test]
async fn the_overview_says_what_is_known_and_null_where_nothing_is() {
    let scene = scene().await;
    let (status, overview) = scene.get("/api/v1/overview").await;
    assert_eq!((status, &overview["state"]), (StatusCode::OK, &"starting".into()));
    assert_eq!(overview["verdict"]["problems"][0]["code"], "starting");
    assert!(overview["checkpoint"].is_null() && overview["rejects"]["total"].is_null(), "{overview}");

    let status = &scene.shown.status;
    status.set_started();
    status.set_newest(scene.shown.sink.load().await.unwrap().unwrap(), Timestamp::now());
    let ends = PartitionStatus { next: Some(5), last_stable_offset: Some(7), high_watermark: Some(10) };
    status.set_partitions(BTreeMap::from([(TopicPartition::new("t", 1), ends)]));
    let (_, overview) = scene.get("/api/v1/overview").await;
    assert_eq!((&overview["checkpoint"]["n"], &overview["rejects"]["limit"]), (&1.into(), &0.into()));
    assert_eq!((&overview["lag"]["lso"], &overview["lag"]["hw"]), (&2.into(), &5.into()));
    let [elsewhere, here] = &overview["partitions"].as_array().unwrap()[..] else { panic!("{overview}") };
    assert_eq!((&elsewhere["here"], &elsewhere["next"]), (&false.into(), &0.into()));
    assert!(elsewhere["lag_lso"].is_null());
    assert_eq!((&here["here"], &here["lag_lso"]), (&true.into(), &2.into()));
    assert_eq!(overview["held_back"], serde_json::json!([]));
    let open = OpenTransaction {
        partition: TopicPartition::new("t", 1),
        last_stable_offset: 7,
        high_watermark: 10,
        since: Timestamp::now() - Duration::from_secs(90),
    };
    status.set_standing(Standing { open_transactions: vec![open], ..Standing::default() });
    let (_, overview) = scene.get("/api/v1/overview").await;
    assert_eq!(overview["verdict"]["problems"][0]["code"], "held_back");
    let abort = overview["held_back"][0]["abort"].as_str().unwrap();
    assert!(abort.ends_with("abort --topic t --partition 1 --start-offset 7"), "{abort}");
}

#[tokio::test]
async fn the_verdict_knows_what_waits_in_the_checkpoint_and_what_was_not_taken_over() {
    let scene = scene().await;
    let status = &scene.shown.status;
    status.set_started();
    let done = scene.shown.sink.load().await.unwrap().unwrap();
    let waits = Checkpoint {
        retracted: vec![Retracted::File("orders/a.parquet".into())],
        unsent: vec![CommitId("017f22e279b07cc398c4dc0c0c07398f".into())],
        ..Checkpoint::clone(&done)
    };
    let failure = Some("sink.url cannot change while the job runs".to_owned());
    status.set_reload(Reload { time: Timestamp::now(), keys: Vec::new(), failure }, None);
    let codes = async || {
        let (_, overview) = scene.get("/api/v1/overview").await;
        let problems = overview["verdict"]["problems"].as_array().unwrap().clone();
        problems.iter().map(|problem| problem["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    status.set_newest(Arc::new(waits.clone()), Timestamp::now());
    assert_eq!(codes().await, ["unsent", "reload_failed", "not_erased"]);
    let long_ago = Timestamp::now() - Duration::from_secs(3_600);
    status.set_newest(done.clone(), long_ago);
    status.set_newest(Arc::new(waits.clone()), long_ago);
    status.set_newest(Arc::new(waits), Timestamp::now());
    assert_eq!(codes().await, ["not_erased", "unsent", "reload_failed"], "it is waited for since then");
    status.set_newest(done, Timestamp::now());
    assert_eq!(codes().await, ["reload_failed"]);
}

#[tokio::test]
async fn the_history_goes_on_after_the_last_sample_seen() {
    let scene = scene().await;
    let start = Timestamp::now();
    for tick in 0..4 {
        scene.shown.status.add_read(500, 1_000);
        scene.shown.status.sample(start + Duration::from_secs(5 * tick));
    }
    let (_, history) = scene.get("/api/v1/history").await;
    let samples = history["samples"].as_array().unwrap();
    assert_eq!((samples.len(), &samples[0]["records_per_second"]), (3, &100.0.into()));
    let after = samples[1]["time"].as_str().unwrap();
    let (_, later) = scene.get(&format!("/api/v1/history?after={after}")).await;
    assert_eq!(later["samples"], serde_json::json!([samples[2]]));
    let (status, problem) = scene.get("/api/v1/history?after=yesterday").await;
    assert_eq!((status, &problem["status"]), (StatusCode::BAD_REQUEST, &400.into()));
}
