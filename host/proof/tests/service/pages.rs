//! An HTML page in the place of an answer, with a status of 200: from a portal, a firewall, or a service that has a day off.
//!
//! Does not test how pages are detected: `roles/enrich/pages.rs` does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::progress::Steps;
use engine::replay::{self, Selection, Which};
use lake::{answers, quarantine};
use seams::http::HttpAnswer;
use serde_json::json;
use testkit::ScriptedHttp;
use tokio_util::sync::CancellationToken;

use super::world::{Options, TICK, World, expected, good};

fn page() -> HttpAnswer {
    let headers = vec![("content-type".to_owned(), "text/html; charset=utf-8".to_owned())];
    HttpAnswer { status: 200, headers, body: "<html>be back soon</html>".into() }
}

/// A service in whose place a portal answers for one order, for as long as that is so.
fn behind_a_portal() -> (Arc<ScriptedHttp>, Arc<AtomicBool>) {
    let portal = Arc::new(AtomicBool::new(true));
    let is_there = Arc::clone(&portal);
    let http = ScriptedHttp::new(move |request, _| {
        let asked = request.url.path().ends_with("o3") && is_there.load(Ordering::SeqCst);
        Ok(if asked { page() } else { good(&request.url) })
    });
    (http, portal)
}

#[tokio::test(start_paused = true)]
async fn a_page_that_a_plugin_refuses_is_not_found_again_by_who_fetches() {
    let options = Options::default();
    let world = World::new(&options);
    let (http, portal) = behind_a_portal();
    let service = world.host(&options, http.clone()).await;
    world.once(&service, TICK).await.unwrap();
    assert_eq!(quarantine::ids(&world.lake).await.unwrap().len(), 1);
    assert_eq!(answers::some(&world.lake, 100).await.unwrap().len(), 9);
    portal.store(false, Ordering::SeqCst);
    let selection = Selection { which: Which::Quarantined(None), fetch: true, ..Selection::default() };
    let planned = replay::plan(&service, &selection, &Steps::default()).await.unwrap();
    replay::queue(&service, &planned).await.unwrap();
    service.work_off(Duration::from_secs(60), &CancellationToken::new()).await.unwrap();
    assert_eq!((http.calls().len(), quarantine::ids(&world.lake).await.unwrap().len()), (11, 0));
    assert_eq!(world.sums(&service).await, expected(10));
    assert_eq!(world.verify(&service).await.findings, []);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_a_plugin_makes_something_of_is_an_answer_and_is_kept() {
    let options = Options { enrich_version: "2.0.0", ..Options::default() };
    let world = World::new(&options);
    let (http, _portal) = behind_a_portal();
    let service = world.host(&options, http.clone()).await;
    world.once(&service, TICK).await.unwrap();
    assert_eq!(answers::some(&world.lake, 100).await.unwrap().len(), 10);
    let report = world.verify(&service).await;
    assert_eq!((report.findings, json!(report.states)), (Vec::new(), json!({"silver": 10})));
}
