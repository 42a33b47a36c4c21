//! Who may change something, and who is answered at all.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use axum::http::{Method, Request};

use super::scene::{Reply, Scene, reply};
use crate::admin::route::{Route, changing, router};

const TOKEN: &str = "0123456789abcdef";

/// How often something was changed.
static CHANGES: AtomicU32 = AtomicU32::new(0);

async fn change() -> String {
    CHANGES.fetch_add(1, Ordering::Relaxed).to_string()
}

async fn ask(scene: &Scene, shown: &[&str]) -> Reply {
    let mut request = Request::builder().method(Method::POST).uri("/v1/dummy");
    for shown in shown {
        request = request.header(AUTHORIZATION, *shown);
    }
    let admin = Arc::clone(&scene.admin);
    let commands = changing([Route::post("/v1/dummy", change)]);
    let served = router(commands, admin.guard.clone(), admin);
    reply(served, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn whoever_shows_the_token_may_change_something_and_nobody_else() {
    let scene = Scene::fresh("admin: {token_file: token}");
    let file = scene.folder.path().join("token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let before = CHANGES.load(Ordering::Relaxed);
    let right = format!("Bearer {TOKEN}");
    for shown in [
        &[][..],
        &["Bearer "],
        &["Bearer 0123456789abcde"],
        &["Bearer 0123456789abcdef0"],
        &["Basic 0123456789abcdef"],
        &[TOKEN],
        &[&right, &right],
    ] {
        let refused = ask(&scene, shown).await;
        assert_eq!(refused.status, 401, "{shown:?}");
        assert_eq!(refused.headers[WWW_AUTHENTICATE], "Bearer");
        assert!(!refused.text.contains(TOKEN), "{}", refused.text);
    }
    assert_eq!(CHANGES.load(Ordering::Relaxed), before);
    assert_eq!(ask(&scene, &[&right]).await.status, 200);
    assert_eq!(ask(&scene, &[&format!("bearer {TOKEN}")]).await.status, 200);
    assert_eq!(CHANGES.load(Ordering::Relaxed), before + 2);

    // Another token counts at once, and a file without one lets nobody in.
    fs::write(&file, "another-token-of-that-length").unwrap();
    assert_eq!(ask(&scene, &[&right]).await.status, 401);
    assert_eq!(
        ask(&scene, &["Bearer another-token-of-that-length"])
            .await
            .status,
        200
    );
    fs::write(&file, "").unwrap();
    let broken = ask(&scene, &["Bearer "]).await;
    assert_eq!(broken.status, 503);
    assert!(
        broken.text.contains("admin.token_file is not usable"),
        "{}",
        broken.text
    );
}

#[tokio::test]
async fn without_a_token_file_nothing_can_be_changed_and_the_answer_says_why() {
    let scene = Scene::fresh("");
    for shown in [&[][..], &["Bearer "], &["Bearer 0123456789abcdef"]] {
        let refused = ask(&scene, shown).await;
        assert_eq!(refused.status, 403);
        assert!(
            refused.text.contains("admin.token_file is not configured"),
            "{}",
            refused.text
        );
    }
}

#[tokio::test]
async fn only_on_loopback_it_matters_by_which_name_it_is_called() {
    let scene = Scene::fresh("");
    for (host, on_loopback) in [("localhost:80", 200), ("rebound.example", 403)] {
        for (listens, expected) in [([127, 0, 0, 2], on_loopback), ([0, 0, 0, 0], 200)] {
            let request = Request::get("/healthz").header(HOST, host);
            let request = request.body(Body::empty()).unwrap();
            let reply = scene.ask_at(listens, request).await;
            assert_eq!(reply.status, expected, "{host} at {listens:?}");
        }
    }
}
