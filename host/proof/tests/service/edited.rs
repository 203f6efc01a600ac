//! Bronze that was edited is found, whatever was done to hide it, and so is the chain that says so.
//!
//! Does not test the other damages of a lake: `verify.rs` does.

use proof::verify::{Invariant, Report};
use seams::store::ObjectStoreExt;
use serde_json::{Value, json};
use testkit::ScriptedHttp;

use super::verify::{NEXT, delete, edit, edit_json, lake, objects};
use super::world::{Options, TICK, World, good};

/// A way to edit Bronze and to hide that, for a user who may write there.
type Hidden = (&'static str, fn(&str) -> String);

const HIDDEN: &[Hidden] = &[
    // Says that its answer was not kept, so that it cannot be made again: a note, and not a finding.
    ("as not to be made again", |line| {
        line.replace("\"n\":9", "\"n\":999").replace("\"answers\":", "\"unkept\":[403],\"answers\":")
    }),
    ("as forgotten", |line| {
        let (_, meta) = line.split_once("\"_meta\":").unwrap();
        let mut meta: Value = serde_json::from_str(meta.trim_end().strip_suffix('}').unwrap()).unwrap();
        meta["outcome"] = json!("forgotten");
        format!("{{\"_meta\":{meta}}}")
    }),
];

#[tokio::test(start_paused = true)]
async fn bronze_edited_together_with_a_mark_that_hides_it_is_found() {
    for (how, hide) in HIDDEN {
        let (world, service) = lake().await;
        assert_eq!(world.verify(&service).await.findings, []);
        edit(&world.lake.bronze, &format!("run={NEXT}/batch=00003"), |text| {
            text.lines().map(|line| format!("{}\n", hide(line))).collect()
        })
        .await;
        let told = |report: &Report| {
            let found = report.findings.iter().filter(|one| one.invariant == Invariant::V6);
            found
                .filter(|one| one.at.contains(&format!("run={NEXT}/batch=00003")))
                .map(|one| one.message.clone())
                .collect::<Vec<_>>()
        };
        let report = world.verify(&service).await;
        assert!(told(&report).iter().any(|message| message.contains("it was edited since")), "{how}: {report:?}");
        // Also when everything that was made of it is made again: its receipt is taken away, and the host cleans it again.
        delete(&world.lake.silver, &format!("_receipts/run={NEXT}/batch=00003")).await;
        // No host looks at a closed tick, unless it is told to.
        proof::repair::repair(&service, true, &engine::progress::Steps::default()).await.unwrap();
        let ended = world.once(&service, NEXT).await.unwrap();
        assert!(ended.left.missing.is_nothing(), "{ended:?}");
        let report = world.verify(&service).await;
        assert!(told(&report).iter().any(|message| message.contains("its receipt taken away")), "{how}: {report:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_is_edited_or_cut_is_found() {
    type Change = (&'static str, &'static str);
    for (what, says) in [
        ("an entry is edited", "one was edited"),
        ("an entry is gone", "are not there"),
        ("the last one is gone", "names it"),
        ("all are gone", "names it"),
    ] as [Change; 4]
    {
        let (world, service) = lake().await;
        world.once(&service, "20260103T030000Z").await.unwrap();
        let silver = &world.lake.silver;
        let entries = objects(silver, "_chain/").await;
        assert!(entries.len() > 2, "{entries:?}");
        match what {
            "an entry is edited" => edit(silver, "_chain/", |text| text.replacen("\":\"", "\":\"0", 3)).await,
            "an entry is gone" => silver.delete(&entries[0]).await.unwrap(),
            "the last one is gone" => {
                // Silver's last commit names the one before; the receipts still know what the last one said.
                silver.delete(entries.last().unwrap()).await.unwrap();
            }
            _ => {
                for entry in &entries {
                    silver.delete(entry).await.unwrap();
                }
            }
        }
        let report = world.verify(&service).await;
        let found =
            report.findings.iter().any(|one| one.message.contains(says) || one.message.contains("the chain has none"));
        assert!(found, "{what}: {report:?}");
        // It costs the pipeline nothing.
        let ended = world.once(&service, "20260104T030000Z").await.unwrap();
        assert!(ended.left.is_nothing(), "{what}: {ended:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lake_without_digests_says_so_and_does_not_fail() {
    let options = Options { batch_size: 100, ..Options::default() };
    let world = World::new(&options);
    let service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    world.once(&service, TICK).await.unwrap();
    // As an earlier version of the program has left it.
    delete(&world.lake.silver, "_chain/").await;
    edit(&world.lake.silver, "_receipts/", |text| {
        edit_json(&text, |receipt| drop(receipt.as_object_mut().unwrap().remove("sha256")))
    })
    .await;
    let report = world.verify(&service).await;
    assert_eq!(report.findings, []);
    assert!(report.notes.iter().any(|note| note.contains("before digests were kept")), "{:?}", report.notes);
    let later = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    world.once(&later, NEXT).await.unwrap();
    let report = world.verify(&later).await;
    assert_eq!((report.findings, report.chain.is_some()), (Vec::new(), true));
}
