//! An older database beside newer machines: action numbers come again, and no action may take a
//! lost one's work for its own.

use cloudpc_drivers::Driver;
use cloudpc_model::Params;

use crate::undo::REPROVISION;
use crate::world::TestEngine;

#[tokio::test]
async fn a_reprovision_after_a_restore_makes_a_new_disk() {
    let (mut world, id) = TestEngine::started(1).await;
    let backup = world.back_up();
    let lost = world.done(id, REPROVISION).await;
    world.write_marker(id, "the last user's").await;
    let aside = world.tag(lost).await;

    world.restore(backup).await;
    let again = world.done(id, REPROVISION).await;
    assert_eq!(again, lost, "the number comes again");
    assert_eq!(world.marker(id).await, None, "the disk is a new one");
    assert_eq!(world.asides(id).await, [aside.0, world.tag(again).await.0], "both old disks are there");
}

#[tokio::test]
async fn a_restart_after_a_restore_happens_again() {
    let (mut world, id) = TestEngine::started(2).await;
    let backup = world.back_up();
    let lost = world.done(id, Params::Reboot).await;
    let boots = world.driver.observe(id).await.unwrap().boots;

    world.restore(backup).await;
    assert_eq!(world.done(id, Params::Reboot).await, lost, "the number comes again");
    assert_eq!(world.driver.observe(id).await.unwrap().boots, boots + 1);
}
