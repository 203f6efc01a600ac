//! Objects of Bronze that are not there any more, or are damaged: they fail alone.
//!
//! Does not mend them.

use bytes::Bytes;
use lake::events::NewObject;
use lake::failure::Failure;
use lake::receipts;
use seams::store::{ObjectStoreExt as _, Path, replace};
use testkit::ScriptedHttp;

use super::world::{Options, TICK, World, good};

/// The lake of four objects of three orders each (the last of one), and a host whose cleaner has seen none of them.
async fn four_objects() -> (World, engine::drivers::service::Service, Vec<Path>) {
    let options = Options::default();
    let world = World::new(&options);
    let http = || ScriptedHttp::new(|request, _| Ok(good(&request.url)));
    world.once(&world.host(&options, http()).await, TICK).await.unwrap();
    let objects: Vec<Path> = receipts::objects(&world.lake).await.unwrap().into_iter().map(Path::from).collect();
    assert_eq!(objects.len(), 4);
    let next = Options { clean_version: "2.0.0", ..Options::default() };
    let service = world.host(&next, http()).await;
    (world, service, objects)
}

fn events(objects: &[Path]) -> Vec<NewObject> {
    objects.iter().map(NewObject::whole).collect()
}

/// How many objects the second cleaner has seen.
async fn cleaned_again(world: &World) -> usize {
    let mut seen = 0;
    for object in receipts::objects(&world.lake).await.unwrap() {
        let receipt = receipts::get(&world.lake, &Path::from(object)).await.unwrap().unwrap();
        seen += usize::from(receipt.is_up_to(2));
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn an_object_that_was_deleted_is_no_failure_of_its_neighbours_nor_of_itself() {
    let (world, service, objects) = four_objects().await;
    world.lake.bronze.delete(&objects[1]).await.unwrap();
    let failed = service.clean.objects(&events(&objects)).await.unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(cleaned_again(&world).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_object_fails_alone_and_is_named() {
    let (world, service, objects) = four_objects().await;
    replace(&*world.lake.bronze, &objects[2], Bytes::from_static(b"{\"a\":")).await.unwrap();
    let failed = service.clean.objects(&events(&objects)).await.unwrap();
    assert_eq!(failed.keys().collect::<Vec<_>>(), [&objects[2]]);
    let Failure::Lake { reason, whole: false } = &failed[&objects[2]] else { panic!("{failed:?}") };
    assert!(reason.contains(objects[2].as_ref()), "{reason}");
    assert_eq!(cleaned_again(&world).await, 3);
}
