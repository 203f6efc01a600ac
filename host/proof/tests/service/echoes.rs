//! A service that echoes the secret that it was sent: nothing behind the gateway sees it.
//!
//! Does not list the encodings in which a secret is found: `engine::redaction` does.

use std::sync::Arc;

use base64::Engine as _;
use futures::TryStreamExt as _;
use lake::quarantine;
use pipeline::plan::SecretRef;
use seams::http::{HttpAnswer, HttpError};
use seams::store::{ObjectStore, ObjectStoreExt as _};
use testkit::ScriptedHttp;
use testkit::http::answer;

use super::world::{Options, TICK, World, good, orders};

const CANARY: &str = "canary/7f3a9c5e+11d2 \"x\" y";

fn encodings(secret: &str) -> Vec<String> {
    let percent: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    vec![
        secret.to_owned(),
        percent.clone(),
        percent.to_lowercase(),
        serde_json::to_string(secret).unwrap().trim_matches('"').to_owned(),
        hex::encode(secret),
        hex::encode(secret).to_uppercase(),
        base64::engine::general_purpose::STANDARD.encode(secret),
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("joe:{secret}")),
    ]
}

/// Every byte of a lake.
async fn bytes(world: &World) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for store in [&world.lake.bronze, &world.lake.silver, &world.lake.gold] {
        let store: &Arc<dyn ObjectStore> = store;
        for object in store.list(None).try_collect::<Vec<_>>().await.unwrap() {
            let body = store.get(&object.location).await.unwrap().bytes().await.unwrap();
            all.push((object.location.to_string(), body.to_vec()));
        }
    }
    all
}

async fn holds_none(world: &World, secret: &str) {
    for (place, body) in bytes(world).await {
        let text = String::from_utf8_lossy(&body);
        for form in encodings(secret) {
            assert!(!text.contains(&form), "`{form}` is in {place}: {text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_a_service_echoes_reaches_neither_the_plugin_nor_the_lake() {
    for (number, echo) in encodings(CANARY).into_iter().enumerate() {
        let options = Options { source: orders(12), batch_size: 1, ..Options::default() };
        let world = World::new(&options);
        world.secrets.set(SecretRef::Env("KEY".into()), CANARY);
        let (place, in_json) = (echo.clone(), serde_json::to_string(&echo).unwrap());
        let http = ScriptedHttp::new(move |request, _| {
            let header = |name: &str| vec![(name.to_owned(), format!("https://x.example/?key={place}"))];
            Ok(match request.url.path().trim_start_matches("/orders/") {
                // Into a document, a refusal in the plugin's words, a redirect, a header, an error.
                "o0" => answer(200, format!("{{\"id\":\"o0\",\"group\":{in_json},\"n\":0}}")),
                "o1" => answer(200, format!("<html>wrong key {place}</html>")),
                "o2" => HttpAnswer { headers: header("location"), ..answer(302, place.clone()) },
                "o3" => HttpAnswer { headers: header("x-request"), ..good(&request.url) },
                "o4" => return Err(HttpError::Broken(format!("GET /?key={place}"))),
                "o5" => answer(200, [b"\xff\xfe{", place.as_bytes()].concat()),
                _ => good(&request.url),
            })
        });
        let host = world.host(&options, http).await;
        assert!(world.once(&host, TICK).await.unwrap().left.missing.is_nothing());
        holds_none(&world, CANARY).await;
        let refused = quarantine::all(&world.lake).await.unwrap();
        let reasons: Vec<&str> = refused.iter().map(|one| one.reason.as_str()).collect();
        assert_eq!(reasons.iter().filter(|reason| reason.contains("[redacted]")).count(), 4, "{number}: {reasons:?}");
        let report = world.verify(&host).await;
        assert!(report.findings.is_empty(), "{number}: {:?}", report.findings);
        let sums = world.sums(&host).await;
        assert!(sums.iter().any(|(group, sum)| group.contains("[redacted]") && *sum == 0), "{number}: {sums:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_value_before_a_rotation_is_still_not_kept() {
    let options = Options { source: orders(3), batch_size: 1, workers: 1, ..Options::default() };
    let world = World::new(&options);
    let key = || SecretRef::Env("KEY".into());
    world.secrets.set(key(), "the-old-canary-1");
    let secrets = world.secrets.clone();
    let http = ScriptedHttp::new(move |request, calls| {
        secrets.set(key(), "the-new-canary-2");
        let echo = "not the-old-canary-1 but the-new-canary-2";
        Ok(if calls == 0 { answer(401, echo) } else { answer(200, format!("{echo} {}", request.url)) })
    });
    let host = world.host(&options, http).await;
    world.once(&host, TICK).await.unwrap();
    let refused = quarantine::all(&world.lake).await.unwrap();
    assert_eq!(refused.len(), 3);
    assert!(refused.iter().all(|one| one.reason.contains("not [redacted] but [redacted]")), "{refused:?}");
    for secret in ["the-old-canary-1", "the-new-canary-2"] {
        holds_none(&world, secret).await;
    }
}
