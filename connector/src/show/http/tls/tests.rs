use std::path::PathBuf;

use tempfile::TempDir;
use tidegate_testcontainers::Certificate;

use super::*;

/// A folder with certificates, each of its own key.
struct Scene(TempDir);

impl Scene {
    fn with(names: &[&str]) -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        for name in names {
            Certificate::self_signed(&["localhost"]).unwrap().write(scene.0.path(), name).unwrap();
        }
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn tls(&self, cert: &str, key: &str) -> Tls {
        Tls { cert: self.path(cert), key: self.path(key) }
    }
}

#[test]
fn a_certificate_and_its_key_are_taken_and_anything_else_is_named() {
    let scene = Scene::with(&["a", "b"]);
    load(&scene.tls("a.pem", "a.key")).unwrap();
    std::fs::write(scene.path("empty"), "").unwrap();
    for (cert, key, says) in [
        ("a.pem", "b.key", "do not fit"),
        ("a.pem", "none", "http.tls.key: cannot read"),
        ("none", "a.key", "http.tls.cert: cannot read"),
        ("empty", "a.key", "holds no certificate"),
        ("a.pem", "empty", "holds no private key"),
        ("a.pem", "a.pem", "holds no private key"),
    ] {
        let error = load(&scene.tls(cert, key)).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        let error = error.to_string();
        assert!(error.contains(says) && error.contains(&scene.path("").display().to_string()), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_certificate_is_served_and_half_a_change_is_not() {
    let scene = Scene::with(&["a", "b", "serving"]);
    let tls = scene.tls("serving.pem", "serving.key");
    let serving = RustlsConfig::from_config(load(&tls).unwrap());
    let first = serving.get_inner();
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(follow(tls.clone(), serving.clone(), stopped));
    tokio::time::sleep(LOOK_EVERY).await;

    std::fs::copy(scene.path("b.pem"), &tls.cert).unwrap();
    tokio::time::sleep(3 * LOOK_EVERY).await;
    assert!(Arc::ptr_eq(&first, &serving.get_inner()), "the key is still the other one's");
    std::fs::copy(scene.path("b.key"), &tls.key).unwrap();
    tokio::time::sleep(2 * LOOK_EVERY).await;
    let second = serving.get_inner();
    assert!(!Arc::ptr_eq(&first, &second));
    tokio::time::sleep(3 * LOOK_EVERY).await;
    assert!(Arc::ptr_eq(&second, &serving.get_inner()), "the same files are not taken again");
}
